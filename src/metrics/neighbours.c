/*
 * Everything that looks for nearest rows: precision and recall, copies, retrieval, diversity. Plain double
 * loops over all pairs in the order of memory; at a few thousand pictures of some hundred features that takes
 * seconds, so trees or matrix products would only add code. Rows are independent, hence the parallel loops give
 * the same bits on any thread count.
 */
#include <math.h>
#include <float.h>

#include "base/memory.h"
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

/* Share of rows of b that lie within a sphere of a. */
static onestep_status covered_share(const float *a, int64_t n_a, const float *b, int64_t n_b, int d,
                                    int n_threads, double *share)
{
    int k = n_a - 1 < K_NEAREST ? (int)(n_a - 1) : K_NEAREST;
    double *radius = ons_malloc((size_t)n_a * sizeof *radius);
    int64_t hits = 0;

    if (!radius)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for precision and recall of %lld pictures",
                        (long long)n_a);
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t i = 0; i < n_a; i++)
        radius[i] = kth_nearest(a, n_a, d, i, k);
#pragma omp parallel for schedule(static) num_threads(n_threads) reduction(+ : hits)
    for (int64_t i = 0; i < n_b; i++)
        for (int64_t j = 0; j < n_a; j++)
            if (square_distance(b + i * d, a + j * d, d) <= radius[j]) {
                hits++;
                break;
            }
    *share = (double)hits / (double)n_b;
    ons_free(radius);
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

void ons_retrieve(const float *captions, const float *pictures, int64_t n, int d, int n_threads,
                  ons_retrieval *out)
{
    int64_t top1 = 0, top5 = 0;
    double clip = 0;

    for (int64_t i = 0; i < n; i++)
        clip += dot_product(captions + i * d, pictures + i * d, d);
#pragma omp parallel for schedule(static) num_threads(n_threads) reduction(+ : top1, top5)
    for (int64_t i = 0; i < n; i++) {
        double own = dot_product(captions + i * d, pictures + i * d, d);
        int64_t better = 0;

        for (int64_t j = 0; j < n; j++)
            better += j != i && dot_product(captions + i * d, pictures + j * d, d) >= own;
        top1 += better < 1;
        top5 += better < 5;
    }
    out->top1 = n ? (double)top1 / (double)n : 0;
    out->top5 = n ? (double)top5 / (double)n : 0;
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

double ons_nearest_distance(const float *from, int64_t n_from, const float *to, int64_t n_to, int d,
                            int n_threads, bool skip_same)
{
    double *each = ons_malloc((size_t)(n_from > 0 ? n_from : 1) * sizeof *each), sum = 0;
    int64_t n = 0;

    if (!each)
        return NAN;
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t i = 0; i < n_from; i++) {
        int64_t index;

        each[i] = nearest(from + i * d, to, n_to, d, skip_same ? i : -1, &index);
    }
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
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t i = 0; i < n_from; i++)
        nearest(from + i * d, to, n_to, d, -1, &index[i]);
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
