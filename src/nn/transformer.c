/*
 * The spatial transformer of latent diffusion: GN (eps 1e-6), projection, blocks of self-attention,
 * cross-attention and GEGLU feed-forward, each pre-norm with a residual, projection, residual. proj_in/out are
 * 1x1 convolutions or linears by config.
 */
#include <math.h>

#include "nn/nn.h"

static ons_value *attend(const ons_nn *nn, const char *name, ons_value *x, ons_value *context, int n_heads,
                         ons_value *residual)
{
    ons_nn a = ons_nn_enter(nn, "%s", name);
    int64_t c = x->shape.n ? x->shape.d[x->shape.n - 1] : 1;
    ons_value *q = ons_nn_linear(&a, x, "to_q", c, false, NULL);
    ons_value *k = ons_nn_linear(&a, context, "to_k", c, false, NULL);
    ons_value *v = ons_nn_linear(&a, context, "to_v", c, false, NULL);
    ons_value *o = ons_attention(a.g, q, k, v, n_heads, 1 / sqrt((double)c / n_heads), false);

    o = ons_nn_linear(&a, o, "to_out.0", c, true, residual);
    ons_nn_leave(&a);
    return o;
}

static ons_value *feed_forward(const ons_nn *nn, ons_value *x, ons_value *residual)
{
    int64_t c = x->shape.n ? x->shape.d[x->shape.n - 1] : 1;
    ons_value *h = ons_nn_linear(nn, x, "ff.net.0.proj", 8 * c, true, NULL);

    h = ons_geglu(nn->g, h);
    return ons_nn_linear(nn, h, "ff.net.2", c, true, residual);
}

static ons_value *block(const ons_nn *nn, int i, ons_value *x, ons_value *context, int n_heads)
{
    ons_nn b = ons_nn_enter(nn, "transformer_blocks.%d", i);
    ons_value *n = ons_nn_layer_norm(&b, x, "norm1", 1e-5);

    x = attend(&b, "attn1", n, n, n_heads, x);
    n = ons_nn_layer_norm(&b, x, "norm2", 1e-5);
    x = attend(&b, "attn2", n, context, n_heads, x);
    n = ons_nn_layer_norm(&b, x, "norm3", 1e-5);
    x = feed_forward(&b, n, x);
    ons_nn_leave(&b);
    return x;
}

ons_value *ons_nn_transformer(const ons_nn *nn, const char *name, ons_value *x, ons_value *context,
                              const ons_transformer_options *o)
{
    ons_nn t = ons_nn_enter(nn, "%s", name);
    ons_shape image = x->shape, tokens = ONS_SHAPE3(image.d[0], image.d[1] * image.d[2], image.d[3]);
    ons_value *h;

    ons_graph_begin_segment(t.g);
    h = ons_nn_group_norm(&t, x, "norm", o->n_groups, 1e-6, ONS_ACT_NONE);
    if (o->linear_projection)
        h = ons_nn_linear(&t, ons_reshape(t.g, h, &tokens), "proj_in", image.d[3], true, NULL);
    else
        h = ons_reshape(t.g, ons_nn_conv(&t, h, "proj_in", image.d[3], 1, 1, 0, true, NULL), &tokens);
    for (int i = 0; i < o->n_layers; i++)
        h = block(&t, i, h, context, o->n_heads);
    if (o->linear_projection)
        h = ons_reshape(t.g, ons_nn_linear(&t, h, "proj_out", image.d[3], true, ons_reshape(t.g, x, &tokens)),
                        &image);
    else
        h = ons_nn_conv(&t, ons_reshape(t.g, h, &image), "proj_out", image.d[3], 1, 1, 0, true, x);
    ons_graph_end_segment(t.g);
    ons_nn_leave(&t);
    return h;
}
