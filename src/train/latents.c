/*
 * Encoding a data set once, and normalising the latent space. The UNet then trains on means and standard
 * deviations from memory: the encoder would cost more than the UNet itself.
 */
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "train/train.h"

enum { ENCODE_BATCH = 32 };

static onestep_status make_encoder(const ons_model *m, int size, const ons_train_options *o, ons_plan **out)
{
    const ons_vae_config *c = &m->vae_config;
    ons_plan_options po = {
        .compute = ons_compute_in(&o->compute, ONS_F32), .params = {m->vae}, .label = "encoder"};
    ons_graph *g = NULL;
    ons_value *moments;
    ons_nn nn;
    onestep_status st;

    if (c->kind != ONS_VAE_KL)
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "training on pictures needs an AutoencoderKL, this model has a tiny autoencoder");
    ONS_TRY(ons_graph_create(&g));
    ons_nn_init(&nn, g, m->vae, 0, false);
    moments =
        ons_vae_encode_build(&nn, c, ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(ENCODE_BATCH, size, size, 3)));
    ons_graph_output(g, moments, "moments");
    ONS_TRY(ons_graph_finish(g));
    ONS_TRY(ons_plan_create(&g, &po, out));
    ONS_TRY(ons_plan_allocate(*out));
fail:
    ons_graph_destroy(&g);
    return st;
}

/* z = (mean - shift) * scale, std = exp(logvar / 2) * scale */
static void split_moments(const ons_vae_config *c, const float *moments, size_t pixels, float *mean, float *std)
{
    int z_c = c->latent_channels;

    for (size_t p = 0; p < pixels; p++)
        for (int k = 0; k < z_c; k++) {
            float logvar = moments[p * (size_t)(2 * z_c) + (size_t)(z_c + k)];

            logvar = logvar < -30 ? -30 : logvar > 20 ? 20 : logvar;
            mean[p * (size_t)z_c + (size_t)k] =
                (moments[p * (size_t)(2 * z_c) + (size_t)k] - (float)c->shift_factor) *
                (float)c->scaling_factor;
            std[p * (size_t)z_c + (size_t)k] = expf(0.5f * logvar) * (float)c->scaling_factor;
        }
}

static onestep_status encode_all(ons_plan *plan, const ons_model *m, const ons_dataset *d, int size,
                                 ons_latents *l)
{
    size_t picture = (size_t)size * (size_t)size * 3, z_c = (size_t)m->vae_config.latent_channels;
    float *pixels = ons_calloc(ENCODE_BATCH * picture, sizeof *pixels),
          *moments = ons_malloc(ENCODE_BATCH * 2 * l->size * sizeof *moments);
    onestep_status st = ONESTEP_OK;

    if (!pixels || !moments) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a batch of %d pictures", ENCODE_BATCH);
        goto fail;
    }
    for (size_t i = 0; i < l->n; i += ENCODE_BATCH) {
        size_t n = l->n - i < ENCODE_BATCH ? l->n - i : ENCODE_BATCH;

        for (size_t k = 0; k < n; k++)
            ons_pixels_load(pixels + k * picture, ons_dataset_at(d, i + k)->rgb, size, false, 0, 0);
        ONS_TRY(ons_plan_write(plan, "pixels", 0, pixels, n * picture));
        ONS_TRY(ons_plan_run(plan));
        ONS_TRY(ons_plan_read(plan, "moments", 0, moments, n * 2 * l->size));
        split_moments(&m->vae_config, moments, n * l->size / z_c, l->mean + i * l->size, l->std + i * l->size);
    }
fail:
    ons_free(pixels);
    ons_free(moments);
    return st;
}

onestep_status ons_latents_encode(const ons_model *m, const ons_dataset *d, const ons_train_options *o,
                                  ons_latents *out)
{
    int size = m->vae_config.sample_size, side = size / ons_vae_factor(&m->vae_config);
    ons_plan *plan = NULL;
    onestep_status st;

    *out = (ons_latents){.n = ons_dataset_count(d),
                         .size = (size_t)side * (size_t)side * (size_t)m->vae_config.latent_channels};
    out->mean = ons_calloc(out->n * out->size, sizeof *out->mean);
    out->std = ons_calloc(out->n * out->size, sizeof *out->std);
    if (!out->mean || !out->std) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the latents of %zu pictures", out->n);
        goto fail;
    }
    ONS_TRY(make_encoder(m, size, o, &plan));
    ONS_TRY(encode_all(plan, m, d, size, out));
    ons_plan_destroy(&plan);
    return ONESTEP_OK;
fail:
    ons_plan_destroy(&plan);
    ons_latents_fini(out);
    return st;
}

void ons_latents_fini(ons_latents *l)
{
    ons_free(l->mean);
    ons_free(l->std);
    *l = (ons_latents){0};
}

/* quant_conv [2c, 1, 1, 2c]: mean rows become (row - m) / s, log-variance biases drop by 2 ln s. */
static onestep_status fold_into_encoder(ons_model *m, const double *mean, const double *std)
{
    int w = ons_params_find(m->vae, "quant_conv.weight"), b = ons_params_find(m->vae, "quant_conv.bias");
    int c = m->vae_config.latent_channels;
    float *weight, *bias;

    if (w < 0 || b < 0)
        return ons_fail(ONESTEP_UNSUPPORTED, "the autoencoder has no quant_conv to fold the latent scale into");
    weight = ons_params_data(m->vae, w);
    bias = ons_params_data(m->vae, b);
    for (int k = 0; k < c; k++) {
        for (int j = 0; j < 2 * c; j++)
            weight[k * 2 * c + j] = (float)(weight[k * 2 * c + j] / std[k]);
        bias[k] = (float)((bias[k] - mean[k]) / std[k]);
        bias[c + k] = (float)(bias[c + k] - 2 * log(std[k]));
    }
    return ONESTEP_OK;
}

/* post_quant_conv [c, 1, 1, c] takes z' = (z - m) / s: columns times s, and the bias gains W m. */
static onestep_status fold_into_decoder(ons_model *m, const double *mean, const double *std)
{
    int w = ons_params_find(m->vae, "post_quant_conv.weight"),
        b = ons_params_find(m->vae, "post_quant_conv.bias");
    int c = m->vae_config.latent_channels;
    float *weight, *bias;

    if (w < 0 || b < 0)
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "the autoencoder has no post_quant_conv to fold the latent scale into");
    weight = ons_params_data(m->vae, w);
    bias = ons_params_data(m->vae, b);
    for (int o = 0; o < c; o++)
        for (int k = 0; k < c; k++) {
            bias[o] = (float)(bias[o] + weight[o * c + k] * mean[k]);
            weight[o * c + k] = (float)(weight[o * c + k] * std[k]);
        }
    return ONESTEP_OK;
}

/* Standard deviation of the latents that the UNet sees: of the means, plus the posterior's own variance. */
static void channel_statistics(const ons_latents *l, int c, double *mean, double *std)
{
    size_t per_channel = l->n * l->size / (size_t)c;

    memset(mean, 0, (size_t)c * sizeof *mean);
    memset(std, 0, (size_t)c * sizeof *std);
    for (size_t i = 0; i < l->n * l->size; i++)
        mean[i % (size_t)c] += l->mean[i];
    for (int k = 0; k < c; k++)
        mean[k] /= (double)per_channel;
    for (size_t i = 0; i < l->n * l->size; i++) {
        double d = l->mean[i] - mean[i % (size_t)c];

        std[i % (size_t)c] += d * d + (double)l->std[i] * l->std[i];
    }
    for (int k = 0; k < c; k++)
        std[k] = fmax(sqrt(std[k] / (double)per_channel), 1e-3);
}

onestep_status ons_latents_normalise(ons_model *m, const ons_dataset *d, const ons_train_options *o)
{
    double mean[64], std[64];
    ons_latents l;
    onestep_status st;

    if (m->vae_config.latent_channels > 64)
        return ons_fail(ONESTEP_UNSUPPORTED, "%d latent channels, at most 64 can be trained",
                        m->vae_config.latent_channels);
    m->vae_config.scaling_factor = 1;
    m->vae_config.shift_factor = 0;
    if ((st = ons_latents_encode(m, d, o, &l)) != ONESTEP_OK)
        return st;
    channel_statistics(&l, m->vae_config.latent_channels, mean, std);
    ons_latents_fini(&l);
    ONS_TRY(fold_into_encoder(m, mean, std));
    ONS_TRY(fold_into_decoder(m, mean, std));
    ons_params_touch(m->vae);
fail:
    return st;
}
