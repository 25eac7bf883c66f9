/*
 * Heun's method in sigma space (Karras et al. 2022, algorithm 1 without churn): Euler's step, a second look
 * from where it led, and the step again along the mean of both slopes d = (X - mu) / sigma. The last step, to
 * sigma 0, is Euler's alone: n steps cost 2 n - 1 evaluations.
 */
#include "diffusion/sigma_space.h"

#include <string.h>

enum { SLOPE, START, N_HISTORY };

static int count_evaluations(int n_steps)
{
    return 2 * n_steps - 1;
}

/* Evaluations 2k - 1 and 2k are at timestep k: the second look of step k - 1, the first of step k. */
static double timestep_at(const ons_sampler *s, int e)
{
    return s->timesteps[(e + 1) / 2];
}

static void input(const ons_sampler *s, float *net_input)
{
    ons_sigma_input(s, (s->index + 1) / 2, net_input);
}

static void first_look(ons_sampler *s, const float *out, int k)
{
    const double sigma = ons_sigma_at(s, k), h = ons_sigma_at(s, k + 1) - sigma;
    const ons_sigma_clean c = ons_sigma_clean_of(s, sigma);
    float *slope = s->history + SLOPE * s->size;

    memcpy(s->history + START * s->size, s->x, s->size * sizeof *s->x);
    for (size_t i = 0; i < s->size; i++) {
        const double d = (s->x[i] - (c.of_x * s->x[i] + c.of_out * out[i])) / sigma;

        slope[i] = (float)d;
        s->x[i] = (float)(s->x[i] + h * d);
    }
}

static void second_look(ons_sampler *s, const float *out, int k)
{
    const double next = ons_sigma_at(s, k + 1), h = next - ons_sigma_at(s, k);
    const ons_sigma_clean c = ons_sigma_clean_of(s, next);
    const float *slope = s->history + SLOPE * s->size, *start = s->history + START * s->size;

    for (size_t i = 0; i < s->size; i++) {
        const double d = (s->x[i] - (c.of_x * s->x[i] + c.of_out * out[i])) / next;

        s->x[i] = (float)(start[i] + h * 0.5 * (slope[i] + d));
    }
}

static void step(ons_sampler *s, const float *out)
{
    (s->index % 2 ? second_look : first_look)(s, out, s->index / 2);
}

const ons_sampler_kind ons_sampler_heun = {.name = "heun",
                                           .spacing = ONS_SPACING_LINSPACE,
                                           .n_history = N_HISTORY,
                                           .sigma_space = true,
                                           .order = 2,
                                           .timesteps = ons_sigma_timesteps,
                                           .evaluations = count_evaluations,
                                           .timestep = timestep_at,
                                           .begin = ons_sigma_begin,
                                           .input = input,
                                           .step = step};
