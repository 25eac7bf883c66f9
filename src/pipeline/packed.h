/* A model's packed weights in a file beside it: FOLDER/packed.safetensors, or NAME.packed.safetensors beside
 * NAME.safetensors. */
#ifndef ONS_PIPELINE_PACKED_H
#define ONS_PIPELINE_PACKED_H

#include "pipeline/runner.h"

/*
 * Writes the packed copies that one picture of the runner's options takes, with guidance and without where the
 * model is used with it. `m` as it was opened, without LoRAs (BAD_ARGUMENT). *path (ons_free) and *bytes tell
 * what was written.
 */
onestep_status ons_model_write_packed(ons_model *m, const ons_runner_options *o, char **path,
                                      size_t *bytes) ONESTEP_CHECK;

#endif
