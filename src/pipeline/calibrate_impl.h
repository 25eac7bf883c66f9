/* Inside of calibrating: what was seen of each layer. For the calibrate*.c files alone. */
#ifndef ONS_PIPELINE_CALIBRATE_IMPL_H
#define ONS_PIPELINE_CALIBRATE_IMPL_H

#include "backend/backend.h"
#include "pipeline/int8.h"

enum { SAMPLES_PER_RUN = 8192, MAX_SAMPLES = 16 * SAMPLES_PER_RUN };

/* First operands of one layer's products. */
typedef struct ons_seen_layer {
    char *layer; /* owned */
    float low, high;
    float *samples; /* [n_samples], evenly from all runs */
    int n_samples;
    double scale; /* chosen from them */
    int zero;
    double error_sum, result_sum; /* squares: 8 bits against bf16, and of what the product adds */
    double flops;                 /* of a run */
    double effect;                /* on the latents, of this layer alone in 8 bits */
} ons_seen_layer;

typedef enum ons_seen_mode {
    ONS_SEE_RANGES,
    ONS_SEE_ERRORS, /* scales are chosen */
    ONS_SEE_NOTHING,
    ONS_PUT_8_BITS /* the layer `target` gives what it gives in 8 bits */
} ons_seen_mode;

/* What an observer of a network's plan gathers. */
typedef struct ons_seen {
    ons_seen_layer *layers;
    int n, room;
    ons_seen_mode mode;
    const ons_seen_layer *target;

    ons_params *params;
    ons_compute compute; /* in bf16 */
} ons_seen;

/* The observer (ons_plan_observer); context is an ons_seen. */
onestep_status ons_seen_observe(void *context, const ons_node *n, const ons_args *args) ONESTEP_CHECK;
void ons_seen_choose_scales(ons_seen *s);
void ons_seen_fini(ons_seen *s);

/* Runs one product in 8 bits on the operands of the bf16 one; adds to the layer's sums, or takes the place of
 * its result (calibrate_error.c). */
onestep_status ons_seen_measure(const ons_seen *s, ons_seen_layer *l, const ons_node *n,
                                const ons_args *args) ONESTEP_CHECK;
onestep_status ons_seen_replace(const ons_seen *s, const ons_seen_layer *l, const ons_node *n,
                                const ons_args *args) ONESTEP_CHECK;

#endif
