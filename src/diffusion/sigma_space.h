/* What the samplers in sigma space share (Karras et al. 2022): the state is X = x_t / a_t, the
 * last sigma is 0. */
#ifndef ONS_DIFFUSION_SIGMA_SPACE_H
#define ONS_DIFFUSION_SIGMA_SPACE_H

#include "diffusion/sampler_impl.h"

/* The schedule's spacing; "linspace" keeps what lies between whole timesteps, as diffusers does for these
 * samplers. */
onestep_status ons_sigma_timesteps(const ons_schedule *s, int n_steps, double *timesteps) ONESTEP_CHECK;
double ons_sigma_at(const ons_sampler *s, int step); /* 0 behind the last step */
void ons_sigma_begin(ons_sampler *s, const float *noise);
/* The network sees X / sqrt(1 + sigma^2) = x_t, at the sigma of step `step`. */
void ons_sigma_input(const ons_sampler *s, int step, float *net_input);
/* mu = of_x X + of_out out at that sigma. */
typedef struct ons_sigma_clean {
    double of_x, of_out;
} ons_sigma_clean;
ons_sigma_clean ons_sigma_clean_of(const ons_sampler *s, double sigma);

#endif
