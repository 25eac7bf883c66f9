/* Convolutions and matrix products, by their definitions. Activations [N, H, W, C], weights [O, kh, kw, C]. */
#include <math.h>

#include "backend/ref/ref.h"

typedef struct geometry {
    int64_t n, h, w, c; /* of x */
    int64_t oh, ow, o;  /* of y */
    int64_t kh, kw;
    int stride, top, left;
    int zoom; /* pixels of what is convolved that one of x stands for, in a row and in a column */
} geometry;

static geometry conv_geometry(const ons_node *n, const ons_shape *x, const ons_shape *y, const ons_shape *w)
{
    return (geometry){x->d[0],
                      x->d[1],
                      x->d[2],
                      x->d[3],
                      y->d[1],
                      y->d[2],
                      y->d[3],
                      w->d[1],
                      w->d[2],
                      n->attrs.conv.stride,
                      n->attrs.conv.pad_top,
                      n->attrs.conv.pad_left,
                      n->op == ONS_OP_CONV2D_UPSAMPLED ? 2 : 1};
}

/* Index of x under tap (ky, kx) of output pixel (y, x); -1 in the padding. Channel 0. */
static int64_t source(const geometry *g, int64_t i, int64_t y, int64_t x, int64_t ky, int64_t kx)
{
    int64_t sy = y * g->stride + ky - g->top, sx = x * g->stride + kx - g->left;

    if (sy < 0 || sx < 0 || sy >= g->h * g->zoom || sx >= g->w * g->zoom)
        return -1;
    return ((i * g->h + sy / g->zoom) * g->w + sx / g->zoom) * g->c;
}

/*
 * Products with an 8-bit first operand: row o of the weights as numbers of -127..127 times a scale, in f32 as
 * every backend rounds them.
 */
typedef struct numbers {
    bool used;
    float scale, inverse;
} numbers;

static float weight_at(const ons_node *n, const ons_args *a, int64_t i)
{
    return (float)ref_in(n, a, 1, i);
}

static numbers find_numbers(const ons_node *n, const ons_args *a, int64_t o)
{
    const int64_t row = ref_count(n->in[1]) / n->in[1]->shape.d[0];
    numbers q = {.used = n->in[0]->dtype == ONS_U8};
    float most = 0;

    for (int64_t i = 0; q.used && i < row; i++)
        most = fmaxf(most, fabsf(weight_at(n, a, o * row + i)));
    q.scale = most > 0 ? most / 127 : 1;
    q.inverse = 1 / q.scale;
    return q;
}

/* x times w, or the two as numbers. */
static double term(const ons_node *n, const ons_args *a, const numbers *q, int64_t x, int64_t w)
{
    if (!q->used)
        return ref_in(n, a, 0, x) * ref_in(n, a, 1, w);
    return (ref_in(n, a, 0, x) - n->attrs.quantise.zero) * nearbyintf(weight_at(n, a, w) * q->inverse);
}

/* What a sum of terms stands for. */
static double sum_of(const ons_node *n, const numbers *q, double sum)
{
    return q->used ? sum * ((float)n->attrs.quantise.scale * q->scale) : sum;
}

static double conv_at(const ons_node *n, const ons_args *a, const geometry *g, int64_t i, int64_t y, int64_t x,
                      int64_t o)
{
    const numbers q = find_numbers(n, a, o);
    double sum = 0;

    for (int64_t ky = 0; ky < g->kh; ky++)
        for (int64_t kx = 0; kx < g->kw; kx++) {
            int64_t at = source(g, i, y, x, ky, kx);

            for (int64_t c = 0; at >= 0 && c < g->c; c++)
                sum += term(n, a, &q, at + c, ((o * g->kh + ky) * g->kw + kx) * g->c + c);
        }
    return sum_of(n, &q, sum);
}

static void run_conv2d(const ons_node *n, const ons_args *a)
{
    geometry g = conv_geometry(n, &n->in[0]->shape, &n->out[0]->shape, &n->in[1]->shape);
    int bias = n->attrs.conv.bias ? 2 : -1, residual = n->attrs.conv.residual ? (bias < 0 ? 2 : 3) : -1;

    for (int64_t k = 0; k < ref_count(n->out[0]); k++) {
        int64_t o = k % g.o, x = k / g.o % g.ow, y = k / g.o / g.ow % g.oh, i = k / g.o / g.ow / g.oh;
        double v = conv_at(n, a, &g, i, y, x, o);

        if (bias >= 0)
            v += ref_in(n, a, bias, o);
        if (residual >= 0)
            v += ref_in(n, a, residual, k);
        ref_out(n, a, 0, k, v);
    }
}

/* dx at a pixel gathers from every output pixel whose window covers it. */
static double grad_x_at(const ons_node *n, const ons_args *a, const geometry *g, int64_t i, int64_t sy,
                        int64_t sx, int64_t c)
{
    double sum = 0;

    for (int64_t ky = 0; ky < g->kh; ky++)
        for (int64_t kx = 0; kx < g->kw; kx++) {
            int64_t y = sy + g->top - ky, x = sx + g->left - kx;

            if (y < 0 || x < 0 || y % g->stride || x % g->stride || y / g->stride >= g->oh ||
                x / g->stride >= g->ow)
                continue;
            for (int64_t o = 0; o < g->o; o++)
                sum += ref_in(n, a, 0, ((i * g->oh + y / g->stride) * g->ow + x / g->stride) * g->o + o) *
                       ref_in(n, a, 1, ((o * g->kh + ky) * g->kw + kx) * g->c + c);
        }
    return sum;
}

static void run_conv2d_grad_x(const ons_node *n, const ons_args *a)
{
    geometry g = conv_geometry(n, &n->out[0]->shape, &n->in[0]->shape, &n->in[1]->shape);

    for (int64_t k = 0; k < ref_count(n->out[0]); k++)
        ref_out(n, a, 0, k,
                grad_x_at(n, a, &g, k / g.c / g.w / g.h, k / g.c / g.w % g.h, k / g.c % g.w, k % g.c));
}

static double grad_w_at(const ons_node *n, const ons_args *a, const geometry *g, int64_t o, int64_t ky,
                        int64_t kx, int64_t c)
{
    double sum = 0;

    for (int64_t i = 0; i < g->n; i++)
        for (int64_t y = 0; y < g->oh; y++)
            for (int64_t x = 0; x < g->ow; x++) {
                int64_t at = source(g, i, y, x, ky, kx);

                if (at >= 0)
                    sum += ref_in(n, a, 0, at + c) * ref_in(n, a, 1, ((i * g->oh + y) * g->ow + x) * g->o + o);
            }
    return sum;
}

static void run_conv2d_grad_w(const ons_node *n, const ons_args *a)
{
    geometry g = conv_geometry(n, &n->in[0]->shape, &n->in[1]->shape, &n->out[0]->shape);

    for (int64_t k = 0; a->out[0] && k < ref_count(n->out[0]); k++)
        ref_out(n, a, 0, k,
                grad_w_at(n, a, &g, k / g.c / g.kw / g.kh, k / g.c / g.kw % g.kh, k / g.c % g.kw, k % g.c));
    for (int64_t o = 0; a->out[1] && o < g.o; o++) {
        double sum = 0;

        for (int64_t k = 0; k < ref_count(n->in[1]) / g.o; k++)
            sum += ref_in(n, a, 1, k * g.o + o);
        ref_out(n, a, 1, o, sum);
    }
}

/* [batch, rows, columns] of an operand; leading dimensions are the batch, or rows where the other operand is
 * one matrix. */
typedef struct matrix {
    int64_t batch, rows, columns;
} matrix;

static matrix as_matrix(const ons_shape *s, bool flatten)
{
    matrix m = {1, s->d[s->n - 2], s->d[s->n - 1]};

    for (int i = 0; i < s->n - 2; i++)
        *(flatten ? &m.rows : &m.batch) *= s->d[i];
    return m;
}

static void run_matmul(const ons_node *n, const ons_args *a)
{
    bool shared = n->in[1]->shape.n == 2;
    bool ta = n->attrs.matmul.trans_a, tb = n->attrs.matmul.trans_b;
    matrix x = as_matrix(&n->in[0]->shape, shared), w = as_matrix(&n->in[1]->shape, false);
    matrix y = as_matrix(&n->out[0]->shape, shared);
    int64_t inner = ta ? x.rows : x.columns;
    int bias = n->attrs.matmul.bias ? 2 : -1, residual = n->attrs.matmul.residual ? (bias < 0 ? 2 : 3) : -1;

    for (int64_t k = 0; k < ref_count(n->out[0]); k++) {
        int64_t j = k % y.columns, i = k / y.columns % y.rows, b = k / y.columns / y.rows;
        const numbers q = find_numbers(n, a, j);
        double sum = 0;

        for (int64_t l = 0; l < inner; l++)
            sum += term(n, a, &q, b * x.rows * x.columns + (ta ? l * x.columns + i : i * x.columns + l),
                        (shared ? 0 : b) * w.rows * w.columns + (tb ? j * w.columns + l : l * w.columns + j));
        sum = sum_of(n, &q, sum) * n->attrs.matmul.alpha;
        if (bias >= 0)
            sum += ref_in(n, a, bias, j);
        if (residual >= 0)
            sum += ref_in(n, a, residual, k);
        ref_out(n, a, 0, k, sum);
    }
}

ref_fn REF(product)(ons_op op)
{
    switch (op) {
    case ONS_OP_CONV2D:
    case ONS_OP_CONV2D_UPSAMPLED:
        return run_conv2d;
    case ONS_OP_CONV2D_GRAD_X:
        return run_conv2d_grad_x;
    case ONS_OP_CONV2D_GRAD_W:
        return run_conv2d_grad_w;
    case ONS_OP_MATMUL:
        return run_matmul;
    default:
        return NULL;
    }
}
