/* Fixed-seed sample sheets: the same prompts and noise at every step of a run, so that progress can be seen. */
#ifndef ONS_TRAIN_SAMPLES_H
#define ONS_TRAIN_SAMPLES_H

#include "data/dataset.h"
#include "pipeline/generate.h"

enum { ONS_N_SAMPLES = 24 };

typedef struct ons_samples {
    ons_runner *runner;                 /* owned */
    int batch;                          /* pictures drawn at once */
    const char *prompts[ONS_N_SAMPLES]; /* borrowed from the data set */
    float *noise;
    uint8_t *rgb;
    int width, height;
} ons_samples;

/* `m` is borrowed; training names, held-out names where there are any, and keywords. */
onestep_status ons_samples_create(ons_model *m, const ons_dataset *d, uint64_t seed, const ons_compute *c,
                                  ons_samples *out) ONESTEP_CHECK;
/* Generates with the card's settings and writes FOLDER/samples/STAGE-STEP.png. */
onestep_status ons_samples_write(ons_samples *s, const char *folder, const char *stage,
                                 int64_t step) ONESTEP_CHECK;
void ons_samples_fini(ons_samples *s); /* accepts a zeroed struct */

#endif
