/*
 * Crop and scale by area: destination pixel i covers [i, i+1) * source/destination of the cropped source and
 * takes the weighted mean. When enlarging, the covered area is at least one source pixel wide and centred,
 * which is linear interpolation.
 */
#include <math.h>

#include "io/image.h"

typedef struct cover {
    int first, last; /* source pixels */
    double from, to; /* exact ends */
} cover;

static cover cover_of(int i, double start, double step, int limit)
{
    double middle = start + (i + 0.5) * step, half = fmax(step, 1) / 2;
    cover c = {.from = fmax(middle - half, 0), .to = fmin(middle + half, limit)};

    c.first = (int)floor(c.from);
    c.last = (int)ceil(c.to) - 1;
    if (c.last >= limit)
        c.last = limit - 1;
    return c;
}

static double overlap(const cover *c, int pixel)
{
    return fmin(c->to, pixel + 1.0) - fmax(c->from, pixel);
}

static void average(const ons_image *src, const cover *rows, const cover *columns, uint8_t *dst)
{
    double sum[3] = {0}, weight = 0;

    for (int y = rows->first; y <= rows->last; y++)
        for (int x = columns->first; x <= columns->last; x++) {
            const uint8_t *p = src->rgb + ((size_t)y * (size_t)src->width + (size_t)x) * 3;
            double w = overlap(rows, y) * overlap(columns, x);

            for (int c = 0; c < 3; c++)
                sum[c] += w * p[c];
            weight += w;
        }
    for (int c = 0; c < 3; c++)
        dst[c] = (uint8_t)(sum[c] / weight + 0.5);
}

void ons_image_fit(const ons_image *src, int width, int height, uint8_t *rgb)
{
    double scale = fmin((double)src->width / width, (double)src->height / height);
    double left = (src->width - scale * width) / 2, top = (src->height - scale * height) / 2;

    for (int y = 0; y < height; y++) {
        cover rows = cover_of(y, top, scale, src->height);

        for (int x = 0; x < width; x++) {
            cover columns = cover_of(x, left, scale, src->width);

            average(src, &rows, &columns, rgb + ((size_t)y * (size_t)width + (size_t)x) * 3);
        }
    }
}
