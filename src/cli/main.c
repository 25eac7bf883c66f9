/* The program: finds the command's row, parses, runs. Each command is a file cmd_*.c with its tables. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/commands.h"
#include "onestep.h"

static const cli_command *const commands[] = {
    &cli_cmd_train, &cli_cmd_pairs, &cli_cmd_distill, &cli_cmd_generate, &cli_cmd_dataset,   &cli_cmd_convert,
    &cli_cmd_info,  &cli_cmd_eval,  &cli_cmd_compare, &cli_cmd_bench,    &cli_cmd_calibrate, NULL,
};

static const cli_command *find_command(const char *name)
{
    for (int i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[sizeof commands / sizeof *commands], *nearest;
    int n = 0;

    for (; commands[n]; n++)
        names[n] = commands[n]->name;
    nearest = cli_nearest(name, names, n);
    if (nearest)
        return cli_usage(NULL, "unknown command \"%s\"; did you mean \"%s\"?", name, nearest);
    return cli_usage(NULL, "unknown command \"%s\"", name);
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    cli_call call = {.values = calloc(1, command->values_size ? command->values_size : 1)};
    int code;

    if (!call.values)
        return CLI_FAILED;
    code = cli_parse(command, argc, argv, &call);
    if (code == 0 && call.wants_help)
        cli_print_help(command, stdout);
    else if (code == 0)
        code = command->run(&call);
    free(call.values);
    return code;
}

/* Buffered output may fail only now: a full disk must not end in exit code 0. */
static int close_stdout(int code)
{
    if ((fflush(stdout) || ferror(stdout)) && code == CLI_DONE) {
        fprintf(stderr, "onestep: cannot write to standard output: disk full or closed\n");
        return CLI_FAILED;
    }
    return code;
}

static int help_on(int argc, char **argv)
{
    const cli_command *command = argc > 0 ? find_command(argv[0]) : NULL;

    if (argc > 0 && !command)
        return unknown_command(argv[0]);
    if (command)
        cli_print_help(command, stdout);
    else
        cli_print_overview(commands, stdout);
    return CLI_DONE;
}

static int dispatch(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    const cli_command *command = find_command(first);

    if (command)
        return run_command(command, argc - 2, argv + 2);
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0)
        return help_on(argc - 2, argv + 2);
    if (strcmp(first, "--version") == 0 || strcmp(first, "version") == 0) {
        printf("onestep %s\n", onestep_version());
        return CLI_DONE;
    }
    if (strcmp(first, "--dump-man") == 0) {
        cli_print_man(commands, stdout);
        return CLI_DONE;
    }
    if (strcmp(first, "--dump-completion") == 0) {
        cli_print_completion(commands, stdout);
        return CLI_DONE;
    }
    if (argc < 2) {
        cli_print_overview(commands, stderr);
        return CLI_USAGE;
    }
    return unknown_command(first);
}

int main(int argc, char **argv)
{
    ons_log_set_level(ONS_LOG_INFO);
    return close_stdout(dispatch(argc, argv));
}
