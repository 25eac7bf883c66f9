/*
 * Checkpoints: everything a run needs to continue to the very bits, in one safetensors file written to a
 * temporary name, synced and renamed. Tensors are named SET/PARAMETER in the engine's layout and f32; metadata
 * holds a JSON object (step, counters, fingerprint) and a format version.
 */
#ifndef ONS_TRAIN_CHECKPOINT_H
#define ONS_TRAIN_CHECKPOINT_H

#include "backend/compute.h"
#include "weights/weights.h"

struct json_t;

typedef struct ons_checkpoint_set {
    const char *name; /* "unet", "unet.ema", "unet.m" */
    ons_params *params;
} ons_checkpoint_set;

enum { ONS_CHECKPOINT_VERSION = 1 };

onestep_status ons_checkpoint_save(const char *path, const ons_checkpoint_set *sets, int n_sets,
                                   const struct json_t *state) ONESTEP_CHECK;
/* Every parameter of every set must be there with its shape. *state is a new reference. */
onestep_status ons_checkpoint_load(const char *path, const ons_checkpoint_set *sets, int n_sets,
                                   struct json_t **state) ONESTEP_CHECK;

/* What the bits depend on besides the seed: CPU features in use, oneDNN version, threads. Static storage. */
const char *ons_fingerprint(const ons_compute *c);

#endif
