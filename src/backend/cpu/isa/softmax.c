/* softmax and log_softmax over the last dimension, and their gradients; one row after the other. */
#include <math.h>

#include "backend/cpu/isa/kernels.h"

typedef struct row_job {
    const ons_args *args;
    int64_t c;
    bool log;
} row_job;

static float row_max(const float *x, int64_t n)
{
    float m = x[0];

    for (int64_t i = 1; i < n; i++)
        m = x[i] > m || m != m ? x[i] : m;
    return m;
}

/* y = e^(x - m), returns the sum. */
static double exp_row(float *y, const float *x, float m, int64_t n)
{
    vf sum = {0}, vm = v_set(m);
    double tail = 0;
    int64_t i = 0;

    for (; i + VW <= n; i += VW) {
        vf e = v_exp(v_load(x + i) - vm);

        v_store(y + i, e);
        sum += e;
    }
    if (i < n) {
        vf e = v_exp(v_load_part(x + i, n - i) - vm);

        for (int64_t k = 0; k < n - i; k++)
            tail += e[k];
        v_store_part(y + i, e, n - i);
    }
    return v_sum(sum) + tail;
}

static double exp_sum(const float *x, float m, int64_t n)
{
    float e[256];
    double s = 0;

    for (int64_t i = 0; i < n; i += 256)
        s += exp_row(e, x + i, m, n - i < 256 ? n - i : 256);
    return s;
}

static void run_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const row_job *j = context;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *x = (const float *)j->args->in[0] + r * j->c;
        float *y = (float *)j->args->out[0] + r * j->c, m = row_max(x, j->c), k;

        if (j->log) {
            k = (float)log(exp_sum(x, m, j->c));
            for (int64_t i = 0; i < j->c; i++)
                y[i] = (x[i] - m) - k;
        } else {
            k = (float)(1.0 / exp_row(y, x, m, j->c));
            for (int64_t i = 0; i < j->c; i++)
                y[i] *= k;
        }
    }
}

/* softmax: dx = y (dy - sum(y dy)); log_softmax: dx = dy - e^y sum(dy). */
static void run_grad_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const row_job *j = context;

    (void)thread;
    for (int64_t r = begin; r < end; r++) {
        const float *y = (const float *)j->args->in[0] + r * j->c,
                    *dy = (const float *)j->args->in[1] + r * j->c;
        float *dx = (float *)j->args->out[0] + r * j->c;
        double sum = 0;

        for (int64_t i = 0; i < j->c; i++)
            sum += j->log ? (double)dy[i] : (double)dy[i] * y[i];
        if (j->log) {
            exp_row(dx, y, 0, j->c);
            for (int64_t i = 0; i < j->c; i++)
                dx[i] = dy[i] - dx[i] * (float)sum;
        } else {
            for (int64_t i = 0; i < j->c; i++)
                dx[i] = y[i] * (dy[i] - (float)sum);
        }
    }
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    const ons_shape *s = &p->node->in[0]->shape;
    row_job j = {args, s->d[s->n - 1],
                 p->node->op == ONS_OP_LOG_SOFTMAX || p->node->op == ONS_OP_LOG_SOFTMAX_GRAD};

    ons_parallel_for(p->n_threads, ons_shape_count(s) / j.c, 1 + ONS_GRAIN / j.c,
                     p->node->n_in == 2 ? run_grad_rows : run_rows, &j);
    return ONESTEP_OK;
}

const ons_kernel ons_softmax_kernels[] = {
    {"rows", ons_cpu_refuse_not_f32, NULL, run, NULL},
    {0},
};
