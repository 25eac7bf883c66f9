/*
 * Pictures are moved by up to two pixels and scaled by up to 8 %, so that the network learns what is drawn and
 * not where each pixel stands; mirroring and colour changes are left out, since captions name sides and
 * colours.
 */
#include "train/contrastive_batch.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/streams.h"

enum { MAX_SHIFT = 2 };
static const double max_scale = 0.08;

static float pixel_at(const uint8_t *rgb, int size, int y, int x, int c)
{
    if (y < 0 || x < 0 || y >= size || x >= size)
        return 1; /* white, as the sets are padded */
    return (float)rgb[(y * size + x) * 3 + c] / 127.5F - 1;
}

/* Bilinear sampling of rgb at (centre + (p - centre) / scale - shift). */
static void warp(float *dst, const uint8_t *rgb, int size, const float random[3])
{
    float scale = 1 + (float)max_scale * (2 * random[0] - 1), half = 0.5F * (float)(size - 1);
    float dy = MAX_SHIFT * (2 * random[1] - 1), dx = MAX_SHIFT * (2 * random[2] - 1);

    for (int y = 0; y < size; y++) {
        float sy = half + ((float)y - half) / scale - dy, fy = floorf(sy), wy = sy - fy;

        for (int x = 0; x < size; x++) {
            float sx = half + ((float)x - half) / scale - dx, fx = floorf(sx), wx = sx - fx;
            int y0 = (int)fy, x0 = (int)fx;

            for (int c = 0; c < 3; c++) {
                float top = (1 - wx) * pixel_at(rgb, size, y0, x0, c) + wx * pixel_at(rgb, size, y0, x0 + 1, c);
                float low =
                    (1 - wx) * pixel_at(rgb, size, y0 + 1, x0, c) + wx * pixel_at(rgb, size, y0 + 1, x0 + 1, c);

                *dst++ = (1 - wy) * top + wy * low;
            }
        }
    }
}

static bool caption_fits(const ons_item *item, const char *caption)
{
    for (int i = 0; i < item->n_captions; i++)
        if (!strcmp(item->captions[i], caption))
            return true;
    return false;
}

static void share_evenly(float *row, int n)
{
    float sum = 0;

    for (int i = 0; i < n; i++)
        sum += row[i];
    for (int i = 0; i < n; i++)
        row[i] /= sum;
}

static void fill_targets(const ons_contrastive_batch *b, const ons_caption_draw *draws)
{
    int n = b->n;

    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            bool fits = i == j || caption_fits(ons_dataset_at(b->data, draws[i].item), draws[j].caption);

            b->by_picture[i * n + j] = b->by_caption[j * n + i] = fits;
        }
    for (int i = 0; i < n; i++) {
        share_evenly(b->by_picture + i * n, n);
        share_evenly(b->by_caption + i * n, n);
    }
}

typedef struct warp_job {
    const ons_contrastive_batch *b;
    const ons_caption_draw *draws;
    int64_t step;
} warp_job;

static void warp_pictures(void *context, int64_t begin, int64_t end, int piece)
{
    const warp_job *j = context;
    const ons_contrastive_batch *b = j->b;
    const int64_t values = (int64_t)b->size * b->size * 3;

    (void)piece;
    for (int64_t i = begin; i < end; i++) {
        float random[3];

        ons_rand_uniform(b->seed, ONS_STREAM_CONTRASTIVE_AUGMENT, (uint64_t)(j->step * b->n + i) * 3, random,
                         3);
        warp(b->pixels + i * values, ons_dataset_at(b->data, j->draws[i].item)->rgb, b->size, random);
    }
}

onestep_status ons_contrastive_batch_fill(const ons_contrastive_batch *b, int64_t step)
{
    onestep_status st = ONESTEP_OK;
    int n = b->n, context = ons_tokenizer_context(b->tokenizer);
    ons_caption_draw draws[ONS_CONTRASTIVE_MAX_BATCH];

    for (int i = 0; i < n; i++) {
        int used = 0;

        draws[i] = ons_dataset_draw_even(b->data, b->seed, (uint64_t)step * (uint64_t)n + (uint64_t)i, 0,
                                         b->p_keyword);
        ONS_TRY(ons_tokenizer_encode(b->tokenizer, draws[i].caption, b->ids + i * context, &used, NULL));
        b->ends[i] = used - 1;
    }
    ons_parallel_for(b->n_threads, n, 1, warp_pictures, &(warp_job){b, draws, step});
    fill_targets(b, draws);
fail:
    return st;
}

onestep_status ons_contrastive_batch_init(ons_contrastive_batch *b)
{
    const size_t n = (size_t)b->n, context = (size_t)ons_tokenizer_context(b->tokenizer);

    b->pixels = ons_malloc(n * (size_t)b->size * (size_t)b->size * 3 * sizeof *b->pixels);
    b->ids = ons_malloc(n * context * sizeof *b->ids);
    b->ends = ons_malloc(n * sizeof *b->ends);
    b->by_picture = ons_malloc(n * n * sizeof *b->by_picture);
    b->by_caption = ons_malloc(n * n * sizeof *b->by_caption);
    if (b->pixels && b->ids && b->ends && b->by_picture && b->by_caption)
        return ONESTEP_OK;
    ons_contrastive_batch_fini(b);
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for a batch of %d pictures", b->n);
}

void ons_contrastive_batch_fini(ons_contrastive_batch *b)
{
    ons_free(b->pixels);
    ons_free(b->ids);
    ons_free(b->ends);
    ons_free(b->by_picture);
    ons_free(b->by_caption);
    *b = (ons_contrastive_batch){0};
}

onestep_status ons_contrastive_batch_write(const ons_contrastive_batch *b, ons_plan *plan)
{
    const size_t n = (size_t)b->n, context = (size_t)ons_tokenizer_context(b->tokenizer);
    onestep_status st;

    ONS_TRY(ons_plan_write(plan, "pixels", 0, b->pixels, n * (size_t)b->size * (size_t)b->size * 3));
    ONS_TRY(ons_plan_write(plan, "ids", 0, b->ids, n * context));
    ONS_TRY(ons_plan_write(plan, "ends", 0, b->ends, n));
    ONS_TRY(ons_plan_write(plan, "by_picture", 0, b->by_picture, n * n));
    st = ons_plan_write(plan, "by_caption", 0, b->by_caption, n * n);
fail:
    return st;
}
