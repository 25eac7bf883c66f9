/* Writing a pipeline folder that onestep and diffusers both open. model_index.json comes last: a folder without
 * it is no pipeline. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/json.h"
#include "pipeline/folder.h"

static onestep_status make_part(const char *folder, const char *part)
{
    char *path = ons_path_join(folder, part);
    onestep_status st = path ? ons_make_dirs(path) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(path);
    return st;
}

/* Writes one file or folder of a pipeline. */
typedef onestep_status (*part_writer)(const ons_model *m, const char *path);

static onestep_status save_part(const ons_model *m, const char *folder, const char *name, part_writer write)
{
    char *path = ons_path_join(folder, name);
    onestep_status st = path ? write(m, path) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(path);
    return st;
}

static onestep_status save_weights(ons_params *p, const char *folder, const char *name, ons_dtype dtype)
{
    char *path = ons_path_join(folder, name);
    onestep_status st =
        path ? ons_params_save(p, path, dtype) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(path);
    return st;
}

static onestep_status write_unet_config(const ons_model *m, const char *path)
{
    return ons_unet_config_save(&m->unet_config, path);
}

static onestep_status write_vae_config(const ons_model *m, const char *path)
{
    return ons_vae_config_save(&m->vae_config, path);
}

static onestep_status write_clip_config(const ons_model *m, const char *path)
{
    return ons_clip_config_save(&m->clip_config, path);
}

static bool is_student(const ons_model *m)
{
    return m->card.timestep >= 0;
}

/* A student is sampled as a consistency model of one step: x0 at its timestep. */
static onestep_status write_schedule(const ons_model *m, const char *path)
{
    ons_schedule s = m->schedule;

    if (is_student(m))
        strcpy(s.class_name, "LCMScheduler");
    return ons_schedule_save(&s, path);
}

static onestep_status write_tokenizer(const ons_model *m, const char *path)
{
    return ons_tokenizer_save(m->tokenizer, path);
}

static onestep_status write_card(const ons_model *m, const char *path)
{
    return ons_card_save(&m->card, path);
}

static onestep_status write_index(const ons_model *m, const char *path)
{
    const char *scheduler = is_student(m) ? "LCMScheduler" : m->schedule.class_name;
    json_t *root =
        json_pack("{s:s, s:s, s:[n,n], s:b, s:[n,n], s:[n,n], s:[s,s], s:[s,s], s:[s,s], s:[s,s], s:[s,s]}",
                  "_class_name", "StableDiffusionPipeline", "_diffusers_version", "0.30.0", "safety_checker",
                  "requires_safety_checker", 0, "feature_extractor", "image_encoder", "scheduler", "diffusers",
                  scheduler, "text_encoder", "transformers", "CLIPTextModel", "tokenizer", "transformers",
                  "CLIPTokenizer", "unet", "diffusers", "UNet2DConditionModel", "vae", "diffusers",
                  m->vae_config.kind == ONS_VAE_TINY ? "AutoencoderTiny" : "AutoencoderKL");
    onestep_status st =
        root ? ons_json_save(root, path) : ons_fail(ONESTEP_NO_MEMORY, "no memory for %s", path);

    json_decref(root);
    return st;
}

/* The call that gives the same picture in Python. */
static char *describe(const ons_model *m)
{
    const ons_card *c = &m->card;
    int side = m->unet_config.sample_size * ons_vae_factor(&m->vae_config); /* what a pipeline makes unasked */
    char call[200];

    if (!is_student(m))
        snprintf(call, sizeof call, "num_inference_steps=%d, guidance_scale=%g", c->steps, c->guidance);
    else if (c->timestep == 999)
        snprintf(call, sizeof call, "num_inference_steps=1, guidance_scale=1");
    else
        snprintf(call, sizeof call, "timesteps=[%d], num_inference_steps=1, guidance_scale=1", c->timestep);
    return ons_format("---\nlibrary_name: diffusers\npipeline_tag: text-to-image\n---\n\n"
                      "A %s%s%s pipeline made by onestep; onestep.json says how.\n\n"
                      "    onestep generate -m . -p \"PROMPT\" -o picture.png\n\n"
                      "In Python:\n\n"
                      "    from diffusers import StableDiffusionPipeline\n"
                      "    pipe = StableDiffusionPipeline.from_pretrained(\".\")\n"
                      "    pipe(\"PROMPT\", %s, height=%d, width=%d).images[0]\n",
                      c->kind, *c->method ? " by " : "", c->method, call, side, side);
}

static onestep_status write_readme(const ons_model *m, const char *path)
{
    char *text = describe(m);
    onestep_status st =
        text ? ons_write_file(path, text, strlen(text)) : ons_fail(ONESTEP_NO_MEMORY, "no memory for %s", path);

    ons_free(text);
    return st;
}

onestep_status ons_model_save(const ons_model *m, const char *folder, ons_dtype dtype)
{
    static const char *const parts[] = {"unet", "vae", "text_encoder", "tokenizer", "scheduler"};
    onestep_status st;

    if (m->vae_config.no_encoder)
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "%s: its tiny autoencoder is a decoder alone, which no diffusers folder can hold; give "
                        "one with both halves",
                        m->path);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        ONS_TRY(make_part(folder, parts[i]));
    ONS_TRY(save_part(m, folder, "unet/config.json", write_unet_config));
    ONS_TRY(save_weights(m->unet, folder, "unet/diffusion_pytorch_model.safetensors", dtype));
    ONS_TRY(save_part(m, folder, "vae/config.json", write_vae_config));
    ONS_TRY(save_weights(m->vae, folder, "vae/diffusion_pytorch_model.safetensors", dtype));
    ONS_TRY(save_part(m, folder, "text_encoder/config.json", write_clip_config));
    ONS_TRY(save_weights(m->clip, folder, "text_encoder/model.safetensors", dtype));
    ONS_TRY(save_part(m, folder, "tokenizer", write_tokenizer));
    ONS_TRY(save_part(m, folder, "scheduler/scheduler_config.json", write_schedule));
    ONS_TRY(save_part(m, folder, "onestep.json", write_card));
    ONS_TRY(save_part(m, folder, "README.md", write_readme));
    st = save_part(m, folder, "model_index.json", write_index);
fail:
    return st;
}
