/* What `onestep bench` measured, for people and as JSON. */
#ifndef CLI_BENCH_REPORT_H
#define CLI_BENCH_REPORT_H

#include "bench/model.h"
#include "bench/roofline.h"

typedef struct bench_report {
    const char *model;   /* NULL: the roofline alone */
    ons_compute compute; /* with the number of threads that were meant */
    int n_runs;
    double open_s;
    ons_bench_roofline roofline; /* zeros: not measured */
    ons_bench_model result;
} bench_report;

void bench_report_text(const bench_report *r);
onestep_status bench_report_json(const bench_report *r) ONESTEP_CHECK; /* to standard output */

#endif
