/* CLIPTextModel's config.json. */
#include <string.h>

#include "model/config.h"

onestep_status ons_clip_config_read(const json_t *root, const char *path, ons_clip_config *c)
{
    static const char *const classes[] = {"CLIPTextModel", NULL};
    const char *act;
    onestep_status st;

    ONS_TRY(ons_config_class(root, path, "architectures", classes));
    ONS_TRY(ons_json_int(root, path, "vocab_size", 49408, 3, 1 << 24, &c->vocab_size));
    ONS_TRY(ons_json_int(root, path, "hidden_size", 512, 1, 1 << 16, &c->hidden_size));
    ONS_TRY(ons_json_int(root, path, "intermediate_size", 2048, 1, 1 << 18, &c->intermediate_size));
    ONS_TRY(ons_json_int(root, path, "num_hidden_layers", 12, 0, 256, &c->num_hidden_layers));
    ONS_TRY(ons_json_int(root, path, "num_attention_heads", 8, 1, 1024, &c->num_attention_heads));
    ONS_TRY(ons_json_int(root, path, "max_position_embeddings", 77, 2, 65536, &c->max_position_embeddings));
    ONS_TRY(ons_json_real(root, path, "layer_norm_eps", 1e-5, &c->layer_norm_eps));
    ONS_TRY(ons_json_int(root, path, "bos_token_id", 49406, 0, 1 << 24, &c->bos_token_id));
    ONS_TRY(ons_json_int(root, path, "eos_token_id", 49407, 0, 1 << 24, &c->eos_token_id));
    ONS_TRY(ons_json_int(root, path, "pad_token_id", 1, 0, 1 << 24, &c->pad_token_id));
    ONS_TRY(ons_json_text(root, path, "hidden_act", "quick_gelu", &act));
    if (c->hidden_size % c->num_attention_heads)
        return ons_fail(ONESTEP_BAD_FILE, "%s: hidden_size %d does not divide into %d heads", path,
                        c->hidden_size, c->num_attention_heads);
    if (strcmp(act, "quick_gelu") && strcmp(act, "gelu"))
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: hidden_act %s; quick_gelu and gelu are supported", path, act);
    c->hidden_act = strcmp(act, "gelu") ? ONS_OP_QUICK_GELU : ONS_OP_GELU;
fail:
    return st;
}

onestep_status ons_clip_config_load(const char *path, ons_clip_config *out)
{
    json_t *root = NULL;
    onestep_status st = ons_json_load(path, &root);

    *out = (ons_clip_config){0};
    if (st == ONESTEP_OK)
        st = ons_clip_config_read(root, path, out);
    json_decref(root);
    return st;
}

/*
 * torch_dtype is what transformers computes in, not what the file holds: without it, newer versions take the
 * file's type, which then differs from the UNet's, since diffusers loads that as float32 unless told otherwise.
 */
json_t *ons_clip_config_json(const ons_clip_config *c)
{
    return json_pack("{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:s, s:i, s:i, s:i, s:i, s:s}",
                     "architectures", "CLIPTextModel", "model_type", "clip_text_model", "vocab_size",
                     c->vocab_size, "hidden_size", c->hidden_size, "intermediate_size", c->intermediate_size,
                     "num_hidden_layers", c->num_hidden_layers, "num_attention_heads", c->num_attention_heads,
                     "max_position_embeddings", c->max_position_embeddings, "layer_norm_eps", c->layer_norm_eps,
                     "hidden_act", c->hidden_act == ONS_OP_GELU ? "gelu" : "quick_gelu", "bos_token_id",
                     c->bos_token_id, "eos_token_id", c->eos_token_id, "pad_token_id", c->pad_token_id,
                     "projection_dim", c->hidden_size, "torch_dtype", "float32");
}

onestep_status ons_clip_config_save(const ons_clip_config *c, const char *path)
{
    json_t *root = ons_clip_config_json(c);
    onestep_status st;

    if (!root)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    st = ons_json_save(root, path);
    json_decref(root);
    return st;
}
