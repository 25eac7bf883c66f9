/*
 * Measures what draws pictures against a data set: on training names, on held-out names, on ambiguous keywords.
 *
 * Each section draws one picture per caption (keywords: eight) and compares with as many real pictures of the
 * same captions. For diversity, eight seeds of a few captions are drawn. Which captions are drawn depends on
 * the data set and n alone, so that different models and seeds meet the same ones.
 */
#ifndef ONS_EVAL_EVALUATE_H
#define ONS_EVAL_EVALUATE_H

#include "data/dataset.h"
#include "energy/energy.h"
#include "eval/features.h"

struct json_t;

enum { ONS_EVAL_SEEDS = 8 };

/*
 * What is measured: draws `n` pictures rgb [n, side, side, 3] for the captions and seeds. Called with whole
 * sections; batching and progress are its own.
 */
typedef onestep_status (*ons_draw_fn)(void *user, const char *const *captions, const uint64_t *seeds, int64_t n,
                                      uint8_t *rgb);

typedef struct ons_eval_options {
    int n;           /* captions per section at most; keywords: n / 8 */
    int n_diversity; /* names whose eight seeds are compared */
    uint64_t seed;   /* of the noise */
    int side;        /* pixels of the pictures; the data set's size too */
} ons_eval_options;

typedef struct ons_eval_section {
    bool present;
    int n_captions, n_pictures;
    double frechet, patch_frechet; /* against the real pictures of the same captions */
    double top1, top5, clip;       /* caption -> picture among the section's pictures (per seed) */
    double real_top1, real_top5;   /* the same for the real pictures; NAN for keywords */
    double precision, recall;
    double diversity; /* mean distance of features between seeds; NAN when not drawn */
    double nearest;   /* mean distance of features to the nearest training picture */
    double exact;     /* share whose nearest real picture in 24x24 RGB is the very one (keywords: carries the
                         keyword) */
} ons_eval_section;

typedef struct ons_eval {
    ons_eval_section train, heldout, ambiguous;
    double real_nearest; /* training pictures among themselves: to judge `nearest` by */
    int64_t n_pictures;  /* drawn in all */
    double draw_s;       /* time spent drawing */
} ons_eval;

/* `data` holds pictures of o->side, held-out ones included. */
onestep_status ons_evaluate(const ons_dataset *data, ons_embedder *e, const ons_eval_options *o,
                            ons_draw_fn draw, void *user, ons_eval *out) ONESTEP_CHECK;

/* One section as JSON, null when absent; non-finite figures are null. New reference; NULL: no memory. */
struct json_t *ons_eval_section_json(const ons_eval_section *s);

#endif
