/* What a model keeps from one request to the next; for the pipeline's own files. */
#ifndef ONS_PIPELINE_DRAW_IMPL_H
#define ONS_PIPELINE_DRAW_IMPL_H

#include <pthread.h>

#include "pipeline/draw.h"
#include "pipeline/runner_impl.h"

enum { ONS_KEPT_RUNNERS = 3 };

/* Runners by use, the last one last. */
struct ons_drawing {
    pthread_mutex_t lock; /* held while somebody draws */
    ons_prompt_cache prompts;
    ons_runner *runners[ONS_KEPT_RUNNERS];
    int n;
};

/* The model's, made on first use and locked; ended by ons_drawing_leave. */
onestep_status ons_drawing_enter(ons_model *m, ons_drawing **out) ONESTEP_CHECK;
void ons_drawing_leave(ons_drawing *d);
/*
 * A runner with these options: the one at hand that has them, else a new one in place of the least recently
 * used. With a limit on memory only one is kept, since each is judged as if it were alone.
 */
onestep_status ons_drawing_runner(ons_drawing *d, ons_model *m, const ons_runner_options *o,
                                  ons_runner **out) ONESTEP_CHECK;
/* Gives all runners but this one back; false: there was no other. */
bool ons_drawing_keep_only(ons_drawing *d, const ons_runner *r);
void ons_drawing_destroy(ons_drawing **d); /* accepts NULL and &NULL */

/* Tells q->note what the request asks for that has no effect with this model, or is known to do harm. */
onestep_status ons_request_point_out(const ons_model *m, const ons_request *q,
                                     const ons_resolved *run) ONESTEP_CHECK;

#endif
