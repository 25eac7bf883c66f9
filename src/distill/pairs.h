/*
 * Noise-latent pairs of a teacher (DMD, section 3.3 of the paper): numbered safetensors shards and an
 * index.json, see docs/formats.md.
 *
 * Pair i is a pure function of (seed, i): its caption is draw i of the data set, its noise the picture noise of
 * seed + i. So a run can be interrupted, resumed, extended and split over processes; a shard appears under its
 * name only when it is complete.
 */
#ifndef ONS_DISTILL_PAIRS_H
#define ONS_DISTILL_PAIRS_H

#include "data/dataset.h"
#include "energy/energy.h"
#include "pipeline/folder.h"

enum { ONS_PAIRS_VERSION = 1 };

typedef struct ons_pairs_options {
    const char *output;
    int count; /* pairs 0 .. count-1 */
    int steps;
    double guidance, guidance_keyword; /* for captions that name one picture, and for keywords */
    const char *sampler;               /* deterministic */
    double p_keyword;                  /* share of keyword captions */
    uint64_t seed;
    int per_shard;     /* pairs of one file, which are lost together when a run is interrupted */
    int width, height; /* pixels; 0: the model's own */
    int part, n_parts; /* this process makes the shards k with k % n_parts == part; 0, 1: all */
    int batch;         /* 0: by size */
    ons_compute compute;
    ons_energy *energy; /* may be NULL */
} ons_pairs_options;

/* Makes what is missing. BAD_ARGUMENT when the folder holds pairs made with other settings (names the setting).
 */
onestep_status ons_pairs_make(ons_model *teacher, const ons_dataset *d,
                              const ons_pairs_options *o) ONESTEP_CHECK;

typedef struct ons_pairs {
    size_t n;
    int64_t h, w, c; /* of a latent */
    int context;     /* tokens per caption */
    uint64_t seed;
    double p_keyword;       /* share of keyword captions */
    float *latents;         /* [n, h, w, c], scaled as the UNet sees them */
    int32_t *ids;           /* [n, context] */
    uint64_t *index;        /* [n] global indices */
    double seconds, joules; /* spent on making them; joules -1: unknown */
} ons_pairs;

/* Reads every complete shard. BAD_FILE when there is none, or shapes differ. */
onestep_status ons_pairs_open(const char *folder, ons_pairs *out) ONESTEP_CHECK;
void ons_pairs_close(ons_pairs *p); /* accepts a zeroed struct */
/* Noise of pair i (position in the set), [h, w, c]. */
void ons_pairs_noise(const ons_pairs *p, size_t i, float *dst);

#endif
