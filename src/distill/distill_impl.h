/* What the files of the distillation loop share: one run, its inputs and its student. */
#ifndef ONS_DISTILL_DISTILL_IMPL_H
#define ONS_DISTILL_DISTILL_IMPL_H

#include "distill/distill.h"
#include "distill/health.h"
#include "train/run.h"
#include "train/samples.h"

#define ONS_DISTILL_ADAPTER "pytorch_lora_weights.safetensors" /* where diffusers looks for one */

typedef struct ons_distill_job {
    const ons_recipe *r;
    const ons_distill_options *o;
    const ons_method *method;
    ons_model *teacher, *init; /* init: an earlier student; NULL: none */
    ons_dataset *d;
    ons_pairs pairs;
    ons_features *perceptual;
    ons_distill ctx;
    void *state;
    ons_model student; /* borrows the teacher's parts, the method's averaged weights */
    ons_samples samples;
    ons_health health;
    double best; /* lowest Fréchet distance so far; < 0: none */
    ons_run run;
    char *folder, *checkpoint, *init_adapter;
} ons_distill_job;

/*
 * Opens teacher, data, pairs, the perceptual network (trained now where there is none) and an earlier student,
 * and checks that they belong together: BAD_ARGUMENT says what does not.
 */
onestep_status ons_distill_open_inputs(ons_distill_job *j) ONESTEP_CHECK;
/* The averaged generator as a pipeline folder, with its card; an adapter also as a file of its own. */
onestep_status ons_distill_save_student(ons_distill_job *j, const char *folder) ONESTEP_CHECK;

#endif
