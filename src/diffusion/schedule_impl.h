/* Shared between the files of this layer. */
#ifndef ONS_DIFFUSION_SCHEDULE_IMPL_H
#define ONS_DIFFUSION_SCHEDULE_IMPL_H

#include "diffusion/schedule.h"

/* betas [n] in, Abar out; n <= ONS_MAX_TIMESTEPS. */
void ons_schedule_from_betas(ons_schedule *s, const double *betas, int n);
void ons_betas_linear(double start, double end, int n, double *betas);
void ons_betas_scaled_linear(double start, double end, int n, double *betas); /* linear in sqrt(beta) */
void ons_schedule_rescale_zero_snr(ons_schedule *s);                          /* last Abar becomes 0 */

/* The i-th of n_steps points laid evenly from the last timestep down to 0, not rounded; a single one is 0. */
double ons_schedule_linspace(const ons_schedule *s, int n_steps, int i);
/* BAD_ARGUMENT unless the timesteps descend strictly within the schedule. */
onestep_status ons_timesteps_check(const ons_schedule *s, int n_steps, const double *timesteps) ONESTEP_CHECK;
/* BAD_ARGUMENT unless 1 <= n_steps <= max. */
onestep_status ons_steps_check(int n_steps, int max) ONESTEP_CHECK;

#endif
