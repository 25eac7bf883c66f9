/*
 * onestep bench: how fast a model runs on this machine, where the time goes, and how much of what the machine
 * can do that is. Figures of one run belong together: the roofline is measured in the same process.
 */
#include "base/log.h"
#include "base/system.h"
#include "cli/bench_report.h"
#include "cli/commands.h"
#include "cli/model_options.h"

typedef struct bench_args {
    cli_common common;
    cli_model model;
    ons_request request;
    int runs;
    double watts;
    bool profile, roofline, json;
} bench_args;

static const ons_field options[] = {
    {'b', "batch-size", ONS_FIELD_INT, offsetof(bench_args, request.batch_size), .min = 1,
     .max = ONS_BENCH_MAX_BATCH, .preset = "1", .help = "pictures computed together"},
    {0, "runs", ONS_FIELD_INT, offsetof(bench_args, runs), .min = 1, .max = ONS_BENCH_MAX_RUNS, .preset = "5",
     .help = "measured runs, after a first one that makes the plans and packs the weights"},
    {0, "profile", ONS_FIELD_FLAG, offsetof(bench_args, profile),
     .help =
         "time per operator and kernel as well, from as many further runs, and what is lost between kernels"},
    {0, "roofline", ONS_FIELD_FLAG, offsetof(bench_args, roofline),
     .help = "measure what this machine reaches on large products and convolutions, and give shares of it"},
    {0, "watts", ONS_FIELD_REAL, offsetof(bench_args, watts), .max = 1e6,
     .help = "what the machine draws while computing, for joules where no counter tells"},
    {0, "json", ONS_FIELD_FLAG, offsetof(bench_args, json),
     .help = "print the figures as JSON on standard output"},
    {0},
};

static bool show_run(void *user, int run, int n_runs)
{
    ons_progress_update(user, run, "%s", "");
    (void)n_runs;
    return !ons_interrupted();
}

static onestep_status measure_model(bench_report *j, const cli_call *call)
{
    const bench_args *a = call->values;
    const ons_bench_options o = {
        .request = a->request, .n_runs = a->runs, .profile = a->profile, .watts = a->watts};
    const double start_s = ons_now_s();
    ons_progress progress;
    ons_model *model = NULL;
    onestep_status st;

    ONS_TRY(cli_open_to_run(&a->model, &a->common, &model));
    j->open_s = ons_now_s() - start_s;
    ons_progress_begin(&progress, "bench", "run", 0, 1 + a->runs * (a->profile ? 2 : 1));
    st = ons_bench_model_run(model, &o, show_run, &progress, &j->result);
    ons_progress_end(&progress);
fail:
    ons_model_close(&model);
    return st;
}

static onestep_status bench(bench_report *j, const cli_call *call)
{
    const bench_args *a = call->values;
    onestep_status st = ONESTEP_OK;

    if (a->roofline) /* before and after, and the higher: a busy moment must not lower it */
        ons_bench_roofline_measure(&j->roofline, 1, &j->compute);
    if (a->model.model)
        ONS_TRY(measure_model(j, call));
    if (a->roofline && a->model.model)
        ons_bench_roofline_measure(&j->roofline, 1, &j->compute);
    if (a->json)
        ONS_TRY(bench_report_json(j));
    else
        bench_report_text(j);
fail:
    ons_bench_model_fini(&j->result);
    return st;
}

static int run(const cli_call *call)
{
    const bench_args *a = call->values;
    bench_report j = {.model = a->model.model, .n_runs = a->runs};

    cli_apply_common(&a->common);
    j.compute = cli_compute(&a->common);
    j.compute.n_threads = ons_compute_threads(&j.compute);
    if (!a->model.model && !a->roofline)
        return cli_usage(call->command, "nothing to measure: -m MODEL, --roofline, or both");
    if (!a->model.model && a->profile)
        ons_warn("--profile has no effect without -m");
    return cli_finish(bench(&j, call));
}

static const char *const sampling[] = {"width", "height", "steps", "cfg-scale", "sampler", "vae-tiling", NULL};
static const cli_group groups[] = {
    {.title = "Model", .options = cli_model_options, .offset = offsetof(bench_args, model)},
    {.title = "Sampling",
     .options = ons_request_fields,
     .offset = offsetof(bench_args, request),
     .only = sampling},
    {.title = "Measuring", .options = options},
    {.title = "General", .options = cli_running_options, .offset = offsetof(bench_args, common)},
    {0}};

const cli_command cli_cmd_bench = {
    .name = "bench",
    .summary = "measure how fast a model runs here, and where the time goes",
    .details =
        "Draws pictures of different prompts and gives median, least and most of each stage. GFLOP count the "
        "multiply-adds that the model needs, not those that an algorithm happens to do, so that Winograd's "
        "convolutions may pass the roofline. Measure on a machine that does nothing else.",
    .groups = groups,
    .values_size = sizeof(bench_args),
    .optional = "model",
    .run = run,
};
