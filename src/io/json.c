/* Jansson bounds the nesting depth by itself; what is added here is words. */
#include "io/json.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"

onestep_status ons_json_parse(const char *text, size_t size, const char *what, json_t **out)
{
    json_error_t error;

    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (*out)
        return ONESTEP_OK;
    if (!error.text[0] || json_error_code(&error) == json_error_out_of_memory)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to read it", what);
    return ons_fail(ONESTEP_BAD_FILE, "%s: not valid JSON, line %d: %s", what, error.line, error.text);
}

onestep_status ons_json_load(const char *path, json_t **out)
{
    char *text = NULL;
    size_t size;
    onestep_status st = ons_read_file(path, (size_t)256 << 20, &text, &size);

    *out = NULL;
    if (st == ONESTEP_OK)
        st = ons_json_parse(text, size, path, out);
    ons_free(text);
    return st;
}

/* Into a buffer of our own: where json_dumps cannot grow its buffer it may leave out a key and carry on. */
char *ons_json_dump(const json_t *root, size_t flags)
{
    size_t size = json_dumpb(root, NULL, 0, flags);
    char *text = size ? ons_malloc(size + 1) : NULL;

    if (!text)
        return NULL;
    if (json_dumpb(root, text, size, flags) != size) {
        ons_free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

onestep_status ons_json_save(const json_t *root, const char *path)
{
    char *text = ons_json_dump(root, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    onestep_status st;

    if (!text)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    st = ons_write_file(path, text, strlen(text));
    ons_free(text);
    return st;
}

static const json_t *field(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);

    return json_is_null(v) ? NULL : v;
}

onestep_status ons_json_int(const json_t *obj, const char *what, const char *key, int preset, int min, int max,
                            int *out)
{
    const json_t *v = field(obj, key);

    *out = preset;
    if (!v)
        return ONESTEP_OK;
    if (!json_is_integer(v))
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s should be a whole number", what, key);
    if (json_integer_value(v) < min || json_integer_value(v) > max)
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s is %lld, expected %d to %d", what, key,
                        (long long)json_integer_value(v), min, max);
    *out = (int)json_integer_value(v);
    return ONESTEP_OK;
}

onestep_status ons_json_real(const json_t *obj, const char *what, const char *key, double preset, double *out)
{
    const json_t *v = field(obj, key);

    *out = v ? json_number_value(v) : preset;
    return !v || json_is_number(v) ? ONESTEP_OK
                                   : ons_fail(ONESTEP_BAD_FILE, "%s: %s should be a number", what, key);
}

onestep_status ons_json_bool(const json_t *obj, const char *what, const char *key, bool preset, bool *out)
{
    const json_t *v = field(obj, key);

    *out = v ? json_is_true(v) : preset;
    return !v || json_is_boolean(v) ? ONESTEP_OK
                                    : ons_fail(ONESTEP_BAD_FILE, "%s: %s should be true or false", what, key);
}

onestep_status ons_json_text(const json_t *obj, const char *what, const char *key, const char *preset,
                             const char **out)
{
    const json_t *v = field(obj, key);

    *out = v ? json_string_value(v) : preset;
    return !v || json_is_string(v) ? ONESTEP_OK
                                   : ons_fail(ONESTEP_BAD_FILE, "%s: %s should be a text", what, key);
}
