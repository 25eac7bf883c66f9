/* Builders of products, norms, attention and the timestep embedding. */
#include <string.h>

#include "graph/graph_private.h"

ons_value *ons_conv2d(ons_graph *g, ons_value *x, ons_value *w, ons_value *bias, ons_value *residual,
                      ons_conv_geometry geometry)
{
    ons_value *in[4] = {x, w};
    int n_in = 2;
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.conv.stride = geometry.stride;
    a.conv.pad_top = geometry.pad_top;
    a.conv.pad_left = geometry.pad_left;
    a.conv.pad_bottom = geometry.pad_bottom;
    a.conv.pad_right = geometry.pad_right;
    a.conv.bias = bias;
    a.conv.residual = residual;
    if (bias)
        in[n_in++] = bias;
    if (residual)
        in[n_in++] = residual;
    return ons_apply(g, ONS_OP_CONV2D, in, n_in, &a, NULL);
}

ons_value *ons_matmul(ons_graph *g, ons_value *a, ons_value *b, bool trans_a, bool trans_b, double alpha,
                      ons_value *bias, ons_value *residual)
{
    ons_value *in[4] = {a, b};
    int n_in = 2;
    ons_attrs attrs;

    memset(&attrs, 0, sizeof attrs);
    attrs.matmul.trans_a = trans_a;
    attrs.matmul.trans_b = trans_b;
    attrs.matmul.alpha = alpha;
    attrs.matmul.bias = bias;
    attrs.matmul.residual = residual;
    if (bias)
        in[n_in++] = bias;
    if (residual)
        in[n_in++] = residual;
    return ons_apply(g, ONS_OP_MATMUL, in, n_in, &attrs, NULL);
}

ons_value *ons_embedding(ons_graph *g, ons_value *table, ons_value *ids)
{
    ons_value *in[2] = {table, ids};

    return ons_apply(g, ONS_OP_EMBEDDING, in, 2, NULL, NULL);
}

ons_value *ons_group_norm(ons_graph *g, ons_value *x, ons_value *gamma, ons_value *beta, int n_groups,
                          double eps, ons_activation act)
{
    ons_value *in[3] = {x, gamma, beta};
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.norm.n_groups = n_groups;
    a.norm.eps = eps;
    a.norm.act = act;
    return ons_apply(g, ONS_OP_GROUP_NORM, in, 3, &a, NULL);
}

ons_value *ons_layer_norm(ons_graph *g, ons_value *x, ons_value *gamma, ons_value *beta, double eps)
{
    ons_value *in[3] = {x, gamma, beta};
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.norm.eps = eps;
    return ons_apply(g, ONS_OP_LAYER_NORM, in, 3, &a, NULL);
}

ons_value *ons_attention(ons_graph *g, ons_value *q, ons_value *k, ons_value *v, int n_heads, double scale,
                         bool causal)
{
    ons_value *in[3] = {q, k, v};
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.attention.n_heads = n_heads;
    a.attention.scale = scale;
    a.attention.causal = causal;
    return ons_apply(g, ONS_OP_ATTENTION, in, 3, &a, NULL);
}

ons_value *ons_timestep_embedding(ons_graph *g, ons_value *t, int64_t dim, bool flip_sin_to_cos, double shift,
                                  double max_period)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.timestep.dim = dim;
    a.timestep.flip_sin_to_cos = flip_sin_to_cos;
    a.timestep.shift = shift;
    a.timestep.max_period = max_period;
    return ons_apply(g, ONS_OP_TIMESTEP_EMBEDDING, &t, 1, &a, NULL);
}
