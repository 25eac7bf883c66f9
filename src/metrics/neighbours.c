/*
 * Everything that looks for nearest rows: precision and recall, copies, retrieval, diversity. Plain double
 * loops over all pairs in the order of memory; at a few thousand pictures of some hundred features that takes
 * seconds, so trees or matrix products would only add code. What a row finds is kept by row and counted
 * afterwards, so that the bits are the same on any thread count.
 */
#include <math.h>
#include <float.h>
#include <stdatomic.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "metrics/metrics.h"

enum { K_NEAREST = 3 };

/* Eight running sums let the compiler use vectors without reordering a single sum. */
static double square_distance(const float *a, const float *b, int d)
{
    float sum[8] = {0};
    int i = 0;
    double total = 0;

    for (; i + 8 <= d; i += 8)
        for (int j = 0; j < 8; j++) {
            float diff = a[i + j] - b[i + j];

            sum[j] += diff * diff;
        }
    for (; i < d; i++)
        total += (double)(a[i] - b[i]) * (double)(a[i] - b[i]);
    for (int j = 0; j < 8; j++)
        total += sum[j];
    return total;
}

/* Squared distance of row i to its k-th nearest other row. */
static double kth_nearest(const float *x, int64_t n, int d, int64_t i, int k)
{
    double best[K_NEAREST];

    for (int j = 0; j < k; j++)
        best[j] = DBL_MAX;
    for (int64_t other = 0; other < n; other++) {
        double s;
        int j = k - 1;

        if (other == i)
            continue;
        s = square_distance(x + i * d, x + other * d, d);
        if (s >= best[j])
            continue;
        for (; j > 0 && best[j - 1] > s; j--)
            best[j] = best[j - 1];
        best[j] = s;
    }
    return best[k - 1];
}

typedef struct cover_job {
    const float *a, *b;
    int64_t n_a;
    int d;
    double *radius; /* [n_a] */
    atomic_llong hits;
} cover_job;

static void find_radii(void *context, int64_t begin, int64_t end, int piece)
{
    const cover_job *c = context;
    const int k = c->n_a - 1 < K_NEAREST ? (int)(c->n_a - 1) : K_NEAREST;

    (void)piece;
    for (int64_t i = begin; i < end; i++)
        c->radius[i] = kth_nearest(c->a, c->n_a, c->d, i, k);
}

static void count_hits(void *context, int64_t begin, int64_t end, int piece)
{
    cover_job *c = context;

    (void)piece;
    for (int64_t i = begin; i < end; i++)
        for (int64_t j = 0; j < c->n_a; j++)
            if (square_distance(c->b + i * c->d, c->a + j * c->d, c->d) <= c->radius[j]) {
                atomic_fetch_add(&c->hits, 1);
                break;
            }
}

/* Share of rows of b that lie within a sphere of a. */
static onestep_status covered_share(const float *a, int64_t n_a, const float *b, int64_t n_b, int d,
                                    int n_threads, double *share)
{
    cover_job c = {.a = a, .b = b, .n_a = n_a, .d = d, .radius = ons_malloc((size_t)n_a * sizeof *c.radius)};

    if (!c.radius)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for precision and recall of %lld pictures",
                        (long long)n_a);
    ons_parallel_for(n_threads, n_a, 1, find_radii, &c);
    ons_parallel_for(n_threads, n_b, 1, count_hits, &c);
    *share = (double)c.hits / (double)n_b;
    ons_free(c.radius);
    return ONESTEP_OK;
}

onestep_status ons_precision_recall(const float *real, int64_t n_real, const float *made, int64_t n_made, int d,
                                    int n_threads, double *precision, double *recall)
{
    onestep_status st;

    if (n_real < 2 || n_made < 2)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "precision and recall of %lld real and %lld made pictures: give two or more",
                        (long long)n_real, (long long)n_made);
    ONS_TRY(covered_share(real, n_real, made, n_made, d, n_threads, precision));
    ONS_TRY(covered_share(made, n_made, real, n_real, d, n_threads, recall));
fail:
    return st;
}

static double dot_product(const float *a, const float *b, int d)
{
    double sum = 0;

    for (int i = 0; i < d; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

typedef struct retrieve_job {
    const float *captions, *pictures;
    int64_t n;
    int d;
    atomic_llong top1, top5;
} retrieve_job;

static void rank_captions(void *context, int64_t begin, int64_t end, int piece)
{
    retrieve_job *r = context;
    const int d = r->d;

    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        double own = dot_product(r->captions + i * d, r->pictures + i * d, d);
        int64_t better = 0;

        for (int64_t j = 0; j < r->n; j++)
            better += j != i && dot_product(r->captions + i * d, r->pictures + j * d, d) >= own;
        atomic_fetch_add(&r->top1, better < 1);
        atomic_fetch_add(&r->top5, better < 5);
    }
}

void ons_retrieve(const float *captions, const float *pictures, int64_t n, int d, int n_threads,
                  ons_retrieval *out)
{
    retrieve_job r = {.captions = captions, .pictures = pictures, .n = n, .d = d};
    double clip = 0;

    for (int64_t i = 0; i < n; i++)
        clip += dot_product(captions + i * d, pictures + i * d, d);
    ons_parallel_for(n_threads, n, 1, rank_captions, &r);
    out->top1 = n ? (double)r.top1 / (double)n : 0;
    out->top5 = n ? (double)r.top5 / (double)n : 0;
    out->clip = n ? clip / (double)n : 0;
}

static double nearest(const float *x, const float *to, int64_t n_to, int d, int64_t skip, int64_t *index)
{
    double best = DBL_MAX;

    *index = -1;
    for (int64_t j = 0; j < n_to; j++) {
        double s = j == skip ? DBL_MAX : square_distance(x, to + j * d, d);

        if (s < best) {
            best = s;
            *index = j;
        }
    }
    return best;
}

typedef struct nearest_job {
    const float *from, *to;
    int64_t n_to;
    int d;
    bool skip_same;
    double *distance; /* squared; NULL: not wanted */
    int64_t *index;   /* the same */
} nearest_job;

static void find_nearest(void *context, int64_t begin, int64_t end, int piece)
{
    const nearest_job *j = context;

    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        int64_t index;
        double s = nearest(j->from + i * j->d, j->to, j->n_to, j->d, j->skip_same ? i : -1, &index);

        if (j->distance)
            j->distance[i] = s;
        if (j->index)
            j->index[i] = index;
    }
}

double ons_nearest_distance(const float *from, int64_t n_from, const float *to, int64_t n_to, int d,
                            int n_threads, bool skip_same)
{
    double *each = ons_malloc((size_t)(n_from > 0 ? n_from : 1) * sizeof *each), sum = 0;
    int64_t n = 0;

    if (!each)
        return NAN;
    ons_parallel_for(n_threads, n_from, 1, find_nearest,
                     &(nearest_job){from, to, n_to, d, skip_same, each, NULL});
    for (int64_t i = 0; i < n_from; i++)
        if (each[i] < DBL_MAX) {
            sum += sqrt(each[i]);
            n++;
        }
    ons_free(each);
    return n ? sum / (double)n : NAN;
}

void ons_nearest_index(const float *from, int64_t n_from, const float *to, int64_t n_to, int d, int n_threads,
                       int64_t *index)
{
    ons_parallel_for(n_threads, n_from, 1, find_nearest, &(nearest_job){from, to, n_to, d, false, NULL, index});
}

double ons_diversity(const float *x, int64_t n_captions, int n_seeds, int d)
{
    double sum = 0;

    if (n_captions < 1 || n_seeds < 2)
        return NAN;
    for (int64_t c = 0; c < n_captions; c++)
        for (int a = 0; a < n_seeds; a++)
            for (int b = 0; b < a; b++)
                sum += sqrt(square_distance(x + (c * n_seeds + a) * d, x + (c * n_seeds + b) * d, d));
    return sum / (double)n_captions / (0.5 * n_seeds * (n_seeds - 1));
}
