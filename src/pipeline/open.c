/* Putting a model together: from a folder or a file, with parts replaced; then the weights, mapped under
 * whatever names they have. */
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "model/lora.h"
#include "model/names.h"
#include "model/recognise.h"
#include "pipeline/draw_impl.h"
#include "pipeline/int8.h"
#include "pipeline/open_impl.h"

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

static onestep_status map_part(ons_params *p, ons_safetensors *file, ons_spelling spelling, bool among_others)
{
    spelling.among_others = among_others;
    return ons_params_map(p, file, &spelling);
}

/* Whole, or, of a tiny autoencoder in two files, half by half. */
static onestep_status map_vae(ons_model *m, const ons_part_files *files)
{
    ons_spelling spelling = ons_vae_spelling(&m->vae_config);
    onestep_status st;

    if (!files->vae_encoder)
        return map_part(m->vae, files->vae, spelling, files->vae == files->clip);
    spelling.only = "decoder.";
    ONS_TRY(map_part(m->vae, files->vae, spelling, true));
    spelling.only = "encoder.";
    ONS_TRY(map_part(m->vae, files->vae_encoder, spelling, true));
fail:
    return st;
}

static onestep_status map_parts(ons_model *m, const ons_part_files *files)
{
    onestep_status st;

    ONS_TRY(map_part(m->unet, files->unet, ons_unet_spelling(&m->unet_config), files->unet == files->clip));
    ONS_TRY(map_vae(m, files));
    st = map_part(m->clip, files->clip, ons_clip_spelling(), files->clip == files->unet);
fail:
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

/* The part's folder within `path`: PATH/PART when that is there (a pipeline), else PATH itself. */
static char *part_folder(const char *path, const char *part)
{
    char *inner = ons_path_join(path, part);

    if (!inner || ons_path_is_dir(inner))
        return inner;
    ons_free(inner);
    return ons_strdup(path);
}

/* FOLDER/config.json, where it is there; *found tells. */
static onestep_status read_config_in(const char *folder, ons_config_reader read, void *config, bool *found)
{
    char *path = ons_path_join(folder, "config.json");
    onestep_status st = path ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    *found = path && ons_path_exists(path);
    if (*found)
        st = read(path, config);
    ons_free(path);
    return st;
}

/* The file of a replaced part, and its config where the part is a folder that brings one. */
static onestep_status open_part(const char *path, const char *part, ons_config_reader read, void *config,
                                bool *found, ons_safetensors **out)
{
    char *folder = part_folder(path, part);
    onestep_status st;

    *found = false;
    if (!folder)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (!ons_path_is_dir(folder)) {
        st = ons_safetensors_open(path, out);
        goto fail;
    }
    ONS_TRY(read_config_in(folder, read, config, found));
    st = ons_safetensors_open_part(folder, "diffusion_pytorch_model", out);
fail:
    ons_free(folder);
    return st;
}

/* A part without a config is of the model's own architecture, where the model is a folder that says which. */
static onestep_status read_own_config(const char *model, const char *part, ons_config_reader read, void *config,
                                      bool *found)
{
    char *folder = ons_path_join(model, part);
    onestep_status st = folder ? read_config_in(folder, read, config, found)
                               : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    ons_free(folder);
    return st;
}

/* A whole checkpoint may lend a part too. */
static onestep_status expect_part(const ons_safetensors *file, ons_weights_kind kind)
{
    const char *description;

    if (ons_weights_recognise(file, &description) == ONS_WEIGHTS_CHECKPOINT)
        return ONESTEP_OK;
    return ons_weights_expect(file, kind);
}

static onestep_status open_unet(ons_model *m, const char *path, ons_part_files *files)
{
    bool found;
    onestep_status st;

    ONS_TRY(open_part(path, "unet", ons_read_unet_config, &m->unet_config, &found, &files->unet));
    ONS_TRY(expect_part(files->unet, ONS_WEIGHTS_UNET));
    if (!found)
        ONS_TRY(read_own_config(m->path, "unet", ons_read_unet_config, &m->unet_config, &found));
    if (!found && !m->unet_config.n_levels) /* else a checkpoint's own tensors told it */
        st = ons_unet_config_infer(files->unet, &m->unet_config);
fail:
    return st;
}

static onestep_status open_vae(ons_model *m, const char *path, ons_part_files *files)
{
    bool found;
    onestep_status st;

    ONS_TRY(open_part(path, "vae", ons_read_vae_config, &m->vae_config, &found, &files->vae));
    if (!found)
        ONS_TRY(read_own_config(m->path, "vae", ons_read_vae_config, &m->vae_config, &found));
    ONS_TRY(m->vae_config.kind == ONS_VAE_TINY ? ons_weights_expect(files->vae, ONS_WEIGHTS_TINY_VAE)
                                               : expect_part(files->vae, ONS_WEIGHTS_VAE));
    if (!found)
        st = ons_vae_config_infer(files->vae, &m->vae_config);
fail:
    return st;
}

/* "…/taesd_encoder.safetensors" for "…/taesd_decoder.safetensors"; NULL: the name holds no "decoder", or no
 * memory. */
static char *name_of_encoder(const char *path)
{
    const char *slash = strrchr(path, '/'), *at = strstr(slash ? slash : path, "decoder");

    return at ? ons_format("%.*sencoder%s", (int)(at - path), path, at + strlen("decoder")) : NULL;
}

/* A decoder alone is enough to draw; with its encoder beside it, pictures can be begun from as well. */
static onestep_status open_tiny_encoder(ons_model *m, const char *decoder, ons_part_files *files)
{
    char *path = name_of_encoder(decoder);
    onestep_status st = ONESTEP_OK;

    if (!path || !ons_path_exists(path))
        goto fail;
    ONS_TRY(ons_safetensors_open(path, &files->vae_encoder));
    ONS_TRY(ons_weights_expect(files->vae_encoder, ONS_WEIGHTS_TINY_ENCODER));
    ons_tiny_vae_config_add_encoder(files->vae_encoder, &m->vae_config);
    ons_verbose("%s: the encoder to that decoder", path);
fail:
    ons_free(path);
    return st;
}

/* A tiny autoencoder: a folder with its config, or a file whose tensors tell it. */
static onestep_status open_tiny_vae(ons_model *m, const char *path, ons_part_files *files)
{
    bool found;
    onestep_status st;

    ONS_TRY(open_part(path, "vae", ons_read_vae_config, &m->vae_config, &found, &files->vae));
    ONS_TRY(ons_weights_expect(files->vae, ONS_WEIGHTS_TINY_VAE));
    if (!found || m->vae_config.kind != ONS_VAE_TINY)
        ONS_TRY(ons_tiny_vae_config_infer(files->vae, &m->vae_config));
    if (m->vae_config.no_encoder)
        st = open_tiny_encoder(m, path, files);
fail:
    return st;
}

static void close_files(ons_part_files *files)
{
    ons_safetensors_close(&files->unet);
    ons_safetensors_close(&files->vae);
    ons_safetensors_close(&files->vae_encoder);
    ons_safetensors_close(&files->clip);
}

static onestep_status merge_lora(ons_model *m, const char *text)
{
    ons_lora_report report;
    char *path = NULL;
    double weight;
    onestep_status st;

    ONS_TRY(ons_lora_parse(text, &path, &weight));
    ONS_TRY(ons_lora_merge(path, weight, &m->unet_config, m->unet, m->clip, &report));
    ons_info("%s: merged into %d weights of the UNet and %d of the text encoder at strength %g", path,
             report.n_unet, report.n_text, weight);
fail:
    ons_free(path);
    return st;
}

static onestep_status fill(ons_model *m, const ons_model_sources *s, ons_part_files *files)
{
    onestep_status st;

    if (s->vae && s->taesd)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "--vae and --taesd exclude each other: both replace the autoencoder");
    if (ons_path_is_dir(s->model) || !ons_path_exists(s->model))
        ONS_TRY(ons_model_from_folder(m, s, files));
    else
        ONS_TRY(ons_model_from_checkpoint(m, s, files));
    if (s->unet)
        ONS_TRY(open_unet(m, s->unet, files));
    if (s->vae)
        ONS_TRY(open_vae(m, s->vae, files));
    if (s->taesd)
        ONS_TRY(open_tiny_vae(m, s->taesd, files));
    if (s->prediction) {
        m->schedule.prediction = *s->prediction;
        m->prediction_stated = true;
    }
    ONS_TRY(check_match(m));
    ONS_TRY(declare(m));
    ONS_TRY(map_parts(m, files));
    for (int i = 0; i < s->n_loras; i++)
        ONS_TRY(merge_lora(m, s->loras[i]));
    ons_model_use_packed(m, s);
fail:
    return st;
}

onestep_status ons_model_assemble(const ons_model_sources *s, ons_model **out)
{
    ons_model *m = ons_calloc(1, sizeof *m);
    ons_part_files files = {0};
    onestep_status st;

    *out = NULL;
    if (!m || !(m->path = ons_strdup(s->model)))
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to open it", s->model);
    else
        st = fill(m, s, &files);
    close_files(&files);
    if (st == ONESTEP_OK)
        *out = m;
    else
        ons_model_close(&m);
    return st;
}

void ons_model_close(ons_model **out)
{
    ons_model *m = out ? *out : NULL;

    if (!m)
        return;
    ons_drawing_destroy(&m->drawing);
    ons_params_destroy(&m->unet);
    ons_params_destroy(&m->vae);
    ons_params_destroy(&m->clip);
    ons_tokenizer_close(&m->tokenizer);
    ons_int8_destroy(&m->int8);
    json_decref(m->card.made);
    ons_free(m->path);
    ons_free(m);
    *out = NULL;
}
