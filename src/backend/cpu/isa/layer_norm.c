/*
 * Layer normalisation over the last dimension and its gradient. Rows are independent; dgamma and dbeta are
 * summed in a fixed number of parts of rows, and the parts in order.
 */
#include <math.h>

#include "backend/cpu/isa/kernels.h"

enum { PARTS = 16 };

typedef struct layer_job {
    int64_t rows, c;
    double eps;
    const float *x, *gamma, *beta, *stats_in, *dy;
    float *y, *stats, *partial; /* partial [PARTS][2][c] */
} layer_job;

/* Sum over a row of an expression in vectors x, y, z and mean. */
#define ROW_SUM(name, expression)                                                                              \
    static float name(const float *px, const float *py, const float *pz, float m, int64_t n)                   \
    {                                                                                                          \
        vf s = {0}, mean = v_set(m);                                                                           \
        int64_t c = 0;                                                                                         \
        (void)mean;                                                                                            \
        for (; c + VW <= n; c += VW) {                                                                         \
            vf x = v_load(px + c), y = v_load(py + c), z = v_load(pz + c);                                     \
            (void)y;                                                                                           \
            (void)z;                                                                                           \
            s += expression;                                                                                   \
        }                                                                                                      \
        for (; c < n; c++) {                                                                                   \
            vf x = {px[c]}, y = {py[c]}, z = {pz[c]};                                                          \
            (void)y;                                                                                           \
            (void)z;                                                                                           \
            s[0] += (expression)[0];                                                                           \
        }                                                                                                      \
        return v_sum(s);                                                                                       \
    }
ROW_SUM(sum_x, x)
ROW_SUM(sum_square, (x - mean) * (x - mean))
ROW_SUM(sum_product, x *y)
ROW_SUM(sum_triple, x *y *(z - mean))

static void run_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const layer_job *j = context;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->c;
        float *y = j->y + r * j->c;
        float mean = sum_x(x, x, x, 0, j->c) / (float)j->c;
        float rstd = (float)(1.0 / sqrt(sum_square(x, x, x, mean, j->c) / (double)j->c + j->eps));

        for (int64_t c = 0; c < j->c; c++)
            y[c] = (x[c] - mean) * rstd * j->gamma[c] + j->beta[c];
        if (j->stats) {
            j->stats[2 * r] = mean;
            j->stats[2 * r + 1] = rstd;
        }
    }
}

/* dx = rstd (gamma dy - mean(gamma dy) - xhat mean(gamma dy xhat)); adds dy xhat to dgamma and dy to dbeta. */
static void run_grad_row(const layer_job *j, int64_t r, float *dgamma, float *dbeta)
{
    const float *x = j->x + r * j->c, *dy = j->dy + r * j->c;
    float mean = j->stats_in[2 * r], rstd = j->stats_in[2 * r + 1];

    for (int64_t c = 0; c < j->c; c++) {
        dgamma[c] += dy[c] * ((x[c] - mean) * rstd);
        dbeta[c] += dy[c];
    }
    if (j->y) {
        float *dx = j->y + r * j->c;
        float m1 = sum_product(dy, j->gamma, x, 0, j->c) / (float)j->c;
        float m2 = sum_triple(dy, j->gamma, x, mean, j->c) * rstd / (float)j->c;

        for (int64_t c = 0; c < j->c; c++)
            dx[c] = rstd * (j->gamma[c] * dy[c] - m1 - (x[c] - mean) * rstd * m2);
    }
}

static void run_grad_parts(void *context, int64_t begin, int64_t end, int thread)
{
    const layer_job *j = context;

    (void)thread;
    for (int64_t part = begin; part < end; part++) {
        float *dgamma = j->partial + part * 2 * j->c, *dbeta = dgamma + j->c;
        int64_t r0, r1;

        memset(dgamma, 0, (size_t)j->c * 8);
        ons_partition(j->rows, PARTS, (int)part, &r0, &r1);
        for (int64_t r = r0; r < r1; r++)
            run_grad_row(j, r, dgamma, dbeta);
    }
}

static layer_job start_job(const ons_prep *p, const ons_args *a)
{
    const ons_shape *x = &p->node->in[0]->shape;
    layer_job j = {.c = x->d[x->n - 1],
                   .eps = p->node->attrs.norm.eps,
                   .x = a->in[0],
                   .gamma = a->in[1],
                   .beta = a->in[2],
                   .y = a->out[0],
                   .partial = a->scratch};

    j.rows = ons_shape_count(x) / j.c;
    return j;
}

static onestep_status run_layer_norm(const ons_prep *p, const ons_args *args)
{
    layer_job j = start_job(p, args);

    j.stats = args->out[1];
    ons_parallel_for(p->n_threads, j.rows, 1 + ONS_GRAIN / j.c, run_rows, &j);
    return ONESTEP_OK;
}

static void add_parts(const layer_job *j, int which, float *out)
{
    if (!out)
        return;
    for (int64_t c = 0; c < j->c; c++) {
        double s = 0;

        for (int64_t part = 0; part < PARTS; part++)
            s += j->partial[(part * 2 + which) * j->c + c];
        out[c] = (float)s;
    }
}

static onestep_status run_layer_norm_grad(const ons_prep *p, const ons_args *args)
{
    layer_job j = start_job(p, args);

    j.stats_in = args->in[3];
    j.dy = args->in[4];
    ons_parallel_for(j.rows * j.c < 2 * ONS_GRAIN ? 1 : p->n_threads, PARTS, 1, run_grad_parts, &j);
    add_parts(&j, 0, args->out[1]);
    add_parts(&j, 1, args->out[2]);
    return ONESTEP_OK;
}

static onestep_status prepare_forward(ons_prep *p)
{
    p->in_place = true;
    return ONESTEP_OK;
}

static onestep_status prepare_grad(ons_prep *p)
{
    const ons_shape *x = &p->node->in[0]->shape;

    p->scratch_bytes = (size_t)(PARTS * 2 * x->d[x->n - 1]) * 4;
    return ONESTEP_OK;
}

const ons_kernel ons_layer_norm_kernels[] = {
    {"rows", ons_cpu_refuse_not_f32, prepare_forward, run_layer_norm, NULL},
    {0},
};

const ons_kernel ons_layer_norm_grad_kernels[] = {
    {"rows", ons_cpu_refuse_not_f32, prepare_grad, run_layer_norm_grad, NULL},
    {0},
};
