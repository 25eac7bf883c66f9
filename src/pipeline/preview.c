/*
 * Previews. What the network saw is x_t of the discrete forward process, whatever space the sampler works in,
 * so its answer foretells the clean latent: eps: x0 = (x_t - s_t eps) / a_t      v: x0 = a_t x_t - s_t v
 * sample: x0 itself
 */
#include "pipeline/preview.h"

#include <math.h>

#include "base/memory.h"
#include "diffusion/sampler.h"

onestep_status ons_preview(ons_runner *r, int n, double t, const ons_resolved *run, const ons_request *q,
                           int at)
{
    const ons_schedule *schedule = &r->model->schedule;
    const int nearest = (int)(t + 0.5) < schedule->n ? (int)(t + 0.5) : schedule->n - 1;
    /* zero terminal SNR leaves nothing to divide by */
    const ons_estimate e = ons_estimate_of(schedule->prediction, fmax(ons_schedule_a(schedule, nearest), 1e-3),
                                           ons_schedule_s(schedule, nearest));
    const size_t values = (size_t)n * ons_runner_latent_size(r);
    const ons_run_stats before = r->stats;
    float *x0 = ons_malloc(values * sizeof *x0);
    uint8_t *rgb = ons_malloc((size_t)n * (size_t)run->width * (size_t)run->height * 3);
    onestep_status st;

    if (!x0 || !rgb) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a preview of %d pictures", n);
        goto fail;
    }
    for (size_t i = 0; i < values; i++)
        x0[i] = (float)(e.mu_x * r->input[i] + e.mu_out * r->output[i]);
    ONS_TRY(ons_runner_decode(r, n, x0, rgb));
    r->stats.not_numbers = before.not_numbers;
    q->preview(q->user, at, n, rgb);
fail:
    ons_free(x0);
    ons_free(rgb);
    return st;
}
