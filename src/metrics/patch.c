/*
 * Detail at full resolution, without any network: patches of 8 x 8 pixels on a stride of 4 (wider on large
 * pictures, so that a picture gives at most some 1,000 patches), each described by its cosine transform.
 *
 *   channels  Y = .299 R + .587 G + .114 B, R - Y, B - Y with R, G, B in -1..1
 *   Y         the 63 coefficients of the orthonormal 8 x 8 DCT-II without the mean; the two colour differences:
 * the lowest 15 each weight    coefficient (u, v) times sqrt(u^2 + v^2): pictures fall off like 1/frequency, so
 * this puts grain and outline on one scale
 *   root      the signed square root of that: else the few patches with an outline would outweigh the many with
 * faint grain
 *
 * The Frechet distance of such descriptors sees grain, blur and blockiness, and nothing of what the picture
 * shows. Chosen over the first layers of a network because a fixed descriptor needs no training and cannot be
 * gamed by one.
 */
#include <math.h>

#include "base/memory.h"
#include "metrics/metrics.h"

enum { P = ONS_PATCH, COLOUR_SIDE = 4, STRIDE = 4, MAX_PER_SIDE = 32 };

static double basis[P][P]; /* [frequency][position] */
static double weight[P][P];

static void __attribute__((constructor)) fill_tables(void)
{
    const double pi = 3.14159265358979323846;

    for (int u = 0; u < P; u++)
        for (int i = 0; i < P; i++) {
            basis[u][i] = sqrt((u ? 2.0 : 1.0) / P) * cos(pi * (i + 0.5) * u / P);
            weight[u][i] = sqrt((double)(u * u + i * i));
        }
}

static void transform(const double x[P][P], double y[P][P])
{
    double t[P][P];

    for (int i = 0; i < P; i++)
        for (int v = 0; v < P; v++) {
            t[i][v] = 0;
            for (int j = 0; j < P; j++)
                t[i][v] += x[i][j] * basis[v][j];
        }
    for (int u = 0; u < P; u++)
        for (int v = 0; v < P; v++) {
            y[u][v] = 0;
            for (int i = 0; i < P; i++)
                y[u][v] += basis[u][i] * t[i][v];
        }
}

void ons_patch_describe(const uint8_t *rgb, size_t stride, float out[ONS_PATCH_FEATURES])
{
    double x[3][P][P], y[P][P];
    int n = 0;

    for (int i = 0; i < P; i++)
        for (int j = 0; j < P; j++) {
            const uint8_t *p = rgb + (size_t)i * stride + 3 * (size_t)j;
            double r = p[0] / 127.5 - 1, g = p[1] / 127.5 - 1, b = p[2] / 127.5 - 1;

            x[0][i][j] = 0.299 * r + 0.587 * g + 0.114 * b;
            x[1][i][j] = r - x[0][i][j];
            x[2][i][j] = b - x[0][i][j];
        }
    for (int c = 0; c < 3; c++) {
        int side = c ? COLOUR_SIDE : P;

        transform((const double(*)[P])x[c], y);
        for (int u = 0; u < side; u++)
            for (int v = 0; v < side; v++)
                if (u || v)
                    out[n++] = (float)copysign(sqrt(fabs(y[u][v]) * weight[u][v]), y[u][v]);
    }
}

static int stride_for(int side)
{
    int wide = (side - P) / MAX_PER_SIDE;

    return wide > STRIDE ? wide : STRIDE;
}

onestep_status ons_patch_moments(const uint8_t *rgb, int64_t n, int h, int w, ons_moments *m)
{
    int dy = stride_for(h), dx = stride_for(w);
    int ny = (h - P) / dy + 1, nx = (w - P) / dx + 1;
    size_t per_picture = (size_t)ny * (size_t)nx;
    float *x;
    onestep_status st = ONESTEP_OK;

    if (h < P || w < P)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "pictures of %dx%d have no patches of %dx%d", w, h, P, P);
    x = ons_malloc(per_picture * ONS_PATCH_FEATURES * sizeof *x);
    if (!x)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the patches of a picture of %dx%d", w, h);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *picture = rgb + (size_t)i * (size_t)h * (size_t)w * 3;

        for (size_t k = 0; k < per_picture; k++) {
            size_t top = k / (size_t)nx * (size_t)dy, left = k % (size_t)nx * (size_t)dx;

            ons_patch_describe(picture + (top * (size_t)w + left) * 3, 3 * (size_t)w,
                               x + k * ONS_PATCH_FEATURES);
        }
        ONS_TRY(ons_moments_add(m, x, (int64_t)per_picture));
    }
fail:
    ons_free(x);
    return st;
}

void ons_thumbnail(const uint8_t *rgb, int h, int w, float out[ONS_THUMB_FEATURES])
{
    for (int i = 0; i < ONS_THUMB; i++)
        for (int j = 0; j < ONS_THUMB; j++) {
            int top = i * h / ONS_THUMB, bottom = (i + 1) * h / ONS_THUMB;
            int left = j * w / ONS_THUMB, right = (j + 1) * w / ONS_THUMB;
            double sum[3] = {0};

            bottom += bottom == top;
            right += right == left;
            for (int y = top; y < bottom; y++)
                for (int x = left; x < right; x++)
                    for (int c = 0; c < 3; c++)
                        sum[c] += rgb[((size_t)y * (size_t)w + (size_t)x) * 3 + (size_t)c];
            for (int c = 0; c < 3; c++)
                out[(i * ONS_THUMB + j) * 3 + c] = (float)(sum[c] / 255 / ((bottom - top) * (right - left)));
        }
}
