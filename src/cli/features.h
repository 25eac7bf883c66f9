/* Where eval and compare take their feature network from. */
#ifndef ONS_CLI_FEATURES_H
#define ONS_CLI_FEATURES_H

#include "cli/commands.h"
#include "eval/features.h"

/*
 * `given` (--features) if not NULL; else features/ in the model's folder or beside it; else one is trained and
 * not kept. `data` must be open with held-out pictures of `size` pixels.
 */
onestep_status cli_obtain_features(const char *given, const char *model, const ons_dataset *data, int size,
                                   const ons_compute *c, ons_features **out, double *trained_s) ONESTEP_CHECK;

#endif
