/*
 * What a file of weights is, by the tensors in it: files are passed around under any name, and the wrong one
 * should be told by what it is.
 */
#ifndef ONS_MODEL_RECOGNISE_H
#define ONS_MODEL_RECOGNISE_H

#include "io/safetensors.h"
#include "model/model.h"

typedef enum ons_weights_kind {
    ONS_WEIGHTS_UNKNOWN,
    ONS_WEIGHTS_CHECKPOINT,   /* UNet, autoencoder and text encoder of Stable Diffusion 1.x or 2.x in one file,
                                 original names */
    ONS_WEIGHTS_UNET,         /* a UNet of that kind alone, diffusers' or original names */
    ONS_WEIGHTS_VAE,          /* an AutoencoderKL alone */
    ONS_WEIGHTS_TINY_VAE,     /* an AutoencoderTiny, or its decoder alone */
    ONS_WEIGHTS_TINY_ENCODER, /* the other half of that */
    ONS_WEIGHTS_TEXT,         /* a CLIP text encoder alone */
    ONS_WEIGHTS_LORA,
    ONS_WEIGHTS_FOREIGN /* an architecture that onestep does not run */
} ons_weights_kind;

/* *description: a static phrase such as "SDXL, which has two text encoders". */
ons_weights_kind ons_weights_recognise(const ons_safetensors *f, const char **description);
/* UNSUPPORTED with what the file is, what was expected, and the way out; OK when it is of `expected`. */
onestep_status ons_weights_expect(const ons_safetensors *f, ons_weights_kind expected) ONESTEP_CHECK;

/*
 * Configurations from a single file's tensors: widths, depths, attention from names and shapes; what shapes do
 * not tell (heads, groups, activation, scaling factor) is that of Stable Diffusion 1.x, or 2.x where
 * projections are linear. BAD_FILE names the tensor that would be needed.
 */
onestep_status ons_unet_config_infer(const ons_safetensors *f, ons_unet_config *out) ONESTEP_CHECK;
onestep_status ons_vae_config_infer(const ons_safetensors *f, ons_vae_config *out) ONESTEP_CHECK;
/* A tiny autoencoder from its tensors: both halves under diffusers' names, or the decoder alone under its
 * author's. */
onestep_status ons_tiny_vae_config_infer(const ons_safetensors *f, ons_vae_config *out) ONESTEP_CHECK;
/* Adds the encoder that its author publishes in a file of its own to a decoder's configuration. */
void ons_tiny_vae_config_add_encoder(const ons_safetensors *f, ons_vae_config *c);
onestep_status ons_clip_config_infer(const ons_safetensors *f, ons_clip_config *out) ONESTEP_CHECK;

#endif
