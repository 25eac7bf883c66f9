/* What the commands share: the group of common options, and the way from a status to an exit code. One command
 * per cmd_*.c. */
#ifndef ONS_CLI_COMMANDS_H
#define ONS_CLI_COMMANDS_H

#include "cli/options.h"
#include "backend/compute.h"

extern const cli_command cli_cmd_generate, cli_cmd_info, cli_cmd_dataset, cli_cmd_eval, cli_cmd_compare,
    cli_cmd_train, cli_cmd_pairs, cli_cmd_distill, cli_cmd_convert, cli_cmd_bench, cli_cmd_calibrate;

/* Threads and verbosity; every command that computes has them. */
typedef struct cli_common {
    int n_threads;     /* 0: physical cores */
    int type;          /* 0: auto, 1: f32, 2: bf16, 3: int8 */
    size_t max_memory; /* bytes; 0: not limited. An option of those commands that draw or train */
    bool verbose, quiet;
    const char *int8_scales; /* NULL: where they belong */
} cli_common;
extern const ons_field cli_common_options[];
extern const ons_field
    cli_running_options[]; /* of commands that draw pictures: int8 as well (cli_open_to_run) */

/* Sets the log level and catches Ctrl-C. To be called first by a command that has the common group. */
void cli_apply_common(const cli_common *c);
/* What to compute with, as these options say; auto is the type that is native here. */
ons_compute cli_compute(const cli_common *c);
/* The seed that was asked for, or a random one, short enough to be typed again. */
uint64_t cli_seed_value(const ons_seed *s);
/* Prints the message of a failure and turns the status into an exit code. */
int cli_finish(onestep_status st);

#endif
