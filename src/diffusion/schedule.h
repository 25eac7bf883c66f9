/*
 * Noise schedules: DDPM's discrete forward process (Ho et al. 2020, eq. 4) with Stable Diffusion's
 * scaled-linear betas. x_t = a_t x0 + s_t e,  a_t = sqrt(Abar_t), s_t = sqrt(1 - Abar_t),  sigma_t = s_t / a_t
 */
#ifndef ONS_DIFFUSION_SCHEDULE_H
#define ONS_DIFFUSION_SCHEDULE_H

#include "base/status.h"

enum { ONS_MAX_TIMESTEPS = 1000 };

typedef enum ons_prediction { ONS_PREDICT_EPSILON, ONS_PREDICT_V, ONS_PREDICT_SAMPLE } ons_prediction;
typedef enum ons_spacing { ONS_SPACING_LEADING, ONS_SPACING_TRAILING, ONS_SPACING_LINSPACE } ons_spacing;

typedef struct ons_schedule {
    int n; /* training timesteps */
    double abar[ONS_MAX_TIMESTEPS];
    ons_prediction prediction;
    ons_spacing spacing;
    bool spacing_stated; /* by the folder; else `spacing` is its class's own and another class's sampler has
                            another */
    int steps_offset;
    bool set_alpha_to_one; /* final abar: 1, else abar[0] */
    char class_name[64];   /* scheduler class in the folder, "DDIMScheduler" */
} ons_schedule;

void ons_schedule_init_sd(
    ons_schedule *s); /* scaled linear 0.00085..0.012, epsilon, leading (stated), offset 1, DDIM */
/* scheduler_config.json; betas of linear and scaled_linear (and trained_betas), unknown classes are UNSUPPORTED
 * with the list of known ones. */
onestep_status ons_schedule_load(const char *path, ons_schedule *out) ONESTEP_CHECK;
onestep_status ons_schedule_save(const ons_schedule *s, const char *path) ONESTEP_CHECK;

/* The sampler that integrates as the schedule's class does; *exact false: only in a like way. */
const char *ons_schedule_sampler(const ons_schedule *s, bool *exact);

double ons_schedule_a(const ons_schedule *s, int t);
double ons_schedule_s(const ons_schedule *s, int t);
double ons_schedule_sigma(const ons_schedule *s, double t); /* linear between timesteps */
/* Timesteps of an n-step run, descending, by the schedule's spacing (Lin et al. 2023, section 3.3). */
onestep_status ons_schedule_timesteps(const ons_schedule *s, int n_steps, double *timesteps) ONESTEP_CHECK;

#endif
