/* onestep dataset: makes the data sets that onestep knows how to make. */
#include "cli/commands.h"

#include <string.h>

#include "cli/output.h"
#include "data/dataset.h"

typedef struct dataset_args {
    cli_common common;
    const char *output;
    int size;
} dataset_args;

static const ons_field options[] = {
    {'o', "output", ONS_FIELD_TEXT, offsetof(dataset_args, output), .unit = "DIR", .required = true,
     .help = "folder to write; made if it is missing, the one around it is not"},
    {0, "size", ONS_FIELD_INT, offsetof(dataset_args, size), .min = 16, .max = 512, .preset = "64",
     .help = "side of the pictures in pixels"},
    {0},
};

static int run(const cli_call *call)
{
    const dataset_args *a = call->values;
    onestep_status st;

    if (strcmp(call->operands[0], "emoji") != 0)
        return cli_usage(call->command, "data set \"%s\" is not known; there is: emoji", call->operands[0]);
    cli_apply_common(&a->common);
    st = cli_check_folder(a->output);
    return cli_finish(st == ONESTEP_OK ? ons_emoji_write(a->output, a->size) : st);
}

static const cli_group groups[] = {
    {.options = options},
    {.title = "Running", .options = cli_common_options, .offset = offsetof(dataset_args, common)},
    {0}};

const cli_command cli_cmd_dataset = {
    .name = "dataset",
    .summary = "render a data set of captioned pictures",
    .details = "emoji: every sequence of Unicode's emoji-test.txt that the installed Noto Color Emoji font "
               "has, with Unicode's name "
               "and CLDR's keywords as captions, and combinations of skin tones held out of training.",
    .operands = "emoji",
    .min_operands = 1,
    .max_operands = 1,
    .groups = groups,
    .values_size = sizeof(dataset_args),
    .run = run,
};
