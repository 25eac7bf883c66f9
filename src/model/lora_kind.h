/* What a LoRA file is for; for src/model/lora*.c alone. */
#ifndef ONS_MODEL_LORA_KIND_H
#define ONS_MODEL_LORA_KIND_H

#include "io/safetensors.h"
#include "model/model.h"

/* UNSUPPORTED: no LoRA at all, another kind of change (LoHa, LoKr, DoRA, …), or made for another architecture
 * than `config`. */
onestep_status ons_lora_check_kind(const ons_safetensors *f, const ons_unet_config *config) ONESTEP_CHECK;
/* UNSUPPORTED, for a change that stands in settings instead of tensors. */
onestep_status ons_lora_refuse_kind(const char *path, const char *kind, const char *where) ONESTEP_CHECK;

#endif
