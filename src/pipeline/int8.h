/*
 * Scales for running a model in 8 bits: per layer the range of its first operand, measured once ("calibrated")
 * on pictures at the timesteps that the model is sampled at, and kept in int8.json (docs/formats.md). Weights
 * need none: their scales are computed while they are packed.
 */
#ifndef ONS_PIPELINE_INT8_H
#define ONS_PIPELINE_INT8_H

#include "pipeline/folder.h"

enum { ONS_INT8_VERSION = 1 };

/* Networks of a model that run in 8 bits; a model has one of the two decoders. */
typedef enum ons_int8_part {
    ONS_INT8_UNET,
    ONS_INT8_DECODER,
    ONS_INT8_TINY_DECODER,
    ONS_INT8_PARTS
} ons_int8_part;
extern const char *const ons_int8_part_names[ONS_INT8_PARTS]; /* as in the file */
ons_int8_part ons_int8_decoder_of(const ons_model *m);

typedef struct ons_int8_layer {
    char *layer;  /* path, owned */
    double scale; /* a number q of 0..255 stands for scale * (q - zero) */
    int zero;
    double error; /* what 8 bits did to the layer's result, relative to it (root mean square); negative: not
                     measured */
    bool keep;    /* runs in bf16 all the same */
} ons_int8_layer;

typedef struct ons_int8_network {
    ons_int8_layer *layers; /* [n], sorted by layer */
    int n;                  /* 0 where nothing is wide enough */
    bool known;             /* it was measured */
} ons_int8_network;

struct ons_int8 {
    char *source; /* file, or what stands for it in messages; owned */
    ons_int8_network parts[ONS_INT8_PARTS];
    ons_layer_scale *rows[ONS_INT8_PARTS]; /* what plans read; made by ons_int8_settle */
    ons_scales scales[ONS_INT8_PARTS];
};

/* BAD_FILE: of another version, not the JSON that it should be, a scale that is none. */
onestep_status ons_int8_load(const char *path, ons_int8 **out) ONESTEP_CHECK;
onestep_status ons_int8_parse(const char *text, size_t size, const char *what, ons_int8 **out) ONESTEP_CHECK;
/* Written atomically. Parts that `s` lacks are taken over from the file that is there, if it can be read. */
onestep_status ons_int8_save(const ons_int8 *s, const char *path) ONESTEP_CHECK;
void ons_int8_destroy(ons_int8 **s); /* accepts NULL and &NULL */
/* Sorts the layers and makes what plans read; after every change of parts. */
onestep_status ons_int8_settle(ons_int8 *s) ONESTEP_CHECK;
/* Are there scales of the UNet, and of the decoder that the model has? BAD_FILE names what is missing and what
 * to do. */
onestep_status ons_int8_check(const ons_int8 *s, const ons_model *m) ONESTEP_CHECK;

typedef struct ons_calibration {
    int width, height;   /* 0: the model's own */
    ons_compute compute; /* its type is no matter: bf16, and 8 bits beside it */
    int steps;           /* of the sampler; 0: the model's own */
    int count;           /* pictures whose ranges are taken; one more is drawn to measure errors */
    double keep_error;   /* layers whose error is above it stay bf16 */
    double keep; /* in [0, 1]: part of the UNet's work that stays bf16, in the layers where 8 bits spoil the
                    latents most; above 0 it takes an evaluation of small latents per layer to find them */
    bool (*progress)(void *user, int done, int total); /* false stops; may be NULL */
    void *user;
} ons_calibration;
/*
 * Draws pictures in bf16 with the model's own settings but for the steps; errors are measured with one.
 * NO_MEMORY as ons_runner_run; weights are packed in bf16 and in 8 bits meanwhile, and stay so with the model.
 */
onestep_status ons_int8_calibrate(ons_model *m, const ons_calibration *o, ons_int8 **out) ONESTEP_CHECK;
/* The same with a progress line in place of o->progress; Ctrl-C stops it. */
onestep_status ons_int8_calibrate_shown(ons_model *m, const ons_calibration *o, ons_int8 **out) ONESTEP_CHECK;
char *ons_int8_path(const char *model); /* where a model's scales belong; NULL: no memory; ons_free */

#endif
