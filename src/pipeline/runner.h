/*
 * One batch of pictures of one size: prompts and noise in, latents and pixels out. A runner holds the plans of
 * one (model, batch, size). Whoever wants pictures asks ons_draw (draw.h), which chooses runners; by itself a
 * runner serves what is no picture: decoding latents, announcing packed weights.
 */
#ifndef ONS_PIPELINE_RUNNER_H
#define ONS_PIPELINE_RUNNER_H

#include "pipeline/request.h"

typedef struct ons_runner ons_runner;

/* Decoding tile by tile takes the memory of one tile; seams are blended, and colours may differ a little from
 * those of the whole. */
typedef enum ons_tiling {
    ONS_TILING_AUTO,
    ONS_TILING_ON,
    ONS_TILING_OFF
} ons_tiling; /* auto: when the whole does not fit */

typedef struct ons_runner_options {
    int batch;           /* pictures per run, >= 1 */
    int width, height;   /* pixels; 0: the model's own */
    ons_compute compute; /* I8: with the model's scales, in UNet and decoder */
    ons_plan_observer
        observe; /* of the UNet's and the decoder's plans, with these contexts; NULL: nobody looks */
    void *observe_unet, *observe_decoder;
    bool no_decoder;   /* latents only (pairs) */
    ons_tiling tiling; /* of the decoder */
    bool one_shot; /* there will be one run: what a stage held (weights, buffers, plan) is given back when it
                      ends */
} ons_runner_options;

/* `m` must outlive the runner. BAD_ARGUMENT names the sizes that the model can do. */
onestep_status ons_runner_create(ons_model *m, const ons_runner_options *o, ons_runner **out) ONESTEP_CHECK;
void ons_runner_destroy(ons_runner **r);
size_t ons_runner_latent_size(const ons_runner *r); /* floats per picture */
void ons_runner_latent_shape(const ons_runner *r, int64_t *h, int64_t *w, int64_t *c);

/* Standard normal noise of one picture in the engine's order [h, w, c] for (seed); torch: torch.randn(1, c, h,
 * w) with manual_seed(seed). */
void ons_picture_noise(ons_noise_kind kind, uint64_t seed, int64_t h, int64_t w, int64_t c, float *dst);

/* One run: n <= batch pictures of one size. */
typedef struct ons_batch {
    int n;
    const char *const *prompts;   /* [n] */
    const char *const *negatives; /* [n] */
    const uint64_t *seeds;        /* [n], of the fresh noise of stochastic samplers */
    const float *noise;           /* [n, latent_size], standard normal */
    const float *clean;           /* [n, latent_size]: image to image begins with it; NULL: from noise alone */
    float *latents;               /* [n, latent_size] out, scaled as the UNet sees them */
    uint8_t *rgb;                 /* [n, H, W, 3] out; NULL: nothing is decoded */
    /* Called after each network evaluation; not OK ends the run with that status. May be NULL. */
    onestep_status (*evaluated)(void *user, int step, double t);
    void *user;
} ons_batch;
/*
 * NO_MEMORY, before anything large is allocated, when weights and buffers exceed the compute's memory: the
 * message says what would fit. `set` is what ons_request_resolve said; of the request its kind of noise, stop
 * token and compute count.
 */
onestep_status ons_runner_run(ons_runner *r, const ons_request *q, const ons_resolved *set,
                              const ons_batch *b) ONESTEP_CHECK;
/*
 * Makes the plans that such a run would, without memory for them: the packed copies that they want are
 * announced in the model's weight sets, and nothing is refused for its size.
 */
onestep_status ons_runner_announce(ons_runner *r, const ons_resolved *set) ONESTEP_CHECK;
/*
 * Image to image: encodes a picture [H, W, 3] of the runner's size. NO_MEMORY as ons_runner_run. Then, for each
 * seed, scaled latents drawn from what the encoder found, and the noise that the first step adds to them: what
 * ons_batch.clean and ons_runner_run's noise want. torch: the first two draws of manual_seed(seed), as
 * StableDiffusionImg2ImgPipeline makes them.
 */
onestep_status ons_runner_encode_picture(ons_runner *r, const uint8_t *rgb) ONESTEP_CHECK;
onestep_status ons_runner_draw_encoded(const ons_runner *r, ons_noise_kind kind, uint64_t seed, float *latent,
                                       float *noise) ONESTEP_CHECK;
/* Decodes latents that came from elsewhere. */
onestep_status ons_runner_decode(ons_runner *r, int n, const float *latents, uint8_t *rgb) ONESTEP_CHECK;
/*
 * Seconds and network evaluations (two a step with guidance) of the last run: text, unet, decoder. not_numbers:
 * a channel of some pixel was NaN or infinite before it became 8 bits, so that the pictures show nothing.
 */
typedef struct ons_run_stats {
    double text_s, unet_s, decoder_s, total_s;
    int n_evaluations;
    double flops, unet_flops, decoder_flops; /* all parts, and two of them */
    bool not_numbers;
} ons_run_stats;
ons_run_stats ons_runner_stats(const ons_runner *r);
/* Of the last run, for profiles; owned by the runner. NULL: not needed yet, or given back. */
typedef struct ons_runner_plans {
    ons_plan *text, *unet, *decoder;
} ons_runner_plans;
ons_runner_plans ons_runner_get_plans(const ons_runner *r);
size_t ons_runner_peak_bytes(
    const ons_runner *r); /* buffers of the plans so far, without weights; at most held at a time */

#endif
