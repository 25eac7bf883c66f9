/* See bench_report.h. The JSON is described in docs/formats.md. */
#include "cli/bench_report.h"

#include <jansson.h>
#include <stdio.h>

#include "base/system.h"

/* Direct convolutions and products: Winograd's may pass it. 0: not measured. */
static double peak_gflops(const bench_report *r)
{
    return r->roofline.peaks[ONS_BENCH_PLAIN][ONS_BENCH_FORWARD].gflops;
}

static double gflops_of(const ons_bench_stage *s)
{
    return s->median_s > 0 ? s->flops / s->median_s / 1e9 : 0;
}

static void print_stages(const bench_report *r)
{
    printf("%-14s %11s %11s %11s %10s %10s%s\n", "stage", "median ms", "least", "most", "GFLOP", "GFLOP/s",
           peak_gflops(r) > 0 ? "   of roofline" : "");
    for (int i = 0; i < ONS_BENCH_STAGES; i++) {
        const ons_bench_stage *s = &r->result.stages[i];

        printf("%-14s %11.2f %11.2f %11.2f", ons_bench_stage_names[i], s->median_s * 1e3, s->least_s * 1e3,
               s->most_s * 1e3);
        if (s->flops > 0)
            printf(" %10.2f %10.1f", s->flops / 1e9, gflops_of(s));
        if (s->flops > 0 && peak_gflops(r) > 0)
            printf("   %9.1f %%", 100 * gflops_of(s) / peak_gflops(r));
        printf("\n");
    }
}

static void print_profile(const char *name, const ons_bench_stage *s, int n_runs)
{
    const double n = n_runs, between_s = s->profiled_s - s->profile.seconds;

    if (!s->profile.n)
        return;
    printf("\n%s: %.2f ms a run with every operator timed, %.2f in kernels, %.2f (%.1f %%) between them; %d "
           "runs:\n",
           name, s->profiled_s / n * 1e3, s->profile.seconds / n * 1e3, between_s / n * 1e3,
           100 * between_s / s->profiled_s, n_runs);
    ons_profile_print(&s->profile, s->profiled_s, stdout);
}

static void print_peak(const bench_report *r)
{
    const ons_bench_peak *p = &r->roofline.peaks[ONS_BENCH_PLAIN][ONS_BENCH_FORWARD],
                         *fast = &r->roofline.peaks[ONS_BENCH_FAST][ONS_BENCH_FORWARD];

    if (p->gflops <= 0)
        return;
    printf("roofline %s: %.1f GFLOP/s (%s)", r->compute.type == ONS_F32 ? "f32" : "bf16", p->gflops, p->by);
    if (fast->gflops > p->gflops)
        printf("; with fast algorithms, by the direct count: %.1f (%s)", fast->gflops, fast->by);
    printf("\n");
}

static void print_energy(const ons_bench_model *b)
{
    if (b->joules < 0)
        printf("joules unknown: %s\n", b->energy);
    else
        printf("%.4g J a picture (%s)\n", b->joules, b->energy);
}

void bench_report_text(const bench_report *r)
{
    const ons_bench_model *b = &r->result;

    if (!r->model) {
        print_peak(r);
        return;
    }
    printf("%s: %dx%d, %d %s of %s, guidance %g, %d network evaluation%s, %s, %d threads\n", r->model,
           b->run.width, b->run.height, b->run.steps, b->run.steps == 1 ? "step" : "steps", b->run.sampler,
           b->run.guidance, b->n_evaluations, b->n_evaluations == 1 ? "" : "s", ons_dtype_name(r->compute.type),
           r->compute.n_threads);
    print_peak(r);
    print_stages(r);
    printf("opening %.2f s, first picture %.2f s after it (%.2f s more than a median one); buffers %.1f MB, "
           "peak resident %.1f MB\n",
           r->open_s, b->first_s, b->first_s - b->stages[ONS_BENCH_TOTAL].median_s,
           (double)b->buffer_bytes / 1e6, (double)ons_peak_rss() / 1e6);
    print_energy(b);
    for (int i = 0; i < ONS_BENCH_NETWORKS; i++)
        print_profile(ons_bench_stage_names[i], &b->stages[i], r->n_runs);
}

static json_t *times_to_json(const ons_bench_stage *s)
{
    return json_pack("{s:f, s:f, s:f}", "median", s->median_s * 1e3, "min", s->least_s * 1e3, "max",
                     s->most_s * 1e3);
}

static json_t *profile_to_json(const ons_bench_stage *s, int n_runs)
{
    json_t *list = json_array();

    for (int i = 0; i < s->profile.n; i++) {
        const ons_profile_row *r = &s->profile.rows[i];

        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s, s:i, s:f, s:f}", "operator", r->op, "kernel",
                                        r->kernel, "implementation", r->detail, "operators", r->operators, "ms",
                                        r->seconds / n_runs * 1e3, "tflop", r->flops / n_runs / 1e12));
    }
    return list;
}

static json_t *stage_to_json(const bench_report *r, int i)
{
    const ons_bench_stage *s = &r->result.stages[i];
    json_t *o = json_pack("{s:o}", "ms", times_to_json(s));

    if (s->flops > 0) {
        json_object_set_new(o, "tflop", json_real(s->flops / 1e12));
        json_object_set_new(o, "tflops", json_real(gflops_of(s) / 1e3));
    }
    if (s->flops > 0 && peak_gflops(r) > 0)
        json_object_set_new(o, "roofline", json_real(gflops_of(s) / peak_gflops(r)));
    if (s->profile.n) {
        json_object_set_new(o, "profiled_ms", json_real(s->profiled_s / r->n_runs * 1e3));
        json_object_set_new(o, "kernels_ms", json_real(s->profile.seconds / r->n_runs * 1e3));
        json_object_set_new(o, "operators", profile_to_json(s, r->n_runs));
    }
    return o;
}

static json_t *stages_to_json(const bench_report *r)
{
    static const char *const keys[ONS_BENCH_TOTAL] = {"text", "unet", "decoder", "encode"};
    json_t *o = json_object();

    for (int i = 0; i < ONS_BENCH_TOTAL; i++)
        json_object_set_new(o, keys[i], stage_to_json(r, i));
    return o;
}

static void add_model(json_t *o, const bench_report *r)
{
    const ons_bench_model *b = &r->result;
    json_t *m = json_pack("{s:s, s:i, s:i, s:i, s:s, s:f, s:i, s:i}", "model", r->model, "width", b->run.width,
                          "height", b->run.height, "steps", b->run.steps, "sampler", b->run.sampler, "guidance",
                          b->run.guidance, "evaluations", b->n_evaluations, "runs", r->n_runs);

    json_object_update(o, m);
    json_decref(m);
    json_object_set_new(o, "stages", stages_to_json(r));
    json_object_set_new(o, "total_ms", times_to_json(&b->stages[ONS_BENCH_TOTAL]));
    json_object_set_new(o, "load_ms",
                        json_real((r->open_s + b->first_s - b->stages[ONS_BENCH_TOTAL].median_s) * 1e3));
    json_object_set_new(o, "open_ms", json_real(r->open_s * 1e3));
    json_object_set_new(o, "first_ms", json_real(b->first_s * 1e3));
    json_object_set_new(o, "buffer_mb", json_real((double)b->buffer_bytes / 1e6));
    json_object_set_new(o, "peak_rss_mb", json_real((double)ons_peak_rss() / 1e6));
    json_object_set_new(o, "joules_per_picture", b->joules < 0 ? json_null() : json_real(b->joules));
    json_object_set_new(o, "energy", json_string(b->energy));
}

onestep_status bench_report_json(const bench_report *r)
{
    json_t *o =
        json_pack("{s:s, s:i}", "type", ons_dtype_name(r->compute.type), "threads", r->compute.n_threads);

    if (o && peak_gflops(r) > 0)
        json_object_set_new(o, "roofline_tflops", json_real(peak_gflops(r) / 1e3));
    if (o && r->model)
        add_model(o, r);
    if (!o || json_dumpf(o, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6)))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the result");
    printf("\n");
    json_decref(o);
    return ONESTEP_OK;
}
