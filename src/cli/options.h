/*
 * The command line as tables. A command is a row: name, what it does, groups of options, what follows them. An
 * option is a row: letter, name, type, where its value goes, range, default, help. The parser, --help, the man
 * page and the shell completion all read these rows.
 *
 * A group is a list of options over its own struct, so that commands share groups (threads and verbosity, long
 * runs, sampling) by holding that struct at some offset of theirs.
 */
#ifndef ONS_CLI_OPTIONS_H
#define ONS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CLI_MAX_LIST = 1000, CLI_MAX_OPTIONS = 96, CLI_MAX_TEXTS = 32 };

typedef struct cli_int_list {
    int n;
    int values[CLI_MAX_LIST];
} cli_int_list;

typedef struct cli_texts {
    int n;
    const char *values[CLI_MAX_TEXTS]; /* point into argv */
} cli_texts;

typedef struct cli_seed {
    bool random; /* -1 was asked for */
    uint64_t value;
} cli_seed;

typedef enum cli_type {
    CLI_FLAG,   /* bool, takes no value */
    CLI_INT,    /* int within [min, max] */
    CLI_U64,    /* uint64_t, any */
    CLI_REAL,   /* double within [min, max] */
    CLI_TEXT,   /* const char *, points into argv */
    CLI_CHOICE, /* int: index into `choices`, names separated by | */
    CLI_LIST,   /* cli_int_list of comma separated ints within [min, max] */
    CLI_SEED,   /* cli_seed: -1 or an unsigned 64-bit number */
    CLI_TEXTS,  /* cli_texts: may be given several times */
    CLI_SIZE    /* size_t, bytes: a number with K, M or G */
} cli_type;

typedef struct cli_option {
    char letter; /* 0: none */
    const char *name;
    cli_type type;
    size_t offset;   /* of the value in the group's struct */
    double min, max; /* numbers; both 0: any */
    const char
        *preset; /* default as it would be typed; NULL: zero, empty, or decided at run time as the help says */
    const char *unit;    /* what stands for the value in help: "FILE"; NULL: by type */
    const char *choices; /* CLI_CHOICE */
    const char *help;
    bool required;
    const char *synonym; /* another long name, as other programs have it; NULL: none */
} cli_option;

typedef struct cli_group {
    const char *title;         /* NULL: "Options" */
    const cli_option *options; /* ended by a row without a name */
    size_t offset;             /* of the group's struct in the command's */
} cli_group;

typedef struct cli_call cli_call;

typedef struct cli_command {
    const char *name, *summary;
    const char *details;  /* paragraphs for help and man page; may be NULL */
    const char *operands; /* "PATH", "[PATH]"; NULL: none */
    int min_operands, max_operands;
    const cli_group *groups;          /* ended by a row without options */
    size_t values_size;               /* of the struct that takes the values */
    int (*run)(const cli_call *call); /* returns the exit code */
    bool hidden;
    const char *optional; /* a required option of a shared group that this command can do without; NULL: none */
} cli_command;

/* One parsed command line. */
struct cli_call {
    const cli_command *command;
    void *values; /* the command's struct, zeroed, presets and arguments filled in */
    const cli_option *given[CLI_MAX_OPTIONS];
    int n_given;
    char *const *operands;
    int n_operands;
    bool wants_help;
};

/* Exit codes. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

/*
 * Parses the arguments after the command's name. argv is reordered: operands come to the front. 0, or CLI_USAGE
 * with one message on stderr. call->values must point to values_size bytes.
 */
int cli_parse(const cli_command *command, int argc, char **argv, cli_call *call);
/* Whether the user gave the option, by long name. */
bool cli_given(const cli_call *call, const char *name);
bool cli_is_required(const cli_command *c, const cli_option *o);
/* Prints "onestep COMMAND: message; see ... --help" and returns CLI_USAGE. */
int cli_usage(const cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Parses `text` into the value of an option; false and a reason (what was expected) in why[]. */
bool cli_set_value(const cli_option *o, void *group_values, const char *text, char *why, size_t why_size);
/* The name among `choices` (n_choices names separated by |) at an index; static buffer of the caller. */
void cli_choice_name(const char *choices, int index, char *name, size_t size);

/* "FILE", "N", "f32|bf16": what stands for the value; "" for a flag. */
const char *cli_value_word(const cli_option *o);
/* The known name that is nearest to a mistyped one; NULL: none is near. */
const char *cli_nearest(const char *typed, const char *const *names, int n);

/* Help of one command, of all of them; the man page (troff) and the bash completion of the whole program. */
void cli_print_help(const cli_command *command, FILE *f);
void cli_print_overview(const cli_command *const *commands, FILE *f);
void cli_print_man(const cli_command *const *commands, FILE *f);
void cli_print_completion(const cli_command *const *commands, FILE *f);

#endif
