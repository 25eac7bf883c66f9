/* JSON's values as the text that a field reads, but for texts, which are taken as they are, and switches. */
#include "io/field_json.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"

/* Numbers, and lists of numbers with commas between; "": something else. */
static void print_numbers(const json_t *v, char *text, size_t size)
{
    size_t used = 0;

    text[0] = 0;
    if (json_is_integer(v))
        snprintf(text, size, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(text, size, "%.17g", json_real_value(v));
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v) && used < size; i++) {
        const json_t *one = json_array_get(v, i);

        if (!json_is_integer(one)) {
            text[0] = 0;
            return;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "," : "",
                                 (long long)json_integer_value(one));
    }
}

static bool set_text(const ons_field *f, void *values, const json_t *v, char *why, size_t why_size)
{
    enum { DIGITS = 24 };
    const size_t size = DIGITS * (json_is_array(v) ? json_array_size(v) + 1 : 1);
    char *text = json_is_string(v) ? ons_strdup(json_string_value(v)) : ons_malloc(size);
    bool fits;

    if (!text) {
        snprintf(why, why_size, "no memory to read it");
        return false;
    }
    if (!json_is_string(v) && json_is_array(v) == (f->type == ONS_FIELD_LIST))
        print_numbers(v, text, size);
    else if (!json_is_string(v))
        text[0] = 0; /* which no number is */
    fits = ons_field_set(f, values, text, why, why_size);
    ons_free(text);
    return fits;
}

static bool set_flag(const ons_field *f, void *values, const json_t *v, char *why, size_t why_size)
{
    if (!json_is_boolean(v)) {
        snprintf(why, why_size, "true or false is expected");
        return false;
    }
    *(bool *)((char *)values + f->offset) = json_is_true(v);
    return true;
}

static bool set_value(const ons_field *f, void *values, const json_t *v, char *why, size_t why_size)
{
    const bool is_text = f->type == ONS_FIELD_TEXT || f->type == ONS_FIELD_TEXTS;

    if (f->type == ONS_FIELD_FLAG)
        return set_flag(f, values, v, why, why_size);
    if (!is_text)
        return set_text(f, values, v, why, why_size);
    if (json_is_string(v))
        return ons_field_set(f, values, json_string_value(v), why, why_size); /* which keeps the pointer */
    snprintf(why, why_size, "a text is expected");
    return false;
}

onestep_status ons_fields_read_json(const ons_field *table, void *values, const json_t *object,
                                    const char *what, void (*unknown)(void *user, const char *key), void *user)
{
    char why[256];
    const char *key;
    json_t *v;

    if (!json_is_object(object))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: an object of settings is expected, {\"steps\": 4, ...}",
                        what);
    json_object_foreach((json_t *)object, key, v)
    {
        const ons_field *f = ons_field_find(table, key, strlen(key));

        if (!f && !unknown)
            return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: there is no setting %s", what, key);
        if (!f)
            unknown(user, key);
        else if (!json_is_null(v) && !set_value(f, values, v, why, sizeof why))
            return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: %s: %s", what, key, why);
    }
    return ONESTEP_OK;
}
