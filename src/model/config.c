/* Every message names the file, the key and what was found. */
#include "model/config.h"

#include <stdlib.h>
#include <string.h>

onestep_status ons_config_ints(const json_t *root, const char *what, const char *key, int n, int preset,
                               int *out)
{
    const json_t *v = json_object_get(root, key);

    for (int i = 0; i < n; i++) {
        const json_t *item = json_is_array(v) ? json_array_get(v, (size_t)i) : v;

        out[i] = preset;
        if (!v || json_is_null(v))
            continue;
        if (!json_is_integer(item) || json_integer_value(item) < 0 || json_integer_value(item) > 1 << 20)
            return ons_fail(ONESTEP_BAD_FILE, "%s: %s should be a whole number, or a list of %d", what, key, n);
        out[i] = (int)json_integer_value(item);
    }
    if (json_is_array(v) && json_array_size(v) != (size_t)n)
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s has %zu entries for %d levels", what, key, json_array_size(v),
                        n);
    return ONESTEP_OK;
}

onestep_status ons_config_same_int(const json_t *root, const char *what, const char *key, int preset, int min,
                                   int max, int *out)
{
    const json_t *v = json_object_get(root, key), *first = json_array_get(v, 0);
    json_t *single;
    onestep_status st;

    if (!json_is_array(v) || !first)
        return ons_json_int(root, what, key, preset, min, max, out);
    for (size_t i = 1; i < json_array_size(v); i++)
        if (!json_equal(first, json_array_get(v, i)))
            return ons_fail(ONESTEP_UNSUPPORTED, "%s: the entries of %s differ; equal ones are supported", what,
                            key);
    single = json_pack("{s:O}", key, first);
    st = ons_json_int(single, what, key, preset, min, max, out);
    json_decref(single);
    return st;
}

onestep_status ons_config_all(const json_t *root, const char *what, const char *key, const char *name)
{
    const json_t *list = json_object_get(root, key);

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *found = json_string_value(json_array_get(list, i));

        if (!found || strcmp(found, name))
            return ons_fail(ONESTEP_UNSUPPORTED, "%s: %s has %s, only %s is supported", what, key,
                            found ? found : "no name", name);
    }
    return ONESTEP_OK;
}

onestep_status ons_config_widths(const json_t *root, const char *what, const char *key, int *n, int *out)
{
    const json_t *v = json_object_get(root, key);

    if (!json_is_array(v) || json_array_size(v) < 1 || json_array_size(v) > ONS_MAX_LEVELS)
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s should be a list of 1 to %d widths", what, key,
                        ONS_MAX_LEVELS);
    *n = (int)json_array_size(v);
    for (int i = 0; i < *n; i++) {
        const json_t *item = json_array_get(v, (size_t)i);

        if (!json_is_integer(item) || json_integer_value(item) < 1 || json_integer_value(item) > 1 << 16)
            return ons_fail(ONESTEP_BAD_FILE, "%s: %s holds something that is no width", what, key);
        out[i] = (int)json_integer_value(item);
    }
    return ONESTEP_OK;
}

onestep_status ons_config_expect(const json_t *root, const char *what, const char *key, const char *expected)
{
    const json_t *v = json_object_get(root, key);
    json_t *want = json_loads(expected, JSON_DECODE_ANY, NULL);
    bool same = !v || json_is_null(v) || json_equal(v, want);
    char *found = same ? NULL : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    onestep_status st = same ? ONESTEP_OK
                             : ons_fail(ONESTEP_UNSUPPORTED, "%s: %s is %.80s, only %s is supported", what, key,
                                        found ? found : "?", expected);

    free(found);
    json_decref(want);
    return st;
}

onestep_status ons_config_class(const json_t *root, const char *what, const char *key, const char *const *names)
{
    const json_t *v = json_object_get(root, key);
    const char *found = json_string_value(json_is_array(v) ? json_array_get(v, 0) : v);

    if (!found)
        return ONESTEP_OK;
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], found))
            return ONESTEP_OK;
    return ons_fail(ONESTEP_UNSUPPORTED, "%s: this is a %s, expected %s", what, found, names[0]);
}
