/*
 * LoRA files (Hu et al. 2021): changes of low rank to another model's weights, W + w (alpha / rank) up down, as
 * fine-tunings and one-step students are passed around. Read under Kohya's names (lora_unet_…, lora_te_…, also
 * with the original code's module names), PEFT's and diffusers' (unet.….lora_A.weight) and those of early
 * diffusers (….processor.to_q_lora.down.weight), for linear layers and convolutions.
 */
#ifndef ONS_MODEL_LORA_H
#define ONS_MODEL_LORA_H

#include "model/model.h"

typedef struct ons_lora_report {
    int n_unet, n_text; /* weights that were changed */
    int n_unknown;      /* modules of the file that the model does not have */
    int n_strange;      /* tensors of the file that are no factors */
} ons_lora_report;

/*
 * Merges a file, or the file in a folder as PEFT and diffusers save it, into the sets with `weight` (any
 * number; 1 is the LoRA as it was trained). `text` may be NULL: its part is left out. UNSUPPORTED: not a LoRA,
 * another kind (LoHa, LoKr, DoRA), another architecture; BAD_FILE: shapes that do not fit (both are named), an
 * up without its down. What the model does not have, where the rest fits, is told in a warning.
 */
onestep_status ons_lora_merge(const char *path, double weight, const ons_unet_config *config, ons_params *unet,
                              ons_params *text, ons_lora_report *report) ONESTEP_CHECK;

/* "FILE[:WEIGHT]" taken apart: *path is the caller's to free with ons_free; weight 1 where none is given. A
 * file whose name holds a colon is found. */
onestep_status ons_lora_parse(const char *text, char **path, double *weight) ONESTEP_CHECK;

#endif
