/*
 * Euler's method in sigma space (Karras et al. 2022; methods 4.4). The state is X = x_t / a_t, so
 *   mu = X - sigma eps,  X' = X + (sigma' - sigma) (X - mu) / sigma,  last sigma 0: X' = mu
 * and the network sees X / sqrt(1 + sigma^2) = x_t. The last X is x0 itself.
 */
#include "diffusion/sampler_impl.h"

#include <math.h>

static double sigma_at(const ons_sampler *s, int index)
{
    return index < s->n_steps ? ons_schedule_sigma(&s->schedule, s->timesteps[index]) : 0;
}

static void begin(ons_sampler *s, const float *noise)
{
    const double sigma = sigma_at(s, 0);
    /* "leading" starts below the noisiest timestep; its models saw x_t of full variance there. */
    const double scale = s->schedule.spacing == ONS_SPACING_LEADING ? sqrt(1 + sigma * sigma) : sigma;

    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)(scale * noise[i]);
}

static void input(const ons_sampler *s, float *net_input)
{
    const double sigma = sigma_at(s, s->index), scale = 1 / sqrt(1 + sigma * sigma);

    for (size_t i = 0; i < s->size; i++)
        net_input[i] = (float)(scale * s->x[i]);
}

static void step(ons_sampler *s, const float *out)
{
    const double sigma = sigma_at(s, s->index), next = sigma_at(s, s->index + 1),
                 a = 1 / sqrt(1 + sigma * sigma);
    const ons_estimate e = ons_estimate_of(s->schedule.prediction, a, sigma * a);
    const double r = next / sigma; /* X' = r X + (1 - r) mu */

    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)((r + (1 - r) * e.mu_x * a) * s->x[i] + (1 - r) * e.mu_out * out[i]);
}

const ons_sampler_kind ons_sampler_euler = {.name = "euler", .begin = begin, .input = input, .step = step};
