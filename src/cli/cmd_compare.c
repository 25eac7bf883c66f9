/* onestep compare: what the old way costs and what the new, on the same prompts and seeds, as a page to show
 * around. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/features.h"
#include "cli/output.h"
#include "cli/prompts.h"
#include "eval/compare.h"

typedef struct compare_args {
    cli_common common;
    const char *teacher, *student, *prompts, *output, *data, *features;
    ons_seed seed;
    double watts;
    int n;
} compare_args;

static const ons_field options[] = {
    {0, "teacher", ONS_FIELD_TEXT, offsetof(compare_args, teacher), .unit = "DIR", .required = true,
     .help = "pipeline folder of many steps"},
    {0, "student", ONS_FIELD_TEXT, offsetof(compare_args, student), .unit = "DIR", .required = true,
     .help = "pipeline folder of one step"},
    {0, "prompts", ONS_FIELD_TEXT, offsetof(compare_args, prompts), .unit = "FILE", .required = true,
     .help = "one prompt a line"},
    {'o', "output", ONS_FIELD_TEXT, offsetof(compare_args, output), .unit = "DIR", .required = true,
     .help = "folder for compare.json, sheet.png and index.html"},
    {'s', "seed", ONS_FIELD_SEED, offsetof(compare_args, seed), .preset = "0",
     .help = "of the first prompt's noise, further ones count up; -1: random"},
    {0, "watts", ONS_FIELD_REAL, offsetof(compare_args, watts), .max = 1e6,
     .help = "power of the machine, used where no counter is readable; labelled as declared"},
    {0, "data", ONS_FIELD_TEXT, offsetof(compare_args, data), .unit = "DIR",
     .help = "data set: also measures the quality of both against it, as eval does"},
    {0, "features", ONS_FIELD_TEXT, offsetof(compare_args, features), .unit = "DIR",
     .help = "feature network; see eval"},
    {0, "n", ONS_FIELD_INT, offsetof(compare_args, n), .min = 2, .max = 100000, .preset = "128",
     .help = "captions per section of the data set"},
    {0},
};

typedef struct compare_job {
    const compare_args *args;
    ons_model *teacher, *student;
    cli_prompts prompts;
    ons_dataset *data;
    ons_features *features;
    ons_embedder *embedder;
    ons_compare result;
} compare_job;

static onestep_status open_data(compare_job *j)
{
    const compare_args *a = j->args;
    const ons_compute compute = cli_compute(&a->common);
    onestep_status st;
    double trained_s;
    int width = 0, height = 0;

    if (!a->data)
        return ONESTEP_OK;
    ONS_TRY(ons_size_resolve(j->teacher, &width, &height));
    ONS_TRY(ons_dataset_open(
        a->data, &(ons_dataset_options){.size = width, .include_heldout = true, .n_threads = compute.n_threads},
        &j->data));
    ONS_TRY(cli_obtain_features(a->features, a->student, j->data, width, &compute, &j->features, &trained_s));
    ONS_TRY(ons_embedder_create(j->features, &compute, &j->embedder));
fail:
    return st;
}

static void print_break_even(const char *what, double pictures)
{
    if (pictures < 0)
        printf("break-even by %s: unknown (the student's card does not say what it cost, or nothing was "
               "measured)\n",
               what);
    else if (isinf(pictures))
        printf("break-even by %s: never, the student is not cheaper\n", what);
    else
        printf("break-even by %s: after %.0f pictures\n", what, pictures);
}

static void print_summary(const compare_job *j)
{
    const ons_compare *c = &j->result;
    const ons_compare_side *sides[] = {&c->teacher, &c->student};

    for (int i = 0; i < 2; i++) {
        const ons_compare_side *s = sides[i];

        printf("%s: %d evaluation%s, %.4g GFLOP, %.4g ms a picture (%.4g to %.4g)", i ? "student" : "teacher",
               s->n_evaluations, s->n_evaluations == 1 ? "" : "s", s->gflop, s->median_ms, s->low_ms,
               s->high_ms);
        if (s->joules >= 0)
            printf(", %.4g J (%s)", s->joules, s->energy_source);
        putchar('\n');
    }
    printf("seed: %llu\n", (unsigned long long)c->seed);
    printf("%.3g times as fast\n", c->teacher.median_ms / c->student.median_ms);
    print_break_even("time", c->break_even_time);
    print_break_even("energy", c->break_even_energy);
    if (c->advice[0])
        printf("%s\n", c->advice);
    printf("see %s/index.html\n", j->args->output);
}

static onestep_status compare(compare_job *j)
{
    const compare_args *a = j->args;
    onestep_status st;
    ons_compare_options o = {.seed = cli_seed_value(&a->seed),
                             .watts = a->watts,
                             .compute = cli_compute(&a->common),
                             .n_eval = a->n};

    ONS_TRY(cli_prompts_read(a->prompts, &j->prompts));
    ONS_TRY(cli_check_folder(a->output));
    ONS_TRY(ons_make_dirs(a->output));
    ONS_TRY(ons_model_open_to_run(&(ons_model_sources){.model = a->teacher}, &o.compute, &j->teacher));
    ONS_TRY(ons_model_open_to_run(&(ons_model_sources){.model = a->student}, &o.compute, &j->student));
    ONS_TRY(open_data(j));
    o.prompts = j->prompts.texts;
    o.n_prompts = j->prompts.n;
    o.data = j->data;
    o.embedder = j->embedder;
    ONS_TRY(ons_compare_run(j->teacher, j->student, &o, &j->result));
    ONS_TRY(ons_compare_write(&j->result, a->output));
    print_summary(j);
fail:
    return st;
}

static int run(const cli_call *call)
{
    compare_job j = {.args = call->values};
    int code;

    cli_apply_common(&j.args->common);
    code = cli_finish(compare(&j));
    ons_compare_fini(&j.result);
    ons_embedder_destroy(&j.embedder);
    ons_features_close(&j.features);
    ons_dataset_close(&j.data);
    ons_model_close(&j.teacher);
    ons_model_close(&j.student);
    cli_prompts_fini(&j.prompts);
    return code;
}

static const cli_group groups[] = {
    {.options = options},
    {.title = "Running", .options = cli_common_options, .offset = offsetof(compare_args, common)},
    {0}};

const cli_command cli_cmd_compare = {
    .name = "compare",
    .summary = "teacher against student: time, energy, quality, break-even",
    .details = "Both pipelines draw the same prompts from the same noise, one picture at a time, taking turns "
               "in one run. "
               "The folder then holds compare.json, a contact sheet and a page that needs nothing else.",
    .groups = groups,
    .values_size = sizeof(compare_args),
    .run = run,
};
