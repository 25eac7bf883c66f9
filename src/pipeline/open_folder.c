/* A folder in the diffusers layout: configs and weights part by part, of whatever generation. */
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/json.h"
#include "pipeline/open_impl.h"

static char *part_path(const char *folder, const char *part, const char *name)
{
    return ons_format("%s/%s%s%s", folder, part, *part ? "/" : "", name);
}

static onestep_status read_part(const char *folder, const char *part, const char *name, ons_config_reader read,
                                void *config)
{
    char *path = part_path(folder, part, name);
    onestep_status st = path ? read(path, config) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(path);
    return st;
}

onestep_status ons_read_unet_config(const char *path, void *c)
{
    return ons_unet_config_load(path, c);
}

onestep_status ons_read_vae_config(const char *path, void *c)
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

static onestep_status open_weights(const char *folder, const char *part, const char *base,
                                   ons_safetensors **out)
{
    char *path = ons_path_join(folder, part);
    onestep_status st =
        path ? ons_safetensors_open_part(path, base, out) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(path);
    return st;
}

/* Pipelines that are named like those of Stable Diffusion and are something else, and the best known others. */
static const struct {
    const char *class, *description; /* how the class name begins */
} foreign[] = {{"StableDiffusionXL", "SDXL, which has two text encoders"},
               {"StableDiffusion3", "Stable Diffusion 3, a transformer with three text encoders"},
               {"StableDiffusionUpscale", "an upscaler"},
               {"StableDiffusionLatentUpscale", "an upscaler"},
               {"StableDiffusionImageVariation", "a model of pictures from pictures, without a text encoder"},
               {"Flux", "Flux, a transformer with two text encoders"}};

static onestep_status check_class(const char *path, const char *name)
{
    const char *description = strncmp(name, "StableDiffusion", 15) ? "another architecture" : NULL;

    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (!strncmp(name, foreign[i].class, strlen(foreign[i].class)))
            description = foreign[i].description;
    if (!description)
        return ONESTEP_OK;
    return ons_fail(
        ONESTEP_UNSUPPORTED,
        "%s: this is a %s (%s); pipelines of StableDiffusionPipeline's kind (one CLIP text encoder, "
        "UNet2DConditionModel, AutoencoderKL or AutoencoderTiny) are supported",
        path, name, description);
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
        st = ons_refuse_folder(folder);
        goto fail;
    }
    ONS_TRY(ons_json_load(path, &root));
    ONS_TRY(ons_json_text(root, path, "_class_name", "StableDiffusionPipeline", &name));
    st = check_class(path, name);
fail:
    json_decref(root);
    ons_free(path);
    return st;
}

/* Configs and weights of UNet and autoencoder, but for those that come from elsewhere: they need not be there.
 */
static onestep_status open_replaceable(ons_model *m, const ons_model_sources *s, ons_part_files *files)
{
    const char *folder = s->model, *weights = "diffusion_pytorch_model";
    onestep_status st = ONESTEP_OK;

    if (!s->unet) {
        ONS_TRY(read_part(folder, "unet", "config.json", ons_read_unet_config, &m->unet_config));
        ONS_TRY(open_weights(folder, "unet", weights, &files->unet));
    }
    if (!s->vae && !s->taesd) {
        ONS_TRY(read_part(folder, "vae", "config.json", ons_read_vae_config, &m->vae_config));
        ONS_TRY(open_weights(folder, "vae", weights, &files->vae));
    }
fail:
    return st;
}

onestep_status ons_model_from_folder(ons_model *m, const ons_model_sources *s, ons_part_files *files)
{
    const char *folder = s->model;
    onestep_status st;

    ONS_TRY(check_kind(folder));
    ONS_TRY(read_part(folder, "text_encoder", "config.json", read_clip, &m->clip_config));
    ONS_TRY(read_part(folder, "scheduler", "scheduler_config.json", read_schedule, &m->schedule));
    m->prediction_stated = true;
    ONS_TRY(read_part(folder, "", "onestep.json", read_card, &m->card));
    if (!m->card.stated)
        ons_card_assume(m);
    ONS_TRY(ons_model_open_tokenizer(s, &m->tokenizer));
    ONS_TRY(open_replaceable(m, s, files));
    st = open_weights(folder, "text_encoder", "model", &files->clip);
fail:
    return st;
}
