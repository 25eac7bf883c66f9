/*
 * A model: a pipeline folder in the diffusers layout (model_index.json, unet/, vae/, text_encoder/, tokenizer/,
 * scheduler/, plus onestep.json), or a Stable Diffusion checkpoint in one safetensors file; parts of it may be
 * replaced and LoRAs merged. Weights stay in their files until they are needed; plans are made by who runs
 * them.
 */
#ifndef ONS_PIPELINE_FOLDER_H
#define ONS_PIPELINE_FOLDER_H

#include "backend/compute.h"
#include "diffusion/schedule.h"
#include "model/model.h"
#include "text/tokenizer.h"

/* onestep.json: what diffusers has no place for. Absent file: 20 steps, guidance 7.5, ddim; ons_card_assume
 * knows better. */
typedef struct ons_card {
    bool stated;      /* there was a file */
    int steps;        /* default number of steps */
    double guidance;  /* default guidance scale; 1 is off */
    char sampler[32]; /* "ddim"; a one-step student: "lcm" */
    int timestep;     /* conditioning timestep of a one-step student; -1: not a student */
    char kind[32];    /* "teacher", "student" */
    char method[32];  /* "dmd", ... for students */
    double train_seconds,
        train_joules; /* spent to make it (pairs included for a student); joules -1: unknown */
    char energy_source[64];
    struct json_t *made; /* free-form record of how it was made (recipe); owned; may be NULL */
} ons_card;

typedef struct ons_int8 ons_int8;       /* int8.h */
typedef struct ons_drawing ons_drawing; /* draw_impl.h */

typedef struct ons_model {
    char *path;
    ons_unet_config unet_config;
    ons_vae_config vae_config;
    ons_clip_config clip_config;
    ons_params *unet, *vae, *clip; /* owned */
    ons_nn_adapter adapter;   /* low-rank change beside `unet`, not merged; its set is borrowed; rank 0: none */
    ons_tokenizer *tokenizer; /* owned */
    ons_schedule schedule;
    ons_int8 *int8;         /* scales for running in 8 bits; owned; NULL: none, int8 is not possible */
    bool prediction_stated; /* by the scheduler's config or by the caller; false: assumed from the kind of model
                             */
    ons_card card;
    ons_compute compute;  /* what it was opened to run with; zeroed: the defaults, in f32 */
    ons_drawing *drawing; /* what drawing with it keeps; owned; NULL: nothing yet */
    char sha256[65];      /* of the UNet's weights, once parameters were made; "": not yet, or not known */
} ons_model;

/* What a model is put together from; NULL: the model's own. */
typedef struct ons_model_sources {
    const char *model; /* pipeline folder or single file */
    const char *unet;  /* folder with weights (and config.json), a pipeline folder, or a file of weights */
    const char *vae;   /* the same for the autoencoder */
    const char *taesd; /* a tiny autoencoder in its place: a folder, or a file with its other half beside it;
                          excludes vae */
    const char *tokenizer;    /* folder; for single files, which have none inside */
    const char *const *loras; /* [n_loras] "FILE[:WEIGHT]", merged in order */
    int n_loras;
    bool no_packed; /* leave the model's packed weights alone */
    const ons_prediction
        *prediction;         /* what the network predicts, where the files do not tell or tell wrongly */
    const char *int8_scales; /* file, for running in 8 bits; NULL: where they belong (ons_int8_path) */
} ons_model_sources;

/* UNSUPPORTED says what a file is that is not a model; NOT_FOUND and BAD_FILE name the part or the tensor. */
onestep_status ons_model_assemble(const ons_model_sources *s, ons_model **out) ONESTEP_CHECK;
/*
 * The same for whoever runs it: what the network predicts is settled, and in I8 the model comes with its
 * scales, which are measured first where there are none yet. `c` (its defaults filled in) is what the model
 * draws with. BAD_ARGUMENT and UNSUPPORTED as ons_compute_resolve.
 */
onestep_status ons_model_open_to_run(const ons_model_sources *s, const ons_compute *c,
                                     ons_model **out) ONESTEP_CHECK;
/* The tokenizer that such a model would have, without opening anything else. */
onestep_status ons_model_open_tokenizer(const ons_model_sources *s, ons_tokenizer **out) ONESTEP_CHECK;
/* Where nobody stated what the network predicts: one evaluation tells noise from v. */
onestep_status ons_model_settle_prediction(ons_model *m, const ons_compute *c) ONESTEP_CHECK;
void ons_model_close(ons_model **m);
/*
 * Writes the whole folder (each file atomically, model_index.json last) with weights as `dtype` (F32, F16,
 * BF16). A student's scheduler becomes LCMScheduler. A README.md (model card) gives the diffusers call.
 */
onestep_status ons_model_save(const ons_model *m, const char *folder, ons_dtype dtype) ONESTEP_CHECK;
/* What a model without onestep.json is run with: the sampler of its scheduler's class; few steps and no
 * guidance for the known few-step models. */
void ons_card_assume(ons_model *m);
onestep_status ons_card_load(const char *path,
                             ons_card *out) ONESTEP_CHECK; /* defaults when the file is absent */
onestep_status ons_card_save(const ons_card *c, const char *path) ONESTEP_CHECK;

#endif
