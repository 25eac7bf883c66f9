/* Reading config.json with words: what the config readers share. Private to model. */
#ifndef ONS_MODEL_CONFIG_H
#define ONS_MODEL_CONFIG_H

#include "io/json.h"
#include "model/model.h"

/* A whole number, or a list of n of them; `preset` where absent. */
onestep_status ons_config_ints(const json_t *root, const char *what, const char *key, int n, int preset,
                               int *out) ONESTEP_CHECK;
/* A whole number in [min, max], or a list of equal ones (diffusers allows one per level): UNSUPPORTED when they
 * differ. */
onestep_status ons_config_same_int(const json_t *root, const char *what, const char *key, int preset, int min,
                                   int max, int *out) ONESTEP_CHECK;
/* Every entry of a list, if there is one, must be `name`. */
onestep_status ons_config_all(const json_t *root, const char *what, const char *key,
                              const char *name) ONESTEP_CHECK;
/* The widths per level: a list of 1 to ONS_MAX_LEVELS positive numbers. */
onestep_status ons_config_widths(const json_t *root, const char *what, const char *key, int *n,
                                 int *out) ONESTEP_CHECK;
/* UNSUPPORTED when the key has a value other than null and `expected` (JSON text such as "null", "false",
 * "\"silu\""). */
onestep_status ons_config_expect(const json_t *root, const char *what, const char *key,
                                 const char *expected) ONESTEP_CHECK;
/* The class or model type must be one of the names (NULL-ended), when stated. */
onestep_status ons_config_class(const json_t *root, const char *what, const char *key,
                                const char *const *names) ONESTEP_CHECK;
/* A text encoder's configuration from and to an object; the latter is a new reference, NULL: no memory. */
onestep_status ons_clip_config_read(const json_t *root, const char *what, ons_clip_config *out) ONESTEP_CHECK;
json_t *ons_clip_config_json(const ons_clip_config *c);

#endif
