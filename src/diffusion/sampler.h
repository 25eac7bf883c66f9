/*
 * Samplers: one file each, one row in the table. A sampler owns the state x of one run over n pictures; the
 * caller evaluates the network. Loop:  begin;  while (next(&t, input)) { eps = net(input, t) (guided);
 * step(eps); }  result in x (scaled latent).
 */
#ifndef ONS_DIFFUSION_SAMPLER_H
#define ONS_DIFFUSION_SAMPLER_H

#include "diffusion/schedule.h"

typedef struct ons_sampler ons_sampler;

/*
 * Clean estimate and noise estimate are linear in (x_t, network output):
 *   mu = mu_x x_t + mu_out out,  eps = eps_x x_t + eps_out out    for a_t = a, s_t = s (v: Salimans & Ho 2022)
 */
typedef struct ons_estimate {
    double mu_x, mu_out, eps_x, eps_out;
} ons_estimate;
ons_estimate ons_estimate_of(ons_prediction prediction, double a, double s);

/* Draws n_values standard normals of fresh noise for stochastic samplers (picture by picture order as the
 * caller lays out x). */
typedef void (*ons_noise_fn)(void *user, float *dst, size_t n);

const char *ons_sampler_name(int i); /* "ddim", "euler_a", "dpm++2m", ...; NULL: there are no more */
const char *ons_sampler_names(void); /* all, with ", " between */
/* Network evaluations of a run of n_steps that begins at step first_step. */
int ons_sampler_evaluations(const char *name, int n_steps, int first_step);

/*
 * timesteps: n_steps descending, NULL: the sampler's own for n_steps (lcm: its grid, one step: 999). size:
 * values in x. noise_fn may be NULL for deterministic samplers. State and history are allocated here; nothing
 * later.
 */
onestep_status ons_sampler_create(const char *name, const ons_schedule *s, int n_steps, const int *timesteps,
                                  size_t size, ons_noise_fn noise_fn, void *user,
                                  ons_sampler **out) ONESTEP_CHECK;
/* What create would say to these settings. timesteps_out [n_steps] (may be NULL) gets the timesteps of the run.
 */
onestep_status ons_sampler_check(const char *name, const ons_schedule *s, int n_steps, const int *timesteps,
                                 double *timesteps_out) ONESTEP_CHECK;
void ons_sampler_destroy(ons_sampler **s);
void ons_sampler_begin(ons_sampler *s, const float *unit_noise); /* x = initial state from N(0, I) noise */
/*
 * Image to image: begins at step `first_step` (0: as from noise) with `clean` latents and noise of that step's
 * strength.
 */
void ons_sampler_begin_from(ons_sampler *s, int first_step, const float *clean, const float *unit_noise);
bool ons_sampler_next(ons_sampler *s, double *t,
                      float *net_input); /* false: finished; t may lie between two timesteps */
void ons_sampler_step(ons_sampler *s,
                      const float *net_output);        /* network output in the schedule's prediction type */
const float *ons_sampler_result(const ons_sampler *s); /* x0 latent, [size] */

#endif
