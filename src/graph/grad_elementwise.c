/* Gradient rules of element-wise operators. y = f(x), dx = f'(x) dy; the output stands in where it is at hand.
 */
#include <string.h>

#include "graph/rules.h"

/* Undoes broadcasting: sums over the dimensions that were stretched. */
static ons_value *fit(ons_graph *g, ons_value *dy, const ons_value *x)
{
    return ons_sum_to(g, dy, &x->shape);
}

static ons_value *apply_pair(ons_graph *g, ons_op op, const ons_node *n, ons_value *x, ons_value *dy)
{
    ons_value *in[2] = {x, dy};

    return ons_apply(g, op, in, 2, &n->attrs, NULL);
}

ONS_GRAD_RULE(grad_add)
{
    if (need[0])
        dx[0] = dy[0];
    if (need[1])
        dx[1] = fit(g, dy[0], n->in[1]);
}

ONS_GRAD_RULE(grad_sub)
{
    if (need[0])
        dx[0] = dy[0];
    if (need[1])
        dx[1] = ons_affine(g, fit(g, dy[0], n->in[1]), -1, 0);
}

ONS_GRAD_RULE(grad_mul)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], n->in[1]);
    if (need[1])
        dx[1] = fit(g, ons_mul(g, dy[0], n->in[0]), n->in[1]);
}

ONS_GRAD_RULE(grad_affine)
{
    if (need[0])
        dx[0] = ons_affine(g, dy[0], n->attrs.affine.scale, 0);
}

ONS_GRAD_RULE(grad_silu)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_SILU_GRAD, n, n->in[0], dy[0]);
}

ONS_GRAD_RULE(grad_gelu)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_GELU_GRAD, n, n->in[0], dy[0]);
}

ONS_GRAD_RULE(grad_quick_gelu)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_QUICK_GELU_GRAD, n, n->in[0], dy[0]);
}

ONS_GRAD_RULE(grad_relu)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_RELU_GRAD, n, n->in[0], dy[0]);
}

ONS_GRAD_RULE(grad_clamp)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_CLAMP_GRAD, n, n->in[0], dy[0]);
}

ONS_GRAD_RULE(grad_geglu)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_GEGLU_GRAD, n, n->in[0], dy[0]);
}

ONS_GRAD_RULE(grad_softmax)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_SOFTMAX_GRAD, n, n->out[0], dy[0]);
}

ONS_GRAD_RULE(grad_log_softmax)
{
    if (need[0])
        dx[0] = apply_pair(g, ONS_OP_LOG_SOFTMAX_GRAD, n, n->out[0], dy[0]);
}

/* 1 - y^2 */
ONS_GRAD_RULE(grad_tanh)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], ons_affine(g, ons_unary(g, ONS_OP_SQUARE, n->out[0]), -1, 1));
}

ONS_GRAD_RULE(grad_exp)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], n->out[0]);
}

ONS_GRAD_RULE(grad_log)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], ons_unary(g, ONS_OP_RECIPROCAL, n->in[0]));
}

/* 1 / (2 y) */
ONS_GRAD_RULE(grad_sqrt)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], ons_affine(g, ons_unary(g, ONS_OP_RECIPROCAL, n->out[0]), 0.5, 0));
}

ONS_GRAD_RULE(grad_square)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], ons_affine(g, n->in[0], 2, 0));
}

ONS_GRAD_RULE(grad_abs)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], ons_unary(g, ONS_OP_SIGN, n->in[0]));
}

/* -y^2 */
ONS_GRAD_RULE(grad_reciprocal)
{
    if (need[0])
        dx[0] = ons_mul(g, dy[0], ons_affine(g, ons_unary(g, ONS_OP_SQUARE, n->out[0]), -1, 0));
}

ONS_GRAD_RULE(grad_cast)
{
    if (need[0])
        dx[0] = ons_cast(g, dy[0], n->in[0]->dtype);
}
