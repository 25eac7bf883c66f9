/* Opening a pipeline folder: configs, then weights, whatever generation of names they carry. */
#include "pipeline/folder.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/json.h"
#include "io/safetensors.h"

/* FOLDER/PART/NAME; NULL: no memory. */
static char *part_path(const char *folder, const char *part, const char *name)
{
    return ons_format("%s/%s%s%s", folder, part, *part ? "/" : "", name);
}

typedef onestep_status (*config_reader)(const char *path, void *config);

static onestep_status read_part(const char *folder, const char *part, const char *name, config_reader read,
                                void *config)
{
    char *path = part_path(folder, part, name);
    onestep_status st = path ? read(path, config) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(path);
    return st;
}

static onestep_status read_unet(const char *path, void *c)
{
    return ons_unet_config_load(path, c);
}

static onestep_status read_vae(const char *path, void *c)
{
    return ons_vae_config_load(path, c);
}

static onestep_status read_clip(const char *path, void *c)
{
    return ons_clip_config_load(path, c);
}

static onestep_status read_schedule(const char *path, void *s)
{
    return ons_schedule_load(path, s);
}

static onestep_status read_card(const char *path, void *c)
{
    return ons_card_load(path, c);
}

/* Weights of one part, under today's names or, through `alias`, those of another generation. */
static onestep_status load_part(const char *folder, const char *part, const char *base, ons_alias_fn alias,
                                ons_params *params)
{
    char *path = ons_path_join(folder, part);
    ons_safetensors *file = NULL;
    onestep_status st;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_safetensors_open_part(path, base, &file));
    st = ons_params_load_aliased(params, file, alias);
fail:
    ons_safetensors_close(&file);
    ons_free(path);
    return st;
}

static onestep_status check_kind(const char *folder)
{
    char *path = part_path(folder, "", "model_index.json");
    json_t *root = NULL;
    const char *name;
    onestep_status st;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (!ons_path_exists(path)) {
        st = ons_fail(ONESTEP_NOT_FOUND,
                      "%s: no model_index.json: not a pipeline folder in the diffusers layout", folder);
        goto fail;
    }
    ONS_TRY(ons_json_load(path, &root));
    ONS_TRY(ons_json_text(root, path, "_class_name", "StableDiffusionPipeline", &name));
    if (strncmp(name, "StableDiffusion", 15) || !strncmp(name, "StableDiffusionXL", 17) ||
        !strncmp(name, "StableDiffusion3", 16))
        st = ons_fail(ONESTEP_UNSUPPORTED,
                      "%s: this is a %s; pipelines of StableDiffusionPipeline's kind (one CLIP text encoder, "
                      "UNet2DConditionModel, AutoencoderKL) are supported",
                      path, name);
fail:
    json_decref(root);
    ons_free(path);
    return st;
}

static onestep_status declare(ons_model *m)
{
    onestep_status st;

    ONS_TRY(ons_params_create(&m->unet));
    ONS_TRY(ons_params_create(&m->vae));
    ONS_TRY(ons_params_create(&m->clip));
    ONS_TRY(ons_unet_declare(&m->unet_config, m->unet));
    ONS_TRY(ons_vae_declare(&m->vae_config, m->vae));
    ONS_TRY(ons_clip_declare(&m->clip_config, m->clip));
fail:
    return st;
}

static onestep_status open_tokenizer(const char *folder, ons_tokenizer **out)
{
    char *path = part_path(folder, "tokenizer", "");
    onestep_status st =
        path ? ons_tokenizer_open(path, out) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(path);
    return st;
}

static onestep_status check_match(const ons_model *m)
{
    if (m->unet_config.cross_attention_dim != m->clip_config.hidden_size)
        return ons_fail(ONESTEP_BAD_FILE, "%s: the UNet attends to vectors of %d, the text encoder makes %d",
                        m->path, m->unet_config.cross_attention_dim, m->clip_config.hidden_size);
    if (ons_tokenizer_vocab_size(m->tokenizer) > m->clip_config.vocab_size)
        return ons_fail(ONESTEP_BAD_FILE, "%s: the tokenizer has %d entries, the text encoder %d", m->path,
                        ons_tokenizer_vocab_size(m->tokenizer), m->clip_config.vocab_size);
    return ONESTEP_OK;
}

onestep_status ons_model_open(const char *folder, ons_model **out)
{
    ons_model *m = ons_calloc(1, sizeof *m);
    onestep_status st;

    *out = NULL;
    if (!m || !(m->path = ons_strdup(folder))) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to open it", folder);
        goto fail;
    }
    ONS_TRY(check_kind(folder));
    ONS_TRY(read_part(folder, "unet", "config.json", read_unet, &m->unet_config));
    ONS_TRY(read_part(folder, "vae", "config.json", read_vae, &m->vae_config));
    ONS_TRY(read_part(folder, "text_encoder", "config.json", read_clip, &m->clip_config));
    ONS_TRY(read_part(folder, "scheduler", "scheduler_config.json", read_schedule, &m->schedule));
    ONS_TRY(read_part(folder, "", "onestep.json", read_card, &m->card));
    ONS_TRY(open_tokenizer(folder, &m->tokenizer));
    ONS_TRY(check_match(m));
    ONS_TRY(declare(m));
    ONS_TRY(load_part(folder, "unet", "diffusion_pytorch_model", NULL, m->unet));
    ONS_TRY(load_part(folder, "vae", "diffusion_pytorch_model", ons_vae_alias, m->vae));
    ONS_TRY(load_part(folder, "text_encoder", "model", ons_clip_alias, m->clip));
    *out = m;
    return ONESTEP_OK;
fail:
    ons_model_close(&m);
    return st;
}

void ons_model_close(ons_model **out)
{
    ons_model *m = out ? *out : NULL;

    if (!m)
        return;
    ons_params_destroy(&m->unet);
    ons_params_destroy(&m->vae);
    ons_params_destroy(&m->clip);
    ons_tokenizer_close(&m->tokenizer);
    json_decref(m->card.made);
    ons_free(m->path);
    ons_free(m);
    *out = NULL;
}
