/*
 * Pictures to latents, for image to image: z = mean + exp(logvar / 2) e, scaled as the UNet sees latents. The
 * noise e of the posterior and that of the first step are the first two draws of a picture's generator, in
 * diffusers' order.
 */
#include "base/memory.h"
#include "base/random.h"
#include "pipeline/generate_impl.h"

static const uint64_t POSTERIOR_STREAM = UINT64_C(1) << 32; /* apart from the draws of stochastic samplers */

static ons_value *sample_posterior(ons_graph *g, ons_value *moments, ons_value *noise, int64_t c)
{
    ons_value *mean = ons_slice(g, moments, 3, 0, c), *logvar = ons_slice(g, moments, 3, c, c);

    logvar = ons_clamp(g, logvar, -30, 20);
    return ons_add(g, mean, ons_mul(g, ons_unary(g, ONS_OP_EXP, ons_affine(g, logvar, 0.5, 0)), noise));
}

onestep_status ons_runner_make_encoder_plan(ons_runner *r)
{
    const ons_vae_config *c = &r->model->vae_config;
    const ons_shape pixels = ONS_SHAPE4(1, r->options.height, r->options.width, 3),
                    latent = ONS_SHAPE4(1, r->h, r->w, r->c);
    ons_graph *g = NULL;
    ons_value *x, *noise;
    ons_nn nn;

    if (r->encoder)
        return ONESTEP_OK;
    if (c->no_encoder)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: its tiny autoencoder is a decoder alone; image to image needs one with both halves, or none",
            r->model->path);
    if (ons_graph_create(&g) != ONESTEP_OK)
        return ONESTEP_NO_MEMORY;
    ons_nn_init(&nn, g, r->model->vae, 0, false);
    x = ons_input(g, "pixels", ONS_F32, &pixels);
    noise = ons_input(g, "noise", ONS_F32, &latent);
    x = ons_vae_encode_build(&nn, c, x);
    if (c->kind == ONS_VAE_KL)
        x = sample_posterior(g, x, noise, r->c);
    ons_graph_output(g, ons_affine(g, x, c->scaling_factor, -c->shift_factor * c->scaling_factor), "latent");
    return ons_runner_finish_plan(r, &g, r->model->vae, "encoder", &r->encoder);
}

/* Posterior noise, where there is a posterior, then the noise of the first step. */
static onestep_status draw_noise(const ons_runner *r, ons_noise_kind kind, uint64_t seed, float *posterior,
                                 float *first)
{
    const size_t size = (size_t)ons_runner_latent_size(r);
    float *both;

    if (r->model->vae_config.kind == ONS_VAE_TINY) {
        ons_picture_noise(kind, seed, r->h, r->w, r->c, first);
        return ONESTEP_OK;
    }
    if (kind == ONS_NOISE_PHILOX) {
        ons_randn(seed, POSTERIOR_STREAM, 0, posterior, size);
        ons_picture_noise(kind, seed, r->h, r->w, r->c, first);
        return ONESTEP_OK;
    }
    if (size % 16)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "torch's second draw needs latents of a multiple of 16 values, these have %zu; use philox", size);
    both = ons_malloc(2 * size * sizeof *both);
    if (!both)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the noise of a picture");
    ons_torch_randn(seed, both, 2 * size);
    ons_nchw_to_nhwc(posterior, both, 1, r->c, r->h, r->w);
    ons_nchw_to_nhwc(first, both + size, 1, r->c, r->h, r->w);
    ons_free(both);
    return ONESTEP_OK;
}

onestep_status ons_runner_encode_picture(ons_runner *r, const uint8_t *rgb, ons_noise_kind kind, uint64_t seed,
                                         float *latent, float *noise)
{
    const size_t size = (size_t)ons_runner_latent_size(r),
                 count = (size_t)r->options.width * (size_t)r->options.height * 3;
    float *posterior = ons_malloc(size * sizeof *posterior), *pixels = ons_malloc(count * sizeof *pixels);
    onestep_status st;

    if (!posterior || !pixels) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to encode a picture of %dx%d", r->options.width,
                      r->options.height);
        goto fail;
    }
    ONS_TRY(draw_noise(r, kind, seed, posterior, noise));
    ONS_TRY(ons_runner_make_encoder_plan(r));
    ONS_TRY(ons_plan_allocate(r->encoder));
    for (size_t i = 0; i < count; i++)
        pixels[i] = (float)rgb[i] / 127.5f - 1;
    ons_runner_put(r, r->encoder, "pixels", 0, pixels, count);
    if (r->model->vae_config.kind == ONS_VAE_KL)
        ons_runner_put(r, r->encoder, "noise", 0, posterior, size);
    ONS_TRY(ons_plan_run(r->encoder));
    ons_runner_get(r, r->encoder, "latent", latent, size);
fail:
    ons_free(posterior);
    ons_free(pixels);
    return st;
}
