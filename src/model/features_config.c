/* config.json of a feature network: the picture tower's keys, and the text tower's as a CLIPTextModel config
 * beside them. */
#include <string.h>

#include "model/config.h"

static onestep_status check_tower(const char *path, const ons_features_config *c)
{
    for (int i = 0; i < c->n_levels; i++)
        if (c->channels[i] % c->norm_num_groups)
            return ons_fail(ONESTEP_BAD_FILE, "%s: %d channels do not divide into %d groups", path,
                            c->channels[i], c->norm_num_groups);
    if (c->image_size >> (c->n_levels - 1) < 1)
        return ons_fail(ONESTEP_BAD_FILE, "%s: image_size %d is too small for %d levels", path, c->image_size,
                        c->n_levels);
    return ONESTEP_OK;
}

static onestep_status read_config(const json_t *root, const char *path, ons_features_config *c)
{
    static const char *const classes[] = {"OnestepFeatures", NULL};
    const json_t *text = json_object_get(root, "text_config");
    onestep_status st;

    ONS_TRY(ons_config_class(root, path, "_class_name", classes));
    ONS_TRY(ons_config_widths(root, path, "channels", &c->n_levels, c->channels));
    ONS_TRY(ons_json_int(root, path, "image_size", 64, 1, 4096, &c->image_size));
    ONS_TRY(ons_json_int(root, path, "norm_num_groups", 8, 1, 4096, &c->norm_num_groups));
    ONS_TRY(ons_json_int(root, path, "embed_dim", 256, 1, 1 << 16, &c->embed_dim));
    ONS_TRY(check_tower(path, c));
    if (json_is_object(text))
        ONS_TRY(ons_clip_config_read(text, path, &c->text));
    st = ONESTEP_OK;
fail:
    return st;
}

onestep_status ons_features_config_load(const char *path, ons_features_config *out)
{
    json_t *root = NULL;
    onestep_status st = ons_json_load(path, &root);

    *out = (ons_features_config){0};
    if (st == ONESTEP_OK)
        st = read_config(root, path, out);
    json_decref(root);
    return st;
}

onestep_status ons_features_config_save(const ons_features_config *c, const char *path)
{
    json_t *channels = json_array(), *root;
    onestep_status st;

    for (int i = 0; i < c->n_levels; i++)
        json_array_append_new(channels, json_integer(c->channels[i]));
    root = json_pack("{s:s, s:i, s:o, s:i, s:i, s:o?}", "_class_name", "OnestepFeatures", "image_size",
                     c->image_size, "channels", channels, "norm_num_groups", c->norm_num_groups, "embed_dim",
                     c->embed_dim, "text_config", c->text.vocab_size ? ons_clip_config_json(&c->text) : NULL);
    if (!root)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    st = ons_json_save(root, path);
    json_decref(root);
    return st;
}
