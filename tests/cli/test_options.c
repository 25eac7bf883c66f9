/* The option parser, and what is printed from the tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

typedef struct shared_values {
    int threads;
    bool verbose, quiet;
} shared_values;

typedef struct values {
    const char *name;
    int count, kind;
    double scale;
    uint64_t big;
    ons_seed seed;
    ons_int_list list;
    shared_values shared;
} values;

static const ons_field own[] = {
    {'n', "name", ONS_FIELD_TEXT, offsetof(values, name), .help = "a name"},
    {'c', "count", ONS_FIELD_INT, offsetof(values, count), .min = 1, .max = 9, .preset = "3",
     .help = "how many"},
    {0, "kind", ONS_FIELD_CHOICE, offsetof(values, kind), .choices = "red|green|blue", .preset = "green",
     .help = "which"},
    {0, "scale", ONS_FIELD_REAL, offsetof(values, scale), .max = 100, .help = "how much"},
    {0, "big", ONS_FIELD_U64, offsetof(values, big), .help = "a big one"},
    {'s', "seed", ONS_FIELD_SEED, offsetof(values, seed), .preset = "-1", .help = "seed"},
    {0, "list", ONS_FIELD_LIST, offsetof(values, list), .max = 999, .help = "several"},
    {0},
};
static const ons_field shared[] = {
    {'t', "threads", ONS_FIELD_INT, offsetof(shared_values, threads), .help = "threads"},
    {'v', "verbose", ONS_FIELD_FLAG, offsetof(shared_values, verbose), .help = "more"},
    {'q', "quiet", ONS_FIELD_FLAG, offsetof(shared_values, quiet), .help = "less"},
    {0},
};
static const cli_group groups[] = {
    {.options = own}, {.title = "Shared", .options = shared, .offset = offsetof(values, shared)}, {0}};
static const cli_command command = {
    .name = "try", .summary = "tries", .groups = groups, .max_operands = 1, .values_size = sizeof(values)};

static values parsed;
static cli_call call;

/* Splits at blanks and parses. */
static int parse(const char *line)
{
    static char copy[512];
    static char *argv[32];
    char *rest = NULL;
    int argc = 0;

    call = (cli_call){.values = &parsed};
    strcpy(copy, line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return cli_parse(&command, argc, argv, &call);
}

static void presets_fill_what_is_not_given(void **state)
{
    (void)state;
    assert_int_equal(parse(""), 0);
    assert_int_equal(parsed.count, 3);
    assert_int_equal(parsed.kind, 1);
    assert_true(parsed.seed.random);
    assert_null(parsed.name);
    assert_false(cli_given(&call, "count"));
}

static void every_form_of_an_option_is_understood(void **state)
{
    static const char *const forms[] = {"--count 7", "--count=7", "-c 7", "-c7", "-vqc7", "-v -c 7 -q"};

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        assert_int_equal(parse(forms[i]), 0);
        assert_int_equal(parsed.count, 7);
        assert_true(cli_given(&call, "count"));
    }
    assert_true(parsed.shared.verbose && parsed.shared.quiet);
}

static void values_are_converted(void **state)
{
    (void)state;
    assert_int_equal(
        parse("--kind blue --scale 2.5 --big 18446744073709551615 -s 42 --list 999,7,0 -n -x file"), 0);
    assert_int_equal(parsed.kind, 2);
    assert_true(parsed.scale == 2.5);
    assert_true(parsed.big == UINT64_MAX);
    assert_false(parsed.seed.random);
    assert_int_equal(parsed.seed.value, 42);
    assert_int_equal(parsed.list.n, 3);
    assert_int_equal(parsed.list.values[0], 999);
    assert_int_equal(parsed.list.values[2], 0);
    assert_string_equal(parsed.name, "-x");
    assert_int_equal(call.n_operands, 1);
    assert_string_equal(call.operands[0], "file");
    assert_int_equal(parse("-- -v"), 0);
    assert_string_equal(call.operands[0], "-v");
    assert_false(parsed.shared.verbose);
    assert_int_equal(parse("-s -1"), 0);
    assert_true(parsed.seed.random);
}

static void wrong_lines_are_refused(void **state)
{
    static const char *const lines[] = {"--cuont 3",   "-x",
                                        "--count",     "--count ten",
                                        "--count 0",   "--count 10",
                                        "--count=",    "--kind pink",
                                        "--kind gre",  "--scale 1e999",
                                        "--scale nan", "--scale -1",
                                        "--big -1",    "--big 18446744073709551616",
                                        "--seed -2",   "--list 1,,2",
                                        "--list 1000", "--list 1,",
                                        "--verbose=1", "one two",
                                        "--count 7x",  "--big 1.5"};

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (parse(lines[i]) != CLI_USAGE)
            fail_msg("\"%s\" was taken", lines[i]);
}

static char *printed(void (*print)(FILE *))
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    print(f);
    fclose(f);
    return text;
}

static const cli_command *const all[] = {&command, NULL};

static void print_help(FILE *f)
{
    cli_print_help(&command, f);
}

static void print_man(FILE *f)
{
    cli_print_man(all, f);
}

static void print_completion(FILE *f)
{
    cli_print_completion(all, f);
}

static void tables_feed_help_manual_and_completion(void **state)
{
    void (*const printers[])(FILE *) = {print_help, print_completion, print_man};

    (void)state;
    for (size_t p = 0; p < 3; p++) {
        char *text = printed(printers[p]);

        for (const cli_group *g = groups; g->options; g++)
            for (const ons_field *o = g->options; o->name; o++)
                assert_non_null(strstr(text, o->name));
        for (const char *line = text; p == 0 && *line; line = strchr(line, '\n') + 1)
            assert_true(strcspn(line, "\n") <= 80);
        free(text);
    }
}

static void near_names_are_suggested(void **state)
{
    static const char *const names[] = {"prompt", "prompts", "steps"};

    (void)state;
    assert_string_equal(cli_nearest("promt", names, 3), "prompt");
    assert_string_equal(cli_nearest("step=4", names, 3), "steps");
    assert_null(cli_nearest("guidance", names, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_fill_what_is_not_given),
        cmocka_unit_test(every_form_of_an_option_is_understood),
        cmocka_unit_test(values_are_converted),
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(tables_feed_help_manual_and_completion),
        cmocka_unit_test(near_names_are_suggested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
