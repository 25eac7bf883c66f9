/*
 * Settings as tables. A field is one value of a struct: its name, what it holds, where it lies, its range, its
 * default and what it means. The command line's options and their help, JSON objects (io/field_json.h) and the
 * C API's list of settings all read such rows, so that a setting is described once.
 */
#ifndef ONS_BASE_FIELD_H
#define ONS_BASE_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ONS_FIELD_MAX_LIST = 1000, ONS_FIELD_MAX_TEXTS = 32 };

typedef struct ons_int_list {
    int n;
    int values[ONS_FIELD_MAX_LIST];
} ons_int_list;

typedef struct ons_texts {
    int n;
    const char *values[ONS_FIELD_MAX_TEXTS]; /* borrowed */
} ons_texts;

typedef struct ons_seed {
    bool random; /* -1 was asked for */
    uint64_t value;
} ons_seed;

typedef enum ons_field_type {
    ONS_FIELD_FLAG,   /* bool; as text any value sets it */
    ONS_FIELD_INT,    /* int within [min, max] */
    ONS_FIELD_U64,    /* uint64_t, any */
    ONS_FIELD_REAL,   /* double within [min, max] */
    ONS_FIELD_TEXT,   /* const char *, borrowed from what it was read from */
    ONS_FIELD_CHOICE, /* int: index into `choices`, names separated by | */
    ONS_FIELD_LIST,   /* ons_int_list of comma separated ints within [min, max] */
    ONS_FIELD_SEED,   /* ons_seed: -1 or an unsigned 64-bit number */
    ONS_FIELD_TEXTS,  /* ons_texts: may be given several times */
    ONS_FIELD_SIZE    /* size_t, bytes: a number with K, M or G */
} ons_field_type;

/* A table ends with a row without a name. */
typedef struct ons_field {
    char letter; /* on the command line; 0: none */
    const char *name;
    ons_field_type type;
    size_t offset;      /* of the value in its struct */
    double min, max;    /* numbers; both 0: any */
    const char *preset; /* default as it would be typed; NULL: zero, empty, or decided later as the help says */
    const char *unit;   /* what stands for the value in help: "FILE"; NULL: by type */
    const char *choices; /* ONS_FIELD_CHOICE */
    const char *help;
    bool required;
    const char *synonym;        /* another name, as other programs have it; NULL: none */
    const char *(*names)(void); /* texts that it takes, from their own table, for the help; NULL: any */
} ons_field;

/* Parses `text` into the field's value in `values`; false and a reason (what was expected) in why[]. */
bool ons_field_set(const ons_field *f, void *values, const char *text, char *why, size_t why_size);
size_t ons_field_size(const ons_field *f); /* bytes of its value */
/* Does a number fit the field's range? As above. */
bool ons_field_fits(const ons_field *f, double value, char *why, size_t why_size);
/* Fills in the table's defaults; false: one does not parse, *wrong is its row. */
bool ons_fields_preset(const ons_field *table, void *values, const ons_field **wrong, char *why,
                       size_t why_size);
/* The field of that name or synonym of `length` bytes, `-` and `_` being the same; NULL: there is none. */
const ons_field *ons_field_find(const ons_field *table, const char *name, size_t length);
/* The name among `choices` (names separated by |) at an index; static buffer of the caller. */
void ons_choice_name(const char *choices, int index, char *name, size_t size);
/* "FILE", "N", "f32|bf16": what stands for the value; "" for a flag. */
const char *ons_field_word(const ons_field *f);

#endif
