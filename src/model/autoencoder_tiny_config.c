/* AutoencoderTiny's config.json. Keys that change the arithmetic and are not supported are refused by name. */
#include "model/autoencoder.h"

/* n whole numbers in a list of exactly that length. */
static onestep_status read_counts(const json_t *root, const char *path, const char *key, int n,
                                  const int *preset, int *out)
{
    const json_t *v = json_object_get(root, key);

    for (int i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, (size_t)i);

        out[i] = preset[i];
        if (!v)
            continue;
        if (!json_is_integer(item) || json_integer_value(item) < 0 || json_integer_value(item) > 64)
            return ons_fail(ONESTEP_BAD_FILE, "%s: %s should be a list of %d numbers of blocks", path, key, n);
        out[i] = (int)json_integer_value(item);
    }
    if (v && json_array_size(v) != (size_t)n)
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s has %zu entries, the levels are %d", path, key,
                        json_array_size(v), n);
    return ONESTEP_OK;
}

/* All widths of both halves are one, without which neither half would fit together. */
static onestep_status read_widths(const json_t *root, const char *path, ons_vae_config *c)
{
    int n_decoder, decoder[ONS_MAX_LEVELS];
    onestep_status st;

    ONS_TRY(ons_config_widths(root, path, "encoder_block_out_channels", &c->n_levels, c->block_out_channels));
    ONS_TRY(ons_config_widths(root, path, "decoder_block_out_channels", &n_decoder, decoder));
    if (n_decoder != c->n_levels)
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "%s: %d encoder levels and %d decoder levels; equal numbers are supported", path,
                        c->n_levels, n_decoder);
    for (int i = 0; i < c->n_levels; i++)
        if (c->block_out_channels[i] != c->block_out_channels[0] || decoder[i] != c->block_out_channels[0])
            return ons_fail(ONESTEP_UNSUPPORTED, "%s: widths %d and %d; one width everywhere is supported",
                            path, c->block_out_channels[0],
                            decoder[i] != c->block_out_channels[0] ? decoder[i] : c->block_out_channels[i]);
fail:
    return st;
}

onestep_status ons_autoencoder_tiny_config_read(const json_t *root, const char *path, ons_vae_config *c)
{
    static const int encoder[ONS_MAX_LEVELS] = {1, 3, 3, 3}, decoder[ONS_MAX_LEVELS] = {3, 3, 3, 1};
    onestep_status st;

    ONS_TRY(read_widths(root, path, c));
    ONS_TRY(ons_config_expect(root, path, "act_fn", "\"relu\""));
    ONS_TRY(ons_config_expect(root, path, "upsample_fn", "\"nearest\""));
    ONS_TRY(ons_config_expect(root, path, "upsampling_scaling_factor", "2"));
    ONS_TRY(ons_json_int(root, path, "in_channels", 3, 3, 3, &c->in_channels));
    ONS_TRY(ons_json_int(root, path, "out_channels", 3, 3, 3, &c->out_channels));
    ONS_TRY(ons_json_int(root, path, "latent_channels", 4, 1, 1024, &c->latent_channels));
    ONS_TRY(read_counts(root, path, "num_encoder_blocks", c->n_levels, encoder, c->encoder_blocks));
    ONS_TRY(read_counts(root, path, "num_decoder_blocks", c->n_levels, decoder, c->decoder_blocks));
    ONS_TRY(ons_json_real(root, path, "scaling_factor", 1, &c->scaling_factor));
    ONS_TRY(ons_json_real(root, path, "shift_factor", 0, &c->shift_factor));
    c->sample_size = 512;
    if (!(c->scaling_factor > 0))
        st = ons_fail(ONESTEP_BAD_FILE, "%s: scaling_factor is %g, a positive number is expected", path,
                      c->scaling_factor);
fail:
    return st;
}

static json_t *numbers(const int *v, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_integer(v[i]));
    return list;
}

json_t *ons_autoencoder_tiny_config_json(const ons_vae_config *c)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:s, s:s, s:i, s:f, s:f}", "_class_name",
                     "AutoencoderTiny", "_diffusers_version", "0.30.0", "in_channels", c->in_channels,
                     "out_channels", c->out_channels, "latent_channels", c->latent_channels,
                     "encoder_block_out_channels", numbers(c->block_out_channels, c->n_levels),
                     "decoder_block_out_channels", numbers(c->block_out_channels, c->n_levels),
                     "num_encoder_blocks", numbers(c->encoder_blocks, c->n_levels), "num_decoder_blocks",
                     numbers(c->decoder_blocks, c->n_levels), "act_fn", "relu", "upsample_fn", "nearest",
                     "upsampling_scaling_factor", 2, "scaling_factor", c->scaling_factor, "shift_factor",
                     c->shift_factor);
}
