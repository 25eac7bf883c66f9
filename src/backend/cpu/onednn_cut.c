/*
 * How a product is cut into pieces, each of which one thread runs alone: matrix products by the batch or by
 * rows, convolutions by images and, where these do not suffice, by bands of rows with paddings of their own. A
 * gradient of weights is cut like the forward product, and its pieces' results are added up. All pieces read
 * the same weights.
 *
 * Rejected: cutting by channels, since oneDNN takes images of dense channels alone.
 */
#include "backend/cpu/onednn.h"

enum {
    LEAST_WORK = 1 << 17, /* multiply-adds of a piece */
    LEAST_ROWS = 16,      /* of a matrix product: a tile of AMX */
    LEAST_BAND = 2,       /* rows of an image */
    LEAST_EACH = 4,       /* images that make pieces even enough */
    MOST_SUMS = 512 << 20 /* bytes of weight gradients that are added up */
};

enum { IMAGE, CHANNEL, ROW, COLUMN }; /* oneDNN's order */

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t count(const ons_onednn_tensor *t)
{
    int64_t n = 1;

    for (int i = 0; i < t->n; i++)
        n *= t->d[i];
    return n;
}

/* Multiply-adds of a convolution, roughly, or of a matrix product. */
static int64_t count_work(const ons_onednn_desc *d)
{
    const ons_onednn_tensor *w = &d->at[ONS_ONEDNN_WEIGHTS], *y = &d->at[ONS_ONEDNN_DST];

    return d->kind == ONS_ONEDNN_MATMUL ? count(y) * w->d[w->n - 2] : count(y) * (count(w) / w->d[0]);
}

/* Rows of the tensor that is cut: of the result, which for backward-data is the source. */
static const ons_onednn_tensor *cut_tensor(const ons_onednn_desc *d)
{
    return &d->at[d->kind == ONS_ONEDNN_CONV_GRAD_X ? ONS_ONEDNN_SRC : ONS_ONEDNN_DST];
}

static int64_t divisor(int64_t a, int64_t b)
{
    return b ? divisor(b, a % b) : a;
}

/* Bands per image, so that the threads have as many each, or nearly. Sums take memory by piece, so that there
 * are no more of them than threads. */
static int64_t count_bands(const ons_onednn_desc *d, int64_t images, int64_t n)
{
    const int64_t rows = cut_tensor(d)->d[ROW] / LEAST_BAND;
    int64_t bands = smaller(n / divisor(images, n), (LEAST_EACH * n + images - 1) / images);

    if (images % n == 0 || images >= LEAST_EACH * n)
        return 1;
    if (d->kind == ONS_ONEDNN_CONV_GRAD_X && d->at[ONS_ONEDNN_WEIGHTS].d[ROW] < d->stride)
        return 1; /* some rows take part in nothing */
    if (d->kind == ONS_ONEDNN_CONV_GRAD_W)
        bands = n / images;
    return larger(1, smaller(bands, rows));
}

ons_onednn_cut ons_onednn_choose_cut(const ons_onednn_desc *d, int n_threads)
{
    const ons_onednn_tensor *t = cut_tensor(d);
    int64_t n = smaller(n_threads, count_work(d) / LEAST_WORK);
    ons_onednn_cut c = {1, 1};

    if (d->kind == ONS_ONEDNN_CONV_GRAD_W)
        n = smaller(n, MOST_SUMS / (4 * count(&d->at[ONS_ONEDNN_WEIGHTS])));
    if (n < 2)
        return c;
    if (d->kind != ONS_ONEDNN_MATMUL) {
        c.bands = (int)count_bands(d, t->d[IMAGE], n);
        c.n = (int)(c.bands > 1 ? t->d[IMAGE] * c.bands : smaller(t->d[IMAGE], n));
    } else if (t->n == 3 && t->d[0] >= n && !d->free_weights) {
        c.n = (int)n;
    } else if (t->d[t->n - 2] >= 2 * LEAST_ROWS) {
        c.n = c.bands = (int)smaller(n, t->d[t->n - 2] / LEAST_ROWS);
    }
    return c;
}

/* Keeps [from, to) of dimension k. */
static void keep(ons_onednn_desc *d, int role, int k, int64_t from, int64_t to, size_t *offset)
{
    ons_onednn_tensor *t = &d->at[role];

    if (!t->n)
        return;
    t->d[k] = to - from;
    offset[role] += (size_t)(from * t->stride[k]) * ons_dtype_size(t->dtype);
}

static void cut_matmul(ons_onednn_desc *d, const ons_onednn_cut *c, int i, size_t *offset)
{
    const ons_onednn_tensor *y = &d->at[ONS_ONEDNN_DST];
    const int k = c->bands > 1 ? y->n - 2 : 0;
    int64_t from, to;

    ons_partition(y->d[k], c->n, i, &from, &to);
    keep(d, ONS_ONEDNN_SRC, k, from, to, offset);
    keep(d, ONS_ONEDNN_DST, k, from, to, offset);
    keep(d, ONS_ONEDNN_RESIDUAL, k, from, to, offset);
    if (c->bands == 1)
        keep(d, ONS_ONEDNN_WEIGHTS, k, from, to, offset);
}

static void keep_rows(ons_onednn_desc *d, int role, int64_t from, int64_t to, size_t *offset)
{
    ons_onednn_tensor *t = &d->at[role];

    keep(d, role, ROW, from, to, offset);
    t->stride[IMAGE] = t->d[ROW] * t->stride[ROW]; /* of the one image: dense, as oneDNN wants it */
}

/* Rows [y0, y1) of the forward result, and those that they are sums of. */
static void cut_band(ons_onednn_desc *d, int64_t y0, int64_t y1, size_t *offset)
{
    const int64_t first = y0 * d->stride - d->pad_before[0],
                  last = (y1 - 1) * d->stride - d->pad_before[0] + d->at[ONS_ONEDNN_WEIGHTS].d[ROW],
                  height = d->at[ONS_ONEDNN_SRC].d[ROW];

    keep_rows(d, ONS_ONEDNN_SRC, larger(first, 0), smaller(last, height), offset);
    keep_rows(d, ONS_ONEDNN_DST, y0, y1, offset);
    keep_rows(d, ONS_ONEDNN_RESIDUAL, y0, y1, offset);
    d->pad_before[0] = larger(-first, 0);
    d->pad_after[0] = larger(last - height, 0);
}

/* Rows [x0, x1) of the gradient of the source, and those of the result that they take part in. */
static void cut_source_band(ons_onednn_desc *d, int64_t x0, int64_t x1, size_t *offset)
{
    const int64_t pad = d->pad_before[0], k = d->at[ONS_ONEDNN_WEIGHTS].d[ROW];
    const int64_t y0 = larger(0, x0 + pad - k + d->stride) / d->stride,
                  y1 = smaller(d->at[ONS_ONEDNN_DST].d[ROW], (x1 - 1 + pad) / d->stride + 1);

    keep_rows(d, ONS_ONEDNN_SRC, x0, x1, offset);
    keep_rows(d, ONS_ONEDNN_DST, y0, y1, offset);
    d->pad_before[0] = x0 + pad - y0 * d->stride;
    d->pad_after[0] = larger(0, (y1 - y0 - 1) * d->stride + k - d->pad_before[0] - (x1 - x0));
}

static void cut_convolution(ons_onednn_desc *d, const ons_onednn_cut *c, int i, size_t *offset)
{
    int64_t from = i / c->bands, to = from + 1;

    if (c->bands == 1)
        ons_partition(d->at[ONS_ONEDNN_SRC].d[IMAGE], c->n, i, &from, &to);
    keep(d, ONS_ONEDNN_SRC, IMAGE, from, to, offset);
    keep(d, ONS_ONEDNN_DST, IMAGE, from, to, offset);
    keep(d, ONS_ONEDNN_RESIDUAL, IMAGE, from, to, offset);
    if (c->bands == 1)
        return;
    ons_partition(cut_tensor(d)->d[ROW], c->bands, i % c->bands, &from, &to);
    if (d->kind == ONS_ONEDNN_CONV_GRAD_X)
        cut_source_band(d, from, to, offset);
    else
        cut_band(d, from, to, offset);
}

void ons_onednn_cut_piece(const ons_onednn_desc *whole, const ons_onednn_cut *c, int i, ons_onednn_desc *piece,
                          size_t offset[ONS_ONEDNN_N_ROLES])
{
    *piece = *whole;
    for (int k = 0; k < ONS_ONEDNN_N_ROLES; k++)
        offset[k] = 0;
    if (c->n == 1)
        return;
    if (whole->kind == ONS_ONEDNN_MATMUL)
        cut_matmul(piece, c, i, offset);
    else
        cut_convolution(piece, c, i, offset);
}
