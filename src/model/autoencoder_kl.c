/*
 * AutoencoderKL (Rombach et al. 2022; layout and names of diffusers). Downsampling pads right and bottom alone;
 * the middle may have one attention head over all pixels.
 */
#include <math.h>
#include <stdio.h>

#include "model/autoencoder.h"

static const double eps = 1e-6;

static ons_value *resnet(const ons_nn *nn, const ons_vae_config *c, int j, ons_value *x, int64_t out)
{
    char name[32];

    snprintf(name, sizeof name, "resnets.%d", j);
    return ons_nn_resnet(nn, name, x, NULL, out, c->norm_num_groups, eps);
}

static ons_value *attention(const ons_nn *nn, const ons_vae_config *c, ons_value *x)
{
    ons_nn a = ons_nn_enter(nn, "attentions.0");
    ons_shape image = x->shape, tokens = ONS_SHAPE3(image.d[0], image.d[1] * image.d[2], image.d[3]);
    ons_value *flat = ons_reshape(nn->g, x, &tokens);
    ons_value *n = ons_reshape(
        nn->g, ons_nn_group_norm(&a, x, "group_norm", c->norm_num_groups, eps, ONS_ACT_NONE), &tokens);
    ons_value *q = ons_nn_linear(&a, n, "to_q", image.d[3], true, NULL);
    ons_value *k = ons_nn_linear(&a, n, "to_k", image.d[3], true, NULL);
    ons_value *v = ons_nn_linear(&a, n, "to_v", image.d[3], true, NULL);
    ons_value *o = ons_attention(nn->g, q, k, v, 1, 1 / sqrt((double)image.d[3]), false);

    o = ons_nn_linear(&a, o, "to_out.0", image.d[3], true, flat);
    ons_nn_leave(&a);
    return ons_reshape(nn->g, o, &image);
}

static ons_value *middle(const ons_nn *nn, const ons_vae_config *c, ons_value *x)
{
    int64_t width = c->block_out_channels[c->n_levels - 1];
    ons_nn m = ons_nn_enter(nn, "mid_block");

    x = resnet(&m, c, 0, x, width);
    if (c->mid_block_add_attention)
        x = attention(&m, c, x);
    x = resnet(&m, c, 1, x, width);
    ons_nn_leave(&m);
    return x;
}

static ons_value *down_block(const ons_nn *nn, const ons_vae_config *c, int i, ons_value *x)
{
    ons_nn d = ons_nn_enter(nn, "down_blocks.%d", i);
    int64_t width = c->block_out_channels[i];

    for (int j = 0; j < c->layers_per_block; j++)
        x = resnet(&d, c, j, x, width);
    if (i < c->n_levels - 1)
        x = ons_nn_conv_at(&d, x, "downsamplers.0.conv", width, 3, true, NULL,
                           (ons_conv_geometry){2, 0, 0, 1, 1});
    ons_nn_leave(&d);
    return x;
}

static ons_value *up_block(const ons_nn *nn, const ons_vae_config *c, int i, ons_value *x)
{
    ons_nn u = ons_nn_enter(nn, "up_blocks.%d", i);
    int64_t width = c->block_out_channels[c->n_levels - 1 - i];

    for (int j = 0; j < c->layers_per_block + 1; j++)
        x = resnet(&u, c, j, x, width);
    if (i < c->n_levels - 1)
        x = ons_nn_conv(&u, ons_upsample2x(nn->g, x), "upsamplers.0.conv", width, 3, 1, 1, true, NULL);
    ons_nn_leave(&u);
    return x;
}

ons_value *ons_autoencoder_kl_encode(const ons_nn *nn, const ons_vae_config *c, ons_value *x)
{
    ons_nn e = ons_nn_enter(nn, "encoder");

    x = ons_nn_conv(&e, x, "conv_in", c->block_out_channels[0], 3, 1, 1, true, NULL);
    for (int i = 0; i < c->n_levels; i++)
        x = down_block(&e, c, i, x);
    x = middle(&e, c, x);
    x = ons_nn_group_norm(&e, x, "conv_norm_out", c->norm_num_groups, eps, ONS_ACT_SILU);
    x = ons_nn_conv(&e, x, "conv_out", 2 * c->latent_channels, 3, 1, 1, true, NULL);
    ons_nn_leave(&e);
    return c->use_quant_conv ? ons_nn_conv(nn, x, "quant_conv", 2 * c->latent_channels, 1, 1, 0, true, NULL)
                             : x;
}

ons_value *ons_autoencoder_kl_decode(const ons_nn *nn, const ons_vae_config *c, ons_value *x)
{
    ons_nn d;

    if (c->use_post_quant_conv)
        x = ons_nn_conv(nn, x, "post_quant_conv", c->latent_channels, 1, 1, 0, true, NULL);
    d = ons_nn_enter(nn, "decoder");
    x = ons_nn_conv(&d, x, "conv_in", c->block_out_channels[c->n_levels - 1], 3, 1, 1, true, NULL);
    x = middle(&d, c, x);
    for (int i = 0; i < c->n_levels; i++)
        x = up_block(&d, c, i, x);
    x = ons_nn_group_norm(&d, x, "conv_norm_out", c->norm_num_groups, eps, ONS_ACT_SILU);
    x = ons_nn_conv(&d, x, "conv_out", c->out_channels, 3, 1, 1, true, NULL);
    ons_nn_leave(&d);
    return x;
}
