/*
 * onestep: one-step image generation, the public C interface.
 *
 * Everything here is prefixed onestep_ or ONESTEP_. Handles are opaque: made through an out-parameter,
 * closed through a pointer to the pointer. Functions that can fail return onestep_status; the message for
 * the calling thread's last failure is onestep_error_text().
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

typedef enum onestep_status {
    ONESTEP_OK = 0,
    ONESTEP_BAD_ARGUMENT, /* the caller asked for something that makes no sense */
    ONESTEP_NOT_FOUND,    /* a file, tensor or setting is missing */
    ONESTEP_BAD_FILE,     /* a file is damaged, lies, or is of another kind */
    ONESTEP_IO,           /* reading or writing failed (full disk, permissions) */
    ONESTEP_NO_MEMORY,    /* does not fit */
    ONESTEP_UNSUPPORTED,  /* understood, but this build or machine cannot do it */
    ONESTEP_INTERRUPTED,  /* the caller or Ctrl-C asked to stop */
    ONESTEP_INTERNAL      /* a bug in onestep */
} onestep_status;

/* Version of the library as "major.minor.patch"; static storage. */
ONESTEP_API const char *onestep_version(void);

/* Message of the last failure in this thread; never NULL, valid until the next call in this thread. */
ONESTEP_API const char *onestep_error_text(void);

/* Short name of a status ("bad file"); static storage. */
ONESTEP_API const char *onestep_status_name(onestep_status status);

/*
 * Pipelines. A pipeline is used by one thread at a time; several pipelines may be used by several threads.
 *
 *   onestep_pipeline *p = NULL;
 *   onestep_image *image = NULL;
 *   onestep_params params;
 *   onestep_params_init(&params);
 *   params.prompt = "a red heart";
 *   if (onestep_pipeline_open("models/emoji/student", NULL, &p) == ONESTEP_OK &&
 *       onestep_pipeline_generate(p, &params, &image) == ONESTEP_OK)
 *       use(image->rgb, image->width, image->height);
 *   onestep_image_free(&image);
 *   onestep_pipeline_close(&p);
 */
typedef struct onestep_pipeline onestep_pipeline;

typedef enum onestep_type {
    ONESTEP_TYPE_AUTO = 0, /* the faster of the two that this CPU has natively */
    ONESTEP_TYPE_F32,
    ONESTEP_TYPE_BF16
} onestep_type;

typedef struct onestep_options {
    int n_threads;     /* 0: one per physical core */
    onestep_type type; /* of the arithmetic */
} onestep_options;

/*
 * Open a pipeline folder in diffusers' layout (model_index.json and the folders it names) and read its weights.
 *   path     the folder          options  NULL: all defaults
 *   out      the new pipeline, owned by the caller; NULL on failure
 * Returns ONESTEP_OK, _NOT_FOUND, _BAD_FILE, _UNSUPPORTED, _IO or _NO_MEMORY; onestep_error_text() has the
 * details.
 */
ONESTEP_API ONESTEP_CHECK onestep_status onestep_pipeline_open(const char *path, const onestep_options *options,
                                                               onestep_pipeline **out);
ONESTEP_API void onestep_pipeline_close(onestep_pipeline **p); /* accepts NULL and &NULL; leaves *p NULL */

/* Size in pixels that the model was trained for, and the number that both sides must be a multiple of. */
ONESTEP_API void onestep_pipeline_size(const onestep_pipeline *p, int *width, int *height, int *multiple);

typedef enum onestep_noise {
    ONESTEP_NOISE_PHILOX = 0, /* counter based, the same on every machine */
    ONESTEP_NOISE_TORCH       /* what torch.randn gives on a CPU for the seed */
} onestep_noise;

/* To be filled by onestep_params_init first: fields may be added. */
typedef struct onestep_params {
    const char *prompt;   /* UTF-8; what does not fit the model's context is left out */
    const char *negative; /* NULL: none; matters with guidance only */
    int width, height;    /* 0: the model's own */
    int steps;            /* 0: the model's own */
    const int *timesteps; /* NULL: the model's own; else [steps], descending */
    double guidance;      /* < 0: the model's own; 0 and 1: off */
    const char
        *sampler;  /* NULL: the model's own; "ddim", "plms", "euler", "euler_a", "heun", "dpm++2m", "lcm" */
    uint64_t seed; /* of the first picture; picture i has seed + i */
    onestep_noise noise;
    int count; /* pictures computed together, 1 to 4096 */
    /* Called after every network evaluation in the calling thread; false stops (ONESTEP_INTERRUPTED). NULL:
     * none. */
    bool (*progress)(void *user, int step, int n_steps);
    void *user;
} onestep_params;
ONESTEP_API void onestep_params_init(onestep_params *params);

typedef struct onestep_image {
    int width, height, count;
    uint8_t *rgb;  /* [count, height, width, 3] */
    uint64_t seed; /* of the first */
    double seconds;
} onestep_image;

/* Makes `count` pictures of one prompt. *out is owned by the caller; NULL on failure. */
ONESTEP_API ONESTEP_CHECK onestep_status onestep_pipeline_generate(onestep_pipeline *p,
                                                                   const onestep_params *params,
                                                                   onestep_image **out);
ONESTEP_API void onestep_image_free(onestep_image **image); /* accepts NULL and &NULL */
/* Writes picture `index` as PNG. */
ONESTEP_API ONESTEP_CHECK onestep_status onestep_image_save(const onestep_image *image, int index,
                                                            const char *path);

#ifdef __cplusplus
}
#endif
#endif
