/*
 * One training step of the teacher: noise a batch of latents, run UNet and text encoder forward and backward,
 * clip, AdamW, average. What pictures and captions it learns from is the caller's business, so that the
 * benchmark runs the very step that training runs.
 */
#ifndef ONS_TRAIN_TEACHER_STEP_H
#define ONS_TRAIN_TEACHER_STEP_H

#include "backend/backend.h"
#include "pipeline/folder.h"
#include "train/optimizer.h"
#include "train/recipe.h"

typedef struct ons_teacher_step ons_teacher_step;

typedef struct ons_teacher_step_options {
    int n_tokens; /* per caption */
    ons_compute compute;
} ons_teacher_step_options;

/* The sets of the two networks, in the order of everything that has two. */
enum { ONS_TEACHER_UNET, ONS_TEACHER_TEXT, ONS_TEACHER_SETS };

/*
 * Makes optimizers and averages (copies of the weights as they are now), and no plan: the first run plans, so
 * that a checkpoint may be loaded before. `r` and `m` are borrowed; m's unet, clip, their configurations,
 * vae_config and schedule are used.
 */
onestep_status ons_teacher_step_create(const ons_recipe *r, ons_model *m, const ons_teacher_step_options *o,
                                       ons_teacher_step **out) ONESTEP_CHECK;
void ons_teacher_step_destroy(ons_teacher_step **s);

ons_adamw *ons_teacher_step_optimizer(ons_teacher_step *s, int set);
ons_params *ons_teacher_step_ema(ons_teacher_step *s, int set);
/* Plans and allocates now; otherwise the first run does. */
onestep_status ons_teacher_step_plan(ons_teacher_step *s) ONESTEP_CHECK;
ons_plan *ons_teacher_step_get_plan(ons_teacher_step *s);       /* NULL before */
size_t ons_teacher_step_latent_size(const ons_teacher_step *s); /* floats per picture */

/*
 * Picks picture and caption of draw `draw` (step * batch + place in the batch): writes ids[n_tokens], and
 * points *mean and *std to the posterior of the latent, ons_teacher_step_latent_size floats each.
 */
typedef onestep_status (*ons_teacher_pick)(void *context, uint64_t draw, int32_t *ids, const float **mean,
                                           const float **std);

typedef struct ons_teacher_result {
    double loss, grad_norm;
    bool taken;                           /* false: the gradient was not finite, nothing changed */
    double load_s, network_s, optimize_s; /* picking and noising; the plan; clipping, AdamW and averages */
} ons_teacher_result;

onestep_status ons_teacher_step_run(ons_teacher_step *s, int64_t step, ons_teacher_pick pick, void *context,
                                    ons_teacher_result *out) ONESTEP_CHECK;

#endif
