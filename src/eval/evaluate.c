/* The whole evaluation: what all sections share, then the sections. */
#include "eval/evaluate.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "eval/section.h"
#include "metrics/metrics.h"

enum { CHUNK = 64 };

/* Features of the training pictures, gathered chunk by chunk since they lie apart. */
static onestep_status embed_training(ons_eval_context *x)
{
    onestep_status st = ONESTEP_OK;
    int side = x->options->side, f = ons_embedder_n_features(x->embedder), n = 0;
    uint8_t *rgb = ons_malloc(CHUNK * x->picture_bytes);

    if (!rgb)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures", CHUNK);
    for (size_t i = 0; i < x->n_items; i++) {
        const ons_item *item = ons_dataset_at(x->data, i);

        if (!item->heldout)
            memcpy(rgb + (size_t)n++ * x->picture_bytes, item->rgb, x->picture_bytes);
        if (n < CHUNK && i + 1 < x->n_items)
            continue;
        ONS_TRY(ons_embed_pictures(x->embedder, rgb, n, side, x->train + x->n_train * f, NULL));
        x->n_train += n;
        n = 0;
    }
fail:
    ons_free(rgb);
    return st;
}

static void make_thumbnails(void *context, int64_t begin, int64_t end, int piece)
{
    const ons_eval_context *x = context;
    const int side = x->options->side;

    (void)piece;
    for (int64_t i = begin; i < end; i++)
        ons_thumbnail(ons_dataset_at(x->data, (size_t)i)->rgb, side, side, x->thumbs + i * ONS_THUMB_FEATURES);
}

static onestep_status open_context(ons_eval_context *x)
{
    int f = ons_embedder_n_features(x->embedder);
    size_t n = x->n_items;

    x->thumbs = ons_malloc((n + 1) * ONS_THUMB_FEATURES * sizeof *x->thumbs);
    x->train = ons_malloc((n + 1) * (size_t)f * sizeof *x->train);
    if (!x->thumbs || !x->train)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the features of %zu pictures", n);
    ons_parallel_for(ons_embedder_n_threads(x->embedder), (int64_t)n, 1, make_thumbnails, x);
    return embed_training(x);
}

onestep_status ons_evaluate(const ons_dataset *data, ons_embedder *e, const ons_eval_options *o,
                            ons_draw_fn draw, void *user, ons_eval *out)
{
    onestep_status st;
    ons_eval_context x = {.data = data,
                          .embedder = e,
                          .options = o,
                          .picture_bytes = (size_t)o->side * (size_t)o->side * 3,
                          .n_items = ons_dataset_count(data),
                          .draw = draw,
                          .user = user};
    ons_eval_plan train = {0}, heldout = {0}, keywords = {0};
    int n_keywords = o->n / ONS_EVAL_SEEDS > 1 ? o->n / ONS_EVAL_SEEDS : 1;

    memset(out, 0, sizeof *out);
    if (!ons_dataset_has_pictures(data))
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "this data set holds captions alone: evaluation compares with pictures");
    if (o->n < 2)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "an evaluation of %d captions: two or more", o->n);
    ONS_TRY(ons_eval_plan_names(data, false, o->n, &train));
    ONS_TRY(ons_eval_plan_names(data, true, o->n, &heldout));
    ONS_TRY(ons_eval_plan_keywords(data, n_keywords, &keywords));
    ONS_TRY(open_context(&x));
    out->real_nearest = ons_nearest_distance(x.train, x.n_train, x.train, x.n_train, ons_embedder_n_features(e),
                                             ons_embedder_n_threads(e), true);
    ONS_TRY(ons_eval_section_run(&x, &train, &out->train));
    ONS_TRY(ons_eval_diversity(&x, &train, o->n_diversity, &out->train.diversity));
    ONS_TRY(ons_eval_section_run(&x, &heldout, &out->heldout));
    ONS_TRY(ons_eval_diversity(&x, &heldout, o->n_diversity, &out->heldout.diversity));
    ONS_TRY(ons_eval_section_run(&x, &keywords, &out->ambiguous));
    out->n_pictures = x.n_drawn;
    out->draw_s = x.draw_s;
fail:
    ons_eval_plan_fini(&train);
    ons_eval_plan_fini(&heldout);
    ons_eval_plan_fini(&keywords);
    ons_free(x.thumbs);
    ons_free(x.train);
    return st;
}

static void add_figure(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isfinite(value) ? json_real(value) : json_null());
}

struct json_t *ons_eval_section_json(const ons_eval_section *s)
{
    json_t *object;

    if (!s->present)
        return json_null();
    object = json_object();
    if (!object)
        return NULL;
    add_figure(object, "frechet", s->frechet);
    add_figure(object, "top1", s->top1);
    add_figure(object, "top5", s->top5);
    add_figure(object, "clip", s->clip);
    add_figure(object, "precision", s->precision);
    add_figure(object, "recall", s->recall);
    add_figure(object, "patch_frechet", s->patch_frechet);
    add_figure(object, "diversity", s->diversity);
    add_figure(object, "nearest", s->nearest);
    add_figure(object, "exact", s->exact);
    add_figure(object, "real_top1", s->real_top1);
    add_figure(object, "real_top5", s->real_top5);
    json_object_set_new(object, "captions", json_integer(s->n_captions));
    json_object_set_new(object, "pictures", json_integer(s->n_pictures));
    return object;
}
