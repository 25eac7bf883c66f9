/*
 * Element by element operators of one value, and their gradients (x, dy). A tail shorter than a vector runs
 * through the same arithmetic on a zero-padded vector, so an element's bits do not depend on where it lies.
 */
#include <math.h>

#include "backend/cpu/isa/kernels.h"

typedef void (*map1)(float *y, const float *x, int64_t n, float p, float q);
typedef void (*map2)(float *dx, const float *x, const float *dy, int64_t n, float p, float q);

/* `name`: y = expression of x, p, q. */
#define MAP1(name, expression)                                                                                 \
    INLINE vf name##_one(vf x, vf p, vf q)                                                                     \
    {                                                                                                          \
        (void)p;                                                                                               \
        (void)q;                                                                                               \
        return expression;                                                                                     \
    }                                                                                                          \
    static void name(float *y, const float *x, int64_t n, float p, float q)                                    \
    {                                                                                                          \
        const vf vp = v_set(p), vq = v_set(q);                                                                 \
        int64_t i = 0;                                                                                         \
        for (; i + VW <= n; i += VW)                                                                           \
            v_store(y + i, name##_one(v_load(x + i), vp, vq));                                                 \
        if (i < n)                                                                                             \
            v_store_part(y + i, name##_one(v_load_part(x + i, n - i), vp, vq), n - i);                         \
    }

/* `name`: dx = expression of x, d (the output's gradient), p, q. */
#define MAP2(name, expression)                                                                                 \
    INLINE vf name##_one(vf x, vf d, vf p, vf q)                                                               \
    {                                                                                                          \
        (void)p;                                                                                               \
        (void)q;                                                                                               \
        return expression;                                                                                     \
    }                                                                                                          \
    static void name(float *y, const float *x, const float *d, int64_t n, float p, float q)                    \
    {                                                                                                          \
        const vf vp = v_set(p), vq = v_set(q);                                                                 \
        int64_t i = 0;                                                                                         \
        for (; i + VW <= n; i += VW)                                                                           \
            v_store(y + i, name##_one(v_load(x + i), v_load(d + i), vp, vq));                                  \
        if (i < n)                                                                                             \
            v_store_part(y + i, name##_one(v_load_part(x + i, n - i), v_load_part(d + i, n - i), vp, vq),      \
                         n - i);                                                                               \
    }

#define QUICK 1.702f
#define INV_SQRT_2PI 0.39894228040143268f

INLINE vf silu_slope(vf x)
{
    vf s = v_sigmoid(x);

    return s * (1.f + x * (1.f - s));
}

INLINE vf quick_slope(vf x)
{
    vf s = v_sigmoid(QUICK * x);

    return s * (1.f + QUICK * x * (1.f - s));
}

INLINE vf gelu_slope(vf x)
{
    return v_normal_cdf(x) + x * INV_SQRT_2PI * v_exp(-0.5f * x * x);
}

/* Root by lanes: the compiler turns it into the vector instruction. */
INLINE vf sqrt_lanes(vf x)
{
    for (int i = 0; i < VW; i++)
        x[i] = sqrtf(x[i]);
    return x;
}

INLINE vf log_lanes(vf x)
{
    for (int i = 0; i < VW; i++)
        x[i] = logf(x[i]);
    return x;
}

INLINE vf sign_of(vf x)
{
    vf one = v_set(1.f), zero = {0};

    return v_select(x > zero, one, v_select(x < zero, -one, zero));
}

INLINE vf clean_one_lane(vf x)
{
    const vf most = v_set(3.402823466e+38f);

    x = v_select(x == x, x, (vf){0});
    return v_max(v_min(x, most), -most);
}

MAP1(map_affine, x *p + q)
MAP1(map_silu, x *v_sigmoid(x))
MAP1(map_gelu, x *v_normal_cdf(x))
MAP1(map_quick_gelu, x *v_sigmoid(QUICK *x))
MAP1(map_relu, v_max(x, (vf){0}))
MAP1(map_tanh, v_tanh(x))
MAP1(map_exp, v_exp(x))
MAP1(map_log, log_lanes(x))
MAP1(map_sqrt, sqrt_lanes(x))
MAP1(map_square, x *x)
MAP1(map_abs, v_abs(x))
MAP1(map_reciprocal, 1.f / x)
MAP1(map_sign, sign_of(x))
MAP1(map_clamp, v_min(v_max(x, p), q))
MAP1(map_clean, clean_one_lane(x))
MAP2(map_silu_grad, d *silu_slope(x))
MAP2(map_gelu_grad, d *gelu_slope(x))
MAP2(map_quick_gelu_grad, d *quick_slope(x))
MAP2(map_relu_grad, v_select(x > (vf){0}, d, (vf){0}))
MAP2(map_clamp_grad, v_select((x >= p) & (x <= q), d, (vf){0}))

static map1 find_map1(ons_op op)
{
    static const map1 maps[ONS_N_OPS] = {
        [ONS_OP_AFFINE] = map_affine, [ONS_OP_SILU] = map_silu,
        [ONS_OP_GELU] = map_gelu,     [ONS_OP_QUICK_GELU] = map_quick_gelu,
        [ONS_OP_RELU] = map_relu,     [ONS_OP_TANH] = map_tanh,
        [ONS_OP_EXP] = map_exp,       [ONS_OP_LOG] = map_log,
        [ONS_OP_SQRT] = map_sqrt,     [ONS_OP_SQUARE] = map_square,
        [ONS_OP_ABS] = map_abs,       [ONS_OP_RECIPROCAL] = map_reciprocal,
        [ONS_OP_SIGN] = map_sign,     [ONS_OP_CLAMP] = map_clamp,
        [ONS_OP_CLEAN] = map_clean,
    };

    return maps[op];
}

static map2 find_map2(ons_op op)
{
    static const map2 maps[ONS_N_OPS] = {
        [ONS_OP_SILU_GRAD] = map_silu_grad,
        [ONS_OP_GELU_GRAD] = map_gelu_grad,
        [ONS_OP_QUICK_GELU_GRAD] = map_quick_gelu_grad,
        [ONS_OP_RELU_GRAD] = map_relu_grad,
        [ONS_OP_CLAMP_GRAD] = map_clamp_grad,
    };

    return maps[op];
}

typedef struct map_job {
    const ons_node *node;
    const ons_args *args;
    float p, q;
} map_job;

static map_job start_job(const ons_prep *p, const ons_args *args)
{
    const ons_attrs *at = &p->node->attrs;
    map_job job = {p->node, args, 0, 0};

    if (p->node->op == ONS_OP_AFFINE) {
        job.p = (float)at->affine.scale;
        job.q = (float)at->affine.shift;
    } else if (p->node->op == ONS_OP_CLAMP || p->node->op == ONS_OP_CLAMP_GRAD) {
        job.p = (float)at->clamp.lo;
        job.q = (float)at->clamp.hi;
    }
    return job;
}

static void run_range1(void *context, int64_t begin, int64_t end, int thread)
{
    const map_job *job = context;

    (void)thread;
    find_map1(job->node->op)((float *)job->args->out[0] + begin, (const float *)job->args->in[0] + begin,
                             end - begin, job->p, job->q);
}

static void run_range2(void *context, int64_t begin, int64_t end, int thread)
{
    const map_job *job = context;

    (void)thread;
    find_map2(job->node->op)((float *)job->args->out[0] + begin, (const float *)job->args->in[0] + begin,
                             (const float *)job->args->in[1] + begin, end - begin, job->p, job->q);
}

static onestep_status run_unary(const ons_prep *p, const ons_args *args)
{
    map_job job = start_job(p, args);

    ons_parallel_for(p->n_threads, ons_shape_count(&p->node->out[0]->shape), ONS_GRAIN, run_range1, &job);
    return ONESTEP_OK;
}

static onestep_status run_unary_grad(const ons_prep *p, const ons_args *args)
{
    map_job job = start_job(p, args);

    ons_parallel_for(p->n_threads, ons_shape_count(&p->node->out[0]->shape), ONS_GRAIN, run_range2, &job);
    return ONESTEP_OK;
}

static onestep_status prepare_in_place(ons_prep *p)
{
    p->in_place = true;
    return ONESTEP_OK;
}

const ons_kernel ons_unary_kernels[] = {
    {"vector", ons_cpu_refuse_not_f32, prepare_in_place, run_unary, NULL},
    {0},
};

const ons_kernel ons_unary_grad_kernels[] = {
    {"vector", ons_cpu_refuse_not_f32, prepare_in_place, run_unary_grad, NULL},
    {0},
};

/* geglu: rows of 2C = (a, b) -> a gelu(b). */
typedef struct geglu_job {
    const ons_args *args;
    int64_t c;
} geglu_job;

MAP2(map_geglu, x *v_normal_cdf(x) * d)

static void run_geglu_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const geglu_job *job = context;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *x = (const float *)job->args->in[0] + 2 * i * job->c;

        map_geglu((float *)job->args->out[0] + i * job->c, x + job->c, x, job->c, 0, 0);
    }
}

/* da = dy gelu(b), db = dy a gelu'(b), with Phi(b) taken once. */
INLINE void geglu_grad_one(vf a, vf b, vf dy, vf *da, vf *db)
{
    vf cdf = v_normal_cdf(b);

    *da = dy * b * cdf;
    *db = dy * a * (cdf + b * INV_SQRT_2PI * v_exp(-0.5f * b * b));
}

static void run_geglu_grad_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const geglu_job *job = context;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const float *a = (const float *)job->args->in[0] + 2 * i * job->c, *b = a + job->c;
        const float *dy = (const float *)job->args->in[1] + i * job->c;
        float *da = (float *)job->args->out[0] + 2 * i * job->c, *db = da + job->c;
        int64_t j = 0;
        vf x, y;

        for (; j + VW <= job->c; j += VW) {
            geglu_grad_one(v_load(a + j), v_load(b + j), v_load(dy + j), &x, &y);
            v_store(da + j, x);
            v_store(db + j, y);
        }
        if (j < job->c) {
            int64_t n = job->c - j;

            geglu_grad_one(v_load_part(a + j, n), v_load_part(b + j, n), v_load_part(dy + j, n), &x, &y);
            v_store_part(da + j, x, n);
            v_store_part(db + j, y, n);
        }
    }
}

static onestep_status run_geglu(const ons_prep *p, const ons_args *args)
{
    const ons_shape *s = &p->node->in[0]->shape;
    geglu_job job = {args, s->d[s->n - 1] / 2};
    int64_t rows = ons_shape_count(s) / s->d[s->n - 1];

    ons_parallel_for(p->n_threads, rows, 1 + ONS_GRAIN / job.c,
                     p->node->op == ONS_OP_GEGLU ? run_geglu_rows : run_geglu_grad_rows, &job);
    return ONESTEP_OK;
}

const ons_kernel ons_geglu_kernels[] = {
    {"vector", ons_cpu_refuse_not_f32, NULL, run_geglu, NULL},
    {0},
};
