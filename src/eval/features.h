/*
 * A feature network at work: pictures and captions to rows of numbers, in batches. And where the network comes
 * from: a folder, or training on the data set the first time.
 */
#ifndef ONS_EVAL_FEATURES_H
#define ONS_EVAL_FEATURES_H

#include "backend/backend.h"
#include "data/dataset.h"
#include "model/features_folder.h"

typedef struct ons_embedder ons_embedder;

/* `f` must outlive it; f needs its text tower. In f32, whatever the type of `c`. */
onestep_status ons_embedder_create(const ons_features *f, const ons_compute *c,
                                   ons_embedder **out) ONESTEP_CHECK;
void ons_embedder_destroy(ons_embedder **e);
int ons_embedder_n_threads(
    const ons_embedder *e); /* that work on its plans, and on what is made of their results */
int ons_embedder_n_features(const ons_embedder *e);  /* channels of the last level, averaged over the picture */
int ons_embedder_n_embedding(const ons_embedder *e); /* joint space of pictures and captions, unit length */

/* rgb [n, side, side, 3] of any side (scaled to the network's) -> features [n, n_features], embedding [n,
 * n_embedding]; either may be NULL. */
onestep_status ons_embed_pictures(ons_embedder *e, const uint8_t *rgb, int64_t n, int side, float *features,
                                  float *embedding) ONESTEP_CHECK;
onestep_status ons_embed_captions(ons_embedder *e, const char *const *captions, int64_t n,
                                  float *embedding) ONESTEP_CHECK;

/*
 * Opens `folder` if it holds a network. Else trains one on the pictures of `data` (to be opened with held-out
 * pictures), says so and how long it took, and keeps it in `folder` (NULL: not kept). *trained_s: seconds spent
 * training, 0 when it was there.
 */
onestep_status ons_features_obtain(const char *folder, const ons_dataset *data, int size, uint64_t seed,
                                   const ons_compute *c, ons_features **out, double *trained_s) ONESTEP_CHECK;

#endif
