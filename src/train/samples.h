/* Fixed-seed sample sheets: the same prompts and noise at every step of a run, so that progress can be seen. */
#ifndef ONS_TRAIN_SAMPLES_H
#define ONS_TRAIN_SAMPLES_H

#include "data/dataset.h"
#include "pipeline/draw.h"

enum { ONS_N_SAMPLES = 24 };

typedef struct ons_samples {
    ons_model *model; /* borrowed */
    ons_compute compute;
    const char *prompts[ONS_N_SAMPLES]; /* borrowed from the data set */
    uint64_t seed;
} ons_samples;

/* Training names, held-out names where there are any, and keywords. `m` and `d` must outlive the samples. */
void ons_samples_init(ons_model *m, const ons_dataset *d, uint64_t seed, const ons_compute *c,
                      ons_samples *out);
/* Generates with the card's settings and writes FOLDER/samples/STAGE-STEP.png. */
onestep_status ons_samples_write(ons_samples *s, const char *folder, const char *stage,
                                 int64_t step) ONESTEP_CHECK;

#endif
