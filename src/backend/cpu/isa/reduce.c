/*
 * sum_to: sums over broadcast dimensions. Merged to alternating kept and summed groups, the cases that occur
 * are one pass: [outer kept][summed][inner kept]. Sums run in blocks whose partial sums are added in order,
 * whatever the threads.
 */
#include "backend/cpu/isa/kernels.h"

enum { BLOCK = 256, WIDTH = 4 * VW };

/* `width` columns (at most WIDTH) over a block of rows, added to sums. */
static void sum_block(const float *x, int64_t n_rows, int64_t ld, int64_t width, float *sums)
{
    if (width == WIDTH) {
        vf s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};

        for (int64_t r = 0; r < n_rows; r++, x += ld) {
            s0 += v_load(x);
            s1 += v_load(x + VW);
            s2 += v_load(x + 2 * VW);
            s3 += v_load(x + 3 * VW);
        }
        v_store(sums, v_load(sums) + s0);
        v_store(sums + VW, v_load(sums + VW) + s1);
        v_store(sums + 2 * VW, v_load(sums + 2 * VW) + s2);
        v_store(sums + 3 * VW, v_load(sums + 3 * VW) + s3);
        return;
    }
    for (int64_t c = 0; c < width; c += VW) {
        int64_t n = width - c < VW ? width - c : VW;
        vf s = {0};

        for (int64_t r = 0; r < n_rows; r++)
            s += n == VW ? v_load(x + r * ld + c) : v_load_part(x + r * ld + c, n);
        v_store_part(sums + c, v_load_part(sums + c, n) + s, n);
    }
}

void ons_column_add(const float *x, int64_t n_rows, int64_t ld, int64_t c0, int64_t c1, float *sums)
{
    for (int64_t r = 0; r < n_rows; r += BLOCK) {
        int64_t rows = n_rows - r < BLOCK ? n_rows - r : BLOCK;

        for (int64_t c = c0; c < c1; c += WIDTH)
            sum_block(x + r * ld + c, rows, ld, c1 - c < WIDTH ? c1 - c : WIDTH, sums + c);
    }
}

void ons_column_sum(const float *x, int64_t n_rows, int64_t ld, int64_t c0, int64_t c1, float *sums)
{
    if (c0 >= c1)
        return;
    memset(sums + c0, 0, (size_t)(c1 - c0) * 4);
    ons_column_add(x, n_rows, ld, c0, c1, sums);
}

/* Groups of an input shape against the target: kept, summed, kept, summed, ... */
typedef struct groups {
    int n;
    int64_t d[ONS_MAX_DIMS];
    bool summed[ONS_MAX_DIMS];
} groups;

static groups group_dims(const ons_shape *x, const ons_shape *y)
{
    groups g = {0};

    for (int i = 0; i < x->n; i++) {
        int j = i - (x->n - y->n);
        bool summed = j < 0 || y->d[j] == 1;

        if (x->d[i] == 1)
            continue;
        if (g.n && g.summed[g.n - 1] == summed) {
            g.d[g.n - 1] *= x->d[i];
        } else {
            g.d[g.n] = x->d[i];
            g.summed[g.n++] = summed;
        }
    }
    return g;
}

typedef struct sum_job {
    const float *x;
    float *y, *partial;
    int64_t outer, rows, cols; /* x [outer][rows][cols] -> y [outer][cols] */
} sum_job;

static void sum_outer(void *context, int64_t begin, int64_t end, int thread)
{
    const sum_job *j = context;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        ons_column_sum(j->x + i * j->rows * j->cols, j->rows, j->cols, 0, j->cols, j->y + i * j->cols);
}

static float sum_row(const float *x, int64_t n)
{
    vf s[4] = {{0}};
    int64_t i = 0;

    for (; i + 4 * VW <= n; i += 4 * VW)
        for (int k = 0; k < 4; k++)
            s[k] += v_load(x + i + k * VW);
    for (; i < n; i += VW)
        s[0] += v_load_part(x + i, n - i < VW ? n - i : VW);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

/* A long row: blocks in f32, their sum in double. */
static float sum_blocks(const float *x, int64_t n)
{
    double s = 0;

    for (int64_t i = 0; i < n; i += 4096)
        s += sum_row(x + i, n - i < 4096 ? n - i : 4096);
    return (float)s;
}

static void sum_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const sum_job *j = context;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        j->y[i] = sum_blocks(j->x + i * j->rows, j->rows);
}

/* Few outer groups and many rows: PARTS chunks of rows by different threads, then their sums in order. */
enum { PARTS = 16 };

static void sum_part(void *context, int64_t begin, int64_t end, int thread)
{
    const sum_job *j = context;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t r0, r1;

        ons_partition(j->rows, PARTS, (int)(i % PARTS), &r0, &r1);
        if (j->cols == 1) {
            j->partial[i] = sum_blocks(j->x + i / PARTS * j->rows + r0, r1 - r0);
            continue;
        }
        ons_column_sum(j->x + (i / PARTS * j->rows + r0) * j->cols, r1 - r0, j->cols, 0, j->cols,
                       j->partial + i * j->cols);
    }
}

static void add_parts(const sum_job *j)
{
    for (int64_t o = 0; o < j->outer; o++)
        for (int64_t c = 0; c < j->cols; c++) {
            double s = 0;

            for (int64_t i = 0; i < PARTS; i++)
                s += j->partial[(o * PARTS + i) * j->cols + c];
            j->y[o * j->cols + c] = (float)s;
        }
}

/* As [outer][rows][cols], or false. */
static bool as_columns(const ons_node *n, sum_job *j)
{
    groups g = group_dims(&n->in[0]->shape, &n->out[0]->shape);
    int i = 0;

    j->outer = j->rows = j->cols = 1;
    if (i < g.n && !g.summed[i] && g.n > 1)
        j->outer = g.d[i++];
    if (i < g.n && g.summed[i])
        j->rows = g.d[i++];
    if (i < g.n && !g.summed[i])
        j->cols = g.d[i++];
    return i == g.n;
}

static bool in_parts(const sum_job *j)
{
    return j->outer < 8 && j->rows >= 1024 && j->outer * j->rows * j->cols >= 4 * ONS_GRAIN;
}

static const char *refuse_columns(const ons_node *n)
{
    sum_job j;

    return as_columns(n, &j) ? ons_cpu_refuse_not_f32(n) : "sums over more than one group of dimensions";
}

static onestep_status prepare_columns(ons_prep *p)
{
    sum_job j;

    as_columns(p->node, &j);
    if (in_parts(&j))
        p->scratch_bytes = (size_t)(j.outer * PARTS * j.cols) * 4;
    return ONESTEP_OK;
}

static onestep_status run_columns(const ons_prep *p, const ons_args *args)
{
    sum_job j = {args->in[0], args->out[0], args->scratch, 0, 0, 0};

    as_columns(p->node, &j);
    if (in_parts(&j)) {
        ons_parallel_for(p->n_threads, j.outer * PARTS, 1, sum_part, &j);
        add_parts(&j);
    } else if (j.cols == 1) {
        ons_parallel_for(p->n_threads, j.outer, 1 + ONS_GRAIN / j.rows, sum_rows, &j);
    } else {
        ons_parallel_for(p->n_threads, j.outer, 1 + ONS_GRAIN / (j.rows * j.cols), sum_outer, &j);
    }
    return ONESTEP_OK;
}

/* Any pattern: one output after the other, summed in double. */
static onestep_status run_any(const ons_prep *p, const ons_args *args)
{
    const ons_shape *x = &p->node->in[0]->shape, *y = &p->node->out[0]->shape;
    const float *src = args->in[0];
    float *dst = args->out[0];
    double *sums = args->scratch;
    int64_t n = ons_shape_count(x), m = ons_shape_count(y);

    memset(sums, 0, (size_t)m * sizeof *sums);
    for (int64_t i = 0; i < n; i++) {
        int64_t rest = i, at = 0, stride = 1;

        for (int d = x->n - 1, e = y->n - 1; d >= 0; d--, e--) {
            int64_t index = rest % x->d[d];

            rest /= x->d[d];
            if (e >= 0 && y->d[e] != 1) {
                at += index * stride;
                stride *= y->d[e];
            }
        }
        sums[at] += src[i];
    }
    for (int64_t i = 0; i < m; i++)
        dst[i] = (float)sums[i];
    return ONESTEP_OK;
}

static onestep_status prepare_any(ons_prep *p)
{
    p->scratch_bytes = (size_t)ons_shape_count(&p->node->out[0]->shape) * sizeof(double);
    return ONESTEP_OK;
}

const ons_kernel ons_sum_to_kernels[] = {
    {"columns", refuse_columns, prepare_columns, run_columns, NULL},
    {"any", ons_cpu_refuse_not_f32, prepare_any, run_any, NULL},
    {0},
};
