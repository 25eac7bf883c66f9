/*
 * Running a pipeline: prompts and noise in, latents and pixels out. One runner holds the plans of one (model,
 * batch, size); used by generate, pairs, eval, compare and the sample sheets of training.
 */
#ifndef ONS_PIPELINE_GENERATE_H
#define ONS_PIPELINE_GENERATE_H

#include "backend/backend.h"
#include "pipeline/folder.h"

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

typedef enum ons_noise_kind { ONS_NOISE_PHILOX, ONS_NOISE_TORCH } ons_noise_kind;

typedef struct ons_run_settings {
    int steps;            /* 0: the card's */
    const int *timesteps; /* NULL: the sampler's or the card's; else [steps] */
    double guidance;      /* < 0: the card's; 0 and 1: off */
    const char *sampler;  /* NULL: the card's */
    ons_noise_kind noise; /* of the fresh noise that stochastic samplers draw from `seeds` */
    const float *clean;   /* image to image: [n, latent_size] latents to begin with; NULL: from noise alone */
    double strength;      /* of that, in (0, 1]: the part of the steps that is taken */
    /* Called after each network evaluation; false stops the run (INTERRUPTED). May be NULL. */
    bool (*progress)(void *user, int step, int n_steps);
    void *user;
} ons_run_settings;

/* Settings with every default filled in from the model. */
typedef struct ons_resolved {
    int steps;
    double timesteps[ONS_MAX_TIMESTEPS]; /* [steps], what the network will be asked at */
    int first_step;                      /* image to image begins here; 0: at the first */
    int evaluations;                     /* of the network, guidance not counted twice */
    bool custom_timesteps;               /* not the sampler's own grid */
    double guidance;                     /* 1: off */
    char sampler[32];
} ons_resolved;
/* BAD_ARGUMENT says which steps, timesteps and samplers there are. */
onestep_status ons_run_resolve(const ons_model *m, const ons_run_settings *s, ons_resolved *out) ONESTEP_CHECK;
/* BAD_ARGUMENT names the sizes that the model can do; 0 is filled in with the model's own size. */
onestep_status ons_size_resolve(const ons_model *m, int *width, int *height) ONESTEP_CHECK;

/* `m` must outlive the runner. BAD_ARGUMENT names the sizes that the model can do. */
onestep_status ons_runner_create(ons_model *m, const ons_runner_options *o, ons_runner **out) ONESTEP_CHECK;
void ons_runner_destroy(ons_runner **r);
int ons_runner_latent_size(const ons_runner *r); /* floats per picture */
void ons_runner_latent_shape(const ons_runner *r, int64_t *h, int64_t *w, int64_t *c);

/* Standard normal noise of one picture in the engine's order [h, w, c] for (seed); torch: torch.randn(1, c, h,
 * w) with manual_seed(seed). */
void ons_picture_noise(ons_noise_kind kind, uint64_t seed, int64_t h, int64_t w, int64_t c, float *dst);

/*
 * Runs n <= batch pictures. NO_MEMORY, before anything large is allocated, when weights and buffers exceed
 * compute.memory: the message says what would fit. prompts/negatives [n] (negatives NULL: empty), noise [n,
 * latent_size], seeds [n] for the fresh noise of stochastic samplers (may be NULL), latents [n, latent_size]
 * out (scaled, as the UNet sees them; may be NULL), rgb [n, H, W, 3] out 8-bit (may be NULL).
 */
onestep_status ons_runner_run(ons_runner *r, const ons_run_settings *s, int n, const char *const *prompts,
                              const char *const *negatives, const float *noise, const uint64_t *seeds,
                              float *latents, uint8_t *rgb) ONESTEP_CHECK;
/*
 * Makes the plans that such a run would, without memory for them: the packed copies that they want are
 * announced in the model's weight sets, and nothing is refused for its size.
 */
onestep_status ons_runner_announce(ons_runner *r, const ons_run_settings *s) ONESTEP_CHECK;
/*
 * Image to image: encodes a picture [H, W, 3] of the runner's size. NO_MEMORY as ons_runner_run. Then, for each
 * seed, scaled latents drawn from what the encoder found, and the noise that the first step adds to them: what
 * ons_run_settings.clean and ons_runner_run's noise want. torch: the first two draws of manual_seed(seed), as
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
