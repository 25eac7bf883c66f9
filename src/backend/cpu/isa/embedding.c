/*
 * Gradient of an embedding and the timestep embedding. The gradient is split by channels, so that repeated
 * tokens add up in their order whatever the threads.
 */
#include <math.h>

#include "backend/cpu/isa/kernels.h"

typedef struct embedding_job {
    const int32_t *ids;
    const float *dy;
    float *dx;
    int64_t n, rows, c;
} embedding_job;

static void add_channels(void *context, int64_t begin, int64_t end, int thread)
{
    const embedding_job *j = context;

    (void)thread;
    for (int64_t v = 0; v < j->rows; v++)
        memset(j->dx + v * j->c + begin, 0, (size_t)(end - begin) * 4);
    for (int64_t i = 0; i < j->n; i++) {
        if (j->ids[i] < 0 || j->ids[i] >= j->rows)
            continue;
        float *to = j->dx + j->ids[i] * j->c;
        const float *from = j->dy + i * j->c;

        for (int64_t c = begin; c < end; c++)
            to[c] += from[c];
    }
}

static onestep_status run_embedding_grad(const ons_prep *p, const ons_args *args)
{
    const ons_shape *s = &p->node->out[0]->shape;
    embedding_job j = {args->in[0], args->in[1], args->out[0], ons_shape_count(&p->node->in[0]->shape),
                       s->d[0],     s->d[1]};

    ons_parallel_for(p->n_threads, j.c, 1 + ONS_GRAIN / (j.n + j.rows), add_channels, &j);
    return ONESTEP_OK;
}

static onestep_status run_timestep(const ons_prep *p, const ons_args *args)
{
    const ons_attrs *at = &p->node->attrs;
    const float *t = args->in[0];
    int64_t n = p->node->out[0]->shape.d[0], half = at->timestep.dim / 2;

    for (int64_t i = 0; i < n; i++) {
        float *y = (float *)args->out[0] + i * 2 * half, *sines = at->timestep.flip_sin_to_cos ? y + half : y;
        float *cosines = at->timestep.flip_sin_to_cos ? y : y + half;

        for (int64_t k = 0; k < half; k++) {
            double angle =
                t[i] * exp(-log(at->timestep.max_period) * (double)k / ((double)half - at->timestep.shift));

            sines[k] = (float)sin(angle);
            cosines[k] = (float)cos(angle);
        }
    }
    return ONESTEP_OK;
}

const ons_kernel ons_embedding_grad_kernels[] = {
    {"channels", ons_cpu_refuse_not_f32, NULL, run_embedding_grad, NULL},
    {0},
};

const ons_kernel ons_timestep_kernels[] = {
    {"rows", ons_cpu_refuse_not_f32, NULL, run_timestep, NULL},
    {0},
};
