/* The figures of one section. Pictures lie seed by seed: [n_seeds, n_captions], so that each seed is one pool
 * of retrieval. */
#include "eval/section.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "metrics/metrics.h"

enum { SEED_STRIDE = 1000003 };

/* Work of one section; all owned. */
typedef struct section_work {
    int64_t n, n_reference;
    uint8_t *made, *real; /* pictures */
    float *made_features, *real_features, *embedding, *captions;
    const char **texts;
    uint64_t *seeds;
} section_work;

static void fini_work(section_work *w)
{
    ons_free(w->made);
    ons_free(w->real);
    ons_free(w->made_features);
    ons_free(w->real_features);
    ons_free(w->embedding);
    ons_free(w->captions);
    ons_free(w->texts);
    ons_free(w->seeds);
}

static onestep_status init_work(const ons_eval_context *x, int64_t n, int64_t n_reference, section_work *w)
{
    size_t made = (size_t)n, real = (size_t)n_reference, larger = made > real ? made : real;
    size_t features = (size_t)ons_embedder_n_features(x->embedder),
           embedding = (size_t)ons_embedder_n_embedding(x->embedder);

    memset(w, 0, sizeof *w);
    w->n = n;
    w->n_reference = n_reference;
    w->made = ons_calloc(made, x->picture_bytes);
    w->real = ons_calloc(real + 1, x->picture_bytes);
    w->made_features = ons_calloc(made * features, sizeof(float));
    w->real_features = ons_calloc((real + 1) * features, sizeof(float));
    w->embedding = ons_calloc(larger * embedding, sizeof(float));
    w->captions = ons_calloc(made * embedding, sizeof(float));
    w->texts = ons_calloc(made, sizeof *w->texts);
    w->seeds = ons_calloc(made, sizeof *w->seeds);
    if (w->made && w->real && w->made_features && w->real_features && w->embedding && w->captions && w->texts &&
        w->seeds)
        return ONESTEP_OK;
    fini_work(w);
    memset(w, 0, sizeof *w);
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the %lld pictures of an evaluation: choose a smaller --n",
                    (long long)(n + n_reference));
}

/* Captions [n_seeds, n_captions] with their seeds, drawn into w->made. */
static onestep_status draw(ons_eval_context *x, const ons_eval_plan *p, int n_captions, int n_seeds,
                           section_work *w)
{
    onestep_status st;
    double start = ons_now_s();

    for (int s = 0; s < n_seeds; s++)
        for (int c = 0; c < n_captions; c++) {
            w->texts[s * n_captions + c] = p->captions[c];
            w->seeds[s * n_captions + c] = x->options->seed + (uint64_t)s * SEED_STRIDE + (uint64_t)c;
        }
    ONS_TRY(x->draw(x->user, w->texts, w->seeds, w->n, w->made));
    x->n_drawn += w->n;
    x->draw_s += ons_now_s() - start;
fail:
    return st;
}

static void load_reference(const ons_eval_context *x, const ons_eval_plan *p, section_work *w)
{
    for (int64_t i = 0; i < w->n_reference; i++)
        memcpy(w->real + (size_t)i * x->picture_bytes, ons_dataset_at(x->data, p->reference[i])->rgb,
               x->picture_bytes);
}

static onestep_status frechet_of(const float *a, int64_t n_a, const float *b, int64_t n_b, int d, double *out)
{
    onestep_status st;
    ons_moments ma = {0}, mb = {0};

    *out = NAN;
    if (n_a < 2 || n_b < 2)
        return ONESTEP_OK;
    ONS_TRY(ons_moments_init(&ma, d));
    ONS_TRY(ons_moments_init(&mb, d));
    ONS_TRY(ons_moments_add(&ma, a, n_a));
    ONS_TRY(ons_moments_add(&mb, b, n_b));
    ONS_TRY(ons_frechet(&ma, &mb, out));
fail:
    ons_moments_fini(&ma);
    ons_moments_fini(&mb);
    return st;
}

static onestep_status patch_frechet_of(const section_work *w, int side, double *out)
{
    onestep_status st;
    ons_moments made = {0}, real = {0};

    ONS_TRY(ons_moments_init(&made, ONS_PATCH_FEATURES));
    ONS_TRY(ons_moments_init(&real, ONS_PATCH_FEATURES));
    ONS_TRY(ons_patch_moments(w->made, w->n, side, side, &made));
    ONS_TRY(ons_patch_moments(w->real, w->n_reference, side, side, &real));
    ONS_TRY(ons_frechet(&made, &real, out));
fail:
    ons_moments_fini(&made);
    ons_moments_fini(&real);
    return st;
}

/* Retrieval within each seed's pool, averaged. */
static void retrieve(const section_work *w, int n_captions, int n_seeds, int d, int n_threads,
                     ons_retrieval *out)
{
    memset(out, 0, sizeof *out);
    for (int s = 0; s < n_seeds; s++) {
        int64_t first = (int64_t)s * n_captions * d;
        ons_retrieval one;

        ons_retrieve(w->captions + first, w->embedding + first, n_captions, d, n_threads, &one);
        out->top1 += one.top1 / n_seeds;
        out->top5 += one.top5 / n_seeds;
        out->clip += one.clip / n_seeds;
    }
}

static bool item_carries(const ons_item *item, const char *caption)
{
    for (int i = 0; i < item->n_captions; i++)
        if (!strcmp(item->captions[i], caption))
            return true;
    return false;
}

/* The nearest real picture is the right one: it carries the keyword, or it is the picture of that name (or a
 * twin, pixel by pixel). */
static bool is_right(const ons_eval_context *x, const ons_eval_plan *p, int caption, size_t found)
{
    const ons_item *item = ons_dataset_at(x->data, found);

    if (p->keywords)
        return item_carries(item, p->captions[caption]);
    return found == p->items[caption] ||
           !memcmp(item->rgb, ons_dataset_at(x->data, p->items[caption])->rgb, x->picture_bytes);
}

static onestep_status exact_share(const ons_eval_context *x, const ons_eval_plan *p, const section_work *w,
                                  double *out)
{
    float *thumbs = ons_malloc((size_t)w->n * ONS_THUMB_FEATURES * sizeof *thumbs);
    int64_t *index = ons_malloc((size_t)w->n * sizeof *index), hits = 0;
    int side = x->options->side;

    if (!thumbs || !index) {
        ons_free(thumbs);
        ons_free(index);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %lld thumbnails", (long long)w->n);
    }
    for (int64_t i = 0; i < w->n; i++)
        ons_thumbnail(w->made + (size_t)i * x->picture_bytes, side, side, thumbs + i * ONS_THUMB_FEATURES);
    ons_nearest_index(thumbs, w->n, x->thumbs, (int64_t)x->n_items, ONS_THUMB_FEATURES,
                      ons_embedder_n_threads(x->embedder), index);
    for (int64_t i = 0; i < w->n; i++)
        hits += index[i] >= 0 && is_right(x, p, (int)(i % p->n_captions), (size_t)index[i]);
    *out = (double)hits / (double)w->n;
    ons_free(thumbs);
    ons_free(index);
    return ONESTEP_OK;
}

/* x [n_seeds, n_captions, d] -> mean distance between seeds. */
static onestep_status spread_of(const float *x, int n_captions, int n_seeds, int d, double *out)
{
    float *y = ons_malloc((size_t)n_captions * (size_t)n_seeds * (size_t)d * sizeof *y);

    if (!y)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the features of %d pictures", n_captions * n_seeds);
    for (int s = 0; s < n_seeds; s++)
        for (int c = 0; c < n_captions; c++)
            memcpy(y + ((size_t)c * (size_t)n_seeds + (size_t)s) * (size_t)d,
                   x + ((size_t)s * (size_t)n_captions + (size_t)c) * (size_t)d, (size_t)d * sizeof *y);
    *out = ons_diversity(y, n_captions, n_seeds, d);
    ons_free(y);
    return ONESTEP_OK;
}

static onestep_status measure_captions(ons_eval_context *x, const ons_eval_plan *p, section_work *w,
                                       ons_eval_section *out)
{
    onestep_status st;
    int d = ons_embedder_n_embedding(x->embedder), f = ons_embedder_n_features(x->embedder),
        side = x->options->side;
    ons_retrieval r;

    ONS_TRY(ons_embed_captions(x->embedder, w->texts, w->n, w->captions));
    ONS_TRY(ons_embed_pictures(x->embedder, w->made, w->n, side, w->made_features, w->embedding));
    retrieve(w, p->n_captions, p->n_seeds, d, ons_embedder_n_threads(x->embedder), &r);
    out->top1 = r.top1;
    out->top5 = r.top5;
    out->clip = r.clip;
    if (p->n_seeds > 1)
        ONS_TRY(spread_of(w->made_features, p->n_captions, p->n_seeds, f, &out->diversity));
    ONS_TRY(ons_embed_pictures(x->embedder, w->real, w->n_reference, side, w->real_features, w->embedding));
    if (!p->keywords) {
        ons_retrieve(w->captions, w->embedding, w->n, d, ons_embedder_n_threads(x->embedder), &r);
        out->real_top1 = r.top1;
        out->real_top5 = r.top5;
    }
fail:
    return st;
}

onestep_status ons_eval_section_run(ons_eval_context *x, const ons_eval_plan *p, ons_eval_section *out)
{
    onestep_status st;
    section_work w;
    int f = ons_embedder_n_features(x->embedder), n_threads = ons_embedder_n_threads(x->embedder);

    *out = (ons_eval_section){
        .real_top1 = NAN, .real_top5 = NAN, .precision = NAN, .recall = NAN, .diversity = NAN};
    if (!p->n_captions)
        return ONESTEP_OK;
    ONS_TRY(init_work(x, (int64_t)p->n_captions * p->n_seeds, p->n_reference, &w));
    load_reference(x, p, &w);
    ONS_TRY(draw(x, p, p->n_captions, p->n_seeds, &w));
    ONS_TRY(measure_captions(x, p, &w, out));
    ONS_TRY(frechet_of(w.made_features, w.n, w.real_features, w.n_reference, f, &out->frechet));
    ONS_TRY(patch_frechet_of(&w, x->options->side, &out->patch_frechet));
    if (w.n > 1 && w.n_reference > 1)
        ONS_TRY(ons_precision_recall(w.real_features, w.n_reference, w.made_features, w.n, f, n_threads,
                                     &out->precision, &out->recall));
    out->nearest = ons_nearest_distance(w.made_features, w.n, x->train, x->n_train, f, n_threads, false);
    ONS_TRY(exact_share(x, p, &w, &out->exact));
    out->n_captions = p->n_captions;
    out->n_pictures = (int)w.n;
    out->present = true;
fail:
    fini_work(&w);
    return st;
}

onestep_status ons_eval_diversity(ons_eval_context *x, const ons_eval_plan *p, int n, double *out)
{
    onestep_status st;
    section_work w;
    int f = ons_embedder_n_features(x->embedder);

    if (n > p->n_captions)
        n = p->n_captions;
    *out = NAN;
    if (n < 1)
        return ONESTEP_OK;
    ONS_TRY(init_work(x, (int64_t)n * ONS_EVAL_SEEDS, 0, &w));
    ONS_TRY(draw(x, p, n, ONS_EVAL_SEEDS, &w));
    ONS_TRY(ons_embed_pictures(x->embedder, w.made, w.n, x->options->side, w.made_features, NULL));
    ONS_TRY(spread_of(w.made_features, n, ONS_EVAL_SEEDS, f, out));
fail:
    fini_work(&w);
    return st;
}
