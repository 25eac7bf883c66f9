/* Names within LoRA files; for src/model/lora*.c alone. */
#ifndef ONS_MODEL_LORA_NAMES_H
#define ONS_MODEL_LORA_NAMES_H

#include "io/safetensors.h"
#include "model/model.h"

enum { ONS_LORA_MAX_NAME = 400 };

/* A module of the file: both factors, what stands between them, and where the strength stands. */
typedef struct ons_lora_module {
    const ons_file_tensor *down, *up;
    const ons_file_tensor *mid;   /* NULL: none; of a convolution in three factors (LoCon) */
    const ons_file_tensor *alpha; /* NULL: none in a tensor of its own */
    char
        stem[ONS_LORA_MAX_NAME]; /* what the names have in common: "lora_unet_mid_block_attentions_0_proj_in" */
} ons_lora_module;

typedef enum ons_lora_role {
    ONS_LORA_DOWN,    /* with its up: the module is complete */
    ONS_LORA_ALONE,   /* a factor without the other */
    ONS_LORA_FOLLOWS, /* belongs to a module that another tensor stands for: an up, a mid, an alpha */
    ONS_LORA_STRANGE  /* nothing that is known */
} ons_lora_role;

/* What tensor `t` is within the file; `out` is filled for the first two. */
ons_lora_role ons_lora_role_of(const ons_safetensors *f, const ons_file_tensor *t, ons_lora_module *out);
/* The parameter that a module changes: which set (NULL: of neither), which index (-1: unknown). */
typedef struct ons_lora_target {
    ons_params *set;
    int index;
    bool text; /* the name is a text encoder's */
} ons_lora_target;
ons_lora_target ons_lora_find(const char *stem, const ons_unet_config *config, ons_params *unet,
                              ons_params *text);

#endif
