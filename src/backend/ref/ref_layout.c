/* Moving elements: transpose, concat, slice, padding, resampling, pooling, embedding, timestep embedding. */
#include <math.h>

#include "backend/ref/ref.h"

static void zero_output(const ons_node *n, const ons_args *a)
{
    for (int64_t i = 0; i < ref_count(n->out[0]); i++)
        ref_out(n, a, 0, i, 0);
}

static void run_transpose(const ons_node *n, const ons_args *a)
{
    const ons_shape *src = &n->in[0]->shape, *dst = &n->out[0]->shape;

    for (int64_t i = 0; i < ref_count(n->out[0]); i++) {
        int64_t rest = i, at = 0, coordinate[ONS_MAX_DIMS] = {0};

        for (int k = dst->n - 1; k >= 0; k--) {
            coordinate[n->attrs.transpose.perm[k]] = rest % dst->d[k];
            rest /= dst->d[k];
        }
        for (int k = 0; k < src->n; k++)
            at = at * src->d[k] + coordinate[k];
        ref_out(n, a, 0, i, ref_in(n, a, 0, at));
    }
}

/* Elements before and after an axis. */
static void split_axis(const ons_shape *s, int axis, int64_t *outer, int64_t *inner)
{
    *outer = *inner = 1;
    for (int k = 0; k < s->n; k++)
        *(k < axis ? outer : inner) *= k == axis ? 1 : s->d[k];
}

static void run_concat(const ons_node *n, const ons_args *a)
{
    int axis = n->attrs.slice.axis;
    int64_t outer, inner, total = n->out[0]->shape.d[axis], start = 0;

    split_axis(&n->out[0]->shape, axis, &outer, &inner);
    for (int k = 0; k < n->n_in; k++) {
        int64_t length = n->in[k]->shape.d[axis];

        for (int64_t i = 0; i < outer * length * inner; i++) {
            int64_t o = i / (length * inner), rest = i % (length * inner);

            ref_out(n, a, 0, (o * total + start) * inner + rest, ref_in(n, a, k, i));
        }
        start += length;
    }
}

static void run_slice(const ons_node *n, const ons_args *a)
{
    int axis = n->attrs.slice.axis;
    int64_t outer, inner, total = n->in[0]->shape.d[axis], length = n->attrs.slice.length;

    split_axis(&n->in[0]->shape, axis, &outer, &inner);
    for (int64_t i = 0; i < outer * length * inner; i++) {
        int64_t o = i / (length * inner), rest = i % (length * inner);

        ref_out(n, a, 0, i, ref_in(n, a, 0, (o * total + n->attrs.slice.start) * inner + rest));
    }
}

static void run_pad_zero(const ons_node *n, const ons_args *a)
{
    int axis = n->attrs.slice.axis;
    int64_t outer, inner, total = n->out[0]->shape.d[axis], length = n->in[0]->shape.d[axis];

    zero_output(n, a);
    split_axis(&n->out[0]->shape, axis, &outer, &inner);
    for (int64_t i = 0; i < outer * length * inner; i++) {
        int64_t o = i / (length * inner), rest = i % (length * inner);

        ref_out(n, a, 0, (o * total + n->attrs.slice.start) * inner + rest, ref_in(n, a, 0, i));
    }
}

/* Flat index of pixel (i, y, x), channel c. */
static int64_t pixel(const ons_shape *s, int64_t i, int64_t y, int64_t x, int64_t c)
{
    return ((i * s->d[1] + y) * s->d[2] + x) * s->d[3] + c;
}

#define FOR_EACH_PIXEL(s)                                                                                      \
    for (int64_t i = 0; i < (s)->d[0]; i++)                                                                    \
        for (int64_t y = 0; y < (s)->d[1]; y++)                                                                \
            for (int64_t x = 0; x < (s)->d[2]; x++)                                                            \
                for (int64_t c = 0; c < (s)->d[3]; c++)

/* Nearest: the source row of destination row y is floor(y * source / destination). */
static void run_upsample(const ons_node *n, const ons_args *a)
{
    const ons_shape *src = &n->in[0]->shape, *dst = &n->out[0]->shape;

    FOR_EACH_PIXEL(dst)
    ref_out(n, a, 0, pixel(dst, i, y, x, c),
            ref_in(n, a, 0, pixel(src, i, y * src->d[1] / dst->d[1], x * src->d[2] / dst->d[2], c)));
}

static void run_upsample_grad(const ons_node *n, const ons_args *a)
{
    const ons_shape *big = &n->in[0]->shape, *small = &n->out[0]->shape;

    ref_sums_begin(n, a);
    FOR_EACH_PIXEL(big)
    ref_sums(n, a, 0)[pixel(small, i, y * small->d[1] / big->d[1], x * small->d[2] / big->d[2], c)] +=
        ref_in(n, a, 0, pixel(big, i, y, x, c));
    ref_sums_end(n, a);
}

/* 2x2 sums (downsum) or means (pooling); an odd last row or column is dropped. */
static void run_down(const ons_node *n, const ons_args *a)
{
    const ons_shape *src = &n->in[0]->shape, *dst = &n->out[0]->shape;
    double scale = n->op == ONS_OP_AVG_POOL2X ? 0.25 : 1;

    FOR_EACH_PIXEL(dst)
    {
        double sum = 0;

        for (int k = 0; k < 4; k++)
            sum += ref_in(n, a, 0, pixel(src, i, 2 * y + k / 2, 2 * x + k % 2, c));
        ref_out(n, a, 0, pixel(dst, i, y, x, c), scale * sum);
    }
}

static void run_avg_pool_grad(const ons_node *n, const ons_args *a)
{
    const ons_shape *small = &n->in[0]->shape, *big = &n->out[0]->shape;

    zero_output(n, a);
    FOR_EACH_PIXEL(small)
    for (int k = 0; k < 4; k++)
        ref_out(n, a, 0, pixel(big, i, 2 * y + k / 2, 2 * x + k % 2, c),
                0.25 * ref_in(n, a, 0, pixel(small, i, y, x, c)));
}

/* Which of the four is the largest; the first of equals. */
static int largest(const ons_node *n, const ons_args *a, const ons_shape *src, int64_t i, int64_t y, int64_t x,
                   int64_t c)
{
    int best = 0;

    for (int k = 1; k < 4; k++)
        if (ref_in(n, a, 0, pixel(src, i, 2 * y + k / 2, 2 * x + k % 2, c)) >
            ref_in(n, a, 0, pixel(src, i, 2 * y + best / 2, 2 * x + best % 2, c)))
            best = k;
    return best;
}

static void run_max_pool(const ons_node *n, const ons_args *a)
{
    const ons_shape *src = &n->in[0]->shape, *dst = &n->out[0]->shape;

    FOR_EACH_PIXEL(dst)
    {
        int k = largest(n, a, src, i, y, x, c);

        ref_out(n, a, 0, pixel(dst, i, y, x, c),
                ref_in(n, a, 0, pixel(src, i, 2 * y + k / 2, 2 * x + k % 2, c)));
    }
}

static void run_max_pool_grad(const ons_node *n, const ons_args *a)
{
    const ons_shape *src = &n->in[0]->shape, *small = &n->in[1]->shape;

    zero_output(n, a);
    FOR_EACH_PIXEL(small)
    {
        int k = largest(n, a, src, i, y, x, c);

        ref_out(n, a, 0, pixel(src, i, 2 * y + k / 2, 2 * x + k % 2, c),
                ref_in(n, a, 1, pixel(small, i, y, x, c)));
    }
}

/* An id outside the table gives zeros. */
static void run_embedding(const ons_node *n, const ons_args *a)
{
    int64_t rows = n->in[0]->shape.d[0], width = n->in[0]->shape.d[1];

    for (int64_t i = 0; i < ref_count(n->out[0]); i++) {
        int64_t id = (int64_t)ref_in(n, a, 1, i / width);

        ref_out(n, a, 0, i, id >= 0 && id < rows ? ref_in(n, a, 0, id * width + i % width) : 0);
    }
}

static void run_embedding_grad(const ons_node *n, const ons_args *a)
{
    int64_t rows = n->out[0]->shape.d[0], width = n->out[0]->shape.d[1];

    ref_sums_begin(n, a);
    for (int64_t i = 0; i < ref_count(n->in[1]); i++) {
        int64_t id = (int64_t)ref_in(n, a, 0, i / width);

        if (id >= 0 && id < rows)
            ref_sums(n, a, 0)[id * width + i % width] += ref_in(n, a, 1, i);
    }
    ref_sums_end(n, a);
}

static void run_timestep_embedding(const ons_node *n, const ons_args *a)
{
    int64_t dim = n->attrs.timestep.dim, half = dim / 2;

    for (int64_t i = 0; i < ref_count(n->out[0]); i++) {
        int64_t k = i % dim;
        double f = exp(-log(n->attrs.timestep.max_period) * (double)(k % half) /
                       ((double)half - n->attrs.timestep.shift));
        double angle = ref_in(n, a, 0, i / dim) * f;
        bool cosine = (k < half) == n->attrs.timestep.flip_sin_to_cos;

        ref_out(n, a, 0, i, k >= 2 * half ? 0 : cosine ? cos(angle) : sin(angle));
    }
}

ref_fn REF(layout)(ons_op op)
{
    static const struct {
        ons_op op;
        ref_fn run;
    } table[] = {
        {ONS_OP_TRANSPOSE, run_transpose},
        {ONS_OP_CONCAT, run_concat},
        {ONS_OP_SLICE, run_slice},
        {ONS_OP_PAD_ZERO, run_pad_zero},
        {ONS_OP_UPSAMPLE2X, run_upsample},
        {ONS_OP_UPSAMPLE_TO, run_upsample},
        {ONS_OP_UPSAMPLE_TO_GRAD, run_upsample_grad},
        {ONS_OP_DOWNSUM2X, run_down},
        {ONS_OP_AVG_POOL2X, run_down},
        {ONS_OP_AVG_POOL2X_GRAD, run_avg_pool_grad},
        {ONS_OP_MAX_POOL2X, run_max_pool},
        {ONS_OP_MAX_POOL2X_GRAD, run_max_pool_grad},
        {ONS_OP_EMBEDDING, run_embedding},
        {ONS_OP_EMBEDDING_GRAD, run_embedding_grad},
        {ONS_OP_TIMESTEP_EMBEDDING, run_timestep_embedding},
    };

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].op == op)
            return table[i].run;
    return NULL;
}
