/* Names within LoRA files; for src/model/lora*.c alone. */
#ifndef ONS_MODEL_LORA_NAMES_H
#define ONS_MODEL_LORA_NAMES_H

#include "io/safetensors.h"
#include "model/model.h"

enum { ONS_LORA_MAX_NAME = 400 };

/* A module of the file: both factors, and where the strength stands. */
typedef struct ons_lora_module {
    const ons_file_tensor *down, *up, *alpha; /* alpha NULL: none in a tensor of its own */
    char stem[ONS_LORA_MAX_NAME];             /* what the three names have in common: "lora_unet_mid_block_attentions_0_proj_in" */
} ons_lora_module;

/*
 * Whether tensor `t` is the down factor of a module, with its up. *missing: it is an up whose down is not there, or the other way round.
 */
bool ons_lora_module_of(const ons_safetensors *f, const ons_file_tensor *t, ons_lora_module *out, bool *missing);
/* The parameter that a module changes: which set (NULL: of neither), which index (-1: unknown). */
typedef struct ons_lora_target {
    ons_params *set;
    int index;
    bool text; /* the name is a text encoder's */
} ons_lora_target;
ons_lora_target ons_lora_find(const char *stem, const ons_unet_config *config, ons_params *unet, ons_params *text);

#endif
