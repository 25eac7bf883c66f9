/* The reference is the pairs: the same captions, the teacher's latents. The student draws them with noise of
 * its own. */
#include "distill/health.h"

#include <math.h>

#include "base/memory.h"
#include "metrics/linalg.h"

ons_card ons_student_card(int timestep)
{
    return (ons_card){.steps = 1,
                      .guidance = 1,
                      .sampler = "lcm",
                      .timestep = timestep,
                      .kind = "student",
                      .train_joules = -1};
}

enum { POOLED_SIDE = 4, BATCH = 32 };

/* Means over a POOLED_SIDE x POOLED_SIDE grid per channel: low enough in dimension for a covariance of a few
 * hundred samples. */
static void pool(const ons_pairs *p, const float *latent, float *dst)
{
    int64_t side = p->h < POOLED_SIDE || p->w < POOLED_SIDE ? 1 : POOLED_SIDE;

    for (int64_t by = 0; by < side; by++)
        for (int64_t bx = 0; bx < side; bx++)
            for (int64_t c = 0; c < p->c; c++) {
                int64_t y0 = by * p->h / side, y1 = (by + 1) * p->h / side;
                int64_t x0 = bx * p->w / side, x1 = (bx + 1) * p->w / side;
                double sum = 0;

                for (int64_t y = y0; y < y1; y++)
                    for (int64_t x = x0; x < x1; x++)
                        sum += latent[(y * p->w + x) * p->c + c];
                *dst++ = (float)(sum / (double)((y1 - y0) * (x1 - x0)));
            }
}

static int pooled_size(const ons_pairs *p)
{
    int64_t side = p->h < POOLED_SIDE || p->w < POOLED_SIDE ? 1 : POOLED_SIDE;

    return (int)(side * side * p->c);
}

/* Features of n latents into moments; mean and standard deviation of all values. */
static onestep_status summarise(const ons_pairs *p, const float *latents, size_t n, ons_moments *m,
                                double *mean, double *std)
{
    size_t size = (size_t)(p->h * p->w * p->c);
    double sum = 0, squares = 0;
    float *pooled = ons_malloc((size_t)pooled_size(p) * sizeof *pooled);
    onestep_status st = ONESTEP_OK;

    if (!pooled)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a health check");
    for (size_t i = 0; i < n && st == ONESTEP_OK; i++) {
        pool(p, latents + i * size, pooled);
        st = ons_moments_add(m, pooled, 1);
    }
    ons_free(pooled);
    for (size_t i = 0; i < n * size; i++) {
        sum += latents[i];
        squares += (double)latents[i] * latents[i];
    }
    *mean = sum / (double)(n * size);
    *std = sqrt(fmax(squares / (double)(n * size) - *mean * *mean, 0));
    return st;
}

void ons_health_init(ons_model *student, const ons_pairs *pairs, const ons_dataset *d, size_t n,
                     const ons_compute *c, ons_health *out)
{
    *out = (ons_health){
        .pairs = pairs, .d = d, .student = student, .compute = *c, .n = n < pairs->n ? n : pairs->n};
}

/* The pairs' captions, with noise of the check's own. */
static onestep_status draw_student(const ons_health *h, uint64_t seed, float *latents)
{
    const ons_pairs *p = h->pairs;
    const int factor = ons_vae_factor(&h->student->vae_config);
    const char **prompts = ons_calloc(h->n, sizeof *prompts);
    ons_result r = {.latents = latents};
    ons_request q;
    onestep_status st;

    if (!prompts)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a health check");
    for (size_t i = 0; i < h->n; i++)
        prompts[i] = ons_dataset_draw(h->d, p->seed, p->index[i], 0, p->p_keyword).caption;
    ons_request_init(&q);
    q.n = (int)h->n;
    q.prompts = prompts;
    q.seed = (ons_seed){.value = seed};
    q.width = (int)p->w * factor;
    q.height = (int)p->h * factor;
    q.batch_size = BATCH;
    q.same_batch = true;
    q.latents_only = true;
    q.compute = &h->compute;
    st = ons_draw(h->student, &q, &r);
    ons_result_fini(&r);
    ons_free(prompts);
    return st;
}

onestep_status ons_health_check(ons_health *h, uint64_t seed, ons_health_report *out)
{
    const ons_pairs *p = h->pairs;
    size_t size = (size_t)(p->h * p->w * p->c);
    float *latents = ons_malloc(h->n * size * sizeof *latents);
    ons_moments student = {0}, teacher = {0};
    onestep_status st;

    if (!latents)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a health check of %zu samples", h->n);
    ONS_TRY(ons_moments_init(&student, pooled_size(p)));
    ONS_TRY(ons_moments_init(&teacher, pooled_size(p)));
    ONS_TRY(draw_student(h, seed, latents));
    ONS_TRY(summarise(p, latents, h->n, &student, &out->mean, &out->std));
    ONS_TRY(summarise(p, p->latents, h->n, &teacher, &out->teacher_mean, &out->teacher_std));
    st = ons_frechet(&student, &teacher, &out->frechet);
fail:
    ons_moments_fini(&student);
    ons_moments_fini(&teacher);
    ons_free(latents);
    return st;
}
