/*
 * AutoencoderTiny (TAESD, Bohan 2023; layout and names of diffusers): a chain of convolutions and residual
 * blocks of one width, each relu(x + conv(relu(conv(relu(conv(x)))))) with halving by strided convolutions on
 * the way in and doubling by repeated pixels on the way out. It takes latents as the UNet has them, softly
 * bounded to +-3, and works on pixels in [0, 1] inside.
 */
#include <stdio.h>

#include "model/autoencoder.h"

static const double BOUND = 3;

/* Position in the chain, which is also the layer's name. */
typedef struct chain {
    const ons_nn *nn;
    int next;
} chain;

static ons_value *convolve(chain *c, ons_value *x, int64_t out, int stride, bool bias)
{
    char name[16];

    snprintf(name, sizeof name, "%d", c->next++);
    return ons_nn_conv(c->nn, x, name, out, 3, stride, 1, bias, NULL);
}

static ons_value *relu(const chain *c, ons_value *x)
{
    return ons_unary(c->nn->g, ONS_OP_RELU, x);
}

static ons_value *block(chain *c, ons_value *x)
{
    ons_nn b = ons_nn_enter(c->nn, "%d.conv", c->next++);
    const int64_t width = x->shape.n == 4 ? x->shape.d[3] : 1;
    ons_value *h = relu(c, ons_nn_conv(&b, x, "0", width, 3, 1, 1, true, NULL));

    h = relu(c, ons_nn_conv(&b, h, "2", width, 3, 1, 1, true, NULL));
    h = relu(c, ons_nn_conv(&b, h, "4", width, 3, 1, 1, true, x));
    ons_nn_leave(&b);
    return h;
}

ons_value *ons_autoencoder_tiny_encode(const ons_nn *nn, const ons_vae_config *config, ons_value *x)
{
    ons_nn e = ons_nn_enter(nn, "encoder.layers");
    chain c = {&e, 0};

    x = ons_affine(nn->g, x, 0.5, 0.5);
    for (int i = 0; i < config->n_levels; i++) {
        x = convolve(&c, x, config->block_out_channels[i], i ? 2 : 1, i == 0);
        for (int k = 0; k < config->encoder_blocks[i]; k++)
            x = block(&c, x);
    }
    x = convolve(&c, x, config->latent_channels, 1, true);
    ons_nn_leave(&e);
    return x;
}

ons_value *ons_autoencoder_tiny_decode(const ons_nn *nn, const ons_vae_config *config, ons_value *x)
{
    ons_nn d = ons_nn_enter(nn, "decoder.layers");
    chain c = {&d, 0};

    x = ons_affine(nn->g, ons_unary(nn->g, ONS_OP_TANH, ons_affine(nn->g, x, 1 / BOUND, 0)), BOUND, 0);
    x = relu(&c, convolve(&c, x, config->block_out_channels[0], 1, true));
    c.next++; /* the activation has a place in the chain */
    for (int i = 0; i < config->n_levels; i++) {
        const bool last = i == config->n_levels - 1;

        for (int k = 0; k < config->decoder_blocks[i]; k++)
            x = block(&c, x);
        if (!last) {
            x = ons_upsample2x(nn->g, x);
            c.next++;
        }
        x = convolve(&c, x, last ? config->out_channels : config->block_out_channels[i], 1, last);
    }
    ons_nn_leave(&d);
    return ons_affine(nn->g, x, 2, -1);
}
