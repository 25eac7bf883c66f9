/*
 * The one way from a request to pictures: whoever draws (command line, C API, samples of a training run, health
 * of a distillation, pairs, evaluation, comparison, measuring, calibration) fills in a request and reads a
 * result. A model keeps what drawing costs to prepare: plans of the sizes that were drawn last and the
 * encodings of prompts.
 */
#ifndef ONS_PIPELINE_DRAW_H
#define ONS_PIPELINE_DRAW_H

#include "pipeline/request.h"
#include "pipeline/runner.h"

typedef struct ons_result {
    /* Set before drawing: the caller's memory. NULL: made when the request wants it, and released by fini. */
    uint8_t *rgb;   /* [n, height, width, 3]; not made for latents_only */
    float *latents; /* [n, h, w, c], scaled as the UNet sees them; made for latents_only */
    bool owns_rgb, owns_latents;
    int n;         /* pictures */
    uint64_t seed; /* of picture 0, where seeds count up */
    ons_resolved run;
    ons_run_stats stats; /* summed over the batches */
} ons_result;

/*
 * Draws the request's pictures. One thread draws with a model at a time; others wait. BAD_ARGUMENT: what the
 * request or the model cannot do; NO_MEMORY, before anything large is allocated: the message says what would
 * fit; BAD_FILE: pixels that are not numbers; INTERRUPTED: progress or the stop token said so, or Ctrl-C.
 * Pictures that were handed to `picture` before a failure stay good. *r must be zeroed but for memory handed
 * in.
 */
onestep_status ons_draw(ons_model *m, const ons_request *q, ons_result *r) ONESTEP_CHECK;
void ons_result_fini(ons_result *r); /* accepts a zeroed struct; memory handed in stays the caller's */
uint64_t ons_result_seed(const ons_result *r, const ons_request *q, int i); /* of picture i */

/* Plans of the model's last request, for profiles; valid until the model draws again. */
ons_runner_plans ons_draw_plans(const ons_model *m);
/* Buffers of the plans of the model's last request. */
size_t ons_draw_buffer_bytes(const ons_model *m);
/* Gives back plans and encodings; the model draws again as if for the first time. Accepts a model that never
 * drew. */
void ons_draw_forget(ons_model *m);

#endif
