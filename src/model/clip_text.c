/*
 * CLIPTextModel (Radford et al. 2021; layout of transformers): token and learned position embeddings, causal
 * pre-norm blocks, final layer norm. Names carry the prefix "text_model.", which every version of transformers
 * reads; loading accepts files without it. Initial deviations are those of transformers at
 * initializer_factor 1. Padding is not masked, as in Stable Diffusion: it follows the end token, where the
 * causal mask hides it.
 */
#include <math.h>

#include "model/model.h"

/* Of the products that read the residual stream or write an MLP's result to it. */
static double deep_std(const ons_clip_config *c)
{
    return 1 / sqrt(2.0 * c->num_hidden_layers * c->hidden_size);
}

static ons_value *self_attention(const ons_nn *nn, const ons_clip_config *c, ons_value *x, ons_value *residual)
{
    ons_nn a = ons_nn_enter(nn, "self_attn");
    ons_value *q = ons_nn_linear_normal(&a, x, "q_proj", c->hidden_size, deep_std(c), NULL);
    ons_value *k = ons_nn_linear_normal(&a, x, "k_proj", c->hidden_size, deep_std(c), NULL);
    ons_value *v = ons_nn_linear_normal(&a, x, "v_proj", c->hidden_size, deep_std(c), NULL);
    double scale = 1 / sqrt((double)c->hidden_size / c->num_attention_heads);
    ons_value *o = ons_attention(nn->g, q, k, v, c->num_attention_heads, scale, true);

    o = ons_nn_linear_normal(&a, o, "out_proj", c->hidden_size, 1 / sqrt((double)c->hidden_size), residual);
    ons_nn_leave(&a);
    return o;
}

static ons_value *layer(const ons_nn *nn, const ons_clip_config *c, int i, ons_value *x)
{
    ons_nn l = ons_nn_enter(nn, "encoder.layers.%d", i);
    ons_value *h = ons_nn_layer_norm(&l, x, "layer_norm1", c->layer_norm_eps);

    x = self_attention(&l, c, h, x);
    h = ons_nn_layer_norm(&l, x, "layer_norm2", c->layer_norm_eps);
    h = ons_nn_linear_normal(&l, h, "mlp.fc1", c->intermediate_size, 1 / sqrt(2.0 * c->hidden_size), NULL);
    h = ons_unary(nn->g, c->hidden_act, h);
    x = ons_nn_linear_normal(&l, h, "mlp.fc2", c->hidden_size, deep_std(c), x);
    ons_nn_leave(&l);
    return x;
}

static ons_value *embed(const ons_nn *nn, const ons_clip_config *c, ons_value *ids)
{
    ons_nn e = ons_nn_enter(nn, "embeddings");
    ons_value *tokens = ons_nn_param(&e, "token_embedding.weight", ONS_PARAM_MATRIX,
                                     &ONS_SHAPE2(c->vocab_size, c->hidden_size), ONS_INIT_NORMAL, 0.02);
    ons_value *positions =
        ons_nn_param(&e, "position_embedding.weight", ONS_PARAM_MATRIX,
                     &ONS_SHAPE2(c->max_position_embeddings, c->hidden_size), ONS_INIT_NORMAL, 0.02);
    int64_t t = ids->shape.n == 2 ? ids->shape.d[1] : 0;
    ons_value *x;

    if (t > c->max_position_embeddings)
        ons_graph_error(nn->g, "%lld tokens; the text encoder has positions for %d", (long long)t,
                        c->max_position_embeddings);
    if (t < c->max_position_embeddings)
        positions = ons_slice(nn->g, positions, 0, 0, t);
    x = ons_add(nn->g, ons_embedding(nn->g, tokens, ids), positions);
    ons_nn_leave(&e);
    return x;
}

ons_value *ons_clip_text_build(const ons_nn *nn, const ons_clip_config *c, ons_value *ids)
{
    ons_nn m = ons_nn_enter(nn, "text_model");
    ons_value *x = embed(&m, c, ids);

    for (int i = 0; i < c->num_hidden_layers; i++)
        x = layer(&m, c, i, x);
    x = ons_nn_layer_norm(&m, x, "final_layer_norm", c->layer_norm_eps);
    ons_nn_leave(&m);
    return x;
}
