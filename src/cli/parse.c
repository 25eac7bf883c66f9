/*
 * The parser: "--name value", "--name=value", "-n value", "-nvalue", combined flags "-vq", and "--" before
 * operands.
 *
 * Rejected: getopt_long, which permits abbreviations (a script that uses one breaks when an option is added)
 * and words its own messages. A value may begin with a dash ("-s -1", "-o -").
 */
#include "cli/options.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

typedef struct found_option {
    const ons_field *option; /* NULL: unknown */
    void *values;
} found_option;

int cli_usage(const cli_command *command, const char *format, ...)
{
    const char *name = command ? command->name : "";
    va_list args;

    fprintf(stderr, "onestep%s%s: ", command ? " " : "", name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nSee: onestep %s%s--help\n", name, command ? " " : "");
    return CLI_USAGE;
}

static bool is_listed(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

const ons_field *cli_next_option(const cli_group *g, const ons_field *at)
{
    for (; at->name; at++)
        if (!g->only || is_listed(g->only, at->name))
            return at;
    return NULL;
}

static bool is_called(const char *own, const char *name, size_t length)
{
    return own && strlen(own) == length && strncmp(own, name, length) == 0;
}

static found_option find_option(const cli_call *call, char letter, const char *name, size_t length)
{
    for (const cli_group *g = call->command->groups; g->options; g++)
        for (const ons_field *o = cli_next_option(g, g->options); o; o = cli_next_option(g, o + 1))
            if (letter ? o->letter == letter
                       : is_called(o->name, name, length) || is_called(o->synonym, name, length))
                return (found_option){o, (char *)call->values + g->offset};
    return (found_option){0};
}

bool cli_given(const cli_call *call, const char *name)
{
    for (int i = 0; i < call->n_given; i++)
        if (strcmp(call->given[i]->name, name) == 0)
            return true;
    return false;
}

static int set_presets(cli_call *call)
{
    const ons_field *wrong;
    char why[256];

    memset(call->values, 0, call->command->values_size);
    for (const cli_group *g = call->command->groups; g->options; g++)
        if (!ons_fields_preset(g->options, (char *)call->values + g->offset, &wrong, why, sizeof why))
            return cli_usage(call->command, "the default of --%s does not parse: %s", wrong->name, why);
    return 0;
}

static int unknown_option(const cli_call *call, const char *typed)
{
    const char *names[CLI_MAX_OPTIONS], *nearest;
    int n = 0;

    for (const cli_group *g = call->command->groups; g->options; g++)
        for (const ons_field *o = cli_next_option(g, g->options); o && n < CLI_MAX_OPTIONS;
             o = cli_next_option(g, o + 1))
            names[n++] = o->name;
    nearest = typed[1] == '-' ? cli_nearest(typed + 2, names, n) : NULL;
    if (nearest)
        return cli_usage(call->command, "unknown option %.*s; did you mean --%s?", (int)strcspn(typed, "="),
                         typed, nearest);
    return cli_usage(call->command, "unknown option %.*s", (int)strcspn(typed, "="), typed);
}

static int take(cli_call *call, found_option f, const char *shown, const char *value)
{
    char why[256];

    if (!ons_field_set(f.option, f.values, value, why, sizeof why))
        return cli_usage(call->command, "%s %s: %s", shown, value, why);
    if (!cli_given(call, f.option->name) && call->n_given < CLI_MAX_OPTIONS)
        call->given[call->n_given++] = f.option;
    return 0;
}

/* "--name", "--name=value" or "--name value"; *i moves past a value of its own. */
static int parse_long(cli_call *call, int argc, char **argv, int *i)
{
    const char *arg = argv[*i], *equals = strchr(arg, '='), *value = equals ? equals + 1 : NULL;
    char shown[128];
    found_option f;

    if (strcmp(arg, "--help") == 0) {
        call->wants_help = true;
        return 0;
    }
    f = find_option(call, 0, arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2));
    if (!f.option)
        return unknown_option(call, arg);
    snprintf(shown, sizeof shown, "--%s", f.option->name);
    if (f.option->type == ONS_FIELD_FLAG)
        return value ? cli_usage(call->command, "%s takes no value", shown) : take(call, f, shown, "");
    if (!value) {
        if (*i + 1 >= argc)
            return cli_usage(call->command, "%s needs a value (%s)", shown, ons_field_word(f.option));
        value = argv[++*i];
    }
    return take(call, f, shown, value);
}

/* "-v", "-vq", "-s42" or "-s 42". */
static int parse_short(cli_call *call, int argc, char **argv, int *i)
{
    for (const char *c = argv[*i] + 1; *c; c++) {
        const char shown[3] = {'-', *c, 0};
        found_option f = find_option(call, *c, NULL, 0);
        int code;

        if (*c == 'h' && !f.option) {
            call->wants_help = true;
            continue;
        }
        if (!f.option)
            return unknown_option(call, shown);
        if (f.option->type != ONS_FIELD_FLAG) {
            if (!c[1] && *i + 1 >= argc)
                return cli_usage(call->command, "%s needs a value (%s)", shown, ons_field_word(f.option));
            return take(call, f, shown, c[1] ? c + 1 : argv[++*i]);
        }
        code = take(call, f, shown, "");
        if (code)
            return code;
    }
    return 0;
}

bool cli_is_required(const cli_command *c, const ons_field *o)
{
    return o->required && !(c->optional && strcmp(c->optional, o->name) == 0);
}

static int check_complete(const cli_call *call)
{
    const cli_command *c = call->command;

    for (const cli_group *g = c->groups; g->options; g++)
        for (const ons_field *o = cli_next_option(g, g->options); o; o = cli_next_option(g, o + 1))
            if (cli_is_required(c, o) && !cli_given(call, o->name))
                return cli_usage(c, "%.*s--%s %s is missing: %s", o->letter ? 4 : 0,
                                 (char[]){'-', o->letter, ',', ' ', 0}, o->name, ons_field_word(o), o->help);
    if (call->n_operands > c->max_operands)
        return cli_usage(c, "unexpected argument \"%s\"", call->operands[c->max_operands]);
    if (call->n_operands < c->min_operands)
        return cli_usage(c, "%s is missing", c->operands);
    return 0;
}

int cli_parse(const cli_command *command, int argc, char **argv, cli_call *call)
{
    void *values = call->values;
    int code, n = 0;
    bool only_operands = false;

    *call = (cli_call){.command = command, .values = values, .operands = argv};
    code = set_presets(call);
    for (int i = 0; i < argc && code == 0; i++) {
        char *arg = argv[i];

        if (!only_operands && strcmp(arg, "--") == 0)
            only_operands = true;
        else if (!only_operands && arg[0] == '-' && arg[1] == '-')
            code = parse_long(call, argc, argv, &i);
        else if (!only_operands && arg[0] == '-' && arg[1])
            code = parse_short(call, argc, argv, &i);
        else
            argv[n++] = arg; /* n <= i: nothing unread is overwritten */
    }
    call->n_operands = n;
    if (code == 0 && !call->wants_help)
        code = check_complete(call);
    return code;
}

/* Levenshtein distance, capped by the row length; option names are short. */
static int distance(const char *a, const char *b)
{
    int row[64], n = (int)strlen(b);

    if (n >= 64)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];

        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *typed, const char *const *names, int n)
{
    const char *best = NULL;
    char word[64];
    int best_distance = 3;

    snprintf(word, sizeof word, "%.*s", (int)strcspn(typed, "="), typed);
    for (int i = 0; i < n; i++) {
        const int d = distance(word, names[i]);

        if (d < best_distance && d < (int)strlen(names[i])) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
