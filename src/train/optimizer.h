/*
 * AdamW (Loshchilov & Hutter, 2019) over one weight set, with gradients in one contiguous region beside it.
 *   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  w -= lr (m^ / (sqrt(v^) + eps) + decay w)
 * Gradients are clipped by their global L2 norm; a non-finite gradient skips the step. Sums run in a fixed
 * order, so the same seed and thread count give the same bits.
 */
#ifndef ONS_TRAIN_OPTIMIZER_H
#define ONS_TRAIN_OPTIMIZER_H

#include "weights/weights.h"

typedef struct ons_adamw ons_adamw;

typedef struct ons_adamw_options {
    double lr, beta1, beta2, eps;
    double weight_decay; /* on matrices and convolutions; vectors (biases, norms) are not decayed */
    double clip;         /* global L2 norm; 0: none */
} ons_adamw_options;

/* `params` must outlive the optimizer, which owns the gradient set and both moments. n_threads >= 1 work on a
 * step. */
onestep_status ons_adamw_create(ons_params *params, int n_threads, ons_adamw **out) ONESTEP_CHECK;
void ons_adamw_destroy(ons_adamw **o);

ons_params *ons_adamw_grads(ons_adamw *o);             /* plans write here */
ons_params *ons_adamw_moment(ons_adamw *o, int which); /* 0: m, 1: v; for checkpoints */
int64_t ons_adamw_steps(const ons_adamw *o);           /* steps taken, for bias correction */
void ons_adamw_set_steps(ons_adamw *o, int64_t steps);

/*
 * One step. *grad_norm (may be NULL) gets the L2 norm over the sets in the group before clipping. False: the
 * norm is not finite, nothing was changed. `n` optimizers form a group that is clipped jointly (UNet and text
 * encoder).
 */
bool ons_adamw_step_group(ons_adamw *const *group, int n, const ons_adamw_options *opt, double *grad_norm);
bool ons_adamw_step(ons_adamw *o, const ons_adamw_options *opt, double *grad_norm);

/* ema = decay * ema + (1 - decay) * params, same layout; touches ema. */
void ons_ema_update(ons_params *ema, ons_params *params, double decay, int n_threads);

/*
 * Gradient accumulation: adds what a plan has written to a sum. The next step takes the mean over the calls
 * since the last one, and begins anew. NO_MEMORY at the first call. Without any call, a step takes the plan's
 * gradients as they are.
 */
onestep_status ons_adamw_gather(ons_adamw *o) ONESTEP_CHECK;

#endif
