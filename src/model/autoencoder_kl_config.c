/* AutoencoderKL's config.json. */
#include "model/config.h"

onestep_status ons_autoencoder_kl_config_read(const json_t *root, const char *path, ons_vae_config *c)
{
    onestep_status st;

    ONS_TRY(ons_config_expect(root, path, "act_fn", "\"silu\""));
    ONS_TRY(ons_config_all(root, path, "down_block_types", "DownEncoderBlock2D"));
    ONS_TRY(ons_config_all(root, path, "up_block_types", "UpDecoderBlock2D"));
    ONS_TRY(ons_config_widths(root, path, "block_out_channels", &c->n_levels, c->block_out_channels));
    ONS_TRY(ons_json_int(root, path, "in_channels", 3, 3, 3, &c->in_channels));
    ONS_TRY(ons_json_int(root, path, "out_channels", 3, 3, 3, &c->out_channels));
    ONS_TRY(ons_json_int(root, path, "latent_channels", 4, 1, 1024, &c->latent_channels));
    ONS_TRY(ons_json_int(root, path, "sample_size", 32, 1, 16384, &c->sample_size));
    ONS_TRY(ons_json_int(root, path, "layers_per_block", 1, 1, 64, &c->layers_per_block));
    ONS_TRY(ons_json_int(root, path, "norm_num_groups", 32, 1, 4096, &c->norm_num_groups));
    ONS_TRY(ons_json_real(root, path, "scaling_factor", 0.18215, &c->scaling_factor));
    ONS_TRY(ons_json_real(root, path, "shift_factor", 0, &c->shift_factor));
    ONS_TRY(ons_json_bool(root, path, "use_quant_conv", true, &c->use_quant_conv));
    ONS_TRY(ons_json_bool(root, path, "use_post_quant_conv", true, &c->use_post_quant_conv));
    ONS_TRY(ons_json_bool(root, path, "mid_block_add_attention", true, &c->mid_block_add_attention));
    for (int i = 0; i < c->n_levels; i++)
        if (c->block_out_channels[i] % c->norm_num_groups) {
            st = ons_fail(ONESTEP_BAD_FILE, "%s: %d channels do not divide into %d groups", path,
                          c->block_out_channels[i], c->norm_num_groups);
            goto fail;
        }
    if (!(c->scaling_factor > 0))
        st = ons_fail(ONESTEP_BAD_FILE, "%s: scaling_factor is %g, a positive number is expected", path,
                      c->scaling_factor);
fail:
    return st;
}

static json_t *repeated(const char *text, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(text));
    return list;
}

json_t *ons_autoencoder_kl_config_json(const ons_vae_config *c)
{
    json_t *widths = json_array(), *root;

    for (int i = 0; i < c->n_levels; i++)
        json_array_append_new(widths, json_integer(c->block_out_channels[i]));
    root = json_pack("{s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:i, s:i, s:s, s:f, s:b, s:b, s:b}",
                     "_class_name", "AutoencoderKL", "_diffusers_version", "0.30.0", "in_channels",
                     c->in_channels, "out_channels", c->out_channels, "latent_channels", c->latent_channels,
                     "sample_size", c->sample_size, "block_out_channels", widths, "down_block_types",
                     repeated("DownEncoderBlock2D", c->n_levels), "up_block_types",
                     repeated("UpDecoderBlock2D", c->n_levels), "layers_per_block", c->layers_per_block,
                     "norm_num_groups", c->norm_num_groups, "act_fn", "silu", "scaling_factor",
                     c->scaling_factor, "use_quant_conv", c->use_quant_conv, "use_post_quant_conv",
                     c->use_post_quant_conv, "mid_block_add_attention", c->mid_block_add_attention);
    if (root && c->shift_factor != 0)
        json_object_set_new(root, "shift_factor", json_real(c->shift_factor));
    return root;
}
