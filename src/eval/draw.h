/* A model that draws for evaluation and comparison: batches, progress line, and what it cost in time and
 * energy. */
#ifndef ONS_EVAL_DRAW_H
#define ONS_EVAL_DRAW_H

#include "base/log.h"
#include "energy/energy.h"
#include "pipeline/generate.h"

/*
 * Sums energy over the stretches between begin and end, so that what lies between them does not count. A
 * stretch whose source differs from the last one's starts the sum anew: figures of two sources are never mixed.
 */
typedef struct ons_meter {
    ons_energy *energy; /* not owned; NULL: none */
    double joules, seconds, begin_joules, begin_s;
    long pictures;
    char source[128];
} ons_meter;
void ons_meter_begin(ons_meter *m);
void ons_meter_end(ons_meter *m, long pictures);
/* -1: unknown. A battery counts from 60 s of stretches on. */
double ons_meter_joules_per_picture(const ons_meter *m);

typedef struct ons_drawer {
    ons_model *model; /* not owned */
    ons_runner *runner;
    ons_run_settings settings;
    int batch, side;
    float *noise;
    const char *label; /* of the progress line; NULL: none */
    ons_meter meter;
    double run_s; /* inside the runner */
    long pictures;
} ons_drawer;

/* `settings` may point to timesteps of the caller. */
onestep_status ons_drawer_init(ons_drawer *d, ons_model *m, const ons_run_settings *settings, int batch,
                               const ons_compute *c, ons_energy *energy) ONESTEP_CHECK;
void ons_drawer_fini(ons_drawer *d); /* accepts a zeroed struct */
/* An ons_draw_fn with the drawer as `user`: rgb [n, side, side, 3]. */
onestep_status ons_drawer_draw(void *drawer, const char *const *captions, const uint64_t *seeds, int64_t n,
                               uint8_t *rgb) ONESTEP_CHECK;

#endif
