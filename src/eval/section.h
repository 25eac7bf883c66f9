/* One section of an evaluation: which captions, which real pictures beside them, and the figures of what was
 * drawn. */
#ifndef ONS_EVAL_SECTION_H
#define ONS_EVAL_SECTION_H

#include "eval/evaluate.h"

/* What all sections share. */
typedef struct ons_eval_context {
    const ons_dataset *data;
    ons_embedder *embedder;
    const ons_eval_options *options;
    size_t picture_bytes, n_items;
    float *thumbs; /* [n_items, ONS_THUMB_FEATURES] of every real picture, owned */
    float *train;  /* [n_train, n_features] of the training pictures, owned */
    int64_t n_train;
    ons_draw_fn draw;
    void *user;
    int64_t n_drawn;
    double draw_s;
} ons_eval_context;

/* The captions of a section and their real pictures; all arrays owned, captions borrowed. */
typedef struct ons_eval_plan {
    int n_captions, n_seeds;
    bool keywords;         /* a picture is right when it carries the caption, not only when it is item[c] */
    const char **captions; /* [n_captions] */
    size_t *items;         /* [n_captions] whose name the caption is; keywords: unused */
    size_t *reference;     /* [n_reference] items to compare with */
    int64_t n_reference;
} ons_eval_plan;

/* Plans: n_captions is 0 where the data set has nothing of the kind. Finished by ons_eval_plan_fini. */
onestep_status ons_eval_plan_names(const ons_dataset *d, bool heldout, int n, ons_eval_plan *out) ONESTEP_CHECK;
onestep_status ons_eval_plan_keywords(const ons_dataset *d, int n, ons_eval_plan *out) ONESTEP_CHECK;
void ons_eval_plan_fini(ons_eval_plan *p);

/* Draws and measures. Seed s of caption c is options->seed + s * 1000003 + c. */
onestep_status ons_eval_section_run(ons_eval_context *x, const ons_eval_plan *p,
                                    ons_eval_section *out) ONESTEP_CHECK;
/* Mean distance between eight seeds of the first n captions of a plan. */
onestep_status ons_eval_diversity(ons_eval_context *x, const ons_eval_plan *p, int n,
                                  double *out) ONESTEP_CHECK;

#endif
