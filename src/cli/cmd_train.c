/* onestep train: a teacher from pictures with captions. */
#include <stdio.h>

#include "cli/long_run.h"
#include "train/train.h"

typedef struct train_args {
    cli_common common;
    cli_long_run run;
    const char *init;
    bool help_recipe;
} train_args;

static const ons_field train_options[] = {
    {0, "init", ONS_FIELD_TEXT, offsetof(train_args, init), .unit = "MODEL",
     .help = "fine-tune this pipeline (its vocabulary, autoencoder and text encoder are kept)"},
    {0, "help-recipe", ONS_FIELD_FLAG, offsetof(train_args, help_recipe),
     .help = "list every recipe setting with its default and meaning"},
    {0},
};

static const cli_group groups[] = {
    {.title = "Run", .options = cli_long_run_options, .offset = offsetof(train_args, run)},
    {.title = "Training", .options = train_options},
    {.title = "General", .options = cli_common_options, .offset = offsetof(train_args, common)},
    {0},
};

static int run(const cli_call *call)
{
    const train_args *a = call->values;
    ons_train_options o = {.data = a->run.data,
                           .output = a->run.output,
                           .init = a->init,
                           .resume = a->run.resume,
                           .compute = cli_compute(&a->common)};
    ons_energy *energy = NULL;
    ons_recipe r = {0};
    onestep_status st;

    if (a->help_recipe) {
        ons_recipe_describe(stdout);
        return CLI_DONE;
    }
    cli_apply_common(&a->common);
    ONS_TRY(cli_load_recipe(call, &a->run, "train", &r));
    ONS_TRY(cli_open_energy(&a->run, &energy));
    o.energy = energy;
    st = ons_train(&r, &o);
fail:
    ons_energy_close(&energy);
    ons_recipe_fini(&r);
    return cli_finish_run(st, "the same command with --resume goes on from there");
}

const cli_command cli_cmd_train = {
    .name = "train",
    .summary = "train a teacher from pictures with captions",
    .details = "Learns a vocabulary, an autoencoder, then the diffusion network with its text encoder, and "
               "writes a pipeline "
               "folder in the diffusers layout. Progress, loss plots and sample sheets go to OUTPUT/training. "
               "Ctrl-C saves; "
               "--resume continues to the same bits.",
    .groups = groups,
    .values_size = sizeof(train_args),
    .run = run,
};
