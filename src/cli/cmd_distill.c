/* onestep distill: a one-step student from a teacher. */
#include <stdio.h>

#include "cli/long_run.h"
#include "distill/distill.h"

typedef struct distill_args {
    cli_common common;
    cli_long_run run;
    const char *model, *init, *method, *pairs, *perceptual;
    int timestep;
} distill_args;

static const ons_field distill_options[] = {
    {'m', "model", ONS_FIELD_TEXT, offsetof(distill_args, model), .unit = "TEACHER", .help = "pipeline folder",
     .required = true},
    {0, "init", ONS_FIELD_TEXT, offsetof(distill_args, init), .unit = "STUDENT",
     .help = "go on from an earlier student of this teacher: the generator's first weights"},
    {0, "method", ONS_FIELD_TEXT, offsetof(distill_args, method),
     .help = "distillation method: dmd; default from the recipe"},
    {0, "pairs", ONS_FIELD_TEXT, offsetof(distill_args, pairs), .unit = "DIR",
     .help = "folder made by onestep pairs"},
    {0, "perceptual", ONS_FIELD_TEXT, offsetof(distill_args, perceptual), .unit = "DIR",
     .help =
         "perceptual network to use, or where to keep the one trained now; default OUTPUT/training/perceptual"},
    {0, "max-memory", ONS_FIELD_SIZE, offsetof(distill_args, common.max_memory),
     .help = "what weights and buffers may take (8G); default what can be had without swapping"},
    {0, "timestep", ONS_FIELD_INT, offsetof(distill_args, timestep), .min = 0, .max = 999,
     .help = "conditioning timestep of the student; default from the recipe"},
    {0},
};

static const cli_group groups[] = {
    {.title = "Distillation", .options = distill_options},
    {.title = "Run", .options = cli_long_run_options, .offset = offsetof(distill_args, run)},
    {.title = "General", .options = cli_common_options, .offset = offsetof(distill_args, common)},
    {0},
};

static int run(const cli_call *call)
{
    const distill_args *a = call->values;
    ons_distill_options o = {.teacher = a->model,
                             .init = a->init,
                             .data = a->run.data,
                             .pairs = a->pairs,
                             .perceptual = a->perceptual,
                             .output = a->run.output,
                             .resume = a->run.resume,
                             .compute = cli_compute(&a->common)};
    ons_energy *energy = NULL;
    ons_recipe r = {0};
    onestep_status st;

    cli_apply_common(&a->common);
    ONS_TRY(cli_load_recipe(call, &a->run, "distill", &r));
    if (a->method)
        ONS_TRY(ons_recipe_set(&r, "distill.method", a->method));
    if (cli_given(call, "timestep"))
        r.distill.timestep = a->timestep;
    ONS_TRY(cli_open_energy(&a->run, &energy));
    o.energy = energy;
    st = ons_distill_run(&r, &o);
fail:
    ons_energy_close(&energy);
    ons_recipe_fini(&r);
    return cli_finish_run(st, "the same command with --resume goes on from there");
}

const cli_command cli_cmd_distill = {
    .name = "distill",
    .summary = "distill a teacher into a one-step student",
    .details = "Distribution Matching Distillation: the difference of two scores moves the generator, a "
               "regression on the teacher's "
               "noise-latent pairs anchors it. Writes a pipeline folder whose settings (one step, its "
               "timestep, no guidance) are "
               "picked up by generate and by diffusers. Health figures are in OUTPUT/training/log.jsonl, "
               "sample sheets beside it.",
    .groups = groups,
    .values_size = sizeof(distill_args),
    .run = run,
};
