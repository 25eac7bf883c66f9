/*
 * Teacher against student: the same prompts and seeds, one picture at a time, taking turns in one run, so that
 * a busy machine disturbs both alike. What each costs, how they look, and after how many pictures the
 * distillation has paid for itself.
 */
#ifndef ONS_EVAL_COMPARE_H
#define ONS_EVAL_COMPARE_H

#include "eval/draw.h"
#include "eval/evaluate.h"

struct json_t;

typedef struct ons_compare_side {
    const char *path;
    ons_resolved run;
    char kind[32], method[32];
    int n_evaluations;                 /* of the UNet per picture, guidance counted twice */
    double gflop;                      /* per picture, all parts */
    double *ms;                        /* [n_timed], owned */
    double median_ms, low_ms, high_ms; /* 10 % and 90 % */
    double joules;                     /* per picture; -1 unknown */
    char energy_source[128];
    double train_seconds, train_joules; /* from the card; joules -1 unknown */
    uint8_t *rgb;                       /* [n_prompts, side, side, 3], owned */
    bool has_eval;
    ons_eval eval;
} ons_compare_side;

typedef struct ons_compare {
    int n_prompts, n_timed, side, n_threads;
    const char *const *prompts; /* borrowed */
    uint64_t seed;
    const char *precision;
    ons_compare_side teacher, student;
    double patch_frechet;                      /* student's pictures against the teacher's, for these prompts */
    double pixel_distance;                     /* root mean square difference of the pictures, 0..255 */
    double break_even_time, break_even_energy; /* pictures; -1: unknown, HUGE_VAL: never */
    char advice[1400];                         /* why there are no joules; "" else */
} ons_compare;

typedef struct ons_compare_options {
    const char *const *prompts; /* [n_prompts] */
    int n_prompts;
    uint64_t seed;
    double watts; /* declared; 0: none */
    ons_compute compute;
    /* Quality against a data set; data NULL: not measured. */
    const ons_dataset *data;
    ons_embedder *embedder;
    int n_eval;
} ons_compare_options;

onestep_status ons_compare_run(ons_model *teacher, ons_model *student, const ons_compare_options *o,
                               ons_compare *out) ONESTEP_CHECK;
void ons_compare_fini(ons_compare *c); /* accepts a zeroed struct */

struct json_t *ons_compare_json(const ons_compare *c); /* new reference; NULL: no memory */
/* compare.json, sheet.png and index.html in `folder` (made if missing). */
onestep_status ons_compare_write(const ons_compare *c, const char *folder) ONESTEP_CHECK;
/* The page alone; *html is released with ons_free. */
onestep_status ons_compare_page(const ons_compare *c, char **html, size_t *size) ONESTEP_CHECK;

/* Pictures after which `spent` is repaid at `before` - `after` per picture: -1 unknown (an argument below 0),
 * HUGE_VAL: never. */
double ons_break_even(double spent, double before, double after);

#endif
