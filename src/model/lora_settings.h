/* Strengths that stand beside a LoRA's tensors; for src/model/lora*.c alone. */
#ifndef ONS_MODEL_LORA_SETTINGS_H
#define ONS_MODEL_LORA_SETTINGS_H

#include "io/safetensors.h"

typedef struct ons_lora_settings {
    struct json_t *root; /* NULL: none */
    bool prefixed;       /* "unet.lora_alpha" and "text_encoder.lora_alpha" instead of "lora_alpha" */
    char *path;          /* for messages */
} ons_lora_settings;

/*
 * The settings of FILE: in its metadata, as diffusers saves them, else in adapter_config.json beside it, as
 * PEFT does. None is fine. UNSUPPORTED: they ask for DoRA; BAD_FILE: damaged. End with fini in any case.
 */
onestep_status ons_lora_settings_read(const ons_safetensors *f, ons_lora_settings *out) ONESTEP_CHECK;
void ons_lora_settings_fini(ons_lora_settings *s);
/* The alpha of a module, named as in the model (with or without ".weight"), into *alpha, which stays where they
 * state none. */
onestep_status ons_lora_settings_alpha(const ons_lora_settings *s, bool text, const char *module,
                                       double *alpha) ONESTEP_CHECK;
/* Whether alpha is divided by the root of the rank (rsLoRA) instead of the rank. */
bool ons_lora_settings_root(const ons_lora_settings *s, bool text);

#endif
