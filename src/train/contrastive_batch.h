/* Batches of contrastive training: augmented pictures, encoded captions, and which of them fit together. */
#ifndef ONS_TRAIN_CONTRASTIVE_BATCH_H
#define ONS_TRAIN_CONTRASTIVE_BATCH_H

#include "backend/backend.h"
#include "data/dataset.h"
#include "text/tokenizer.h"

enum { ONS_CONTRASTIVE_MAX_BATCH = 1024 };

typedef struct ons_contrastive_batch {
    const ons_dataset *data;
    const ons_tokenizer *tokenizer;
    int size, n; /* pixels per side, pictures per batch */
    int n_threads;
    double p_keyword;
    uint64_t seed;
    /* What a plan reads, under these names; owned (init, fini). */
    float *pixels;                  /* [n, size, size, 3] in -1..1 */
    int32_t *ids;                   /* [n, context] */
    int32_t *ends;                  /* [n] position of the end token */
    float *by_picture, *by_caption; /* [n, n]: rows sum to 1; row i of by_picture: captions that fit picture i;
                                       of by_caption: pictures that fit caption i */
} ons_contrastive_batch;

/* Memory for the inputs of a batch that is described so far. */
onestep_status ons_contrastive_batch_init(ons_contrastive_batch *b) ONESTEP_CHECK;
void ons_contrastive_batch_fini(ons_contrastive_batch *b); /* accepts a zeroed struct */
/* Fills the inputs for batch number `step`; a function of (seed, step) alone. */
onestep_status ons_contrastive_batch_fill(const ons_contrastive_batch *b, int64_t step) ONESTEP_CHECK;
onestep_status ons_contrastive_batch_write(const ons_contrastive_batch *b, ons_plan *plan) ONESTEP_CHECK;

#endif
