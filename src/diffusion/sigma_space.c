/* See sigma_space.h. */
#include "diffusion/sigma_space.h"

#include <math.h>

onestep_status ons_sigma_timesteps(const ons_schedule *s, int n_steps, double *timesteps)
{
    const onestep_status st = ons_schedule_timesteps(s, n_steps, timesteps);

    for (int i = 0; st == ONESTEP_OK && s->spacing == ONS_SPACING_LINSPACE && i < n_steps; i++)
        timesteps[i] = ons_schedule_linspace(s, n_steps, i);
    return st;
}

double ons_sigma_at(const ons_sampler *s, int step)
{
    return step < s->n_steps ? ons_schedule_sigma(&s->schedule, s->timesteps[step]) : 0;
}

void ons_sigma_begin(ons_sampler *s, const float *noise)
{
    const double sigma = ons_sigma_at(s, 0);
    /* "leading" starts below the noisiest timestep; its models saw x_t of full variance there. */
    const double scale = s->schedule.spacing == ONS_SPACING_LEADING ? sqrt(1 + sigma * sigma) : sigma;

    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)(scale * noise[i]);
}

void ons_sigma_input(const ons_sampler *s, int step, float *net_input)
{
    const double sigma = ons_sigma_at(s, step), scale = 1 / sqrt(1 + sigma * sigma);

    for (size_t i = 0; i < s->size; i++)
        net_input[i] = (float)(scale * s->x[i]);
}

ons_sigma_clean ons_sigma_clean_of(const ons_sampler *s, double sigma)
{
    const double a = 1 / sqrt(1 + sigma * sigma);
    const ons_estimate e = ons_estimate_of(s->schedule.prediction, a, sigma * a);

    return (ons_sigma_clean){e.mu_x * a, e.mu_out};
}
