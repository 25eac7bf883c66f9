/*
 * Pictures to latents, for image to image: z = mean + exp(logvar / 2) e, scaled as the UNet sees latents. A
 * picture is encoded once; every seed then draws its own e and the noise of its first step, in diffusers'
 * order.
 */
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "pipeline/runner_impl.h"

/* Outputs "mean" and, where the encoder has a posterior, "deviation", both in the scale of the UNet. */
static void build_encoder(const ons_runner *r, ons_graph *g)
{
    const ons_vae_config *c = &r->model->vae_config;
    ons_value *x, *mean;
    ons_nn nn;

    ons_nn_init(&nn, g, r->model->vae, 0, false);
    x = ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(1, r->options.height, r->options.width, 3));
    x = ons_vae_encode_build(&nn, c, x);
    mean = c->kind == ONS_VAE_KL ? ons_slice(g, x, 3, 0, r->c) : x;
    ons_graph_output(g, ons_affine(g, mean, c->scaling_factor, -c->shift_factor * c->scaling_factor), "mean");
    if (c->kind == ONS_VAE_KL) {
        ons_value *logvar = ons_clamp(g, ons_slice(g, x, 3, r->c, r->c), -30, 20);
        ons_value *deviation = ons_unary(g, ONS_OP_EXP, ons_affine(g, logvar, 0.5, 0));

        ons_graph_output(g, ons_affine(g, deviation, c->scaling_factor, 0), "deviation");
    }
}

static onestep_status make_encoder_plan(const ons_runner *r, ons_plan **out)
{
    ons_graph *g = NULL;

    if (r->model->vae_config.no_encoder)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: its tiny autoencoder is a decoder alone; image to image needs one with both halves, or none",
            r->model->path);
    if (ons_graph_create(&g) != ONESTEP_OK)
        return ONESTEP_NO_MEMORY;
    build_encoder(r, g);
    return ons_runner_finish_plan(r, &g, r->model->vae, NULL, "encoder", out);
}

static onestep_status put_pixels(const ons_runner *r, ons_plan *encoder, const uint8_t *rgb)
{
    const size_t row = (size_t)r->options.width * 3;
    float values[3 * 64];
    onestep_status st = ONESTEP_OK;

    for (size_t at = 0; at < row * (size_t)r->options.height; at += sizeof values / sizeof *values) {
        const size_t left = row * (size_t)r->options.height - at, n = left < 3 * 64 ? left : 3 * 64;

        for (size_t i = 0; i < n; i++)
            values[i] = (float)rgb[at + i] / 127.5f - 1;
        ONS_TRY(ons_plan_write(encoder, "pixels", at, values, n));
    }
fail:
    return st;
}

onestep_status ons_runner_encode_picture(ons_runner *r, const uint8_t *rgb)
{
    const size_t size = ons_runner_latent_size(r);
    ons_plan *encoder = NULL;
    onestep_status st;

    if (!r->encoded && !(r->encoded = ons_calloc(2 * size, sizeof *r->encoded)))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to encode a picture of %dx%d", r->options.width,
                        r->options.height);
    ONS_TRY(make_encoder_plan(r, &encoder));
    ONS_TRY(ons_runner_fit_encoder(r, encoder));
    ONS_TRY(ons_plan_allocate(encoder));
    ONS_TRY(put_pixels(r, encoder, rgb));
    ONS_TRY(ons_runner_run_plan(r, encoder));
    ONS_TRY(ons_plan_read(encoder, "mean", 0, r->encoded, size));
    if (r->model->vae_config.kind == ONS_VAE_KL)
        ONS_TRY(ons_plan_read(encoder, "deviation", 0, r->encoded + size, size));
fail:
    ons_plan_destroy(&encoder); /* its memory is the next run's */
    return st;
}

/* Standard normals of one draw, in the engine's order. */
static onestep_status draw_normals(const ons_runner *r, ons_noise_kind kind, uint64_t seed, int draw,
                                   float *dst)
{
    const size_t size = ons_runner_latent_size(r);
    float *planar;

    if (kind == ONS_NOISE_PHILOX) {
        ons_randn(seed, draw ? ONS_STREAM_NOISE : ONS_STREAM_IMAGE_POSTERIOR, 0, dst, size);
        return ONESTEP_OK;
    }
    planar = ons_malloc(size * sizeof *planar);
    if (!planar)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the noise of a picture");
    ons_torch_randn(seed, draw, planar, size);
    ons_nchw_to_nhwc(dst, planar, 1, r->c, r->h, r->w);
    ons_free(planar);
    return ONESTEP_OK;
}

onestep_status ons_runner_draw_encoded(const ons_runner *r, ons_noise_kind kind, uint64_t seed, float *latent,
                                       float *noise)
{
    const size_t size = ons_runner_latent_size(r);
    const float *mean = r->encoded, *deviation = r->encoded + size;
    onestep_status st;

    if (r->model->vae_config.kind == ONS_VAE_TINY) { /* no posterior, no draw for it */
        memcpy(latent, mean, size * sizeof *latent);
        ons_picture_noise(kind, seed, r->h, r->w, r->c, noise);
        return ONESTEP_OK;
    }
    ONS_TRY(draw_normals(r, kind, seed, 0, latent));
    for (size_t i = 0; i < size; i++)
        latent[i] = mean[i] + deviation[i] * latent[i];
    st = draw_normals(r, kind, seed, 1, noise);
fail:
    return st;
}
