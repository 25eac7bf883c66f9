/*
 * Plans of both towers at a fixed batch; the last batch of a set is padded with white pictures or empty
 * captions. f32 always: figures that are to be compared between machines should not hang on what a processor
 * does natively.
 */
#include "eval/features.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/system.h"
#include "train/contrastive.h"

enum { BATCH = 64 };

struct ons_embedder {
    const ons_features *f;
    ons_plan *picture_plan, *caption_plan;
    int n_features, n_embedding, n_threads;
    /* Of a batch, on their way into the plans. */
    float *pixels;
    int32_t *ids, *ends;
};

static onestep_status plan_pictures(ons_embedder *e, const ons_compute *compute)
{
    onestep_status st;
    const ons_features_config *c = &e->f->config;
    ons_graph *g = NULL;
    ons_nn nn;
    ons_plan_options options = {.compute = ons_compute_in(compute, ONS_F32), .label = "picture features"};
    ons_value *levels[ONS_MAX_LEVELS], *last, *embedding;

    ONS_TRY(ons_graph_create(&g));
    ons_nn_init(&nn, g, e->f->params, 0, false);
    embedding = ons_features_image_build(
        &nn, c, ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(BATCH, c->image_size, c->image_size, 3)), levels);
    if (!ons_graph_failed(g)) {
        last = levels[c->n_levels - 1];
        double area = (double)(last->shape.d[1] * last->shape.d[2]);

        last = ons_sum_to(g, last, &ONS_SHAPE4(BATCH, 1, 1, last->shape.d[3]));
        ons_graph_output(g, ons_affine(g, last, 1 / area, 0), "features");
        ons_graph_output(g, embedding, "embedding");
    }
    ONS_TRY(ons_graph_finish(g));
    options.params[0] = e->f->params;
    ONS_TRY(ons_plan_create(&g, &options, &e->picture_plan));
    ONS_TRY(ons_plan_allocate(e->picture_plan));
    ons_plan_set_stop(e->picture_plan, ons_interrupt_stop());
fail:
    ons_graph_destroy(&g);
    return st;
}

static onestep_status plan_captions(ons_embedder *e, const ons_compute *compute)
{
    onestep_status st;
    const ons_features_config *c = &e->f->config;
    ons_graph *g = NULL;
    ons_nn nn;
    ons_plan_options options = {.compute = ons_compute_in(compute, ONS_F32), .label = "caption features"};
    ons_value *ids, *ends;

    ONS_TRY(ons_graph_create(&g));
    ons_nn_init(&nn, g, e->f->params, 0, false);
    ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(BATCH, ons_tokenizer_context(e->f->tokenizer)));
    ends = ons_input(g, "ends", ONS_I32, &ONS_SHAPE1(BATCH));
    ons_graph_output(g, ons_features_text_build(&nn, c, ids, ends), "embedding");
    ONS_TRY(ons_graph_finish(g));
    options.params[0] = e->f->params;
    ONS_TRY(ons_plan_create(&g, &options, &e->caption_plan));
    ONS_TRY(ons_plan_allocate(e->caption_plan));
    ons_plan_set_stop(e->caption_plan, ons_interrupt_stop());
fail:
    ons_graph_destroy(&g);
    return st;
}

static onestep_status allocate_batch(ons_embedder *e)
{
    const size_t side = (size_t)e->f->config.image_size,
                 context = (size_t)ons_tokenizer_context(e->f->tokenizer);

    e->pixels = ons_malloc(BATCH * side * side * 3 * sizeof *e->pixels);
    e->ids = ons_malloc(BATCH * context * sizeof *e->ids);
    e->ends = ons_malloc(BATCH * sizeof *e->ends);
    return e->pixels && e->ids && e->ends
               ? ONESTEP_OK
               : ons_fail(ONESTEP_NO_MEMORY, "no memory for features of %d pictures", BATCH);
}

onestep_status ons_embedder_create(const ons_features *f, const ons_compute *c, ons_embedder **out)
{
    onestep_status st;
    ons_embedder *e;

    *out = NULL;
    if (!f->tokenizer)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "this feature network has no text tower, which retrieval needs: give another "
                        "folder, or an empty one to train it anew");
    e = ons_calloc(1, sizeof *e);
    if (!e)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for features");
    e->f = f;
    e->n_threads = ons_compute_threads(c);
    e->n_features = f->config.channels[f->config.n_levels - 1];
    e->n_embedding = f->config.embed_dim;
    ONS_TRY(plan_pictures(e, c));
    ONS_TRY(plan_captions(e, c));
    ONS_TRY(allocate_batch(e));
    *out = e;
    return ONESTEP_OK;
fail:
    ons_embedder_destroy(&e);
    return st;
}

void ons_embedder_destroy(ons_embedder **e)
{
    if (!e || !*e)
        return;
    ons_plan_destroy(&(*e)->picture_plan);
    ons_plan_destroy(&(*e)->caption_plan);
    ons_free((*e)->pixels);
    ons_free((*e)->ids);
    ons_free((*e)->ends);
    ons_free(*e);
    *e = NULL;
}

int ons_embedder_n_threads(const ons_embedder *e)
{
    return e->n_threads;
}

int ons_embedder_n_features(const ons_embedder *e)
{
    return e->n_features;
}

int ons_embedder_n_embedding(const ons_embedder *e)
{
    return e->n_embedding;
}

/* Means over the boxes of the smaller grid, or the nearest pixel of the larger one; -1..1. */
static void fit_picture(float *dst, int size, const uint8_t *rgb, int side)
{
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            int top = y * side / size, low = (y + 1) * side / size, left = x * side / size,
                right = (x + 1) * side / size;
            double sum[3] = {0};

            low += low == top;
            right += right == left;
            for (int i = top; i < low; i++)
                for (int j = left; j < right; j++)
                    for (int c = 0; c < 3; c++)
                        sum[c] += rgb[((size_t)i * (size_t)side + (size_t)j) * 3 + (size_t)c];
            for (int c = 0; c < 3; c++)
                *dst++ = (float)(sum[c] / ((low - top) * (right - left)) / 127.5 - 1);
        }
}

/* The first k rows of a result, where wanted. */
static onestep_status take_rows(const ons_plan *p, const char *name, float *dst, int64_t first, int64_t k,
                                int width)
{
    return dst ? ons_plan_read(p, name, 0, dst + first * width, (size_t)(k * width)) : ONESTEP_OK;
}

typedef struct fit_job {
    float *pixels;
    const uint8_t *rgb;
    int size, side;
} fit_job;

static void fit_pictures(void *context, int64_t begin, int64_t end, int piece)
{
    const fit_job *j = context;
    const int64_t values = (int64_t)j->size * j->size * 3, bytes = (int64_t)j->side * j->side * 3;

    (void)piece;
    for (int64_t i = begin; i < end; i++)
        fit_picture(j->pixels + i * values, j->size, j->rgb + i * bytes, j->side);
}

onestep_status ons_embed_pictures(ons_embedder *e, const uint8_t *rgb, int64_t n, int side, float *features,
                                  float *embedding)
{
    onestep_status st = ONESTEP_OK;
    int size = e->f->config.image_size;
    size_t values = (size_t)size * (size_t)size * 3, bytes = (size_t)side * (size_t)side * 3;
    float *pixels = e->pixels;

    for (int64_t first = 0; first < n; first += BATCH) {
        int64_t k = n - first < BATCH ? n - first : BATCH;

        for (size_t i = (size_t)k * values; i < BATCH * values; i++)
            pixels[i] = 1;
        ons_parallel_for(e->n_threads, k, 1, fit_pictures,
                         &(fit_job){pixels, rgb + (size_t)first * bytes, size, side});
        ONS_TRY(ons_plan_write(e->picture_plan, "pixels", 0, pixels, BATCH * values));
        ONS_TRY(ons_plan_run(e->picture_plan));
        ONS_TRY(take_rows(e->picture_plan, "features", features, first, k, e->n_features));
        ONS_TRY(take_rows(e->picture_plan, "embedding", embedding, first, k, e->n_embedding));
    }
fail:
    return st;
}

onestep_status ons_embed_captions(ons_embedder *e, const char *const *captions, int64_t n, float *embedding)
{
    onestep_status st = ONESTEP_OK;
    int context = ons_tokenizer_context(e->f->tokenizer);

    for (int64_t first = 0; first < n; first += BATCH) {
        int64_t k = n - first < BATCH ? n - first : BATCH;

        for (int64_t i = 0; i < BATCH; i++) {
            int used = 0;

            ONS_TRY(ons_tokenizer_encode(e->f->tokenizer, i < k ? captions[first + i] : "",
                                         e->ids + i * context, &used, NULL));
            e->ends[i] = used - 1;
        }
        ONS_TRY(ons_plan_write(e->caption_plan, "ids", 0, e->ids, BATCH * (size_t)context));
        ONS_TRY(ons_plan_write(e->caption_plan, "ends", 0, e->ends, BATCH));
        ONS_TRY(ons_plan_run(e->caption_plan));
        ONS_TRY(take_rows(e->caption_plan, "embedding", embedding, first, k, e->n_embedding));
    }
fail:
    return st;
}

static bool show_progress(void *user, int64_t step, int64_t total, double loss)
{
    (void)total;
    ons_progress_update(user, (long)step, "loss %.3f", loss);
    return true;
}

onestep_status ons_features_obtain(const char *folder, const ons_dataset *data, int size, uint64_t seed,
                                   const ons_compute *c, ons_features **out, double *trained_s)
{
    onestep_status st;
    ons_progress progress;
    ons_contrastive_options o = {
        .data = data,
        .image_size = size,
        .iterations = ons_contrastive_default_iterations(ons_dataset_count(data)),
        .p_keyword = -1,
        .seed = seed,
        .compute = *c,
        .progress = show_progress,
        .user = &progress,
    };

    *trained_s = 0;
    if (folder && ons_features_present(folder))
        return ons_features_open(folder, out);
    *trained_s = ons_now_s();
    ons_info("no feature network yet: training one on the %zu pictures of the data set (once)",
             ons_dataset_count(data));
    ons_progress_begin(&progress, "features", "step", 0, o.iterations);
    st = ons_contrastive_train(&o, out);
    ons_progress_end(&progress);
    if (st != ONESTEP_OK)
        return st;
    *trained_s = ons_now_s() - *trained_s;
    if (folder)
        ONS_TRY(ons_features_save(*out, folder, ONS_F16));
    ons_info("feature network trained in %.0f s%s%s", *trained_s,
             folder ? ", kept in " : "; --features DIR keeps it", folder ? folder : "");
    return ONESTEP_OK;
fail:
    ons_features_close(out);
    return st;
}
