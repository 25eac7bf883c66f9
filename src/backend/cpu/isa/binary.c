/*
 * add, sub, mul with b broadcast to a, and broadcast_to. Dimensions are merged while b's step pattern allows,
 * so the common cases (equal shapes, [C] over rows, [N, 1, 1, C] over images, a scalar) become long inner rows
 * of one loop.
 */
#include "backend/cpu/isa/kernels.h"

typedef struct walk {
    int n; /* merged dimensions, the last is the row */
    int64_t d[ONS_MAX_DIMS];
    int64_t step[ONS_MAX_DIMS]; /* of b; 0: broadcast */
} walk;

static walk merge(const ons_shape *a, const ons_shape *b)
{
    walk w = {0};
    int64_t stride = 1, steps[ONS_MAX_DIMS] = {0};

    for (int i = a->n - 1, j = b->n - 1; i >= 0; i--, j--) {
        int64_t d = j >= 0 ? b->d[j] : 1;

        steps[i] = d == 1 ? 0 : stride;
        stride *= d;
    }
    for (int i = 0; i < a->n; i++) {
        if (a->d[i] == 1)
            continue;
        if (w.n &&
            ((steps[i] == 0 && w.step[w.n - 1] == 0) || (steps[i] && w.step[w.n - 1] == steps[i] * a->d[i]))) {
            w.d[w.n - 1] *= a->d[i];
            w.step[w.n - 1] = steps[i];
        } else {
            w.d[w.n] = a->d[i];
            w.step[w.n++] = steps[i];
        }
    }
    if (!w.n) {
        w.n = 1;
        w.d[0] = 1;
    }
    return w;
}

#define ROW(name, expression)                                                                                  \
    static void name##_row(float *y, const float *a, const float *b, int64_t n)                                \
    {                                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                      \
            float p = a[i], q = b[i];                                                                          \
            y[i] = expression;                                                                                 \
        }                                                                                                      \
    }                                                                                                          \
    static void name##_scalar(float *y, const float *a, float q, int64_t n)                                    \
    {                                                                                                          \
        for (int64_t i = 0; i < n; i++) {                                                                      \
            float p = a[i];                                                                                    \
            y[i] = expression;                                                                                 \
        }                                                                                                      \
    }
ROW(add, p + q)
ROW(sub, p - q)
ROW(mul, p *q)

static void copy_row(float *y, const float *a, const float *b, int64_t n)
{
    (void)a;
    memcpy(y, b, (size_t)n * 4);
}

static void fill_row(float *y, const float *a, float q, int64_t n)
{
    (void)a;
    for (int64_t i = 0; i < n; i++)
        y[i] = q;
}

typedef struct binary_job {
    walk w;
    const float *a, *b;
    float *y;
    void (*row)(float *y, const float *a, const float *b, int64_t n);
    void (*scalar)(float *y, const float *a, float b, int64_t n);
} binary_job;

/* Elements [begin, end) of the output, row by row. */
static void run_elements(void *context, int64_t begin, int64_t end, int thread)
{
    const binary_job *j = context;
    const walk *w = &j->w;
    int64_t length = w->d[w->n - 1];

    (void)thread;
    while (begin < end) {
        int64_t row = begin / length, at = begin % length,
                n = length - at < end - begin ? length - at : end - begin, b = 0;
        int64_t rest = row;

        for (int i = w->n - 2; i >= 0; i--) {
            b += rest % w->d[i] * w->step[i];
            rest /= w->d[i];
        }
        if (w->step[w->n - 1])
            j->row(j->y + begin, j->a + begin, j->b + b + at, n);
        else
            j->scalar(j->y + begin, j->a + begin, j->b[b], n);
        begin += n;
    }
}

static onestep_status run_binary(const ons_prep *p, const ons_args *args)
{
    const ons_node *n = p->node;
    binary_job job = {
        merge(&n->in[0]->shape, &n->in[1]->shape), args->in[0], args->in[1], args->out[0], add_row, add_scalar};

    if (n->op == ONS_OP_SUB) {
        job.row = sub_row;
        job.scalar = sub_scalar;
    } else if (n->op == ONS_OP_MUL) {
        job.row = mul_row;
        job.scalar = mul_scalar;
    }
    ons_parallel_for(p->n_threads, ons_shape_count(&n->out[0]->shape), ONS_GRAIN, run_elements, &job);
    return ONESTEP_OK;
}

static onestep_status run_broadcast(const ons_prep *p, const ons_args *args)
{
    const ons_node *n = p->node;
    binary_job job = {merge(&n->out[0]->shape, &n->in[0]->shape),
                      args->out[0],
                      args->in[0],
                      args->out[0],
                      copy_row,
                      fill_row};

    ons_parallel_for(p->n_threads, ons_shape_count(&n->out[0]->shape), ONS_GRAIN, run_elements, &job);
    return ONESTEP_OK;
}

static onestep_status prepare_binary(ons_prep *p)
{
    p->in_place = true;
    return ONESTEP_OK;
}

const ons_kernel ons_binary_kernels[] = {
    {"rows", ons_cpu_refuse_not_f32, prepare_binary, run_binary, NULL},
    {0},
};

const ons_kernel ons_broadcast_kernels[] = {
    {"rows", ons_cpu_refuse_not_f32, NULL, run_broadcast, NULL},
    {0},
};
