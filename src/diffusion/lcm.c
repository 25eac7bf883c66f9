/*
 * Consistency sampling (Luo et al. 2023, "Latent consistency models"): at each timestep
 *   y = c_skip x + c_out mu,  c_skip = 0.25 / ((10 t)^2 + 0.25),  c_out = 10 t / sqrt((10 t)^2 + 0.25)
 * then fresh noise: x' = sqrt(A') y + sqrt(1 - A') e; the last y is the result. One step is the one-step
 * student's sampler.
 */
#include "diffusion/sampler_impl.h"

#include <math.h>

enum { ORIGINAL_STEPS = 50 }; /* the grid that consistency models are trained on: every n/50-th timestep */

static onestep_status make_timesteps(const ons_schedule *s, int n_steps, double *timesteps)
{
    const int grid = s->n < ORIGINAL_STEPS ? s->n : ORIGINAL_STEPS, stride = s->n / grid;
    const onestep_status st = ons_steps_check(n_steps, grid);

    if (st != ONESTEP_OK)
        return st;
    for (int i = 0; i < n_steps; i++)
        timesteps[i] = (grid - (int)(i * ((double)grid / n_steps))) * stride - 1;
    return ONESTEP_OK;
}

static void step(ons_sampler *s, const float *out)
{
    const int t = ons_sampler_t(s);
    const double a = ons_schedule_a(&s->schedule, t), b = ons_schedule_s(&s->schedule, t), scaled = 10.0 * t;
    const double c_skip = 0.25 / (scaled * scaled + 0.25), c_out = scaled / sqrt(scaled * scaled + 0.25);
    const ons_estimate e = ons_estimate_of(s->schedule.prediction, a, b);
    double keep = 1, fresh = 0;

    if (!ons_sampler_last(s)) {
        const int next = (int)s->timesteps[s->index + 1];

        keep = ons_schedule_a(&s->schedule, next);
        fresh = ons_schedule_s(&s->schedule, next);
        s->noise_fn(s->user, s->history, s->size);
    }
    for (size_t i = 0; i < s->size; i++) {
        const double y = (c_skip + c_out * e.mu_x) * s->x[i] + c_out * e.mu_out * out[i];

        s->x[i] = (float)(keep * y + fresh * s->history[i]);
    }
}

const ons_sampler_kind ons_sampler_lcm = {.name = "lcm",
                                          .n_history = 1,
                                          .stochastic = true,
                                          .timesteps = make_timesteps,
                                          .begin = ons_sampler_begin_unit,
                                          .input = ons_sampler_input_plain,
                                          .step = step};
