/*
 * onestep bench: how fast a model runs on this machine, where the time goes, and how much of what the machine
 * can do that is. Figures of one run belong together: the roofline is measured in the same process.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "bench/model.h"
#include "bench/roofline.h"
#include "cli/commands.h"
#include "cli/model_options.h"

typedef struct bench_args {
    cli_common common;
    cli_model model;
    int width, height, steps, runs, batch;
    double cfg_scale;
    const char *sampler;
    bool vae_tiling, profile, roofline, json;
} bench_args;

static const cli_option options[] = {
    {'W', "width", CLI_INT, offsetof(bench_args, width), .max = 8192,
     .help = "pixels; default the model's own"},
    {'H', "height", CLI_INT, offsetof(bench_args, height), .max = 8192,
     .help = "pixels; default the model's own"},
    {0, "steps", CLI_INT, offsetof(bench_args, steps), .min = 1, .max = 1000,
     .help = "steps of the sampler; default the model's own"},
    {0, "cfg-scale", CLI_REAL, offsetof(bench_args, cfg_scale), .max = 100,
     .help = "guidance; 0 and 1 are off; default the model's own", .synonym = "guidance-scale"},
    {0, "sampler", CLI_TEXT, offsetof(bench_args, sampler), .unit = "NAME", .help = "default the model's own",
     .synonym = "sampling-method"},
    {'b', "batch-size", CLI_INT, offsetof(bench_args, batch), .min = 1, .max = 64, .preset = "1",
     .help = "pictures computed together"},
    {0, "vae-tiling", CLI_FLAG, offsetof(bench_args, vae_tiling), .help = "decode tile by tile"},
    {0, "runs", CLI_INT, offsetof(bench_args, runs), .min = 1, .max = ONS_BENCH_MAX_RUNS, .preset = "5",
     .help = "measured runs, after a first one that makes the plans and packs the weights"},
    {0, "profile", CLI_FLAG, offsetof(bench_args, profile),
     .help =
         "time per operator and kernel as well, from as many further runs, and what is lost between kernels"},
    {0, "roofline", CLI_FLAG, offsetof(bench_args, roofline),
     .help = "measure what this machine reaches on large products and convolutions, and give shares of it"},
    {0, "json", CLI_FLAG, offsetof(bench_args, json), .help = "print the figures as JSON on standard output"},
    {0},
};

typedef struct bench_job {
    const bench_args *args;
    ons_dtype precision;
    int n_threads;
    ons_model *model;
    double open_s;
    ons_bench_roofline roofline;
    ons_bench_model result;
} bench_job;

/* Direct convolutions and products: Winograd's may pass it. 0: not measured. */
static double peak_gflops(const bench_job *j)
{
    return j->roofline.peaks[ONS_BENCH_PLAIN][ONS_BENCH_FORWARD].gflops;
}

static double gflops_of(const ons_bench_stage *s)
{
    return s->median_s > 0 ? s->flops / s->median_s / 1e9 : 0;
}

static bool show_run(void *user, int run, int n_runs)
{
    ons_progress_update(user, run, "%s", "");
    (void)n_runs;
    return !ons_interrupted();
}

static onestep_status measure_model(bench_job *j, const cli_call *call)
{
    const bench_args *a = j->args;
    ons_bench_options o = {.runner = {.batch = a->batch,
                                      .width = a->width,
                                      .height = a->height,
                                      .n_threads = a->common.n_threads,
                                      .precision = j->precision,
                                      .tiling = a->vae_tiling ? ONS_TILING_ON : ONS_TILING_AUTO},
                           .run = {.steps = a->steps,
                                   .guidance = cli_given(call, "cfg-scale") ? a->cfg_scale : -1,
                                   .sampler = a->sampler},
                           .n_runs = a->runs,
                           .profile = a->profile};
    const double start_s = ons_now_s();
    ons_progress progress;
    onestep_status st;

    ONS_TRY(cli_open_model(&a->model, &j->model));
    j->open_s = ons_now_s() - start_s;
    ons_progress_begin(&progress, "bench", "run", 0, 1 + a->runs * (a->profile ? 2 : 1));
    st = ons_bench_model_run(j->model, &o, show_run, &progress, &j->result);
    ons_progress_end(&progress);
fail:
    return st;
}

static void print_stages(const bench_job *j)
{
    const ons_bench_model *b = &j->result;

    printf("%-14s %11s %11s %11s %10s %10s%s\n", "stage", "median ms", "least", "most", "GFLOP", "GFLOP/s",
           peak_gflops(j) > 0 ? "   of roofline" : "");
    for (int i = 0; i < ONS_BENCH_STAGES; i++) {
        const ons_bench_stage *s = &b->stages[i];

        printf("%-14s %11.2f %11.2f %11.2f %10.2f %10.1f", ons_bench_stage_names[i], s->median_s * 1e3,
               s->least_s * 1e3, s->most_s * 1e3, s->flops / 1e9, gflops_of(s));
        if (peak_gflops(j) > 0)
            printf("   %9.1f %%", 100 * gflops_of(s) / peak_gflops(j));
        printf("\n");
    }
}

static void print_profile(const char *name, const ons_bench_stage *s, int n_runs)
{
    const double n = n_runs;

    if (!s->profile.n)
        return;
    printf("\n%s: %.2f ms a run with every operator timed, %.2f in kernels, %.2f (%.1f %%) between them\n",
           name, s->profiled_s / n * 1e3, s->profile.seconds / n * 1e3,
           (s->profiled_s - s->profile.seconds) / n * 1e3, 100 * (1 - s->profile.seconds / s->profiled_s));
    printf("%-20s %-18s %8s %10s %7s %9s\n", "operator", "kernel", "calls", "ms", "share", "GFLOP/s");
    for (int i = 0; i < s->profile.n; i++) {
        const ons_bench_row *r = &s->profile.rows[i];

        printf("%-20s %-18s %8ld %10.3f %6.1f%% %9.1f\n", r->op, r->kernel, r->calls, r->seconds / n * 1e3,
               100 * r->seconds / s->profiled_s, r->seconds > 0 ? r->flops * n / r->seconds / 1e9 : 0);
    }
}

static void print_peak(const bench_job *j)
{
    const ons_bench_peak *p = &j->roofline.peaks[ONS_BENCH_PLAIN][ONS_BENCH_FORWARD],
                         *fast = &j->roofline.peaks[ONS_BENCH_FAST][ONS_BENCH_FORWARD];

    if (p->gflops <= 0)
        return;
    printf("roofline %s: %.1f GFLOP/s (%s)", ons_dtype_name(j->precision), p->gflops, p->by);
    if (fast->gflops > p->gflops)
        printf("; with fast algorithms, by the direct count: %.1f (%s)", fast->gflops, fast->by);
    printf("\n");
}

static void print_text(const bench_job *j)
{
    const ons_bench_model *b = &j->result;

    if (!j->model) {
        print_peak(j);
        return;
    }
    printf("%s: %dx%d, %d %s of %s, guidance %g, %d network evaluation%s, %s, %d threads\n",
           j->args->model.model, b->width, b->height, b->run.steps, b->run.steps == 1 ? "step" : "steps",
           b->run.sampler, b->run.guidance, b->n_evaluations, b->n_evaluations == 1 ? "" : "s",
           ons_dtype_name(j->precision), j->n_threads);
    print_peak(j);
    print_stages(j);
    printf("opening %.2f s, first picture %.2f s after it (%.2f s more than a median one); buffers %.1f MB, "
           "peak resident %.1f MB\n",
           j->open_s, b->first_s, b->first_s - b->stages[ONS_BENCH_TOTAL].median_s,
           (double)b->buffer_bytes / 1e6, (double)ons_peak_rss() / 1e6);
    for (int i = 0; i < ONS_BENCH_TOTAL; i++)
        print_profile(ons_bench_stage_names[i], &b->stages[i], j->args->runs);
}

static json_t *profile_to_json(const ons_bench_stage *s, int n_runs)
{
    json_t *list = json_array();

    for (int i = 0; i < s->profile.n; i++) {
        const ons_bench_row *r = &s->profile.rows[i];

        json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:f, s:f}", "operator", r->op, "kernel",
                                              r->kernel, "calls", (json_int_t)r->calls, "ms",
                                              r->seconds / n_runs * 1e3, "gflop", r->flops / 1e9));
    }
    return list;
}

static json_t *stages_to_json(const bench_job *j)
{
    json_t *list = json_array();

    for (int i = 0; i < ONS_BENCH_STAGES; i++) {
        const ons_bench_stage *s = &j->result.stages[i];
        json_t *o = json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "stage", ons_bench_stage_names[i], "ms",
                              s->median_s * 1e3, "ms_least", s->least_s * 1e3, "ms_most", s->most_s * 1e3,
                              "gflop", s->flops / 1e9, "gflops", gflops_of(s));

        if (peak_gflops(j) > 0)
            json_object_set_new(o, "share", json_real(gflops_of(s) / peak_gflops(j)));
        if (s->profile.n) {
            json_object_set_new(o, "profiled_ms", json_real(s->profiled_s / j->args->runs * 1e3));
            json_object_set_new(o, "kernels_ms", json_real(s->profile.seconds / j->args->runs * 1e3));
            json_object_set_new(o, "operators", profile_to_json(s, j->args->runs));
        }
        json_array_append_new(list, o);
    }
    return list;
}

static onestep_status print_json(const bench_job *j)
{
    const ons_bench_model *b = &j->result;
    json_t *o = json_pack("{s:s, s:i}", "type", ons_dtype_name(j->precision), "threads", j->n_threads);

    if (peak_gflops(j) > 0)
        json_object_set_new(o, "roofline_gflops", json_real(peak_gflops(j)));
    if (j->model) {
        json_t *m =
            json_pack("{s:s, s:i, s:i, s:i, s:s, s:f, s:i, s:i, s:f, s:f, s:I, s:I}", "model",
                      j->args->model.model, "width", b->width, "height", b->height, "steps", b->run.steps,
                      "sampler", b->run.sampler, "guidance", b->run.guidance, "evaluations", b->n_evaluations,
                      "runs", j->args->runs, "open_s", j->open_s, "first_s", b->first_s, "buffer_bytes",
                      (json_int_t)b->buffer_bytes, "peak_rss", (json_int_t)ons_peak_rss());

        json_object_update(o, m);
        json_decref(m);
        json_object_set_new(o, "stages", stages_to_json(j));
    }
    if (!o || json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the result");
    printf("\n");
    json_decref(o);
    return ONESTEP_OK;
}

static onestep_status bench(bench_job *j, const cli_call *call)
{
    const bench_args *a = j->args;
    onestep_status st = ONESTEP_OK;

    if (a->roofline) /* before and after, and the higher: a busy moment must not lower it */
        ons_bench_roofline_measure(&j->roofline, 1, j->n_threads, j->precision == ONS_BF16);
    if (a->model.model)
        ONS_TRY(measure_model(j, call));
    if (a->roofline && a->model.model)
        ons_bench_roofline_measure(&j->roofline, 1, j->n_threads, j->precision == ONS_BF16);
    if (a->json)
        ONS_TRY(print_json(j));
    else
        print_text(j);
fail:
    ons_bench_model_fini(&j->result);
    ons_model_close(&j->model);
    return st;
}

static int run(const cli_call *call)
{
    const bench_args *a = call->values;
    bench_job j = {.args = a};

    cli_apply_common(&a->common);
    j.precision = cli_precision(&a->common);
    j.n_threads = a->common.n_threads ? a->common.n_threads : ons_physical_cores();
    if (!a->model.model && !a->roofline)
        return cli_usage(call->command, "nothing to measure: -m MODEL, --roofline, or both");
    if (!a->model.model && a->profile)
        ons_warn("--profile has no effect without -m");
    return cli_finish(bench(&j, call));
}

static const cli_group groups[] = {{"Model", cli_model_options, offsetof(bench_args, model)},
                                   {"Measuring", options, 0},
                                   {"General", cli_common_options, offsetof(bench_args, common)},
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
