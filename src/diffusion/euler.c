/*
 * Euler's method in sigma space (Karras et al. 2022, algorithm 1 without its correction):
 *   X' = X + (sigma' - sigma) (X - mu) / sigma,  last sigma 0: X' = mu
 * The last X is x0 itself.
 */
#include "diffusion/sigma_space.h"

static void input(const ons_sampler *s, float *net_input)
{
    ons_sigma_input(s, s->index, net_input);
}

static void step(ons_sampler *s, const float *out)
{
    const double sigma = ons_sigma_at(s, s->index),
                 r = ons_sigma_at(s, s->index + 1) / sigma; /* X' = r X + (1 - r) mu */
    const ons_sigma_clean c = ons_sigma_clean_of(s, sigma);

    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)((r + (1 - r) * c.of_x) * s->x[i] + (1 - r) * c.of_out * out[i]);
}

const ons_sampler_kind ons_sampler_euler = {.name = "euler",
                                            .spacing = ONS_SPACING_LINSPACE,
                                            .sigma_space = true,
                                            .timesteps = ons_sigma_timesteps,
                                            .begin = ons_sigma_begin,
                                            .input = input,
                                            .step = step};
