/*
 * A feature network as a folder: config.json, model.safetensors, and the tokenizer's files when it has a text
 * tower.
 */
#ifndef ONS_MODEL_FEATURES_FOLDER_H
#define ONS_MODEL_FEATURES_FOLDER_H

#include "model/model.h"
#include "text/tokenizer.h"

typedef struct ons_features {
    ons_features_config config;
    ons_params *params;       /* owned */
    ons_tokenizer *tokenizer; /* owned; NULL: image tower alone */
} ons_features;

/* An untrained network: parameters declared and zero. The tokenizer is handed over when all went well. */
onestep_status ons_features_create(const ons_features_config *config, ons_tokenizer *tokenizer,
                                   ons_features **out) ONESTEP_CHECK;
onestep_status ons_features_open(const char *folder, ons_features **out) ONESTEP_CHECK;
/* Writes the folder (made if missing) with weights as `dtype` (F32, F16, BF16); config.json last, since it
 * makes the folder one. */
onestep_status ons_features_save(const ons_features *f, const char *folder, ons_dtype dtype) ONESTEP_CHECK;
void ons_features_close(ons_features **f);
/* Whether `folder` holds one. */
bool ons_features_present(const char *folder);

#endif
