/* See model.h. Median, least and most: a mean would follow whatever else the machine did once. */
#include "bench/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/system.h"
#include "energy/energy.h"
#include "io/png.h"

const char *const ons_bench_stage_names[ONS_BENCH_STAGES] = {"text encoder", "UNet", "decoder", "PNG",
                                                             "picture"};

typedef struct measurement {
    const ons_bench_options *options;
    ons_model *model;
    ons_result result;                 /* of the last run; its pictures stay for the next */
    double *seconds[ONS_BENCH_STAGES]; /* [n_runs] each */
    double encode_s;                   /* of the last run */
    int n_started;
    bool (*progress)(void *user, int run, int n_runs);
    void *user;
} measurement;

static onestep_status allocate(measurement *m)
{
    for (int i = 0; i < ONS_BENCH_STAGES; i++)
        if (!(m->seconds[i] = ons_calloc((size_t)m->options->n_runs, sizeof(double))))
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for the times of %d runs", m->options->n_runs);
    return ONESTEP_OK;
}

static void release(measurement *m)
{
    for (int i = 0; i < ONS_BENCH_STAGES; i++)
        ons_free(m->seconds[i]);
    ons_result_fini(&m->result);
}

static onestep_status encode(measurement *m)
{
    const ons_resolved *run = &m->result.run;
    const size_t picture = (size_t)run->width * (size_t)run->height * 3;
    const double start_s = ons_now_s();

    for (int i = 0; i < m->result.n; i++) {
        uint8_t *png = NULL;
        size_t size;
        onestep_status st = ons_picture_encode(m->result.rgb + (size_t)i * picture, run->width, run->height,
                                               NULL, 0, &png, &size);

        ons_free(png);
        if (st != ONESTEP_OK)
            return st;
    }
    m->encode_s = ons_now_s() - start_s;
    return ONESTEP_OK;
}

/* Prompts that no run before had, so that no encoding is remembered. */
static onestep_status run_once(measurement *m, int n_runs)
{
    enum { LENGTH = 32 };
    const int batch = m->options->request.batch_size;
    char texts[ONS_BENCH_MAX_BATCH][LENGTH];
    const char *prompts[ONS_BENCH_MAX_BATCH];
    ons_request q = m->options->request;
    onestep_status st;

    if (batch < 1 || batch > ONS_BENCH_MAX_BATCH)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a batch of %d pictures; 1 to %d can be measured", batch,
                        ONS_BENCH_MAX_BATCH);
    for (int i = 0; i < batch; i++) {
        snprintf(texts[i], LENGTH, "a picture, number %d", m->n_started * batch + i);
        prompts[i] = texts[i];
    }
    q.n = batch;
    q.prompts = prompts;
    q.seed = (ons_seed){.value = (uint64_t)m->n_started * (uint64_t)batch};
    m->n_started++;
    ons_result_fini(&m->result);
    ONS_TRY(ons_draw(m->model, &q, &m->result));
    ONS_TRY(encode(m));
    if (m->progress && !m->progress(m->user, m->n_started, n_runs))
        st = ons_fail(ONESTEP_INTERRUPTED, "stopped after run %d", m->n_started);
fail:
    return st;
}

static void stage_seconds(const measurement *m, double *s)
{
    const ons_run_stats stats = m->result.stats;

    s[ONS_BENCH_TEXT] = stats.text_s;
    s[ONS_BENCH_UNET] = stats.unet_s;
    s[ONS_BENCH_DECODER] = stats.decoder_s;
    s[ONS_BENCH_ENCODE] = m->encode_s;
    s[ONS_BENCH_TOTAL] = stats.total_s + m->encode_s;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void summarise(ons_bench_stage *stage, double *seconds, int n)
{
    qsort(seconds, (size_t)n, sizeof *seconds, by_size);
    stage->least_s = seconds[0];
    stage->most_s = seconds[n - 1];
    stage->median_s = 0.5 * (seconds[(n - 1) / 2] + seconds[n / 2]);
}

static void read_energy(ons_energy *e, int n_pictures, ons_bench_model *out)
{
    const double joules = ons_energy_joules(e);

    out->joules = joules < 0 ? -1 : joules / n_pictures;
    snprintf(out->energy, sizeof out->energy, "%s", joules < 0 ? ons_energy_advice(e) : ons_energy_source(e));
}

static onestep_status take_times(measurement *m, int n_runs, ons_bench_model *out)
{
    const int n = m->options->n_runs;
    ons_energy *energy = NULL;
    onestep_status st;

    ONS_TRY(ons_energy_open(NULL, m->options->watts, &energy));
    for (int i = 0; i < n; i++) {
        double s[ONS_BENCH_STAGES];

        ONS_TRY(run_once(m, n_runs));
        stage_seconds(m, s);
        for (int k = 0; k < ONS_BENCH_STAGES; k++)
            m->seconds[k][i] = s[k];
        read_energy(energy, (i + 1) * m->options->request.batch_size, out); /* counters wrap: after each run */
    }
    for (int k = 0; k < ONS_BENCH_STAGES; k++)
        summarise(&out->stages[k], m->seconds[k], n);
fail:
    ons_energy_close(&energy);
    return st;
}

static ons_plan *plan_of(const ons_model *m, int stage)
{
    const ons_runner_plans p = ons_draw_plans(m);
    ons_plan *plans[ONS_BENCH_NETWORKS] = {p.text, p.unet, p.decoder};

    return plans[stage];
}

/* Timing every operator costs a little, so these runs stand apart from the measured ones. */
static onestep_status take_profile(measurement *m, int n_runs, ons_bench_model *out)
{
    onestep_status st = ONESTEP_OK;

    for (int k = 0; k < ONS_BENCH_NETWORKS; k++)
        ons_plan_profile(plan_of(m->model, k), true);
    for (int i = 0; i < m->options->n_runs; i++) {
        double s[ONS_BENCH_STAGES];

        ONS_TRY(run_once(m, n_runs));
        stage_seconds(m, s);
        for (int k = 0; k < ONS_BENCH_NETWORKS; k++)
            out->stages[k].profiled_s += s[k];
    }
    for (int k = 0; k < ONS_BENCH_NETWORKS; k++)
        ONS_TRY(ons_plan_profile_read(plan_of(m->model, k), &out->stages[k].profile));
fail:
    return st;
}

static onestep_status measure(measurement *m, ons_bench_model *out)
{
    const ons_bench_options *o = m->options;
    const int n_runs = 1 + o->n_runs * (o->profile ? 2 : 1);
    const double start_s = ons_now_s();
    ons_run_stats stats;
    onestep_status st;

    ONS_TRY(run_once(m, n_runs));
    out->first_s = ons_now_s() - start_s;
    stats = m->result.stats;
    out->n_evaluations = stats.n_evaluations;
    out->stages[ONS_BENCH_TOTAL].flops = stats.flops;
    out->stages[ONS_BENCH_UNET].flops = stats.unet_flops;
    out->stages[ONS_BENCH_DECODER].flops = stats.decoder_flops;
    out->stages[ONS_BENCH_TEXT].flops = stats.flops - stats.unet_flops - stats.decoder_flops;
    ONS_TRY(take_times(m, n_runs, out));
    if (o->profile)
        ONS_TRY(take_profile(m, n_runs, out));
    out->buffer_bytes = ons_draw_buffer_bytes(m->model);
fail:
    return st;
}

onestep_status ons_bench_model_run(ons_model *model, const ons_bench_options *o,
                                   bool (*progress)(void *user, int run, int n_runs), void *user,
                                   ons_bench_model *out)
{
    measurement m = {.options = o, .model = model, .progress = progress, .user = user};
    onestep_status st;

    *out = (ons_bench_model){.joules = -1};
    ONS_TRY(ons_request_resolve(model, &o->request, &out->run));
    ONS_TRY(allocate(&m));
    ONS_TRY(measure(&m, out));
fail:
    release(&m);
    if (st != ONESTEP_OK)
        ons_bench_model_fini(out);
    return st;
}

void ons_bench_model_fini(ons_bench_model *b)
{
    for (int i = 0; i < ONS_BENCH_STAGES; i++)
        ons_profile_fini(&b->stages[i].profile);
}
