/* What the program says and returns when it is asked wrongly, and its help. No model is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

static void nothing_to_do_is_a_usage_error(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, NULL);
    expect(&r, 2, "Commands:");
    assert_int_equal(r.out_size, 0);
    free_run(&r);
}

static void commands_and_options_are_checked(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "genrate", NULL);
    expect(&r, 2, "did you mean \"generate\"");
    run_program(&r, "--frobnicate", NULL);
    expect(&r, 2, "--frobnicate");
    run_program(&r, "generate", "--promt", "a cat", NULL);
    expect(&r, 2, "did you mean --prompt?");
    run_program(&r, "generate", "-p", "a cat", NULL);
    expect(&r, 2, "--model");
    run_program(&r, "generate", "-m", "x", NULL);
    expect(&r, 2, "--prompts");
    run_program(&r, "generate", "-m", "x", "-p", "a", "--prompts", "b", NULL);
    expect(&r, 2, "exclude");
    run_program(&r, "generate", "-m", "x", "-p", "a", "--steps", "0", NULL);
    expect(&r, 2, "between 1 and 1000");
    run_program(&r, "generate", "-m", "x", "-p", "a", "--steps", "2", "--timesteps", "999", NULL);
    expect(&r, 2, "contradict");
    run_program(&r, "generate", "-m", "x", "-p", "a", "--type", "f64", NULL);
    expect(&r, 2, "auto|f32|bf16");
    run_program(&r, "generate", "-m", "x", "-p", "a", "-b", "3", NULL);
    expect(&r, 2, "folder");
    run_program(&r, "generate", "-m", "x", "-p", "a", "-b", "3", "-o", "-", NULL);
    expect(&r, 2, "one picture");
    run_program(&r, "generate", "-m", "x", "-p", "a", "--json", "-o", "-", NULL);
    expect(&r, 2, "standard output");
    run_program(&r, "dataset", "faces", "-o", "x", NULL);
    expect(&r, 2, "emoji");
    run_program(&r, "dataset", "-o", "x", NULL);
    expect(&r, 2, "emoji");
    run_program(&r, "info", NULL);
    expect(&r, 2, "PATH");
    run_program(&r, "info", "--tokens", "a", NULL);
    expect(&r, 2, "-m");
    free_run(&r);
}

static void missing_files_are_failures(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "info", "/nonexistent/model", NULL);
    expect(&r, 1, "/nonexistent/model");
    run_program(&r, "generate", "-m", "/nonexistent/model", "-p", "a", "-o", "/tmp/never.png", NULL);
    expect(&r, 1, "/nonexistent/model");
    run_program(&r, "generate", "-m", "x", "--prompts", "/nonexistent/prompts", "-o", "/tmp", NULL);
    expect(&r, 1, "/nonexistent/prompts");
    free_run(&r);
}

/* Found out before anything is read or computed, and nothing is made on the way. */
static void missing_output_folders_are_failures(void **state)
{
    program_run r = {0};
    char *folder = make_folder();
    const char *out = in_folder(folder, "none/out"), *list = in_folder(folder, "list.txt");
    FILE *f = fopen(list, "w");

    (void)state;
    assert_non_null(f);
    fputs("a cat\n", f);
    fclose(f);
    run_program(&r, "train", "--data", "x", "-o", out, NULL);
    expect(&r, 1, "none: there is no such folder");
    run_program(&r, "pairs", "-m", "x", "--data", "x", "-o", out, NULL);
    expect(&r, 1, "none: there is no such folder");
    run_program(&r, "distill", "-m", "x", "--data", "x", "-o", out, NULL);
    expect(&r, 1, "none: there is no such folder");
    run_program(&r, "compare", "--teacher", "x", "--student", "x", "--prompts", list, "-o", out, NULL);
    expect(&r, 1, "none: there is no such folder");
    run_program(&r, "dataset", "emoji", "-o", out, NULL);
    expect(&r, 1, "none: there is no such folder");
    run_program(&r, "train", "--data", "x", "-o", list, NULL);
    expect(&r, 1, "list.txt: is not a folder");
    assert_int_not_equal(access(in_folder(folder, "none"), F_OK), 0);
    free_run(&r);
    remove_folder(folder);
}

/* The commands are those that the overview lists. */
static void every_command_has_help(void **state)
{
    program_run r = {0};
    char *rest = NULL, *line;
    int n = 0;

    (void)state;
    run_program(&r, "--help", NULL);
    expect(&r, 0, NULL);
    for (line = strtok_r(strstr(r.out, "Commands:"), "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        program_run one = {0};
        char name[32];

        if (strncmp(line, "  ", 2) != 0 || line[2] == ' ' || sscanf(line, "%31s", name) != 1)
            continue;
        run_program(&one, name, "--help", NULL);
        expect(&one, 0, NULL);
        assert_non_null(strstr(one.out, "Usage: onestep "));
        run_program(&one, "help", name, NULL);
        expect(&one, 0, NULL);
        free_run(&one);
        n++;
    }
    assert_true(n >= 3);
    run_program(&r, "--version", NULL);
    expect(&r, 0, NULL);
    assert_memory_equal(r.out, "onestep ", 8);
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do_is_a_usage_error), cmocka_unit_test(commands_and_options_are_checked),
        cmocka_unit_test(missing_files_are_failures),     cmocka_unit_test(missing_output_folders_are_failures),
        cmocka_unit_test(every_command_has_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
