/*
 * Distillation methods: one file each, one row in the table of methods.c. The driver (distill.c) owns the loop,
 * checkpoints, sample sheets and records; a method owns its networks, graphs and updates.
 */
#ifndef ONS_DISTILL_METHOD_H
#define ONS_DISTILL_METHOD_H

#include "distill/pairs.h"
#include "model/features_folder.h"
#include "train/checkpoint.h"
#include "train/recipe.h"

struct json_t;

enum { ONS_METHOD_MAX_SETS = 16 };

/* What a method works with; all borrowed. */
typedef struct ons_distill {
    const ons_recipe *r;
    const ons_model *teacher;
    ons_params *init; /* UNet that the generator begins as: the teacher's, or an earlier student's */
    const char
        *init_adapter; /* with distill.lora_rank: an earlier student's file of low-rank weights, or NULL */
    const ons_dataset *d;
    const ons_pairs *pairs;   /* NULL when the regression weight is 0 */
    ons_features *perceptual; /* NULL: distance in latent space */
    ons_compute compute;
} ons_distill;

typedef struct ons_method {
    const char *name;
    const char *const *series; /* names of step()'s values, NULL-ended, at most ONS_RUN_MAX_SERIES */
    onestep_status (*create)(const ons_distill *ctx, void **state);
    /* One iteration; *skipped: a non-finite gradient was met and the update left out. */
    onestep_status (*step)(void *state, int64_t step, double *values, bool *skipped);
    ons_params *(*student)(void *state); /* averaged generator weights; with distill.lora_rank, its adapter */
    int (*sets)(void *state, ons_checkpoint_set *sets); /* everything a checkpoint needs; returns the count */
    struct json_t *(*save_state)(void *state);          /* counters; new reference */
    void (*load_state)(void *state, const struct json_t *saved);
    void (*destroy)(void *state);
} ons_method;

const ons_method *ons_method_find(const char *name); /* NULL: unknown */
const char *ons_method_names(void);

extern const ons_method ons_method_dmd;

#endif
