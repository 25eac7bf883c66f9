/*
 * The order of a training run, and what an interrupted one finds when it comes back. Every stage can be
 * resumed: the vocabulary is learnt again (it is a function of the captions), the finished autoencoder is read
 * from training/vae.safetensors.
 */
#include "train/train.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/json.h"
#include "io/safetensors.h"

/* The recipe's config object, through a file: models read their configuration from config.json and from nowhere
 * else. */
static onestep_status write_config(const char *output, const char *part, json_t *config, char **path)
{
    char *folder = ons_path_join(output, part);
    onestep_status st;

    *path = folder ? ons_path_join(folder, "config.json") : NULL;
    if (!*path) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
        goto fail;
    }
    if (!config) {
        st = ons_fail(
            ONESTEP_BAD_ARGUMENT,
            "the recipe has no %s.config (a diffusers config.json object); start from one in recipes/", part);
        goto fail;
    }
    ONS_TRY(ons_make_dirs(folder));
    st = ons_json_save(config, *path);
fail:
    ons_free(folder);
    return st;
}

static onestep_status check_geometry(const ons_recipe *r, const ons_model *m)
{
    int factor = ons_vae_factor(&m->vae_config);

    if (r->resolution % factor)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "resolution %d is no multiple of %d, the autoencoder's pixels per latent",
                        r->resolution, factor);
    if (m->unet_config.in_channels != m->vae_config.latent_channels)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "the UNet takes %d channels, the autoencoder makes %d",
                        m->unet_config.in_channels, m->vae_config.latent_channels);
    if (m->unet_config.cross_attention_dim != m->clip_config.hidden_size)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "the UNet attends to vectors of %d, the text encoder makes %d",
                        m->unet_config.cross_attention_dim, m->clip_config.hidden_size);
    return ONESTEP_OK;
}

/* What is encoded, drawn and saved has the recipe's size, whatever the configuration says. */
static onestep_status adopt_resolution(const ons_recipe *r, ons_model *m)
{
    m->vae_config.sample_size = r->resolution;
    m->unet_config.sample_size = r->resolution / ons_vae_factor(&m->vae_config);
    return check_geometry(r, m);
}

onestep_status ons_train_configure(const ons_recipe *r, const char *folder, ons_model *m)
{
    char *unet = NULL, *vae = NULL, *clip = NULL;
    onestep_status st;

    ONS_TRY(write_config(folder, "vae", r->vae_config, &vae));
    ONS_TRY(ons_vae_config_load(vae, &m->vae_config));
    if (m->vae_config.kind != ONS_VAE_KL) {
        st = ons_fail(ONESTEP_UNSUPPORTED, "vae.config is an AutoencoderTiny; an AutoencoderKL can be trained");
        goto fail;
    }
    ONS_TRY(write_config(folder, "unet", r->unet_config, &unet));
    ONS_TRY(ons_unet_config_load(unet, &m->unet_config));
    ONS_TRY(write_config(folder, "text_encoder", r->text_config, &clip));
    ONS_TRY(ons_clip_config_load(clip, &m->clip_config));
    st = adopt_resolution(r, m);
fail:
    ons_free(unet);
    ons_free(vae);
    ons_free(clip);
    return st;
}

static onestep_status learn_vocabulary(const ons_recipe *r, const ons_dataset *d, ons_model *m)
{
    size_t n = 0, at = 0;
    const char **captions;
    onestep_status st;

    for (size_t i = 0; i < ons_dataset_count(d); i++)
        n += (size_t)ons_dataset_at(d, i)->n_captions;
    captions = ons_calloc(n + 1, sizeof *captions);
    if (!captions)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %zu captions", n);
    for (size_t i = 0; i < ons_dataset_count(d); i++)
        for (int k = 0; k < ons_dataset_at(d, i)->n_captions; k++)
            captions[at++] = ons_dataset_at(d, i)->captions[k];
    st = ons_tokenizer_train(captions, n, r->tokenizer.vocab_size, r->tokenizer.context, &m->tokenizer);
    ons_free(captions);
    if (st != ONESTEP_OK)
        return st;
    m->clip_config.vocab_size = ons_tokenizer_vocab_size(m->tokenizer);
    m->clip_config.max_position_embeddings = ons_tokenizer_context(m->tokenizer);
    m->clip_config.bos_token_id = ons_tokenizer_start_id(m->tokenizer);
    m->clip_config.eos_token_id = ons_tokenizer_end_id(m->tokenizer);
    m->clip_config.pad_token_id = ons_tokenizer_pad_id(m->tokenizer);
    return ONESTEP_OK;
}

static onestep_status open_model(const ons_recipe *r, const ons_train_options *o, ons_model **out)
{
    onestep_status st = ons_model_open_to_run(&(ons_model_sources){.model = o->init}, &o->compute, out);

    if (st == ONESTEP_OK && (*out)->schedule.prediction != ONS_PREDICT_EPSILON)
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "%s predicts something else than the noise (prediction_type); train teaches the noise",
                        o->init);
    return st == ONESTEP_OK ? adopt_resolution(r, *out) : st;
}

/*
 * Residual branches start at zero, so that the fresh network is near the identity and early steps are large and
 * safe (as in the reference implementations of DDPM's UNet).
 */
static void zero_residual_branches(ons_params *p)
{
    static const char *const last[] = {".conv2.weight", ".conv2.bias", ".proj_out.weight", ".proj_out.bias"};

    for (int i = 0; i < ons_params_count(p); i++) {
        const ons_param *param = ons_params_at(p, i);

        for (size_t k = 0; k < sizeof last / sizeof last[0]; k++)
            if (ons_ends_with(param->name, last[k]) || !strncmp(param->name, "conv_out.", 9))
                memset(ons_params_data(p, i), 0, (size_t)ons_shape_count(&param->shape) * sizeof(float));
    }
    ons_params_touch(p);
}

static onestep_status create_model(const ons_recipe *r, const ons_train_options *o, const ons_dataset *d,
                                   ons_model **out)
{
    ons_model *m = ons_calloc(1, sizeof *m);
    onestep_status st;

    *out = m;
    if (!m)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a model");
    ons_schedule_init_sd(&m->schedule);
    ONS_TRY(ons_train_configure(r, o->output, m));
    ONS_TRY(learn_vocabulary(r, d, m));
    ONS_TRY(ons_params_create(&m->unet));
    ONS_TRY(ons_params_create(&m->vae));
    ONS_TRY(ons_params_create(&m->clip));
    ONS_TRY(ons_unet_declare(&m->unet_config, m->unet));
    ONS_TRY(ons_vae_declare(&m->vae_config, m->vae));
    ONS_TRY(ons_clip_declare(&m->clip_config, m->clip));
    ons_params_set_threads(m->unet, ons_compute_threads(&o->compute));
    ons_params_set_threads(m->clip, ons_compute_threads(&o->compute));
    ons_params_init(m->unet, r->seed + 1);
    ons_params_init(m->clip, r->seed + 2);
    zero_residual_branches(m->unet);
fail:
    return st;
}

static onestep_status obtain_autoencoder(const ons_recipe *r, const ons_train_options *o, const ons_dataset *d,
                                         ons_model *m)
{
    char *path = ons_format("%s/training/vae.safetensors", o->output);
    ons_safetensors *file = NULL;
    onestep_status st;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (o->resume && ons_path_exists(path)) {
        ONS_TRY(ons_safetensors_open(path, &file));
        ONS_TRY(ons_params_load(m->vae, file, ""));
        m->vae_config.scaling_factor = 1;
    } else {
        ONS_TRY(ons_train_autoencoder(r, o, d, m));
        ONS_TRY(ons_params_save(m->vae, path, ONS_F32));
    }
fail:
    ons_safetensors_close(&file);
    ons_free(path);
    return st;
}

static void fill_card(const ons_recipe *r, const ons_train_options *o, ons_model *m)
{
    ons_card *c = &m->card;

    c->steps = r->sample.steps;
    c->guidance = r->sample.guidance;
    memcpy(c->sampler, r->sample.sampler, sizeof c->sampler);
    c->timestep = -1;
    strcpy(c->kind, "teacher");
    strcpy(c->method, "");
    if (o->energy)
        snprintf(c->energy_source, sizeof c->energy_source, "%s", ons_energy_source(o->energy));
    json_decref(c->made);
    c->made = json_pack("{s:s, s:o*}", "command", "train", "recipe", ons_recipe_to_json(r));
}

static onestep_status prepare_output(const ons_recipe *r, const ons_train_options *o)
{
    char *training = ons_path_join(o->output, "training"), *recipe = ons_path_join(o->output, "recipe.json");
    onestep_status st;

    if (!training || !recipe) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
        goto fail;
    }
    ONS_TRY(ons_make_dirs(training));
    st = ons_recipe_save(r, recipe);
fail:
    ons_free(training);
    ons_free(recipe);
    return st;
}

onestep_status ons_train(const ons_recipe *r, const ons_train_options *o)
{
    ons_dataset *d = NULL;
    ons_model *m = NULL;
    onestep_status st;

    ONS_TRY(prepare_output(r, o));
    ONS_TRY(ons_dataset_open(
        o->data, &(ons_dataset_options){.size = r->resolution, .n_threads = o->compute.n_threads}, &d));
    if (!ons_dataset_has_pictures(d)) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT, "%s holds captions alone: a teacher needs pictures", o->data);
        goto fail;
    }
    ons_info("%zu pictures from %s", ons_dataset_count(d), o->data);
    if (o->init) {
        ONS_TRY(open_model(r, o, &m));
    } else {
        ONS_TRY(create_model(r, o, d, &m));
        ONS_TRY(obtain_autoencoder(r, o, d, m));
    }
    fill_card(r, o, m);
    ONS_TRY(ons_train_teacher(r, o, d, m));
    st = ons_model_save(m, o->output, ONS_F16);
fail:
    ons_model_close(&m);
    ons_dataset_close(&d);
    return st;
}
