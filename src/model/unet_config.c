/* UNet2DConditionModel's config.json. Keys that change the arithmetic and are not supported are refused by
 * name. */
#include <string.h>

#include "model/config.h"

static const struct {
    const char *key, *expected;
} fixed[] = {
    {"act_fn", "\"silu\""},
    {"center_input_sample", "false"},
    {"only_cross_attention", "false"},
    {"dual_cross_attention", "false"},
    {"class_embed_type", "null"},
    {"num_class_embeds", "null"},
    {"addition_embed_type", "null"},
    {"encoder_hid_dim", "null"},
    {"encoder_hid_dim_type", "null"},
    {"resnet_time_scale_shift", "\"default\""},
    {"resnet_skip_time_act", "false"},
    {"resnet_out_scale_factor", "1.0"},
    {"time_embedding_type", "\"positional\""},
    {"time_embedding_dim", "null"},
    {"time_embedding_act_fn", "null"},
    {"timestep_post_act", "null"},
    {"time_cond_proj_dim", "null"},
    {"conv_in_kernel", "3"},
    {"conv_out_kernel", "3"},
    {"attention_type", "\"default\""},
    {"class_embeddings_concat", "false"},
    {"mid_block_only_cross_attention", "null"},
    {"cross_attention_norm", "null"},
    {"reverse_transformer_layers_per_block", "null"},
    {"upcast_attention", "false"},
    {"mid_block_scale_factor", "1"},
};

static onestep_status check_fixed(const json_t *root, const char *path)
{
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        const json_t *v = json_object_get(root, fixed[i].key);
        onestep_status st;

        /* 1 and 1.0 are the same; attention is computed in f32 anyway */
        if ((json_is_number(v) && json_number_value(v) == 1 && fixed[i].expected[0] == '1') ||
            !strcmp(fixed[i].key, "upcast_attention"))
            continue;
        if ((st = ons_config_expect(root, path, fixed[i].key, fixed[i].expected)) != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static onestep_status read_blocks(const json_t *root, const char *path, const char *key, int n,
                                  const char *plain, const char *crossed, bool preset(int, int), bool *out)
{
    const json_t *list = json_object_get(root, key);

    if (list && json_array_size(list) != (size_t)n)
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s has %zu entries for %d levels", path, key,
                        json_array_size(list), n);
    for (int i = 0; i < n; i++) {
        const char *type = json_string_value(json_array_get(list, (size_t)i));

        out[i] = list ? type && !strcmp(type, crossed) : preset(i, n);
        if (list && !out[i] && (!type || strcmp(type, plain)))
            return ons_fail(ONESTEP_UNSUPPORTED, "%s: %s has %s; %s and %s are supported", path, key,
                            type ? type : "no name", plain, crossed);
    }
    return ONESTEP_OK;
}

static bool crossed_down(int i, int n)
{
    return i < n - 1;
}

static bool crossed_up(int i, int n)
{
    (void)n;
    return i > 0;
}

static onestep_status read_mid(const json_t *root, const char *path, ons_unet_config *c)
{
    const json_t *v = json_object_get(root, "mid_block_type");
    const char *type = v ? json_string_value(v) : "UNetMidBlock2DCrossAttn";

    c->mid_block = type != NULL;
    c->mid_attention = type && !strcmp(type, "UNetMidBlock2DCrossAttn");
    c->mid_resnets = c->mid_attention ? 2 : 1; /* diffusers builds UNetMidBlock2D with num_layers 0 */
    if (type && !c->mid_attention && strcmp(type, "UNetMidBlock2D"))
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: mid_block_type %s is not supported", path, type);
    return ONESTEP_OK;
}

/* num_attention_heads where stated; otherwise attention_head_dim, which holds the NUMBER of heads in these
 * models. */
static onestep_status read_heads(const json_t *root, const char *path, ons_unet_config *c)
{
    const json_t *stated = json_object_get(root, "num_attention_heads");
    const char *key = stated && !json_is_null(stated) ? "num_attention_heads" : "attention_head_dim";
    onestep_status st = ons_config_ints(root, path, key, c->n_levels, 8, c->n_heads);

    for (int i = 0; i < c->n_levels && st == ONESTEP_OK; i++)
        if (c->n_heads[i] < 1 || c->block_out_channels[i] % c->n_heads[i])
            st = ons_fail(ONESTEP_BAD_FILE, "%s: %d channels do not divide into %d heads (%s)", path,
                          c->block_out_channels[i], c->n_heads[i], key);
    return st;
}

static onestep_status check_groups(const char *path, const ons_unet_config *c)
{
    for (int i = 0; i < c->n_levels; i++)
        if (c->norm_num_groups < 1 || c->block_out_channels[i] % c->norm_num_groups)
            return ons_fail(ONESTEP_BAD_FILE, "%s: %d channels do not divide into %d groups", path,
                            c->block_out_channels[i], c->norm_num_groups);
    return ONESTEP_OK;
}

static onestep_status read_config(const json_t *root, const char *path, ons_unet_config *c)
{
    static const char *const classes[] = {"UNet2DConditionModel", NULL};
    onestep_status st;

    ONS_TRY(ons_config_class(root, path, "_class_name", classes));
    ONS_TRY(check_fixed(root, path));
    ONS_TRY(ons_config_widths(root, path, "block_out_channels", &c->n_levels, c->block_out_channels));
    ONS_TRY(ons_json_int(root, path, "in_channels", 4, 1, 1024, &c->in_channels));
    ONS_TRY(ons_json_int(root, path, "out_channels", 4, 1, 1024, &c->out_channels));
    ONS_TRY(ons_config_same_int(root, path, "sample_size", 64, 1, 4096, &c->sample_size));
    ONS_TRY(ons_config_ints(root, path, "layers_per_block", c->n_levels, 2, c->layers_per_block));
    ONS_TRY(ons_config_ints(root, path, "transformer_layers_per_block", c->n_levels, 1, c->transformer_layers));
    ONS_TRY(read_blocks(root, path, "down_block_types", c->n_levels, "DownBlock2D", "CrossAttnDownBlock2D",
                        crossed_down, c->down_attention));
    ONS_TRY(read_blocks(root, path, "up_block_types", c->n_levels, "UpBlock2D", "CrossAttnUpBlock2D",
                        crossed_up, c->up_attention));
    ONS_TRY(read_mid(root, path, c));
    ONS_TRY(read_heads(root, path, c));
    ONS_TRY(ons_config_same_int(root, path, "cross_attention_dim", 1280, 1, 1 << 16, &c->cross_attention_dim));
    ONS_TRY(ons_json_int(root, path, "norm_num_groups", 32, 1, 4096, &c->norm_num_groups));
    ONS_TRY(ons_json_real(root, path, "norm_eps", 1e-5, &c->norm_eps));
    ONS_TRY(ons_json_bool(root, path, "use_linear_projection", false, &c->use_linear_projection));
    ONS_TRY(ons_json_bool(root, path, "flip_sin_to_cos", true, &c->flip_sin_to_cos));
    ONS_TRY(ons_json_real(root, path, "freq_shift", 0, &c->freq_shift));
    ONS_TRY(ons_json_int(root, path, "downsample_padding", 1, 0, 1, &c->downsample_padding));
    st = check_groups(path, c);
fail:
    return st;
}

onestep_status ons_unet_config_load(const char *path, ons_unet_config *out)
{
    json_t *root = NULL;
    onestep_status st = ons_json_load(path, &root);

    *out = (ons_unet_config){0};
    if (st == ONESTEP_OK)
        st = read_config(root, path, out);
    json_decref(root);
    return st;
}

static json_t *ints(const int *v, int n)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_integer(v[i]));
    return list;
}

static json_t *blocks(const bool *crossed, int n, const char *plain, const char *with_attention)
{
    json_t *list = json_array();

    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_string(crossed[i] ? with_attention : plain));
    return list;
}

onestep_status ons_unet_config_save(const ons_unet_config *c, const char *path)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:f, s:b, s:b, s:f, s:i, s:s}",
        "_class_name", "UNet2DConditionModel", "_diffusers_version", "0.30.0", "in_channels", c->in_channels,
        "out_channels", c->out_channels, "sample_size", c->sample_size, "block_out_channels",
        ints(c->block_out_channels, c->n_levels), "layers_per_block", ints(c->layers_per_block, c->n_levels),
        "transformer_layers_per_block", ints(c->transformer_layers, c->n_levels), "attention_head_dim",
        ints(c->n_heads, c->n_levels), "down_block_types",
        blocks(c->down_attention, c->n_levels, "DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types",
        blocks(c->up_attention, c->n_levels, "UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim",
        c->cross_attention_dim, "norm_num_groups", c->norm_num_groups, "norm_eps", c->norm_eps,
        "use_linear_projection", c->use_linear_projection, "flip_sin_to_cos", c->flip_sin_to_cos, "freq_shift",
        c->freq_shift, "downsample_padding", c->downsample_padding, "act_fn", "silu");
    onestep_status st;

    if (!root)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    json_object_set_new(root, "mid_block_type",
                        !c->mid_block
                            ? json_null()
                            : json_string(c->mid_attention ? "UNetMidBlock2DCrossAttn" : "UNetMidBlock2D"));
    st = ons_json_save(root, path);
    json_decref(root);
    return st;
}
