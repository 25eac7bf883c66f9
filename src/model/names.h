/*
 * Other spellings of parameter names in files, for ons_params_map. A parameter's own name is diffusers'; beside
 * it there are the names of earlier and later versions of diffusers and transformers, and those of the original
 * code ("CompVis"), in which single-file checkpoints are published: with the part's prefix where a file holds
 * several parts, without where it holds one.
 */
#ifndef ONS_MODEL_NAMES_H
#define ONS_MODEL_NAMES_H

#include "model/model.h"

/* The spelling keeps the pointer to the config. */
ons_spelling ons_unet_spelling(const ons_unet_config *c);
ons_spelling ons_vae_spelling(const ons_vae_config *c);
ons_spelling ons_clip_spelling(void);

/* One name in the original code's words, without prefix; false: it has none. place->part tells q, k and v of
 * one tensor apart. */
bool ons_unet_original_name(const ons_unet_config *c, const char *name, ons_place_in_file *place);
bool ons_vae_original_name(const ons_vae_config *c, const char *name, ons_place_in_file *place);
/* OpenCLIP's */
bool ons_clip_original_name(const char *name, ons_place_in_file *place);

#endif
