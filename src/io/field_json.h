/* Settings out of JSON objects, by the rows that the command line reads as well. */
#ifndef ONS_IO_FIELD_JSON_H
#define ONS_IO_FIELD_JSON_H

#include <jansson.h>

#include "base/field.h"
#include "base/status.h"

/*
 * Every key of `object` into the table's value of that name or synonym (`-` and `_` are the same); null leaves
 * it as it is. Texts are borrowed from `object`. BAD_ARGUMENT names `what`, the key, and what was expected;
 * keys that are no setting go to `unknown` (NULL: they are refused).
 */
onestep_status ons_fields_read_json(const ons_field *table, void *values, const json_t *object,
                                    const char *what, void (*unknown)(void *user, const char *key),
                                    void *user) ONESTEP_CHECK;

#endif
