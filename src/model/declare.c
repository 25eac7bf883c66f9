/* Declaring a model's parameters: its builder walked once over a throw-away graph. */
#include "model/model.h"

static onestep_status finish(ons_graph **g, ons_params *params)
{
    onestep_status st = ons_graph_finish(*g);

    ons_graph_destroy(g);
    return st == ONESTEP_OK ? ons_params_allocate(params) : st;
}

ons_nn_adapter ons_unet_adapter(ons_params *params, int slot, int rank, bool trainable)
{
    return (ons_nn_adapter){
        .params = params, .slot = slot, .rank = rank, .trainable = trainable, .prefix = "unet"};
}

/* The adapter of a set that is declared already, or the set itself where there is none. */
static onestep_status declare_unet(const ons_unet_config *c, ons_params *params, ons_nn_adapter adapter)
{
    ons_graph *g;
    ons_value *x, *t, *context;
    ons_nn nn;
    onestep_status st = ons_graph_create(&g);
    int64_t side = (int64_t)8 << c->n_levels;

    if (st != ONESTEP_OK)
        return st;
    ons_nn_init(&nn, g, params, 0, false);
    nn.adapter = adapter;
    x = ons_input(g, "x", ONS_F32, &ONS_SHAPE4(1, side, side, c->in_channels));
    t = ons_input(g, "t", ONS_F32, &ONS_SHAPE1(1));
    context = ons_input(g, "context", ONS_F32, &ONS_SHAPE3(1, 2, c->cross_attention_dim));
    ons_unet_build(&nn, c, x, t, context);
    return finish(&g, adapter.rank ? adapter.params : params);
}

onestep_status ons_unet_declare(const ons_unet_config *c, ons_params *params)
{
    return declare_unet(c, params, (ons_nn_adapter){0});
}

onestep_status ons_unet_adapter_declare(const ons_unet_config *c, ons_params *unet, int rank,
                                        ons_params *params)
{
    return declare_unet(c, unet, ons_unet_adapter(params, 1, rank, false));
}

onestep_status ons_vae_declare(const ons_vae_config *c, ons_params *params)
{
    ons_graph *g;
    ons_nn nn;
    onestep_status st = ons_graph_create(&g);
    int64_t side = (int64_t)8 << c->n_levels;

    if (st != ONESTEP_OK)
        return st;
    ons_nn_init(&nn, g, params, 0, false);
    if (!c->no_encoder)
        ons_vae_encode_build(&nn, c,
                             ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(1, side, side, c->in_channels)));
    ons_vae_decode_build(&nn, c, ons_input(g, "latent", ONS_F32, &ONS_SHAPE4(1, 8, 8, c->latent_channels)));
    return finish(&g, params);
}

onestep_status ons_clip_declare(const ons_clip_config *c, ons_params *params)
{
    ons_graph *g;
    ons_nn nn;
    onestep_status st = ons_graph_create(&g);

    if (st != ONESTEP_OK)
        return st;
    ons_nn_init(&nn, g, params, 0, false);
    ons_clip_text_build(&nn, c, ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(1, c->max_position_embeddings)));
    return finish(&g, params);
}

onestep_status ons_features_declare(const ons_features_config *c, ons_params *params)
{
    ons_graph *g;
    ons_nn nn;
    onestep_status st = ons_graph_create(&g);

    if (st != ONESTEP_OK)
        return st;
    ons_nn_init(&nn, g, params, 0, false);
    ons_features_image_build(
        &nn, c, ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(1, c->image_size, c->image_size, 3)), NULL);
    if (c->text.vocab_size)
        ons_features_text_build(&nn, c,
                                ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(1, c->text.max_position_embeddings)),
                                ons_input(g, "ends", ONS_I32, &ONS_SHAPE1(1)));
    return finish(&g, params);
}
