/* Shape rules of convolutions, matrix products and embeddings. */
#include "graph/rules.h"

/* Output side of a convolution: floor((in + pads - kernel) / stride) + 1; below 1 when the kernel does not fit.
 */
static int64_t conv_side(int64_t in, int64_t pads, int64_t kernel, int stride)
{
    return in + pads < kernel ? 0 : (in + pads - kernel) / stride + 1;
}

/* Output height and width from attrs.conv (input size, kernel, stride, pads). */
static bool conv_size(ons_rule *r, int64_t *h, int64_t *w)
{
    const ons_attrs *a = r->attrs;

    if (a->conv.stride < 1 || a->conv.pad_top < 0 || a->conv.pad_left < 0 || a->conv.pad_bottom < 0 ||
        a->conv.pad_right < 0)
        return ons_rule_fail(
            r, "stride %d and pads %d, %d, %d, %d; the stride must be positive, no pad negative",
            a->conv.stride, a->conv.pad_top, a->conv.pad_left, a->conv.pad_bottom, a->conv.pad_right);
    *h = conv_side(a->conv.in_h, a->conv.pad_top + a->conv.pad_bottom, a->conv.kh, a->conv.stride);
    *w = conv_side(a->conv.in_w, a->conv.pad_left + a->conv.pad_right, a->conv.kw, a->conv.stride);
    if (*h < 1 || *w < 1)
        return ons_rule_fail(r, "a %lldx%lld kernel does not fit a %lldx%lld image with its padding",
                             (long long)a->conv.kh, (long long)a->conv.kw, (long long)a->conv.in_h,
                             (long long)a->conv.in_w);
    return true;
}

static bool check_rank(ons_rule *r, int input, int rank, const char *what)
{
    char text[96];

    if (r->in[input]->shape.n != rank)
        return ons_rule_fail(r, "input %d must be %s, found %s", input, what,
                             ons_shape_text(&r->in[input]->shape, text));
    return true;
}

/* Checks the optional inputs after the first two: bias [channels] and a residual like the output. */
static bool check_extras(ons_rule *r, bool bias, bool residual, int64_t channels)
{
    char a[96], b[96];
    int next = 2;

    if (r->n_in != 2 + bias + residual)
        return ons_rule_fail(r, "takes %d inputs with these attributes, found %d", 2 + bias + residual,
                             r->n_in);
    if (bias) {
        const ons_shape *s = &r->in[next++]->shape;

        if (s->n != 1 || s->d[0] != channels)
            return ons_rule_fail(r, "bias must be [%lld], found %s", (long long)channels, ons_shape_text(s, a));
    }
    if (residual && !ons_shape_equal(&r->in[next]->shape, &r->shape[0]))
        return ons_rule_fail(r, "residual is %s and the result %s; they must be equal",
                             ons_shape_text(&r->in[next]->shape, a), ons_shape_text(&r->shape[0], b));
    return true;
}

/* An 8-bit first operand: numbers are read by attrs.quantise, the border lies in them, the result is bf16. */
static bool check_8_bits(ons_rule *r)
{
    const ons_attrs *a = r->attrs;

    if (r->in[0]->dtype != ONS_U8)
        return true;
    if (!ons_quantisation_fits(a->quantise.scale, a->quantise.zero))
        return ons_rule_fail(r, "8-bit operand with scale %g and zero %d", a->quantise.scale, a->quantise.zero);
    if (r->op == ONS_OP_CONV2D
            ? a->conv.pad_top || a->conv.pad_left || a->conv.pad_bottom || a->conv.pad_right
            : a->matmul.trans_a || !a->matmul.trans_b || a->matmul.alpha != 1 || r->in[1]->shape.n != 2)
        return ons_rule_fail(r, "an 8-bit operand needs a convolution without padding, or a linear layer");
    r->dtype[0] = ONS_BF16;
    return true;
}

/* `zoom`: how often a pixel of the image stands in a row and in a column of what is convolved. */
static bool describe_conv2d(ons_rule *r, int64_t zoom)
{
    const ons_shape *x, *w;
    ons_attrs *a = r->attrs;
    int64_t out_h, out_w;

    if (r->n_in < 2)
        return ons_rule_fail(r, "takes an image and weights, found %d input", r->n_in);
    if (!check_rank(r, 0, 4, "an image [N, H, W, C]") || !check_rank(r, 1, 4, "weights [O, kh, kw, C]"))
        return false;
    x = &r->in[0]->shape;
    w = &r->in[1]->shape;
    if (x->d[3] != w->d[3])
        return ons_rule_fail(r, "input has %lld channels, the weights expect %lld", (long long)x->d[3],
                             (long long)w->d[3]);
    a->conv.in_h = zoom * x->d[1];
    a->conv.in_w = zoom * x->d[2];
    a->conv.kh = w->d[1];
    a->conv.kw = w->d[2];
    if (!conv_size(r, &out_h, &out_w))
        return false;
    r->shape[0] = ONS_SHAPE4(x->d[0], out_h, out_w, w->d[0]);
    return check_8_bits(r) && check_extras(r, a->conv.bias, a->conv.residual, w->d[0]);
}

bool shape_conv2d(ons_rule *r)
{
    return describe_conv2d(r, 1);
}

bool shape_conv2d_upsampled(ons_rule *r)
{
    const ons_attrs *a = r->attrs;

    if (!describe_conv2d(r, 2))
        return false;
    if (a->conv.kh != 3 || a->conv.kw != 3 || a->conv.stride != 1 || a->conv.residual || a->conv.pad_top != 1 ||
        a->conv.pad_left != 1 || a->conv.pad_bottom != 1 || a->conv.pad_right != 1)
        return ons_rule_fail(r, "takes a 3x3 kernel with stride 1 and padding 1, and no residual");
    return true;
}

static bool check_grad_size(ons_rule *r, const ons_shape *dy)
{
    int64_t h, w;

    if (!conv_size(r, &h, &w))
        return false;
    if (dy->d[1] != h || dy->d[2] != w)
        return ons_rule_fail(r, "gradient is %lldx%lld, the convolution's result is %lldx%lld",
                             (long long)dy->d[1], (long long)dy->d[2], (long long)h, (long long)w);
    return true;
}

bool shape_conv2d_grad_x(ons_rule *r)
{
    const ons_shape *dy = &r->in[0]->shape, *w = &r->in[1]->shape;

    if (!check_rank(r, 0, 4, "a gradient [N, H, W, O]") || !check_rank(r, 1, 4, "weights [O, kh, kw, C]"))
        return false;
    if (dy->d[3] != w->d[0])
        return ons_rule_fail(r, "gradient has %lld channels, the weights make %lld", (long long)dy->d[3],
                             (long long)w->d[0]);
    r->attrs->conv.kh = w->d[1];
    r->attrs->conv.kw = w->d[2];
    r->shape[0] = ONS_SHAPE4(dy->d[0], r->attrs->conv.in_h, r->attrs->conv.in_w, w->d[3]);
    return check_grad_size(r, dy);
}

bool shape_conv2d_grad_w(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape, *dy = &r->in[1]->shape;
    ons_attrs *a = r->attrs;

    if (!check_rank(r, 0, 4, "an image [N, H, W, C]") || !check_rank(r, 1, 4, "a gradient [N, H, W, O]"))
        return false;
    if (x->d[0] != dy->d[0])
        return ons_rule_fail(r, "image and gradient have batches of %lld and %lld", (long long)x->d[0],
                             (long long)dy->d[0]);
    a->conv.in_h = x->d[1];
    a->conv.in_w = x->d[2];
    r->shape[0] = ONS_SHAPE4(dy->d[3], a->conv.kh, a->conv.kw, x->d[3]);
    r->shape[1] = ONS_SHAPE1(dy->d[3]);
    r->dtype[0] = r->dtype[1] = ONS_F32;
    return check_grad_size(r, dy);
}

/* Leading dimensions of a batched product must agree. */
static bool check_batch(ons_rule *r)
{
    const ons_shape *a = &r->in[0]->shape, *b = &r->in[1]->shape;
    char ta[96], tb[96];
    bool equal = a->n == b->n;

    for (int i = 0; equal && i < a->n - 2; i++)
        equal = a->d[i] == b->d[i];
    if (!equal)
        return ons_rule_fail(
            r, "%s and %s; the second must have two dimensions or the first one's leading dimensions",
            ons_shape_text(a, ta), ons_shape_text(b, tb));
    return true;
}

bool shape_matmul(ons_rule *r)
{
    const ons_attrs *at = r->attrs;
    bool ta = at->matmul.trans_a, tb = at->matmul.trans_b;
    const ons_shape *a, *b;
    int64_t inner_a, inner_b, rows, columns;
    char text_a[96], text_b[96];

    if (r->n_in < 2)
        return ons_rule_fail(r, "takes two matrices, found %d input", r->n_in);
    a = &r->in[0]->shape;
    b = &r->in[1]->shape;
    if (a->n < 2 || b->n < 2)
        return ons_rule_fail(r, "%s and %s; both need at least two dimensions", ons_shape_text(a, text_a),
                             ons_shape_text(b, text_b));
    if (b->n != 2 && !check_batch(r))
        return false;
    if (ta && a->n != b->n)
        return ons_rule_fail(r,
                             "the first of %s and %s can be transposed only when both have as many dimensions",
                             ons_shape_text(a, text_a), ons_shape_text(b, text_b));
    inner_a = a->d[a->n - (ta ? 2 : 1)];
    inner_b = b->d[b->n - (tb ? 1 : 2)];
    rows = a->d[a->n - (ta ? 1 : 2)];
    columns = b->d[b->n - (tb ? 2 : 1)];
    if (inner_a != inner_b)
        return ons_rule_fail(r, "%s%s and %s%s: inner dimensions are %lld and %lld", ons_shape_text(a, text_a),
                             ta ? " transposed" : "", ons_shape_text(b, text_b), tb ? " transposed" : "",
                             (long long)inner_a, (long long)inner_b);
    r->shape[0] = *a;
    r->shape[0].d[a->n - 2] = rows;
    r->shape[0].d[a->n - 1] = columns;
    return check_8_bits(r) && check_extras(r, at->matmul.bias, at->matmul.residual, columns);
}

bool shape_embedding(ons_rule *r)
{
    const ons_shape *ids = &r->in[1]->shape;

    if (!check_rank(r, 0, 2, "a table [V, C]"))
        return false;
    if (ids->n >= ONS_MAX_DIMS)
        return ons_rule_fail(r, "token numbers have %d dimensions; at most %d are possible", ids->n,
                             ONS_MAX_DIMS - 1);
    r->shape[0] = *ids;
    r->shape[0].d[r->shape[0].n++] = r->in[0]->shape.d[1];
    return true;
}
