/*
 * What every long run has: progress line, log.jsonl, loss plot, joules, when to checkpoint and sample, Ctrl-C.
 */
#ifndef ONS_TRAIN_RUN_H
#define ONS_TRAIN_RUN_H

#include "base/log.h"
#include "base/status.h"
#include "energy/energy.h"

enum { ONS_RUN_MAX_SERIES = 8 };

typedef struct ons_run {
    char *folder;      /* log.jsonl, loss.png, samples/ */
    const char *stage; /* "autoencoder", "teacher", "distill" */
    int64_t step, total;
    int checkpoint_every, log_every, sample_every;
    double seconds_before, joules_before; /* spent by earlier sittings of the same run */
    double start_s;
    ons_energy *energy; /* not owned */
    ons_progress progress;
    int n_series;
    const char *names[ONS_RUN_MAX_SERIES];
    double sums[ONS_RUN_MAX_SERIES];
    int n_summed;
    int64_t n_skipped; /* steps with a non-finite gradient */
    double *history;   /* [n_points][1 + n_series]: step and means, for the plot */
    size_t n_points, capacity;
} ons_run;

typedef struct ons_run_options {
    const char *folder, *stage, *unit;
    int64_t start, total;
    int checkpoint_every, log_every, sample_every;
    ons_energy *energy;        /* may be NULL */
    const char *const *series; /* names of what ons_run_step gets, NULL-ended */
} ons_run_options;

onestep_status ons_run_begin(const ons_run_options *o, ons_run *run) ONESTEP_CHECK;
/*
 * After each step: values[n_series]; accumulates, prints and logs the means when due. `step` is the number of
 * finished steps. A non-finite gradient is reported with skipped = true (values are then not counted).
 */
onestep_status ons_run_step(ons_run *run, int64_t step, const double *values, bool skipped) ONESTEP_CHECK;
/* One line of log.jsonl: "stage", "step" and the given fields. Takes the reference. */
struct json_t;
onestep_status ons_run_log(ons_run *run, struct json_t *fields) ONESTEP_CHECK;
bool ons_run_checkpoint_due(const ons_run *run);
bool ons_run_sample_due(const ons_run *run);
double ons_run_seconds(const ons_run *run); /* earlier sittings included */
double ons_run_joules(const ons_run *run);  /* -1: unknown */
void ons_run_end(ons_run *run);             /* accepts a zeroed struct */

/* Learning rate factor: linear rise over `warmup`, 1 until `flat` of the run, then linear to 0. */
double ons_lr_factor(int64_t step, int64_t total, int warmup, double flat);

#endif
