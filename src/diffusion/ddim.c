/*
 * DDIM with eta = 0 (Song et al. 2021, eq. 12):  x' = sqrt(A') mu + sqrt(1 - A') eps
 *
 * On its own grids the next timestep is t - floor(n / N), as in diffusers, also where the grid's neighbour is
 * one off; with timesteps given by the caller it is the next one in the list. Past the end A' is 1 or Abar_0, a
 * setting of the schedule.
 */
#include "diffusion/sampler_impl.h"

#include <math.h>

static double next_abar(const ons_sampler *s)
{
    const double end = s->schedule.set_alpha_to_one ? 1 : s->schedule.abar[0];
    int t;

    if (s->custom)
        t = ons_sampler_last(s) ? -1 : (int)s->timesteps[s->index + 1];
    else
        t = ons_sampler_t(s) - s->schedule.n / s->n_steps;
    return t < 0 ? end : s->schedule.abar[t];
}

static void step(ons_sampler *s, const float *out)
{
    const int t = ons_sampler_t(s);
    const double next = next_abar(s), a = sqrt(next), b = sqrt(1 - next);
    const ons_estimate e = ons_estimate_of(s->schedule.prediction, ons_schedule_a(&s->schedule, t),
                                           ons_schedule_s(&s->schedule, t));
    const double of_x = a * e.mu_x + b * e.eps_x, of_out = a * e.mu_out + b * e.eps_out;

    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)(of_x * s->x[i] + of_out * out[i]);
}

const ons_sampler_kind ons_sampler_ddim = {
    .name = "ddim", .begin = ons_sampler_begin_unit, .input = ons_sampler_input_plain, .step = step};
