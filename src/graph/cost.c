/*
 * What a node costs: floating-point operations that the model needs (2 per multiply-add of products and
 * attention, padding taps included, recomputation excluded) and bytes that must move at least once.
 */
#include "graph/graph_private.h"

static double conv_flops(const ons_node *n, const ons_shape *y, int64_t in_channels)
{
    const int64_t taps = n->attrs.conv.folded
                             ? 9
                             : n->attrs.conv.kh * n->attrs.conv.kw; /* folded: what the 3x3 kernel asks for */

    return 2.0 * (double)ons_shape_count(y) * (double)(taps * in_channels);
}

double flops_matmul(const ons_node *n)
{
    const ons_shape *a = &n->in[0]->shape;

    return 2.0 * (double)ons_shape_count(&n->out[0]->shape) *
           (double)a->d[a->n - (n->attrs.matmul.trans_a ? 2 : 1)];
}

/* `products` of [Tq, C/heads] x [C/heads, Tk] per head; half of the scores exist under a causal mask. */
static double attention_flops(const ons_node *n, int products)
{
    const ons_shape *q = &n->in[0]->shape, *k = &n->in[1]->shape;
    double scores = (double)q->d[1] * (double)k->d[1];

    if (n->attrs.attention.causal)
        scores = 0.5 * (double)q->d[1] * (double)(q->d[1] + 1);
    return 2.0 * products * (double)q->d[0] * scores * (double)q->d[2];
}

double flops_conv2d(const ons_node *n)
{
    return conv_flops(n, &n->out[0]->shape, n->in[0]->shape.d[3]);
}

double flops_conv2d_grad_x(const ons_node *n)
{
    return conv_flops(n, &n->in[0]->shape, n->out[0]->shape.d[3]);
}

double flops_conv2d_grad_w(const ons_node *n)
{
    return conv_flops(n, &n->in[1]->shape, n->in[0]->shape.d[3]);
}

double flops_attention(const ons_node *n)
{
    return attention_flops(n, 2); /* q k^T, p v */
}

double flops_attention_grad(const ons_node *n)
{
    return attention_flops(n, 4); /* dv, dp, dq, dk */
}

double ons_node_flops(const ons_node *n)
{
    return ons_op_rows[n->op].flops ? ons_op_rows[n->op].flops(n) : 0;
}

size_t ons_value_bytes(const ons_value *v)
{
    return (size_t)ons_shape_count(&v->shape) * ons_dtype_size(v->dtype);
}

double ons_node_bytes(const ons_node *n)
{
    double sum = 0;

    if (n->n_in == 0 || ons_op_is_view(n->op))
        return 0;
    for (int i = 0; i < n->n_in; i++)
        sum += (double)ons_value_bytes(n->in[i]);
    for (int i = 0; i < n->n_out; i++)
        sum += (double)ons_value_bytes(n->out[i]);
    return sum;
}
