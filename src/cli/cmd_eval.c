/*
 * onestep eval: a pipeline measured against a data set. The figures stand in eval/evaluate.h; this file has the
 * options, the table for people and the JSON.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/features.h"
#include "cli/model_options.h"
#include "eval/draw.h"
#include "eval/evaluate.h"

typedef struct eval_args {
    cli_common common;
    cli_model model;
    const char *data, *features;
    int n, seeds;
    ons_request request;
    ons_seed seed;
    double watts;
    bool json;
} eval_args;

static const ons_field options[] = {
    {0, "data", ONS_FIELD_TEXT, offsetof(eval_args, data), .unit = "DIR", .required = true,
     .help = "data set to compare with; its held-out pictures are used as well"},
    {0, "features", ONS_FIELD_TEXT, offsetof(eval_args, features), .unit = "DIR",
     .help = "feature network; trained on the data set and kept there when the folder has none. Default: "
             "features/ beside "
             "or in the model's folder"},
    {0, "n", ONS_FIELD_INT, offsetof(eval_args, n), .min = 2, .max = 100000, .preset = "256",
     .help = "captions per section at most; of keywords an eighth, with eight pictures each"},
    {'s', "seed", ONS_FIELD_SEED, offsetof(eval_args, seed), .preset = "0", .help = "of the noise; -1: random"},
    {0, "seeds", ONS_FIELD_INT, offsetof(eval_args, seeds), .min = 1, .max = 100, .preset = "1",
     .help = "evaluations with different noise; figures are averaged"},
    {0, "watts", ONS_FIELD_REAL, offsetof(eval_args, watts), .max = 1e6,
     .help = "power of the machine, used where no counter is readable; labelled as declared"},
    {0, "json", ONS_FIELD_FLAG, offsetof(eval_args, json),
     .help = "print the figures as JSON on standard output"},
    {0},
};

typedef struct eval_job {
    const cli_call *call;
    const eval_args *args;
    ons_model *model;
    ons_dataset *data;
    ons_features *features;
    ons_embedder *embedder;
    ons_energy *energy;
    ons_drawer drawer;
    ons_resolved run;
    double trained_s;
    uint64_t seed;
    ons_eval result; /* means over the seeds */
} eval_job;

static const struct {
    const char *label;
    size_t offset;
} figures[] = {
    {"Frechet distance", offsetof(ons_eval_section, frechet)},
    {"  of patches (detail)", offsetof(ons_eval_section, patch_frechet)},
    {"retrieval, first", offsetof(ons_eval_section, top1)},
    {"retrieval, first five", offsetof(ons_eval_section, top5)},
    {"  real pictures, first", offsetof(ons_eval_section, real_top1)},
    {"  real pictures, five", offsetof(ons_eval_section, real_top5)},
    {"caption fit (cosine)", offsetof(ons_eval_section, clip)},
    {"precision", offsetof(ons_eval_section, precision)},
    {"recall", offsetof(ons_eval_section, recall)},
    {"diversity (8 seeds)", offsetof(ons_eval_section, diversity)},
    {"nearest training picture", offsetof(ons_eval_section, nearest)},
    {"the very picture", offsetof(ons_eval_section, exact)},
};
enum { N_FIGURES = sizeof figures / sizeof *figures };

static double *figure_of(ons_eval_section *s, int i)
{
    return (double *)((char *)s + figures[i].offset);
}

/* mean += (x - mean) / k, figure by figure. */
static void average_section(ons_eval_section *mean, const ons_eval_section *x, int k)
{
    ons_eval_section next = *x;

    for (int i = 0; k > 1 && i < N_FIGURES; i++)
        *figure_of(&next, i) = *figure_of(mean, i) + (*figure_of(&next, i) - *figure_of(mean, i)) / k;
    *mean = next;
}

static onestep_status open_all(eval_job *j)
{
    const eval_args *a = j->args;
    onestep_status st;
    const ons_compute compute = cli_compute(&a->common);
    ons_request settings = a->request;

    ONS_TRY(cli_open_to_run(&a->model, &a->common, &j->model));
    settings.same_batch = true;
    ONS_TRY(ons_request_resolve(j->model, &settings, &j->run));
    ONS_TRY(ons_energy_open(NULL, a->watts, &j->energy));
    ONS_TRY(ons_drawer_init(&j->drawer, j->model, &settings, &compute, j->energy));
    j->drawer.label = "eval";
    ONS_TRY(ons_dataset_open(
        a->data,
        &(ons_dataset_options){.size = j->drawer.side, .include_heldout = true, .n_threads = compute.n_threads},
        &j->data));
    ONS_TRY(cli_obtain_features(a->features, a->model.model, j->data, j->drawer.side, &compute, &j->features,
                                &j->trained_s));
    ONS_TRY(ons_embedder_create(j->features, &compute, &j->embedder));
fail:
    return st;
}

static onestep_status evaluate(eval_job *j)
{
    onestep_status st = ONESTEP_OK;
    ons_eval_options o = {.n = j->args->n, .n_diversity = 16, .side = j->drawer.side};

    for (int k = 1; k <= j->args->seeds; k++) {
        ons_eval one;

        o.seed = j->seed + (uint64_t)(k - 1) * 100000007;
        ONS_TRY(ons_evaluate(j->data, j->embedder, &o, ons_drawer_draw, &j->drawer, &one));
        average_section(&j->result.train, &one.train, k);
        average_section(&j->result.heldout, &one.heldout, k);
        average_section(&j->result.ambiguous, &one.ambiguous, k);
        j->result.real_nearest = one.real_nearest;
        j->result.n_pictures += one.n_pictures;
    }
fail:
    return st;
}

static double ms_per_image(const eval_job *j)
{
    return j->drawer.pictures ? 1e3 * j->drawer.run_s / (double)j->drawer.pictures : 0;
}

static onestep_status print_json(const eval_job *j)
{
    const double joules = ons_meter_joules_per_picture(&j->drawer.meter);
    json_t *o = json_pack("{s:s, s:i, s:o, s:o, s:o, s:f, s:o, s:s}", "model", j->args->model.model, "n",
                          j->args->n, "train", ons_eval_section_json(&j->result.train), "heldout",
                          ons_eval_section_json(&j->result.heldout), "ambiguous",
                          ons_eval_section_json(&j->result.ambiguous), "ms_per_image", ms_per_image(j),
                          "joules_per_image", joules < 0 ? json_null() : json_real(joules), "energy_source",
                          ons_energy_source(j->energy));

    if (!o)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the figures");
    json_object_set_new(o, "pictures", json_integer((json_int_t)j->result.n_pictures));
    json_object_set_new(o, "seed", json_integer((json_int_t)j->seed));
    json_object_set_new(o, "seeds", json_integer(j->args->seeds));
    json_object_set_new(o, "batch_size", json_integer(j->run.batch));
    json_object_set_new(o, "real_nearest",
                        isfinite(j->result.real_nearest) ? json_real(j->result.real_nearest) : json_null());
    json_object_set_new(o, "features_trained_s", json_real(j->trained_s));
    json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(o);
    return ONESTEP_OK;
}

static void print_cell(const ons_eval_section *s, double value)
{
    if (s->present && isfinite(value))
        printf("%14.4g", value);
    else
        printf("%14s", "-");
}

static void print_table(eval_job *j)
{
    ons_eval_section *s[] = {&j->result.train, &j->result.heldout, &j->result.ambiguous};
    const double joules = ons_meter_joules_per_picture(&j->drawer.meter);

    printf("%-26s%14s%14s%14s\n", j->args->model.model, "train", "held-out", "ambiguous");
    for (int i = 0; i < N_FIGURES; i++) {
        printf("%-26s", figures[i].label);
        for (int k = 0; k < 3; k++)
            print_cell(s[k], *figure_of(s[k], i));
        putchar('\n');
    }
    printf("%-26s%14d%14d%14d\n", "captions", s[0]->n_captions, s[1]->n_captions, s[2]->n_captions);
    printf("training pictures lie %.4g apart (nearest neighbours)\n", j->result.real_nearest);
    printf("seed %llu; ", (unsigned long long)j->seed);
    printf("%.4g ms a picture in batches of %d; ", ms_per_image(j), j->run.batch);
    if (joules < 0)
        printf("joules unknown\n%s\n", ons_energy_advice(j->energy));
    else
        printf("%.4g J a picture (%s)\n", joules, ons_energy_source(j->energy));
}

static int run(const cli_call *call)
{
    const eval_args *a = call->values;
    eval_job j = {.call = call, .args = a};
    onestep_status st;

    if (a->request.timesteps.n && a->request.steps && a->request.steps != a->request.timesteps.n)
        return cli_usage(call->command, "--steps %d and %d --timesteps contradict each other", a->request.steps,
                         a->request.timesteps.n);
    cli_apply_common(&a->common);
    j.seed = cli_seed_value(&a->seed);
    ONS_TRY(open_all(&j));
    ONS_TRY(evaluate(&j));
    if (a->json)
        ONS_TRY(print_json(&j));
    else
        print_table(&j);
fail:
    ons_embedder_destroy(&j.embedder);
    ons_features_close(&j.features);
    ons_dataset_close(&j.data);
    ons_energy_close(&j.energy);
    ons_model_close(&j.model);
    return cli_finish(st);
}

static const char *const sampling[] = {"steps", "timesteps", "cfg-scale", "sampler", "batch-size", NULL};
static const cli_group groups[] = {
    {.options = options},
    {.title = "Model", .options = cli_model_options, .offset = offsetof(eval_args, model)},
    {.title = "Sampling",
     .options = ons_request_fields,
     .offset = offsetof(eval_args, request),
     .only = sampling},
    {.title = "Running", .options = cli_running_options, .offset = offsetof(eval_args, common)},
    {0}};

const cli_command cli_cmd_eval = {
    .name = "eval",
    .summary = "measure a pipeline against a data set",
    .details = "Fréchet distance, precision and recall, retrieval, detail at full resolution, diversity and "
               "copying, on training "
               "names, held-out names and ambiguous keywords. The features come from a small network that "
               "knows pictures and captions; where "
               "there is none it is trained on the data set the first time.",
    .groups = groups,
    .values_size = sizeof(eval_args),
    .run = run,
};
