/* A model that draws for evaluation and comparison: progress line, and what it cost in time and energy. */
#ifndef ONS_EVAL_DRAW_H
#define ONS_EVAL_DRAW_H

#include "base/log.h"
#include "energy/energy.h"
#include "pipeline/draw.h"

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
/* -1: unknown. A battery counts from 60 s of stretches on. */
double ons_meter_joules_per_picture(const ons_meter *m);

typedef struct ons_drawer {
    ons_model *model; /* not owned */
    ons_request request;
    ons_compute compute;
    int side;
    const char *label; /* of the progress line; NULL: none */
    ons_progress progress;
    ons_meter meter;
    ons_run_stats last; /* of the last drawing */
    double run_s;       /* inside ons_draw */
    long pictures;
} ons_drawer;

/* `settings` has steps, guidance and the like, and how many pictures to compute together; what it points to
 * must outlive the drawer. */
onestep_status ons_drawer_init(ons_drawer *d, ons_model *m, const ons_request *settings,
                               const ons_compute *compute, ons_energy *energy) ONESTEP_CHECK;
/* An ons_draw_fn with the drawer as `user`: rgb [n, side, side, 3]. */
onestep_status ons_drawer_draw(void *drawer, const char *const *captions, const uint64_t *seeds, int64_t n,
                               uint8_t *rgb) ONESTEP_CHECK;

#endif
