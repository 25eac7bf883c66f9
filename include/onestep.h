/*
 * onestep: one-step image generation, the public C interface.
 *
 * Everything here is prefixed onestep_ or ONESTEP_. Handles are opaque: made through an out-parameter,
 * closed through a pointer to the pointer. Functions that can fail return onestep_status; the message for
 * the calling thread's last failure is onestep_error_text(). A NULL where something is needed, and values that
 * an enumeration does not have, are answered with ONESTEP_BAD_ARGUMENT.
 *
 * Structs that a caller fills in begin with their size, set by their init function: fields may be added at the
 * end, and programs compiled before go on as they were.
 *
 * Nothing is printed: messages go to the function given to onestep_set_log, if any. examples/ has programs.
 */
#ifndef ONESTEP_H
#define ONESTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ONESTEP_API __attribute__((visibility("default")))
#define ONESTEP_CHECK __attribute__((warn_unused_result))
#else
#define ONESTEP_API
#define ONESTEP_CHECK
#endif

#define ONESTEP_VERSION_MAJOR 0
#define ONESTEP_VERSION_MINOR 2
#define ONESTEP_VERSION_PATCH 0

typedef enum onestep_status {
    ONESTEP_OK = 0,
    ONESTEP_BAD_ARGUMENT, /* the caller asked for something that makes no sense */
    ONESTEP_NOT_FOUND,    /* a file, tensor or setting is missing */
    ONESTEP_BAD_FILE,     /* a file is damaged, lies, or is of another kind */
    ONESTEP_IO,           /* reading or writing failed (full disk, permissions) */
    ONESTEP_NO_MEMORY,    /* does not fit */
    ONESTEP_UNSUPPORTED,  /* understood, but this build or machine cannot do it */
    ONESTEP_INTERRUPTED,  /* the caller asked to stop */
    ONESTEP_INTERNAL      /* a bug in onestep */
} onestep_status;

/* Version of the library as "major.minor.patch"; static storage. */
ONESTEP_API const char *onestep_version(void);

/* Message of the last failure in this thread; never NULL, valid until the next call in this thread. */
ONESTEP_API const char *onestep_error_text(void);

/* Short name of a status ("bad file"); static storage. */
ONESTEP_API const char *onestep_status_name(onestep_status status);

/*
 * Messages: warnings (a scheduler that is drawn by its nearest relative), what is going on (files that are not
 * used and why), details. `log` is called from whatever thread has something to say, one message at a time,
 * without a newline; NULL: nobody is told, as at the start. Messages above `most` are left out. For the whole
 * process.
 */
typedef enum onestep_log_level {
    ONESTEP_LOG_WARNING = 1,
    ONESTEP_LOG_INFO,
    ONESTEP_LOG_DETAIL
} onestep_log_level;
typedef void (*onestep_log)(void *user, onestep_log_level level, const char *text);
ONESTEP_API void onestep_set_log(onestep_log log, void *user, onestep_log_level most);

/*
 * Pipelines. Threads may share one: pictures are made one request at a time, others wait.
 *
 *   onestep_pipeline *p = NULL;
 *   onestep_image *image = NULL;
 *   onestep_params params;
 *   onestep_params_init(&params, sizeof params);
 *   params.prompt = "a red heart";
 *   if (onestep_pipeline_open("models/emoji/student", NULL, &p) == ONESTEP_OK &&
 *       onestep_pipeline_generate(p, &params, &image) == ONESTEP_OK)
 *       use(image->rgb, image->width, image->height);
 *   onestep_image_free(&image);
 *   onestep_pipeline_close(&p);
 */
typedef struct onestep_pipeline onestep_pipeline;

typedef enum onestep_type {
    ONESTEP_TYPE_AUTO = 0, /* f32 or bf16, the faster one that this CPU has natively */
    ONESTEP_TYPE_F32,
    ONESTEP_TYPE_BF16,
    ONESTEP_TYPE_INT8 /* bf16 with products of 8-bit numbers, with the scales that `onestep calibrate` measured
                       */
} onestep_type;

typedef enum onestep_prediction {
    ONESTEP_PREDICTION_AUTO = 0, /* as the files say, else measured */
    ONESTEP_PREDICTION_EPSILON,
    ONESTEP_PREDICTION_V
} onestep_prediction;

typedef struct onestep_options {
    size_t size;              /* sizeof(onestep_options), set by onestep_options_init */
    int n_threads;            /* 0: one per physical core */
    onestep_type type;        /* of the arithmetic */
    size_t max_memory;        /* bytes for weights and buffers; 0: what can be had without swapping */
    const char *unet;         /* folder or file: this part from there; NULL: the model's own */
    const char *vae, *taesd;  /* the autoencoder, or a tiny one in its place; not both */
    const char *tokenizer;    /* folder, for checkpoints in one file */
    const char *const *loras; /* [n_loras] "FILE[:STRENGTH]", merged in order */
    int n_loras;
    onestep_prediction prediction; /* what the network predicts */
    const char *int8_scales;       /* file; NULL: where onestep calibrate keeps them */
} onestep_options;
/* Every default. `size` is sizeof *options of the caller. */
ONESTEP_API void onestep_options_init(onestep_options *options, size_t size);

/*
 * Open a pipeline folder in diffusers' layout (model_index.json and the folders it names), or a Stable
 * Diffusion checkpoint in one safetensors file. Weights are read when they are needed. `path` is the folder or
 * file; options NULL: all defaults; *out is the new pipeline, owned by the caller, NULL on failure. Returns
 * ONESTEP_OK, _BAD_ARGUMENT, _NOT_FOUND, _BAD_FILE, _UNSUPPORTED, _IO or _NO_MEMORY; onestep_error_text() has
 * the details.
 */
ONESTEP_API ONESTEP_CHECK onestep_status onestep_pipeline_open(const char *path, const onestep_options *options,
                                                               onestep_pipeline **out);
ONESTEP_API void onestep_pipeline_close(onestep_pipeline **p); /* accepts NULL and &NULL; leaves *p NULL */

/* What the model is drawn with where a request does not say. */
typedef struct onestep_defaults {
    size_t size;       /* sizeof(onestep_defaults), set by the caller */
    int width, height; /* pixels that it was trained for */
    int multiple;      /* that both sides must be a multiple of */
    int steps;
    double guidance;     /* 1: off */
    const char *sampler; /* valid while the pipeline is open */
    bool one_step;       /* a student: one step, guidance built in */
    bool takes_picture;  /* image to image is possible */
} onestep_defaults;
ONESTEP_API ONESTEP_CHECK onestep_status onestep_pipeline_defaults(const onestep_pipeline *p,
                                                                   onestep_defaults *out);

typedef enum onestep_noise {
    ONESTEP_NOISE_PHILOX = 0, /* counter based, the same on every machine */
    ONESTEP_NOISE_TORCH       /* what torch.randn gives on a CPU for the seed */
} onestep_noise;

/*
 * Asks what is in work to end: from any thread, or a signal handler. A request that was given the token ends
 * with ONESTEP_INTERRUPTED between two operators of the network; until it is cleared, so does every later one.
 */
typedef struct onestep_cancel onestep_cancel;
ONESTEP_API ONESTEP_CHECK onestep_status onestep_cancel_create(onestep_cancel **out);
ONESTEP_API void onestep_cancel_ask(onestep_cancel *cancel);      /* accepts NULL */
ONESTEP_API void onestep_cancel_clear(onestep_cancel *cancel);    /* accepts NULL */
ONESTEP_API void onestep_cancel_destroy(onestep_cancel **cancel); /* accepts NULL and &NULL */

/* To be filled by onestep_params_init first. Ranges and meanings as onestep_setting_at tells. */
typedef struct onestep_params {
    size_t size;          /* sizeof(onestep_params), set by onestep_params_init */
    const char *prompt;   /* UTF-8; what does not fit the model's context is left out */
    const char *negative; /* NULL: none; matters with guidance only */
    int width, height;    /* 0: the model's own */
    int steps;            /* 0: the model's own */
    const int *timesteps; /* NULL: the model's own; else [steps], descending */
    double guidance;      /* < 0: the model's own; 0 and 1: off */
    const char *sampler;  /* NULL: the model's own; see onestep_sampler_name */
    uint64_t seed;        /* of the first picture; picture i has seed + i */
    onestep_noise noise;
    int count;      /* pictures, 1 to 4096 */
    int batch_size; /* of them computed together; 0: by size */
    bool tiling;    /* decode tile by tile, whatever memory there is */
    const uint8_t
        *init; /* image to image: [init_height, init_width, 3] to begin with, cropped and scaled; NULL: none */
    int init_width, init_height;
    double strength; /* of image to image, in (0, 1]: the part of the steps that is taken */
    /* All in the calling thread; NULL: none. Network evaluations done, of all; false stops
     * (ONESTEP_INTERRUPTED). */
    bool (*progress)(void *user, int evaluation, int n_evaluations);
    /* A setting that has no effect with this model, or is known to do harm. */
    void (*note)(void *user, const char *text);
    /* After every preview_every-th evaluation of a batch but its last: pictures [first, first + n) as they
     * would become, rgb [n, height, width, 3]. Each costs a decoding. */
    void (*preview)(void *user, int first, int n, const uint8_t *rgb);
    int preview_every;
    void *user;
    const onestep_cancel *cancel; /* NULL: nobody cancels */
} onestep_params;
/* Every default. `size` is sizeof *params of the caller. */
ONESTEP_API void onestep_params_init(onestep_params *params, size_t size);

typedef struct onestep_image {
    int width, height, count;
    uint8_t *rgb;  /* [count, height, width, 3] */
    uint64_t seed; /* of the first */
    double seconds;
    int n_evaluations; /* of the network, guidance counted twice */
} onestep_image;

/* Makes `count` pictures of one prompt. *out is owned by the caller; NULL on failure. */
ONESTEP_API ONESTEP_CHECK onestep_status onestep_pipeline_generate(onestep_pipeline *p,
                                                                   const onestep_params *params,
                                                                   onestep_image **out);
ONESTEP_API void onestep_image_free(onestep_image **image); /* accepts NULL and &NULL */
/*
 * Picture `index` as PNG, with its settings inside as the command line writes them: into a file (temporary
 * name, synced, renamed), or in memory: *png is released with onestep_free.
 */
ONESTEP_API ONESTEP_CHECK onestep_status onestep_image_save(const onestep_image *image, int index,
                                                            const char *path);
ONESTEP_API ONESTEP_CHECK onestep_status onestep_image_encode(const onestep_image *image, int index,
                                                              uint8_t **png, size_t *size);
ONESTEP_API void onestep_free(void *memory); /* accepts NULL */

/* Names of samplers; NULL for an index past the last. Static storage. */
ONESTEP_API const char *onestep_sampler_name(int index);

/* What a request can set, from the table that the command line reads as well. Static storage. */
typedef struct onestep_setting {
    size_t size;         /* sizeof(onestep_setting), set by the caller */
    const char *name;    /* "cfg-scale" */
    const char *synonym; /* "guidance-scale"; NULL: none */
    const char *value;   /* what it takes: "N", "X", "TEXT", "philox|torch"; "": on or off */
    double min, max;     /* both 0: any */
    const char *preset;  /* default; NULL: the model's own, or none */
    const char *help;
} onestep_setting;
/* NOT_FOUND: an index past the last. */
ONESTEP_API ONESTEP_CHECK onestep_status onestep_setting_at(int index, onestep_setting *out);

#ifdef __cplusplus
}
#endif
#endif
