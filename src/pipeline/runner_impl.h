/* The runner's inside, shared by the runner*.c files and who keeps runners. */
#ifndef ONS_PIPELINE_RUNNER_IMPL_H
#define ONS_PIPELINE_RUNNER_IMPL_H

#include "diffusion/sampler.h"
#include "pipeline/runner.h"

enum { MAX_UNET_PLANS = 4, PROMPT_BUCKETS = 1024, MAX_CACHE_BYTES = 64 << 20, TILE_LATENTS = 64 };

/* What tells UNet plans of one runner apart. */
typedef struct ons_unet_key {
    bool guided;  /* both halves of guidance in one evaluation of 2 x batch */
    int timestep; /* >= 0: a constant of the graph; -1: an input */
} ons_unet_key;

typedef struct ons_unet_plan {
    ons_unet_key key;
    ons_plan *plan;
} ons_unet_plan;

typedef struct ons_prompt {
    struct ons_prompt *next;
    char *text;
    float *context; /* [T, hidden] */
} ons_prompt;

typedef struct ons_prompt_cache {
    ons_prompt *buckets[PROMPT_BUCKETS];
    size_t bytes;
    uint64_t clip_version; /* of the weights that the encodings came from */
    ons_dtype type;        /* that they were computed in */
} ons_prompt_cache;

struct ons_runner {
    ons_model *model; /* not owned */
    ons_runner_options options;
    int64_t h, w, c; /* latent */
    int64_t n_tokens, n_hidden;
    ons_plan *text, *decoder;
    bool tiled;          /* the decoder's plan takes one tile and not the batch */
    size_t most_held;    /* buffers of plans that were given back meanwhile */
    double fitted_bytes; /* of the last run that was found to fit; 0: none */
    ons_unet_plan unet[MAX_UNET_PLANS];
    int n_unet;
    ons_plan *last_unet;       /* of the last run; one of `unet` */
    ons_prompt_cache *prompts; /* the model's; NULL: this runner encodes none */
    const ons_stop *stop;      /* of the run in work; NULL: nobody stops it */
    float *encoded;            /* [2, latent]: mean and deviation of the encoded picture; NULL: none yet */
    float *input, *output;     /* [batch, latent]: what the sampler hands over and gets back */
    ons_run_stats stats;
};

/* Plans, made on first use and kept (runner_plans.c). They come with memory. */
onestep_status ons_runner_text_plan(ons_runner *r) ONESTEP_CHECK;
onestep_status ons_runner_decoder_plan(ons_runner *r) ONESTEP_CHECK;
onestep_status ons_runner_unet_plan(ons_runner *r, ons_unet_key key, ons_plan **out) ONESTEP_CHECK;
/* The same without memory, for knowing what they will take. */
onestep_status ons_runner_make_text_plan(ons_runner *r) ONESTEP_CHECK;
onestep_status ons_runner_make_decoder_plan(ons_runner *r) ONESTEP_CHECK;
onestep_status ons_runner_make_unet_plan(ons_runner *r, ons_unet_key key, ons_plan **out) ONESTEP_CHECK;
/* Ends the building of *g, whose results are marked, and turns it into a plan; scales: of its 8-bit products,
 * NULL: none. */
onestep_status ons_runner_finish_plan(const ons_runner *r, ons_graph **g, ons_params *params,
                                      const ons_scales *scales, const char *label,
                                      ons_plan **out) ONESTEP_CHECK;
/* Checks that a run fits into memory; switches to tiles where that helps and is allowed (runner_fit.c). */
onestep_status ons_runner_fit(ons_runner *r, ons_unet_key key, bool decode) ONESTEP_CHECK;
/* The same for a plan that runs by itself. */
onestep_status ons_runner_fit_encoder(const ons_runner *r, ons_plan *encoder) ONESTEP_CHECK;
/* Latents of the decoder's plan: the picture's, or a tile's. */
void ons_runner_decoder_size(const ons_runner *r, int64_t *h, int64_t *w);

/* Text encodings (runner_text.c): encodes what is not yet known; then each prompt has its context [T,
 * hidden]. */
void ons_runner_begin_prompts(ons_runner *r); /* forgets what is stale, before a run encodes */
onestep_status ons_runner_encode(ons_runner *r, int n, const char *const *prompts) ONESTEP_CHECK;
const float *ons_runner_context(const ons_runner *r, const char *prompt); /* NULL: not encoded */
void ons_prompts_forget(ons_prompt_cache *c);
/* Runs a plan of the runner under the stop token of the run in work. */
onestep_status ons_runner_run_plan(const ons_runner *r, ons_plan *p) ONESTEP_CHECK;

#endif
