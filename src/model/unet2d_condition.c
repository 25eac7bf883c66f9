/*
 * UNet2DConditionModel (Rombach et al. 2022; layout and names of diffusers). Every encoder layer leaves a skip;
 * the decoder takes them back, newest first, concatenated after x. Upsampling goes to the size of the next
 * skip, so that odd sizes work.
 */
#include <stdio.h>
#include <string.h>

#include "model/model.h"

enum { MAX_SKIPS = 64 };

typedef struct builder {
    const ons_unet_config *c;
    ons_value *temb; /* SiLU of the time embedding [N, 4*C0] */
    ons_value *context;
    ons_value *skips[MAX_SKIPS];
    int n_skips;
} builder;

static ons_value *time_embedding(const ons_nn *nn, const ons_unet_config *c, ons_value *t)
{
    int64_t width = c->block_out_channels[0];
    ons_nn e = ons_nn_enter(nn, "time_embedding");
    ons_value *v = ons_timestep_embedding(nn->g, t, width, c->flip_sin_to_cos, c->freq_shift, 10000);

    v = ons_nn_linear(&e, v, "linear_1", 4 * width, true, NULL);
    v = ons_unary(nn->g, ONS_OP_SILU, v);
    v = ons_nn_linear(&e, v, "linear_2", 4 * width, true, NULL);
    v = ons_unary(nn->g, ONS_OP_SILU, v); /* every resnet begins with it */
    ons_nn_leave(&e);
    return v;
}

static ons_value *resnet(const ons_nn *nn, const builder *b, int j, ons_value *x, int64_t out)
{
    char name[32];

    snprintf(name, sizeof name, "resnets.%d", j);
    return ons_nn_resnet(nn, name, x, b->temb, out, b->c->norm_num_groups, b->c->norm_eps);
}

static ons_value *transformer(const ons_nn *nn, const builder *b, int level, int j, ons_value *x)
{
    ons_transformer_options o = {b->c->n_heads[level], b->c->transformer_layers[level], b->c->norm_num_groups,
                                 b->c->use_linear_projection};
    char name[32];

    snprintf(name, sizeof name, "attentions.%d", j);
    return ons_nn_transformer(nn, name, x, b->context, &o);
}

static void push_skip(const ons_nn *nn, builder *b, ons_value *x)
{
    if (b->n_skips < MAX_SKIPS)
        b->skips[b->n_skips++] = x;
    else
        ons_graph_error(nn->g, "a UNet of more than %d encoder layers is not supported", MAX_SKIPS);
}

/* With downsample_padding 0 diffusers puts one row and column of zeros at the bottom and right. */
static ons_value *downsample(const ons_nn *nn, const ons_unet_config *c, ons_value *x, int64_t width)
{
    int pad = c->downsample_padding, far = pad ? pad : 1;

    return ons_nn_conv_at(nn, x, "downsamplers.0.conv", width, 3, true, NULL,
                          (ons_conv_geometry){2, pad, pad, far, far});
}

static ons_value *down_block(const ons_nn *nn, builder *b, int i, ons_value *x)
{
    const ons_unet_config *c = b->c;
    ons_nn d = ons_nn_enter(nn, "down_blocks.%d", i);

    for (int j = 0; j < c->layers_per_block[i]; j++) {
        x = resnet(&d, b, j, x, c->block_out_channels[i]);
        if (c->down_attention[i])
            x = transformer(&d, b, i, j, x);
        push_skip(nn, b, x);
    }
    if (i < c->n_levels - 1) {
        x = downsample(&d, c, x, c->block_out_channels[i]);
        push_skip(nn, b, x);
    }
    ons_nn_leave(&d);
    return x;
}

static ons_value *mid_block(const ons_nn *nn, builder *b, ons_value *x)
{
    int last = b->c->n_levels - 1;
    int64_t width = b->c->block_out_channels[last];
    ons_nn m;

    if (!b->c->mid_block)
        return x;
    m = ons_nn_enter(nn, "mid_block");
    x = resnet(&m, b, 0, x, width);
    if (b->c->mid_attention)
        x = transformer(&m, b, last, 0, x);
    if (b->c->mid_attention || b->c->mid_resnets > 1)
        x = resnet(&m, b, 1, x, width);
    ons_nn_leave(&m);
    return x;
}

/* Nearest to twice the size, or to the next skip's where a size was odd. */
static ons_value *upsample(const ons_nn *nn, const builder *b, ons_value *x, int64_t width)
{
    const ons_value *skip = b->n_skips ? b->skips[b->n_skips - 1] : x;
    bool exact = skip->shape.d[1] == 2 * x->shape.d[1] && skip->shape.d[2] == 2 * x->shape.d[2];

    x = exact ? ons_upsample2x(nn->g, x) : ons_upsample_to(nn->g, x, skip->shape.d[1], skip->shape.d[2]);
    return ons_nn_conv(nn, x, "upsamplers.0.conv", width, 3, 1, 1, true, NULL);
}

static ons_value *up_block(const ons_nn *nn, builder *b, int i, ons_value *x)
{
    const ons_unet_config *c = b->c;
    int level = c->n_levels - 1 - i;
    int64_t width = c->block_out_channels[level];
    ons_nn u = ons_nn_enter(nn, "up_blocks.%d", i);

    for (int j = 0; j < c->layers_per_block[level] + 1; j++) {
        ons_value *skip = b->skips[--b->n_skips];

        ons_graph_begin_segment(nn->g); /* x with its skip can be put together again as well */
        x = ons_concat(nn->g, 3, (ons_value *[]){x, skip}, 2);
        x = resnet(&u, b, j, x, width);
        ons_graph_end_segment(nn->g);
        if (c->up_attention[i])
            x = transformer(&u, b, level, j, x);
    }
    if (i < c->n_levels - 1)
        x = upsample(&u, b, x, width);
    ons_nn_leave(&u);
    return x;
}

ons_value *ons_unet_build(const ons_nn *nn, const ons_unet_config *c, ons_value *x, ons_value *t,
                          ons_value *context)
{
    builder b = {.c = c, .context = context};

    b.temb = time_embedding(nn, c, t);
    x = ons_nn_conv(nn, x, "conv_in", c->block_out_channels[0], 3, 1, 1, true, NULL);
    push_skip(nn, &b, x);
    for (int i = 0; i < c->n_levels; i++)
        x = down_block(nn, &b, i, x);
    x = mid_block(nn, &b, x);
    for (int i = 0; i < c->n_levels && !ons_graph_failed(nn->g); i++)
        x = up_block(nn, &b, i, x);
    x = ons_nn_group_norm(nn, x, "conv_norm_out", c->norm_num_groups, c->norm_eps, ONS_ACT_SILU);
    return ons_nn_conv(nn, x, "conv_out", c->out_channels, 3, 1, 1, true, NULL);
}
