/*
 * DPM-Solver++ (2M, midpoint, data prediction; Lu et al. 2022, algorithm 2).
 *   lam = ln(a / s),  h = lam' - lam,  D0 = mu,  D1 = (mu - mu_prev) h / (lam - lam_prev)
 *   x' = (s' / s) x - a' (exp(-h) - 1) (D0 + D1 / 2)
 * The first and the last step are of first order (D1 dropped); the last goes to sigma = 0, where x' = mu.
 * Its grids differ from the other samplers': leading and linspace are laid out for N + 1 points and lose the
 * lowest.
 */
#include "diffusion/sampler_impl.h"

#include <math.h>
#include <string.h>

static onestep_status make_timesteps(const ons_schedule *s, int n_steps, double *timesteps)
{
    onestep_status st;

    if (s->spacing == ONS_SPACING_TRAILING)
        return ons_schedule_timesteps(s, n_steps, timesteps);
    ONS_TRY(ons_steps_check(n_steps, s->n - 1));
    for (int i = 0; i < n_steps; i++)
        timesteps[i] = s->spacing == ONS_SPACING_LEADING
                           ? (n_steps - i) * (s->n / (n_steps + 1)) + s->steps_offset
                           : nearbyint((n_steps - i) * ((s->n - 1.0) / n_steps));
    ONS_TRY(ons_timesteps_check(s, n_steps, timesteps));
    return ONESTEP_OK;
fail:
    return st;
}

static double lambda_at(const ons_sampler *s, int index)
{
    return -log(ons_schedule_sigma(&s->schedule, s->timesteps[index]));
}

/* x' and D0 in one pass; `second` is the factor of (mu - mu_prev). */
static void advance(ons_sampler *s, const float *out, double keep, double first, double second)
{
    const int t = ons_sampler_t(s);
    const double sigma = ons_schedule_sigma(&s->schedule, t), a = 1 / sqrt(1 + sigma * sigma);
    const ons_estimate e = ons_estimate_of(s->schedule.prediction, a, sigma * a);

    for (size_t i = 0; i < s->size; i++) {
        const double mu = e.mu_x * s->x[i] + e.mu_out * out[i];

        s->x[i] = (float)(keep * s->x[i] + first * mu + second * (mu - s->history[i]));
        s->history[i] = (float)mu;
    }
}

static void step(ons_sampler *s, const float *out)
{
    double lambda, h, sigma, next, a_next, a, factor, ratio;

    if (ons_sampler_last(s)) {
        advance(s, out, 0, 1, 0);
        return;
    }
    sigma = ons_schedule_sigma(&s->schedule, s->timesteps[s->index]);
    next = ons_schedule_sigma(&s->schedule, s->timesteps[s->index + 1]);
    a = 1 / sqrt(1 + sigma * sigma);
    a_next = 1 / sqrt(1 + next * next);
    lambda = lambda_at(s, s->index);
    h = lambda_at(s, s->index + 1) - lambda;
    factor = -a_next * expm1(-h);
    ratio = s->index > s->first ? 0.5 * h / (lambda - lambda_at(s, s->index - 1)) : 0;
    advance(s, out, next * a_next / (sigma * a), factor, factor * ratio);
}

const ons_sampler_kind ons_sampler_dpmpp_2m = {.name = "dpm++2m",
                                               .spacing = ONS_SPACING_LINSPACE,
                                               .n_history = 1,
                                               .timesteps = make_timesteps,
                                               .begin = ons_sampler_begin_unit,
                                               .input = ons_sampler_input_plain,
                                               .step = step};
