/*
 * Scaling to a square, separable: per output pixel a few weights over source columns, the same over rows.
 *
 * Shrinking by areas keeps fine lines at their share and needs no filter choice; at the ratios here (136 to 64,
 * photographs to 64) it cannot alias. Works on premultiplied floats, one source row at a time, so that memory
 * stays at the result's size.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "data/picture.h"

/* Source pixels [first, first + n) with weights that sum to 1. */
typedef struct taps {
    int first, n;
    float *weights;
} taps;

/* dst pixel i of n_dst covers [begin + i*step, begin + (i+1)*step) of a row of n_src pixels. */
static void fill_taps(taps *t, int i, double begin, double step, int n_src)
{
    double from = begin + i * step, to = from + step, sum = 0;
    if (step < 1) { /* linear: a box of one pixel around the centre */
        from = (from + to) / 2 - 0.5;
        to = from + 1;
    }
    from = fmax(from, 0);
    to = fmin(to, n_src);
    t->first = (int)fmin(floor(from), n_src - 1);
    const int end = (int)fmax(fmin(ceil(to), n_src), t->first + 1);
    t->n = end - t->first;
    for (int k = 0; k < t->n; k++) {
        const double covered = fmin(to, t->first + k + 1) - fmax(from, t->first + k);
        t->weights[k] = (float)fmax(covered, 1e-6);
        sum += t->weights[k];
    }
    for (int k = 0; k < t->n; k++)
        t->weights[k] = (float)(t->weights[k] / sum);
}

static taps *create_taps(int n_dst, double begin, double step, int n_src)
{
    const size_t most = (size_t)ceil(fmax(step, 1)) + 2;
    taps *t = ons_calloc((size_t)n_dst, sizeof *t);
    float *weights = ons_calloc((size_t)n_dst * most, sizeof *weights);
    if (!t || !weights) {
        ons_free(t);
        ons_free(weights);
        return NULL;
    }
    for (int i = 0; i < n_dst; i++) {
        t[i].weights = weights + (size_t)i * most;
        fill_taps(&t[i], i, begin, step, n_src);
    }
    return t;
}

static void destroy_taps(taps *t)
{
    if (t)
        ons_free(t[0].weights); /* one block for all */
    ons_free(t);
}

/* One source row, premultiplied, into width sums of 4. */
static void scale_row(const uint8_t *row, const taps *columns, int width, float *sums)
{
    for (int x = 0; x < width; x++) {
        float sum[4] = {0};
        for (int k = 0; k < columns[x].n; k++) {
            const uint8_t *p = row + 4 * (columns[x].first + k);
            const float opacity = columns[x].weights[k] * (float)p[3] / 255;
            for (int c = 0; c < 3; c++)
                sum[c] += opacity * (float)p[c];
            sum[3] += opacity;
        }
        memcpy(sums + 4 * x, sum, sizeof sum);
    }
}

static void scale_onto_white(const ons_rgba *src, const taps *columns, const taps *rows, int width, int height,
                             float *sums, float *line, uint8_t *dst, int pitch)
{
    for (int y = 0; y < height; y++) {
        memset(sums, 0, 4 * (size_t)width * sizeof *sums);
        for (int k = 0; k < rows[y].n; k++) {
            scale_row(src->pixels + 4 * (size_t)src->width * (size_t)(rows[y].first + k), columns, width, line);
            for (int i = 0; i < 4 * width; i++)
                sums[i] += rows[y].weights[k] * line[i];
        }
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++) {
                const float value = sums[4 * x + c] + 255 * (1 - sums[4 * x + 3]);
                dst[(size_t)y * (size_t)pitch + 3 * (size_t)x + (size_t)c] =
                    (uint8_t)(fminf(fmaxf(value, 0), 255) + 0.5f);
            }
    }
}

onestep_status ons_rgba_fit(const ons_rgba *src, ons_fit fit, int size, uint8_t *dst)
{
    const int shorter = src->width < src->height ? src->width : src->height;
    const int longer = src->width < src->height ? src->height : src->width;
    const double step = (double)(fit == ONS_FIT_CROP ? shorter : longer) / size;
    int width = size, height = size;
    double left = 0, top = 0;

    if (fit == ONS_FIT_CROP) {
        left = (src->width - shorter) / 2.0;
        top = (src->height - shorter) / 2.0;
    } else {
        width = (int)fmax(1, round(src->width / step));
        height = (int)fmax(1, round(src->height / step));
    }
    memset(dst, 255, 3 * (size_t)size * (size_t)size);
    taps *columns =
        create_taps(width, left, fit == ONS_FIT_CROP ? step : (double)src->width / width, src->width);
    taps *rows =
        create_taps(height, top, fit == ONS_FIT_CROP ? step : (double)src->height / height, src->height);
    float *sums = ons_calloc(8 * (size_t)width, sizeof *sums);
    const bool enough = columns && rows && sums;
    if (enough)
        scale_onto_white(
            src, columns, rows, width, height, sums, sums + 4 * width,
            dst + 3 * ((size_t)((size - height) / 2) * (size_t)size + (size_t)((size - width) / 2)), 3 * size);
    destroy_taps(columns);
    destroy_taps(rows);
    ons_free(sums);
    return enough ? ONESTEP_OK
                  : ons_fail(ONESTEP_NO_MEMORY, "no memory for scaling a picture to %d pixels", size);
}
