/* Opening models: what folders and single files hand to the common end. For the pipeline's open*.c files alone.
 */
#ifndef ONS_PIPELINE_OPEN_IMPL_H
#define ONS_PIPELINE_OPEN_IMPL_H

#include "io/safetensors.h"
#include "pipeline/folder.h"

/* Where the weights of the three parts are; one file may be several. */
typedef struct ons_part_files {
    ons_safetensors *unet, *vae, *clip;
    ons_safetensors *vae_encoder; /* NULL: in vae, or there is none */
} ons_part_files;

/* Fill in configs, schedule, card and tokenizer, and open the files of the parts that `s` does not replace. */
onestep_status ons_model_from_folder(ons_model *m, const ons_model_sources *s,
                                     ons_part_files *files) ONESTEP_CHECK;
onestep_status ons_model_from_checkpoint(ons_model *m, const ons_model_sources *s,
                                         ons_part_files *files) ONESTEP_CHECK;

/* NOT_FOUND or UNSUPPORTED: says what a path without model_index.json is instead of a pipeline folder. */
onestep_status ons_refuse_folder(const char *folder) ONESTEP_CHECK;

/* Takes packed weights from the model's packed file where there is one and it fits; says why not otherwise
 * (packed.c). */
void ons_model_use_packed(ons_model *m, const ons_model_sources *s);

/* Reads the config at `path` into the struct that it fills. */
typedef onestep_status (*ons_config_reader)(const char *path, void *config);
onestep_status ons_read_unet_config(const char *path, void *config) ONESTEP_CHECK;
onestep_status ons_read_vae_config(const char *path, void *config) ONESTEP_CHECK;

#endif
