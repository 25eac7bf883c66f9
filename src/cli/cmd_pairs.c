/* onestep pairs: what the teacher makes of noise, stored for the regression term of a distillation. */
#include <stdio.h>

#include "cli/long_run.h"
#include "cli/model_options.h"
#include "distill/pairs.h"

typedef struct pairs_args {
    cli_common common;
    cli_long_run run;
    cli_model model;
    const char *part, *sampler;
    int count, steps, width, height;
    double guidance;
} pairs_args;

static const ons_field pairs_options[] = {
    {0, "count", ONS_FIELD_INT, offsetof(pairs_args, count), .min = 1, .max = 1e9,
     .help = "pairs in all; default from the recipe"},
    {0, "steps", ONS_FIELD_INT, offsetof(pairs_args, steps), .min = 1, .max = 1000,
     .help = "teacher steps per pair; default from the recipe"},
    {0, "cfg-scale", ONS_FIELD_REAL, offsetof(pairs_args, guidance), .min = 0, .max = 100,
     .help = "guidance scale, for names and keywords; default from the recipe"},
    {0, "sampler", ONS_FIELD_TEXT, offsetof(pairs_args, sampler),
     .help = "deterministic sampler; default from the recipe"},
    {'W', "width", ONS_FIELD_INT, offsetof(pairs_args, width), .max = 8192,
     .help = "pixels; default the model's own"},
    {'H', "height", ONS_FIELD_INT, offsetof(pairs_args, height), .max = 8192,
     .help = "pixels; default the model's own"},
    {0, "part", ONS_FIELD_TEXT, offsetof(pairs_args, part), .unit = "I/N",
     .help = "make only the shards of process I (0 to N-1) of N"},
    {0},
};

static const cli_group groups[] = {
    {.title = "Pairs", .options = pairs_options},
    {.title = "Teacher", .options = cli_model_options, .offset = offsetof(pairs_args, model)},
    {.title = "Run", .options = cli_long_run_options, .offset = offsetof(pairs_args, run)},
    {.title = "General", .options = cli_common_options, .offset = offsetof(pairs_args, common)},
    {0},
};

static void fill_options(const cli_call *call, const ons_recipe *r, ons_pairs_options *o)
{
    const pairs_args *a = call->values;

    *o = (ons_pairs_options){.output = a->run.output,
                             .count = r->pairs.count,
                             .steps = r->pairs.steps,
                             .guidance = r->pairs.guidance,
                             .guidance_keyword = r->pairs.guidance_keyword,
                             .sampler = a->sampler ? a->sampler : r->pairs.sampler,
                             .p_keyword = r->captions.p_keyword,
                             .seed = r->seed,
                             .n_parts = 1,
                             .per_shard = r->pairs.per_shard,
                             .width = a->width,
                             .height = a->height,
                             .batch = cli_given(call, "batch-size") ? a->run.batch_size : 0,
                             .compute = cli_compute(&a->common)};
    if (cli_given(call, "count"))
        o->count = a->count;
    if (cli_given(call, "steps"))
        o->steps = a->steps;
    if (cli_given(call, "cfg-scale"))
        o->guidance = o->guidance_keyword = a->guidance;
}

static int run(const cli_call *call)
{
    const pairs_args *a = call->values;
    ons_pairs_options o;
    ons_energy *energy = NULL;
    ons_recipe r = {0};
    ons_model *m = NULL;
    ons_dataset *d = NULL;
    char rest;
    onestep_status st;

    cli_apply_common(&a->common);
    ONS_TRY(cli_load_recipe(call, &a->run, "distill", &r));
    fill_options(call, &r, &o);
    if (a->part && sscanf(a->part, "%d/%d%c", &o.part, &o.n_parts, &rest) != 2) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT, "--part %s: expected I/N, such as 0/4", a->part);
        goto fail;
    }
    ONS_TRY(cli_open_energy(&a->run, &energy));
    o.energy = energy;
    ONS_TRY(cli_open_model(&a->model, &o.compute, &m));
    ONS_TRY(
        ons_dataset_open(a->run.data, &(ons_dataset_options){.size = 0, .n_threads = o.compute.n_threads}, &d));
    st = ons_pairs_make(m, d, &o);
fail:
    ons_dataset_close(&d);
    ons_model_close(&m);
    ons_energy_close(&energy);
    ons_recipe_fini(&r);
    return cli_finish_run(st, "the same command goes on from there");
}

const cli_command cli_cmd_pairs = {
    .name = "pairs",
    .summary = "make noise-latent pairs with a teacher",
    .details = "Runs the teacher with a deterministic sampler over the captions of a data set and stores the "
               "results in numbered "
               "shards. Pair i depends on the seed and i alone: run the same command again to continue, with a "
               "larger --count to "
               "extend, with --part to share the work between processes.",
    .groups = groups,
    .values_size = sizeof(pairs_args),
    .run = run,
};
