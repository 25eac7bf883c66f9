/* Thin helpers over Jansson: whole files in and out, and typed fields with the file and key named in every
 * error. */
#ifndef ONS_IO_JSON_H
#define ONS_IO_JSON_H

#include <jansson.h>

#include "base/status.h"

/* Duplicate keys and deep nesting are errors; at most 256 MB. *out is a new reference. */
onestep_status ons_json_load(const char *path, json_t **out) ONESTEP_CHECK;
/* From memory; `what` stands for the file in messages. */
onestep_status ons_json_parse(const char *text, size_t size, const char *what, json_t **out) ONESTEP_CHECK;
/* As json_dumps, but safe when memory runs out: NULL then. ons_free. */
char *ons_json_dump(const json_t *root, size_t flags);
/* Indented, written atomically. */
onestep_status ons_json_save(const json_t *root, const char *path) ONESTEP_CHECK;

/* Absent or null key: the preset. Wrong type or out of [min, max]: BAD_FILE naming `what`, key, value. */
onestep_status ons_json_int(const json_t *obj, const char *what, const char *key, int preset, int min, int max,
                            int *out) ONESTEP_CHECK;
onestep_status ons_json_real(const json_t *obj, const char *what, const char *key, double preset,
                             double *out) ONESTEP_CHECK;
onestep_status ons_json_bool(const json_t *obj, const char *what, const char *key, bool preset,
                             bool *out) ONESTEP_CHECK;
/* Borrowed text, or `preset` (may be NULL). */
onestep_status ons_json_text(const json_t *obj, const char *what, const char *key, const char *preset,
                             const char **out) ONESTEP_CHECK;

#endif
