/*
 * AdamW as loops over whole regions: parameters lie one after another, so one pass reads gradient, moments and
 * master once. Decay differs by parameter kind, hence the walk by parameter; each parameter is split over
 * threads statically.
 */
#include "train/optimizer.h"

#include <math.h>

#include "base/memory.h"

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

ons_params *ons_adamw_params(ons_adamw *o)
{
    return o->params;
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

enum {
    BLOCK = 4096
}; /* floats per partial sum: fixed, so that the order of additions never depends on threads */

static void sum_block(const float *x, size_t n, double part[8])
{
    for (int k = 0; k < 8; k++)
        part[k] = 0;
    for (size_t j = 0; j < n; j++)
        part[j & 7] += (double)x[j] * x[j];
}

static double sum_squares(const float *x, size_t n, int n_threads)
{
    enum { BATCH = 256 };
    double parts[BATCH][8], total = 0;

    for (size_t i = 0; i < n; i += (size_t)BATCH * BLOCK) {
        size_t left = n - i, blocks = (left + BLOCK - 1) / BLOCK;
        int count = (int)(blocks < BATCH ? blocks : BATCH);

#pragma omp parallel for schedule(static) num_threads(n_threads) if (count > 16)
        for (int b = 0; b < count; b++) {
            size_t at = (size_t)b * BLOCK;

            sum_block(x + i + at, left - at < BLOCK ? left - at : BLOCK, parts[b]);
        }
        for (int b = 0; b < count; b++)
            for (int k = 0; k < 8; k++)
                total += parts[b][k];
    }
    return total;
}

double ons_params_norm(ons_params *p)
{
    return sqrt(sum_squares(ons_params_region(p), ons_params_region_size(p), 1));
}

typedef struct step_factors {
    float beta1, beta2, eps, grad_scale, step_size, inv_sqrt_bias2, decay;
} step_factors;

static void update_range(float *w, const float *g, float *m, float *v, int64_t n, step_factors f, int n_threads)
{
#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t block = 0; block < (n + BLOCK - 1) / BLOCK; block++) {
        int64_t end = (block + 1) * BLOCK < n ? (block + 1) * BLOCK : n;

        for (int64_t i = block * BLOCK; i < end; i++) {
            float grad = g[i] * f.grad_scale;
            float m1 = f.beta1 * m[i] + (1.0f - f.beta1) * grad;
            float v1 = f.beta2 * v[i] + (1.0f - f.beta2) * grad * grad;

            m[i] = m1;
            v[i] = v1;
            w[i] -= f.step_size * m1 / (sqrtf(v1) * f.inv_sqrt_bias2 + f.eps) + f.decay * w[i];
        }
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
        update_range(ons_params_data(o->params, i), ons_params_data(o->grads, i), ons_params_data(o->m, i),
                     ons_params_data(o->v, i), ons_shape_count(&p->shape), f, o->n_threads);
    }
    ons_params_touch(o->params);
}

onestep_status ons_adamw_gather(ons_adamw *o)
{
    const int64_t n = (int64_t)ons_params_region_size(o->grads);
    const float *g = ons_params_region(o->grads);
    const bool first = o->n_gathered == 0;
    float *sum;
    onestep_status st;

    if (!o->sum && (st = ons_params_clone(o->params, false, &o->sum)) != ONESTEP_OK)
        return st;
    sum = ons_params_region(o->sum);
#pragma omp parallel for schedule(static) num_threads(o->n_threads)
    for (int64_t i = 0; i < n; i++)
        sum[i] = first ? g[i] : sum[i] + g[i];
    o->n_gathered++;
    return ONESTEP_OK;
}

/* The mean of what was gathered takes the place of the plan's gradients. */
static void take_gathered(ons_adamw *o)
{
    const int64_t n = (int64_t)ons_params_region_size(o->grads);
    float *g = ons_params_region(o->grads), scale;
    const float *sum;

    if (!o->n_gathered)
        return;
    scale = 1.0f / (float)o->n_gathered;
    sum = ons_params_region(o->sum);
#pragma omp parallel for schedule(static) num_threads(o->n_threads)
    for (int64_t i = 0; i < n; i++)
        g[i] = sum[i] * scale;
    o->n_gathered = 0;
}

bool ons_adamw_step_group(ons_adamw *const *group, int n, const ons_adamw_options *opt, double *grad_norm)
{
    double squares = 0, norm;

    for (int i = 0; i < n; i++)
        take_gathered(group[i]);
    for (int i = 0; i < n; i++)
        squares += sum_squares(ons_params_region(group[i]->grads), ons_params_region_size(group[i]->grads),
                               group[i]->n_threads);
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
    float *e = ons_params_region(ema);
    const float *w = ons_params_region(params);
    int64_t n = (int64_t)ons_params_region_size(ema);
    float keep = (float)decay, take = (float)(1 - decay);

#pragma omp parallel for schedule(static) num_threads(n_threads)
    for (int64_t i = 0; i < n; i++)
        e[i] = keep * e[i] + take * w[i];
    ons_params_touch(ema);
}
