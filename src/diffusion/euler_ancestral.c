/*
 * Ancestral sampling with Euler's method (Song et al. 2021, "Score-based generative modeling", appendix F):
 * a step to a lower sigma than wanted, then fresh noise up to it.
 *   s_up^2 = sigma'^2 (sigma^2 - sigma'^2) / sigma^2,  s_down^2 = sigma'^2 - s_up^2
 *   X' = X + (s_down - sigma) (X - mu) / sigma + s_up e
 */
#include "diffusion/sigma_space.h"

#include <math.h>

static void input(const ons_sampler *s, float *net_input)
{
    ons_sigma_input(s, s->index, net_input);
}

static void step(ons_sampler *s, const float *out)
{
    const double sigma = ons_sigma_at(s, s->index), next = ons_sigma_at(s, s->index + 1);
    const double up = sqrt(next * next * (sigma * sigma - next * next) / (sigma * sigma));
    const double r = sqrt(next * next - up * up) / sigma;
    const ons_sigma_clean c = ons_sigma_clean_of(s, sigma);

    if (next > 0)
        s->noise_fn(s->user, s->history, s->size);
    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)((r + (1 - r) * c.of_x) * s->x[i] + (1 - r) * c.of_out * out[i] + up * s->history[i]);
}

const ons_sampler_kind ons_sampler_euler_a = {.name = "euler_a",
                                              .spacing = ONS_SPACING_LINSPACE,
                                              .n_history = 1,
                                              .stochastic = true,
                                              .sigma_space = true,
                                              .timesteps = ons_sigma_timesteps,
                                              .begin = ons_sigma_begin,
                                              .input = input,
                                              .step = step};
