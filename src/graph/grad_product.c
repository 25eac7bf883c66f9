/* Gradient rules of convolutions, matrix products and embeddings. */
#include <string.h>

#include "graph/rules.h"

static ons_value *apply_conv_grad_w(ons_graph *g, const ons_attrs *conv, ons_value *x, ons_value *dy,
                                    ons_value **dbias)
{
    ons_value *in[2] = {x, dy}, *out[ONS_MAX_OUTPUTS];
    ons_attrs a = *conv;

    a.conv.bias = a.conv.residual = false;
    ons_apply(g, ONS_OP_CONV2D_GRAD_W, in, 2, &a, out);
    if (dbias)
        *dbias = out[1];
    return out[0];
}

/* Bias alone does not need the weights' product. */
static ons_value *sum_channels(ons_graph *g, ons_value *dy)
{
    ons_shape channels = ONS_SHAPE1(dy->shape.d[dy->shape.n - 1]);

    return ons_graph_failed(g) ? dy : ons_sum_to(g, dy, &channels);
}

ONS_GRAD_RULE(grad_conv2d)
{
    bool has_bias = n->attrs.conv.bias, need_bias = has_bias && need[2];
    ons_attrs a = n->attrs;

    a.conv.bias = a.conv.residual = false;
    if (need[0]) {
        ons_value *in[2] = {dy[0], n->in[1]};

        dx[0] = ons_apply(g, ONS_OP_CONV2D_GRAD_X, in, 2, &a, NULL);
    }
    if (need[1])
        dx[1] = apply_conv_grad_w(g, &a, n->in[0], dy[0], need_bias ? &dx[2] : NULL);
    else if (need_bias)
        dx[2] = sum_channels(g, dy[0]);
    if (n->attrs.conv.residual && need[2 + has_bias])
        dx[2 + has_bias] = dy[0];
}

/* x' = A(w)^T y': linear in both, so the gradients are the convolution itself and its weight gradient. */
ONS_GRAD_RULE(grad_conv2d_grad_x)
{
    const ons_attrs *a = &n->attrs;
    ons_conv_geometry geometry = {a->conv.stride, a->conv.pad_top, a->conv.pad_left, a->conv.pad_bottom,
                                  a->conv.pad_right};

    if (need[0])
        dx[0] = ons_conv2d(g, dy[0], n->in[1], NULL, NULL, geometry);
    if (need[1])
        dx[1] = apply_conv_grad_w(g, a, dy[0], n->in[0], NULL);
}

/* Leading dimensions become rows: [..., M, K] -> [rows, K]. */
static ons_value *fold_rows(ons_graph *g, ons_value *x)
{
    ons_shape two = ONS_SHAPE2(-1, x->shape.d[x->shape.n - 1]);

    return ons_graph_failed(g) || x->shape.n == 2 ? x : ons_reshape(g, x, &two);
}

/*
 * y = alpha A B with A = op(a), B = op(b): dA = alpha dy B^T, dB = alpha A^T dy; a transposed operand takes the
 * transpose of its gradient, written as the product of the swapped factors.
 */
static ons_value *matmul_grad_a(ons_graph *g, const ons_node *n, ons_value *dy)
{
    bool ta = n->attrs.matmul.trans_a, tb = n->attrs.matmul.trans_b;
    double alpha = n->attrs.matmul.alpha;

    if (ta)
        return ons_matmul(g, n->in[1], dy, tb, true, alpha, NULL, NULL);
    return ons_matmul(g, dy, n->in[1], false, !tb, alpha, NULL, NULL);
}

static ons_value *matmul_grad_b(ons_graph *g, const ons_node *n, ons_value *dy)
{
    bool ta = n->attrs.matmul.trans_a, tb = n->attrs.matmul.trans_b;
    double alpha = n->attrs.matmul.alpha;
    ons_value *a = n->in[0];

    if (n->in[1]->shape.n == 2) {
        a = fold_rows(g, a);
        dy = fold_rows(g, dy);
    }
    if (tb)
        return ons_matmul(g, dy, a, true, ta, alpha, NULL, NULL);
    return ons_matmul(g, a, dy, !ta, false, alpha, NULL, NULL);
}

ONS_GRAD_RULE(grad_matmul)
{
    int next = 2;

    if (need[0])
        dx[0] = matmul_grad_a(g, n, dy[0]);
    if (need[1])
        dx[1] = matmul_grad_b(g, n, dy[0]);
    if (n->attrs.matmul.bias) {
        if (need[next])
            dx[next] = sum_channels(g, dy[0]);
        next++;
    }
    if (n->attrs.matmul.residual && need[next])
        dx[next] = dy[0];
}

ONS_GRAD_RULE(grad_embedding)
{
    ons_value *in[2] = {n->in[1], dy[0]};
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.shape = n->in[0]->shape;
    if (need[0])
        dx[0] = ons_apply(g, ONS_OP_EMBEDDING_GRAD, in, 2, &a, NULL);
}
