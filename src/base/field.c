/* Text -> the value of a field, with the reason when it does not fit. One small reader per type. */
#include "base/field.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef bool (*value_reader)(const ons_field *o, void *dst, const char *text, char *why, size_t size);

bool ons_field_fits(const ons_field *o, double v, char *why, size_t size)
{
    if ((o->min == 0 && o->max == 0) || (v >= o->min && v <= o->max))
        return true;
    snprintf(why, size, "must lie between %.10g and %.10g", o->min, o->max);
    return false;
}

static bool read_long(const char *text, char end_at, long *v, const char **rest)
{
    char *end;

    errno = 0;
    *v = strtol(text, &end, 10);
    *rest = end;
    return end != text && errno == 0 && (*end == 0 || *end == end_at) && *v >= INT_MIN && *v <= INT_MAX;
}

static bool read_flag(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    (void)o;
    (void)text;
    (void)why;
    (void)size;
    *(bool *)dst = true;
    return true;
}

static bool read_int(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    const char *rest;
    long v;

    if (!read_long(text, 0, &v, &rest)) {
        snprintf(why, size, "a whole number is expected");
        return false;
    }
    *(int *)dst = (int)v;
    return ons_field_fits(o, (double)v, why, size);
}

static bool read_u64(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    unsigned long long v;
    char *end;

    (void)o;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (end == text || *end || errno || strchr(text, '-')) {
        snprintf(why, size, "a number from 0 to 18446744073709551615 is expected");
        return false;
    }
    *(uint64_t *)dst = v;
    return true;
}

static bool read_seed(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    ons_seed *seed = dst;

    seed->random = strcmp(text, "-1") == 0;
    return seed->random || read_u64(o, &seed->value, text, why, size);
}

static bool read_real(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    char *end;
    const double v = strtod(text, &end);

    if (end == text || *end || !isfinite(v)) {
        snprintf(why, size, "a number is expected");
        return false;
    }
    *(double *)dst = v;
    return ons_field_fits(o, v, why, size);
}

/* Powers of 1000, as disks and memory are sold; without a letter nobody knows what was meant. */
static bool read_size(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    static const char letters[] = "KMG";
    char *end;
    const double v = strtod(text, &end);
    const char *letter = end != text && *end ? strchr(letters, *end & ~0x20) : NULL;
    double factor = 1;

    (void)o;
    for (const char *p = letters; letter && p <= letter; p++)
        factor *= 1000;
    if (!letter || end[1] || !isfinite(v) || v <= 0 || v * factor > 1e15) {
        snprintf(why, size, "a size such as 1.5G or 900M is expected");
        return false;
    }
    *(size_t *)dst = (size_t)(v * factor);
    return true;
}

static bool read_text(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    (void)o;
    (void)why;
    (void)size;
    *(const char **)dst = text;
    return true;
}

static bool read_texts(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    ons_texts *list = dst;

    (void)o;
    if (list->n == ONS_FIELD_MAX_TEXTS) {
        snprintf(why, size, "at most %d of these are possible", ONS_FIELD_MAX_TEXTS);
        return false;
    }
    list->values[list->n++] = text;
    return true;
}

static bool read_choice(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    const char *name = o->choices;

    for (int i = 0;; i++) {
        const size_t length = strcspn(name, "|");

        if (strlen(text) == length && strncmp(name, text, length) == 0) {
            *(int *)dst = i;
            return true;
        }
        if (!name[length])
            break;
        name += length + 1;
    }
    snprintf(why, size, "must be one of %s", o->choices);
    return false;
}

static bool read_list(const ons_field *o, void *dst, const char *text, char *why, size_t size)
{
    ons_int_list *list = dst;
    const char *rest = text;

    list->n = 0;
    for (;;) {
        long v;

        if (list->n == ONS_FIELD_MAX_LIST || !read_long(rest, ',', &v, &rest)) {
            snprintf(why, size, "a list of at most %d whole numbers with commas between is expected",
                     ONS_FIELD_MAX_LIST);
            return false;
        }
        if (!ons_field_fits(o, (double)v, why, size))
            return false;
        list->values[list->n++] = (int)v;
        if (!*rest)
            return true;
        rest++;
    }
}

bool ons_field_set(const ons_field *o, void *values, const char *text, char *why, size_t why_size)
{
    static const value_reader readers[] = {
        [ONS_FIELD_FLAG] = read_flag,  [ONS_FIELD_INT] = read_int,   [ONS_FIELD_U64] = read_u64,
        [ONS_FIELD_REAL] = read_real,  [ONS_FIELD_TEXT] = read_text, [ONS_FIELD_CHOICE] = read_choice,
        [ONS_FIELD_LIST] = read_list,  [ONS_FIELD_SEED] = read_seed, [ONS_FIELD_SIZE] = read_size,
        [ONS_FIELD_TEXTS] = read_texts};

    return readers[o->type](o, (char *)values + o->offset, text, why, why_size);
}

bool ons_fields_preset(const ons_field *table, void *values, const ons_field **wrong, char *why,
                       size_t why_size)
{
    for (const ons_field *f = table; f->name; f++)
        if (f->preset && !ons_field_set(f, values, f->preset, why, why_size)) {
            *wrong = f;
            return false;
        }
    return true;
}

size_t ons_field_size(const ons_field *f)
{
    static const size_t sizes[] = {[ONS_FIELD_FLAG] = sizeof(bool),         [ONS_FIELD_INT] = sizeof(int),
                                   [ONS_FIELD_U64] = sizeof(uint64_t),      [ONS_FIELD_REAL] = sizeof(double),
                                   [ONS_FIELD_TEXT] = sizeof(const char *), [ONS_FIELD_CHOICE] = sizeof(int),
                                   [ONS_FIELD_LIST] = sizeof(ons_int_list), [ONS_FIELD_SEED] = sizeof(ons_seed),
                                   [ONS_FIELD_TEXTS] = sizeof(ons_texts),   [ONS_FIELD_SIZE] = sizeof(size_t)};

    return sizes[f->type];
}

static bool is_called(const char *own, const char *name, size_t length)
{
    if (!own || strlen(own) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (own[i] != name[i] && !(own[i] == '-' && name[i] == '_'))
            return false;
    return true;
}

const ons_field *ons_field_find(const ons_field *table, const char *name, size_t length)
{
    for (const ons_field *f = table; f->name; f++)
        if (is_called(f->name, name, length) || is_called(f->synonym, name, length))
            return f;
    return NULL;
}

void ons_choice_name(const char *choices, int index, char *name, size_t size)
{
    while (index-- > 0)
        choices += strcspn(choices, "|") + 1;
    snprintf(name, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

const char *ons_field_word(const ons_field *o)
{
    static const char *const words[] = {
        [ONS_FIELD_FLAG] = "",        [ONS_FIELD_INT] = "N",     [ONS_FIELD_U64] = "N",
        [ONS_FIELD_REAL] = "X",       [ONS_FIELD_TEXT] = "TEXT", [ONS_FIELD_CHOICE] = "",
        [ONS_FIELD_LIST] = "N,N,...", [ONS_FIELD_SEED] = "N",    [ONS_FIELD_SIZE] = "SIZE",
        [ONS_FIELD_TEXTS] = "TEXT"};

    if (o->unit)
        return o->unit;
    return o->type == ONS_FIELD_CHOICE ? o->choices : words[o->type];
}
