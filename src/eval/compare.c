/*
 * The measurement. One picture at a time is what a waiting person sees; throughput in batches is `eval`'s
 * figure. Both pipelines are warmed up, then take turns, and each goes first every other time. A battery is too
 * coarse for turns: there, each gets a minute of its own.
 */
#include "eval/compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "metrics/metrics.h"

enum { MIN_TIMED = 16, BATTERY_S = 60 };

double ons_break_even(double spent, double before, double after)
{
    if (spent < 0 || before < 0 || after < 0 || !isfinite(spent + before + after))
        return -1;
    return before > after ? ceil(spent / (before - after)) : HUGE_VAL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static onestep_status summarise(ons_compare_side *s, int n)
{
    double *sorted = ons_malloc((size_t)n * sizeof *sorted);

    if (!sorted)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d times", n);
    memcpy(sorted, s->ms, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    s->median_ms = 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
    s->low_ms = sorted[n / 10];
    s->high_ms = sorted[n - 1 - n / 10];
    ons_free(sorted);
    return ONESTEP_OK;
}

static onestep_status describe(ons_compare_side *s, const ons_model *m, int n_prompts, int n_timed, int side)
{
    ons_request defaults;

    s->path = m->path;
    s->joules = -1;
    s->train_seconds = m->card.train_seconds;
    s->train_joules = m->card.train_joules;
    snprintf(s->kind, sizeof s->kind, "%s", m->card.kind);
    snprintf(s->method, sizeof s->method, "%s", m->card.method);
    s->ms = ons_calloc((size_t)n_timed, sizeof *s->ms);
    s->rgb = ons_calloc((size_t)n_prompts, (size_t)side * (size_t)side * 3);
    if (!s->ms || !s->rgb)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures of %dx%d", n_prompts, side, side);
    ons_request_init(&defaults);
    return ons_request_resolve(m, &defaults, &s->run);
}

/* Picture `turn` of one side, timed; rounds after the first have seeds of their own and are not kept. */
static onestep_status take_turn(ons_drawer *d, ons_compare_side *s, const ons_compare_options *o, int turn,
                                uint8_t *spare)
{
    onestep_status st;
    int prompt = turn % o->n_prompts;
    uint64_t seed = o->seed + (uint64_t)turn;
    size_t picture = (size_t)d->side * (size_t)d->side * 3;

    ONS_TRY(ons_drawer_draw(d, o->prompts + prompt, &seed, 1,
                            turn < o->n_prompts ? s->rgb + (size_t)turn * picture : spare));
    s->ms[turn] = 1e3 * d->last.total_s;
    s->n_evaluations = d->last.n_evaluations;
    s->gflop = d->last.flops / 1e9;
fail:
    return st;
}

static onestep_status warm_up(ons_drawer *d, const ons_compare_options *o, uint8_t *spare)
{
    onestep_status st = ONESTEP_OK;
    ons_meter meter = d->meter;

    for (int i = 0; i < 2; i++)
        ONS_TRY(ons_drawer_draw(d, o->prompts, &o->seed, 1, spare));
    d->meter = meter;
fail:
    return st;
}

/* A minute of one side alone, with a meter of its own. */
static onestep_status measure_on_battery(ons_drawer *d, ons_compare_side *s, const ons_compare_options *o,
                                         uint8_t *spare)
{
    onestep_status st;
    ons_energy *energy = NULL;
    double start, joules;
    long n = 0;

    ONS_TRY(ons_energy_open(NULL, o->watts, &energy));
    for (start = ons_now_s(); ons_now_s() - start < BATTERY_S + 1; n++) {
        uint64_t seed = o->seed + (uint64_t)n;

        ONS_TRY(ons_drawer_draw(d, o->prompts + n % o->n_prompts, &seed, 1, spare));
    }
    joules = ons_energy_joules(energy);
    s->joules = joules < 0 ? -1 : joules / (double)n;
    snprintf(s->energy_source, sizeof s->energy_source, "%s", ons_energy_source(energy));
fail:
    ons_energy_close(&energy);
    return st;
}

static onestep_status measure(ons_drawer *teacher, ons_drawer *student, const ons_compare_options *o,
                              ons_energy *energy, ons_compare *c)
{
    onestep_status st;
    uint8_t *spare = ons_malloc((size_t)c->side * (size_t)c->side * 3);
    ons_progress progress;

    if (!spare)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a picture");
    ons_progress_begin(&progress, "compare", "turn", 0, c->n_timed);
    ONS_TRY(warm_up(teacher, o, spare));
    ONS_TRY(warm_up(student, o, spare));
    for (int turn = 0; turn < c->n_timed; turn++) {
        if (turn % 2)
            ONS_TRY(take_turn(student, &c->student, o, turn, spare));
        ONS_TRY(take_turn(teacher, &c->teacher, o, turn, spare));
        if (turn % 2 == 0)
            ONS_TRY(take_turn(student, &c->student, o, turn, spare));
        ons_progress_update(&progress, turn + 1, "%.0f / %.1f ms", c->teacher.ms[turn], c->student.ms[turn]);
    }
    c->teacher.joules = ons_meter_joules_per_picture(&teacher->meter);
    c->student.joules = ons_meter_joules_per_picture(&student->meter);
    snprintf(c->teacher.energy_source, sizeof c->teacher.energy_source, "%s", ons_energy_source(energy));
    snprintf(c->student.energy_source, sizeof c->student.energy_source, "%s", ons_energy_source(energy));
    if (!ons_energy_is_fine_grained(energy) && strcmp(ons_energy_source(energy), "none") != 0) {
        ONS_TRY(measure_on_battery(teacher, &c->teacher, o, spare));
        ONS_TRY(measure_on_battery(student, &c->student, o, spare));
    }
fail:
    ons_progress_end(&progress);
    ons_free(spare);
    return st;
}

/* How far the student's pictures are from the teacher's. */
static onestep_status look_side_by_side(ons_compare *c)
{
    onestep_status st;
    size_t n = (size_t)c->n_prompts * (size_t)c->side * (size_t)c->side * 3;
    double sum = 0;
    ons_moments a = {0}, b = {0};

    for (size_t i = 0; i < n; i++) {
        double diff = (double)c->teacher.rgb[i] - (double)c->student.rgb[i];

        sum += diff * diff;
    }
    c->pixel_distance = sqrt(sum / (double)n);
    ONS_TRY(ons_moments_init(&a, ONS_PATCH_FEATURES));
    ONS_TRY(ons_moments_init(&b, ONS_PATCH_FEATURES));
    ONS_TRY(ons_patch_moments(c->teacher.rgb, c->n_prompts, c->side, c->side, &a));
    ONS_TRY(ons_patch_moments(c->student.rgb, c->n_prompts, c->side, c->side, &b));
    ONS_TRY(ons_frechet(&a, &b, &c->patch_frechet));
fail:
    ons_moments_fini(&a);
    ons_moments_fini(&b);
    return st;
}

static onestep_status evaluate_side(ons_model *m, const ons_compare_options *o, const char *label,
                                    ons_compare_side *s)
{
    onestep_status st;
    ons_drawer d = {0};
    ons_request defaults;
    ons_eval_options options = {.n = o->n_eval, .n_diversity = 16, .seed = o->seed};

    ons_request_init(&defaults);
    defaults.batch_size = 16;
    ONS_TRY(ons_drawer_init(&d, m, &defaults, &o->compute, NULL));
    d.label = label;
    options.side = d.side;
    ONS_TRY(ons_evaluate(o->data, o->embedder, &options, ons_drawer_draw, &d, &s->eval));
    s->has_eval = true;
fail:
    return st;
}

static onestep_status check_sizes(const ons_drawer *teacher, const ons_drawer *student,
                                  const ons_compare_options *o)
{
    if (o->n_prompts < 1)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "nothing to compare: no prompts");
    if (teacher->side != student->side)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "the teacher draws %d pixels a side, the student %d: they cannot be compared",
                        teacher->side, student->side);
    return ONESTEP_OK;
}

static onestep_status take_measurements(ons_drawer *t, ons_drawer *s, const ons_compare_options *o,
                                        ons_energy *energy, ons_compare *c)
{
    onestep_status st;

    ONS_TRY(describe(&c->teacher, t->model, c->n_prompts, c->n_timed, c->side));
    ONS_TRY(describe(&c->student, s->model, c->n_prompts, c->n_timed, c->side));
    ONS_TRY(measure(t, s, o, energy, c));
    ONS_TRY(summarise(&c->teacher, c->n_timed));
    ONS_TRY(summarise(&c->student, c->n_timed));
    ONS_TRY(look_side_by_side(c));
    c->break_even_time = ons_break_even(c->student.train_seconds > 0 ? c->student.train_seconds : -1,
                                        1e-3 * c->teacher.median_ms, 1e-3 * c->student.median_ms);
    c->break_even_energy = ons_break_even(c->student.train_joules > 0 ? c->student.train_joules : -1,
                                          c->teacher.joules, c->student.joules);
    if (c->teacher.joules < 0 || strncmp(c->teacher.energy_source, "declared", 8) == 0)
        snprintf(c->advice, sizeof c->advice, "%s", ons_energy_advice(energy));
fail:
    return st;
}

onestep_status ons_compare_run(ons_model *teacher, ons_model *student, const ons_compare_options *o,
                               ons_compare *out)
{
    onestep_status st;
    ons_drawer t = {0}, s = {0};
    ons_request defaults;
    ons_energy *energy = NULL;

    memset(out, 0, sizeof *out);
    ONS_TRY(ons_energy_open(NULL, o->watts, &energy));
    ons_request_init(&defaults);
    defaults.batch_size = 1;
    ONS_TRY(ons_drawer_init(&t, teacher, &defaults, &o->compute, energy));
    ONS_TRY(ons_drawer_init(&s, student, &defaults, &o->compute, energy));
    ONS_TRY(check_sizes(&t, &s, o));
    out->n_prompts = o->n_prompts;
    out->n_timed = o->n_prompts > MIN_TIMED ? o->n_prompts : MIN_TIMED;
    out->side = t.side;
    out->n_threads = ons_compute_threads(&o->compute);
    out->prompts = o->prompts;
    out->seed = o->seed;
    out->precision = ons_dtype_name(o->compute.type);
    ONS_TRY(take_measurements(&t, &s, o, energy, out));
    if (o->data) {
        ONS_TRY(evaluate_side(teacher, o, "eval teacher", &out->teacher));
        ONS_TRY(evaluate_side(student, o, "eval student", &out->student));
    }
fail:
    ons_energy_close(&energy);
    if (st != ONESTEP_OK)
        ons_compare_fini(out);
    return st;
}

void ons_compare_fini(ons_compare *c)
{
    ons_free(c->teacher.ms);
    ons_free(c->teacher.rgb);
    ons_free(c->student.ms);
    ons_free(c->student.rgb);
    memset(c, 0, sizeof *c);
}
