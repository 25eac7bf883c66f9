/*
 * How fast a pipeline runs: its stages over several runs, every run with other prompts, so that the text
 * encoder works each time. The first run makes the plans and packs the weights; it is told apart.
 */
#ifndef ONS_BENCH_MODEL_H
#define ONS_BENCH_MODEL_H

#include "pipeline/draw.h"

enum { ONS_BENCH_MAX_RUNS = 1000, ONS_BENCH_MAX_BATCH = 64 };

typedef enum ons_bench_stage_kind {
    ONS_BENCH_TEXT,
    ONS_BENCH_UNET,
    ONS_BENCH_DECODER,
    ONS_BENCH_ENCODE, /* pixels to PNG, in memory */
    ONS_BENCH_TOTAL,  /* the whole run, what lies between the stages included */
    ONS_BENCH_STAGES
} ons_bench_stage_kind;
enum { ONS_BENCH_NETWORKS = ONS_BENCH_ENCODE }; /* the stages before it are plans, and have a profile */
extern const char *const ons_bench_stage_names[ONS_BENCH_STAGES];

typedef struct ons_bench_stage {
    double median_s, least_s, most_s; /* per run */
    double flops;                     /* per run, 2 per multiply-add that the model needs */
    ons_profile profile;              /* empty without `profile` */
    double profiled_s;                /* of the stage, over the runs of the profile */
} ons_bench_stage;

typedef struct ons_bench_options {
    ons_request request; /* settings; batch_size pictures per run, 1 to ONS_BENCH_MAX_BATCH: 1 is what a waiting
                            person sees */
    int n_runs;          /* measured ones, 1 to ONS_BENCH_MAX_RUNS */
    bool profile;        /* as many runs more, with every operator timed */
    double watts;        /* what the machine draws, where no counter tells; 0: not stated */
} ons_bench_options;

typedef struct ons_bench_model {
    ons_resolved run;
    int n_evaluations;   /* of the network per run, guidance counted twice */
    double first_s;      /* the first run: plans, packing, picture */
    double joules;       /* per picture over the measured runs; -1: unknown */
    char energy[1400];   /* where joules come from, or why they are unknown */
    size_t buffer_bytes; /* of the plans, without weights */
    ons_bench_stage stages[ONS_BENCH_STAGES];
} ons_bench_model;

/* `progress` (may be NULL) is told after each run; false stops (INTERRUPTED). */
onestep_status ons_bench_model_run(ons_model *m, const ons_bench_options *o,
                                   bool (*progress)(void *user, int run, int n_runs), void *user,
                                   ons_bench_model *out) ONESTEP_CHECK;
void ons_bench_model_fini(ons_bench_model *b); /* accepts a zeroed struct */

#endif
