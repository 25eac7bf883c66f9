/*
 * AdamW as loops over whole regions: parameters lie one after another, so one pass reads gradient, moments and
 * master once. Decay differs by parameter kind, hence the walk by parameter; each parameter is split over
 * threads.
 */
#include "train/optimizer.h"

#include <math.h>

#include "base/memory.h"
#include "base/parallel.h"

struct ons_adamw {
    ons_params *params; /* not owned */
    ons_params *grads, *m, *v;
    ons_params *sum; /* of gathered gradients; NULL before the first */
    int n_gathered, n_threads;
    int64_t steps;
};

onestep_status ons_adamw_create(ons_params *params, int n_threads, ons_adamw **out)
{
    onestep_status st;
    ons_adamw *o = ons_calloc(1, sizeof *o);

    *out = NULL;
    if (!o)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for an optimizer");
    o->params = params;
    o->n_threads = n_threads;
    ONS_TRY(ons_params_clone(params, false, &o->grads));
    ONS_TRY(ons_params_clone(params, false, &o->m));
    ONS_TRY(ons_params_clone(params, false, &o->v));
    *out = o;
    return ONESTEP_OK;
fail:
    ons_adamw_destroy(&o);
    return st;
}

void ons_adamw_destroy(ons_adamw **o)
{
    if (!o || !*o)
        return;
    ons_params_destroy(&(*o)->grads);
    ons_params_destroy(&(*o)->m);
    ons_params_destroy(&(*o)->v);
    ons_params_destroy(&(*o)->sum);
    ons_free(*o);
    *o = NULL;
}

ons_params *ons_adamw_grads(ons_adamw *o)
{
    return o->grads;
}

ons_params *ons_adamw_moment(ons_adamw *o, int which)
{
    return which ? o->v : o->m;
}

int64_t ons_adamw_steps(const ons_adamw *o)
{
    return o->steps;
}

void ons_adamw_set_steps(ons_adamw *o, int64_t steps)
{
    o->steps = steps;
}

/* BLOCK: floats per partial sum, fixed, so that the order of additions never depends on threads; SUMS: such
 * sums that are taken before they are added up; GRAIN: floats that are worth a thread. */
enum { BLOCK = 4096, SUMS = 256, GRAIN = 8192 };

static void sum_block(const float *x, size_t n, double part[8])
{
    for (int k = 0; k < 8; k++)
        part[k] = 0;
    for (size_t j = 0; j < n; j++)
        part[j & 7] += (double)x[j] * x[j];
}

typedef struct sum_job {
    const float *x;
    size_t n;
    double parts[SUMS][8];
} sum_job;

static void sum_blocks(void *context, int64_t begin, int64_t end, int piece)
{
    sum_job *j = context;

    (void)piece;
    for (int64_t b = begin; b < end; b++) {
        size_t at = (size_t)b * BLOCK;

        sum_block(j->x + at, j->n - at < BLOCK ? j->n - at : BLOCK, j->parts[b]);
    }
}

static double sum_squares(ons_params *p, int n_threads)
{
    const float *x = ons_params_region(p);
    const size_t n = ons_params_region_size(p);
    sum_job j;
    double total = 0;

    for (size_t i = 0; i < n; i += (size_t)SUMS * BLOCK) {
        const size_t blocks = (n - i + BLOCK - 1) / BLOCK;
        const int count = (int)(blocks < SUMS ? blocks : SUMS);

        j.x = x + i;
        j.n = n - i;
        ons_parallel_for(n_threads, count, 8, sum_blocks, &j);
        for (int b = 0; b < count; b++)
            for (int k = 0; k < 8; k++)
                total += j.parts[b][k];
    }
    return total;
}

typedef struct step_factors {
    float beta1, beta2, eps, grad_scale, step_size, inv_sqrt_bias2, decay;
} step_factors;

typedef struct update_job {
    float *w, *m, *v;
    const float *g;
    step_factors f;
} update_job;

static void update_range(void *context, int64_t begin, int64_t end, int piece)
{
    const update_job *j = context;
    const step_factors f = j->f;
    float *restrict w = j->w, *restrict m = j->m, *restrict v = j->v;
    const float *restrict g = j->g;

    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        float grad = g[i] * f.grad_scale;
        float m1 = f.beta1 * m[i] + (1.0f - f.beta1) * grad;
        float v1 = f.beta2 * v[i] + (1.0f - f.beta2) * grad * grad;

        m[i] = m1;
        v[i] = v1;
        w[i] -= f.step_size * m1 / (sqrtf(v1) * f.inv_sqrt_bias2 + f.eps) + f.decay * w[i];
    }
}

static void step_one(ons_adamw *o, const ons_adamw_options *opt, double grad_scale)
{
    int64_t t = ++o->steps;
    step_factors f = {
        .beta1 = (float)opt->beta1,
        .beta2 = (float)opt->beta2,
        .eps = (float)opt->eps,
        .grad_scale = (float)grad_scale,
        .step_size = (float)(opt->lr / (1 - pow(opt->beta1, (double)t))),
        .inv_sqrt_bias2 = (float)(1 / sqrt(1 - pow(opt->beta2, (double)t))),
    };

    for (int i = 0; i < ons_params_count(o->params); i++) {
        const ons_param *p = ons_params_at(o->params, i);

        f.decay = p->kind == ONS_PARAM_VECTOR ? 0.0f : (float)(opt->lr * opt->weight_decay);
        ons_parallel_for(o->n_threads, ons_shape_count(&p->shape), GRAIN, update_range,
                         &(update_job){.w = ons_params_data(o->params, i),
                                       .g = ons_params_data(o->grads, i),
                                       .m = ons_params_data(o->m, i),
                                       .v = ons_params_data(o->v, i),
                                       .f = f});
    }
    ons_params_touch(o->params);
}

/* to <- keep to + take from */
typedef struct mix_job {
    float *to;
    const float *from;
    float keep, take;
} mix_job;

static void mix_range(void *context, int64_t begin, int64_t end, int piece)
{
    const mix_job *j = context;
    const float keep = j->keep, take = j->take;
    float *restrict to = j->to;
    const float *restrict from = j->from;

    (void)piece;
    if (keep == 0)
        for (int64_t i = begin; i < end; i++)
            to[i] = take * from[i];
    else
        for (int64_t i = begin; i < end; i++)
            to[i] = keep * to[i] + take * from[i];
}

static void mix(ons_params *to, ons_params *from, float keep, float take, int n_threads)
{
    mix_job j = {ons_params_region(to), ons_params_region(from), keep, take};

    ons_parallel_for(n_threads, (int64_t)ons_params_region_size(to), GRAIN, mix_range, &j);
}

onestep_status ons_adamw_gather(ons_adamw *o)
{
    onestep_status st;

    if (!o->sum && (st = ons_params_clone(o->params, false, &o->sum)) != ONESTEP_OK)
        return st;
    mix(o->sum, o->grads, o->n_gathered ? 1 : 0, 1, o->n_threads);
    o->n_gathered++;
    return ONESTEP_OK;
}

/* The mean of what was gathered takes the place of the plan's gradients. */
static void take_gathered(ons_adamw *o)
{
    if (!o->n_gathered)
        return;
    mix(o->grads, o->sum, 0, 1.0f / (float)o->n_gathered, o->n_threads);
    o->n_gathered = 0;
}

bool ons_adamw_step_group(ons_adamw *const *group, int n, const ons_adamw_options *opt, double *grad_norm)
{
    double squares = 0, norm;

    for (int i = 0; i < n; i++)
        take_gathered(group[i]);
    for (int i = 0; i < n; i++)
        squares += sum_squares(group[i]->grads, group[i]->n_threads);
    norm = sqrt(squares);
    if (grad_norm)
        *grad_norm = norm;
    if (!isfinite(norm))
        return false;
    for (int i = 0; i < n; i++)
        step_one(group[i], opt, opt->clip > 0 && norm > opt->clip ? opt->clip / norm : 1.0);
    return true;
}

bool ons_adamw_step(ons_adamw *o, const ons_adamw_options *opt, double *grad_norm)
{
    return ons_adamw_step_group(&o, 1, opt, grad_norm);
}

void ons_ema_update(ons_params *ema, ons_params *params, double decay, int n_threads)
{
    mix(ema, params, (float)decay, (float)(1 - decay), n_threads);
    ons_params_touch(ema);
}
