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

#include <stdio.h>

#include "base/field.h"

enum { CLI_MAX_OPTIONS = 96 };

typedef struct cli_group {
    const char *title;        /* NULL: "Options" */
    const ons_field *options; /* ended by a row without a name */
    size_t offset;            /* of the group's struct in the command's */
    const char *const *only;  /* names of the rows that are options here, ended by NULL; NULL: all */
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
    const ons_field *given[CLI_MAX_OPTIONS];
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
/* The group's first option at or after `at`; NULL: no more. Loops begin with g->options, then go on from at
 * + 1. */
const ons_field *cli_next_option(const cli_group *g, const ons_field *at);
/* Whether the user gave the option, by long name. */
bool cli_given(const cli_call *call, const char *name);
bool cli_is_required(const cli_command *c, const ons_field *o);
/* Prints "onestep COMMAND: message; see ... --help" and returns CLI_USAGE. */
int cli_usage(const cli_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The known name that is nearest to a mistyped one; NULL: none is near. */
const char *cli_nearest(const char *typed, const char *const *names, int n);

/* Help of one command, of all of them; the man page (troff) and the bash completion of the whole program. */
void cli_print_help(const cli_command *command, FILE *f);
void cli_print_overview(const cli_command *const *commands, FILE *f);
void cli_print_man(const cli_command *const *commands, FILE *f);
void cli_print_completion(const cli_command *const *commands, FILE *f);

#endif
