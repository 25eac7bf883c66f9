/*
 * Progress and records of a long run. The log is one JSON object a line, appended and flushed, so that a killed
 * run leaves a readable file; on resume, lines after the checkpoint are cut off, so that every step appears
 * once.
 */
#include "train/run.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "io/png.h"
#include "pipeline/plot.h"

double ons_lr_factor(int64_t step, int64_t total, int warmup, double flat)
{
    double at = total > 0 ? (double)step / (double)total : 1;

    if (step < warmup)
        return (double)(step + 1) / warmup;
    if (at < flat || flat >= 1)
        return 1;
    return (1 - at) / (1 - flat);
}

double ons_run_seconds(const ons_run *run)
{
    return run->seconds_before + ons_now_s() - run->start_s;
}

double ons_run_joules(const ons_run *run)
{
    double now = run->energy ? ons_energy_joules(run->energy) : -1;

    return now < 0 || run->joules_before < 0 ? -1 : run->joules_before + now;
}

static onestep_status remember(ons_run *run, int64_t step, const double *means)
{
    size_t width = 1 + (size_t)run->n_series;

    if (run->n_points == run->capacity) {
        size_t grown = run->capacity ? 2 * run->capacity : 256;
        double *h = ons_realloc(run->history, grown * width * sizeof *h);

        if (!h)
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for the loss history");
        run->history = h;
        run->capacity = grown;
    }
    run->history[run->n_points * width] = (double)step;
    for (int i = 0; i < run->n_series; i++)
        run->history[run->n_points * width + 1 + (size_t)i] = means[i];
    run->n_points++;
    return ONESTEP_OK;
}

/* Column `k` of the history as a series; x is the column of steps, copied once for all. */
static void split_history(const ons_run *run, double *columns)
{
    size_t width = 1 + (size_t)run->n_series;

    for (size_t i = 0; i < run->n_points; i++)
        for (size_t k = 0; k < width; k++)
            columns[k * run->n_points + i] = run->history[i * width + k];
}

static onestep_status draw_plot(const ons_run *run)
{
    ons_plot_options o = {.title = run->stage, .log_y = true};
    ons_plot_series series[ONS_RUN_MAX_SERIES];
    double *columns = ons_malloc((run->n_points * (1 + (size_t)run->n_series) + 1) * sizeof *columns);
    char *path = ons_format("%s/%s-loss.png", run->folder, run->stage);
    uint8_t *rgb = NULL;
    int width, height;
    onestep_status st;

    if (!path || !columns) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the loss plot");
        goto fail;
    }
    split_history(run, columns);
    for (int i = 0; i < run->n_series; i++)
        series[i] = (ons_plot_series){.name = run->names[i],
                                      .x = columns,
                                      .y = columns + (size_t)(i + 1) * run->n_points,
                                      .n = run->n_points};
    ONS_TRY(ons_plot_draw(series, run->n_series, &o, &rgb, &width, &height));
    st = ons_picture_write(path, rgb, width, height, NULL, 0);
fail:
    ons_free(rgb);
    ons_free(columns);
    ons_free(path);
    return st;
}

onestep_status ons_run_log(ons_run *run, json_t *fields)
{
    json_t *line = json_pack("{s:s, s:I}", "stage", run->stage, "step", (json_int_t)run->step);
    char *text = NULL, *path = ons_format("%s/log.jsonl", run->folder);
    onestep_status st = ONESTEP_OK;
    FILE *f = NULL;

    if (line && fields)
        json_object_update(line, fields);
    json_decref(fields);
    text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(line);
    if (!path || !text) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a log line");
    } else if (!(f = fopen(path, "a")) || fprintf(f, "%s\n", text) < 0 || fflush(f) != 0) {
        st = ons_fail(ONESTEP_IO, "%s: cannot append (%s); the last checkpoint is intact", path,
                      strerror(errno));
    }
    if (f && fclose(f) != 0 && st == ONESTEP_OK)
        st = ons_fail(ONESTEP_IO, "%s: cannot append (%s); the last checkpoint is intact", path,
                      strerror(errno));
    free(text);
    ons_free(path);
    return st;
}

static onestep_status report(ons_run *run)
{
    double means[ONS_RUN_MAX_SERIES];
    char text[256];
    int at = 0;
    json_t *fields = json_object();
    onestep_status st;

    for (int i = 0; i < run->n_series; i++) {
        means[i] = run->n_summed ? run->sums[i] / run->n_summed : NAN;
        if (isfinite(means[i]))
            json_object_set_new(fields, run->names[i], json_real(means[i]));
        if (at < (int)sizeof text)
            at += snprintf(text + at, sizeof text - (size_t)at, "%s%s %.4g", i ? "  " : "", run->names[i],
                           means[i]);
        run->sums[i] = 0;
    }
    json_object_set_new(fields, "seconds", json_real(ons_run_seconds(run)));
    if (ons_run_joules(run) >= 0)
        json_object_set_new(fields, "joules", json_real(ons_run_joules(run)));
    if (run->n_skipped) {
        json_object_set_new(fields, "skipped", json_integer(run->n_skipped));
        if (at < (int)sizeof text)
            snprintf(text + at, sizeof text - (size_t)at, "  %lld skipped", (long long)run->n_skipped);
    }
    ons_progress_update(&run->progress, (long)run->step, "%s", text);
    if ((st = ons_run_log(run, fields)) != ONESTEP_OK)
        return st;
    if (run->n_summed && (st = remember(run, run->step, means)) != ONESTEP_OK)
        return st;
    run->n_summed = 0;
    return ONESTEP_OK;
}

onestep_status ons_run_step(ons_run *run, int64_t step, const double *values, bool skipped)
{
    onestep_status st;

    run->step = step;
    if (skipped) {
        run->n_skipped++;
    } else {
        for (int i = 0; i < run->n_series; i++)
            run->sums[i] += values[i];
        run->n_summed++;
    }
    if (step % run->log_every && step != run->total)
        return ONESTEP_OK;
    if ((st = report(run)) != ONESTEP_OK)
        return st;
    /* the picture is redrawn ten times less often than the line: it costs milliseconds */
    if (step % (10 * (int64_t)run->log_every) == 0 || step == run->total)
        return draw_plot(run);
    return ONESTEP_OK;
}

bool ons_run_checkpoint_due(const ons_run *run)
{
    return run->step % run->checkpoint_every == 0 || run->step == run->total;
}

bool ons_run_sample_due(const ons_run *run)
{
    return run->sample_every && (run->step % run->sample_every == 0 || run->step == run->total);
}

static void restore_line(ons_run *run, const json_t *line)
{
    double means[ONS_RUN_MAX_SERIES];
    json_t *seconds = json_object_get(line, "seconds"), *joules = json_object_get(line, "joules");

    if (!seconds)
        return;
    run->seconds_before = json_number_value(seconds);
    run->joules_before = joules ? json_number_value(joules) : -1;
    run->n_skipped = json_integer_value(json_object_get(line, "skipped"));
    for (int i = 0; i < run->n_series; i++) {
        json_t *v = json_object_get(line, run->names[i]);

        if (!v)
            return;
        means[i] = json_number_value(v);
    }
    if (remember(run, json_integer_value(json_object_get(line, "step")), means) != ONESTEP_OK)
        ons_warn("%s: the plot starts anew", run->folder);
}

/* Keeps other stages' lines and this stage's up to `step`. */
static bool keep_line(ons_run *run, const char *text, size_t size, int64_t step)
{
    json_t *line = json_loadb(text, size, 0, NULL);
    const char *stage = json_string_value(json_object_get(line, "stage"));
    bool ours = stage && !strcmp(stage, run->stage);
    bool keep = line && (!ours || json_integer_value(json_object_get(line, "step")) <= step);

    if (keep && ours && step > 0)
        restore_line(run, line);
    if (ours && step == 0)
        keep = false;
    json_decref(line);
    return keep;
}

/* History and totals from an earlier sitting's log.jsonl: lines of this stage up to `step`; later ones are
 * dropped from the file. */
static onestep_status restore_run(ons_run *run, int64_t step)
{
    char *path = ons_format("%s/log.jsonl", run->folder), *text = NULL;
    size_t size = 0, kept = 0;
    onestep_status st = ONESTEP_OK;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the log");
    if (ons_path_exists(path)) {
        ONS_TRY(ons_read_file(path, (size_t)1 << 30, &text, &size));
        for (size_t at = 0; at < size;) {
            const char *end = memchr(text + at, '\n', size - at);
            size_t length = end ? (size_t)(end - text) - at : size - at;

            if (end && keep_line(run, text + at, length, step)) {
                memmove(text + kept, text + at, length + 1);
                kept += length + 1;
            }
            at += length + 1;
        }
        ONS_TRY(ons_write_file(path, text, kept));
    }
fail:
    ons_free(text);
    ons_free(path);
    return st;
}

onestep_status ons_run_begin(const ons_run_options *o, ons_run *run)
{
    onestep_status st;

    *run = (ons_run){.stage = o->stage,
                     .step = o->start,
                     .total = o->total,
                     .checkpoint_every = o->checkpoint_every,
                     .log_every = o->log_every,
                     .sample_every = o->sample_every,
                     .energy = o->energy,
                     .start_s = ons_now_s()};
    for (; o->series && o->series[run->n_series]; run->n_series++)
        run->names[run->n_series] = o->series[run->n_series];
    run->folder = ons_strdup(o->folder);
    if (!run->folder)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to start the %s stage", o->stage);
    ONS_TRY(ons_make_dirs(o->folder));
    ONS_TRY(restore_run(run, o->start));
    ons_progress_begin(&run->progress, o->stage, o->unit, (long)o->start, (long)o->total);
    return ONESTEP_OK;
fail:
    ons_run_end(run);
    return st;
}

void ons_run_end(ons_run *run)
{
    if (run->folder && run->progress.label)
        ons_progress_end(&run->progress);
    ons_free(run->folder);
    ons_free(run->history);
    *run = (ons_run){0};
}
