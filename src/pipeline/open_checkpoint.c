/*
 * A Stable Diffusion checkpoint in one file. What a folder says in its configs is read off the tensors here;
 * the schedule is that of all these models, and the tokenizer has to come from elsewhere.
 */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "model/recognise.h"
#include "pipeline/open_impl.h"

static onestep_status open_tokenizer(ons_model *m, const ons_model_sources *s)
{
    onestep_status st = ons_model_open_tokenizer(s, &m->tokenizer);

    /* The padding belongs to the text encoder, not to the vocabulary: OpenCLIP's was trained with 0. */
    if (st == ONESTEP_OK && m->clip_config.hidden_act == ONS_OP_GELU)
        ons_tokenizer_set_pad_id(m->tokenizer, m->clip_config.pad_token_id);
    return st;
}

/* The schedule that all these models were trained with, and the scheduler that they were published with. */
static void assume_settings(ons_model *m)
{
    ons_schedule_init_sd(&m->schedule);
    strcpy(m->schedule.class_name, "PNDMScheduler");
    m->schedule.spacing_stated = false;
    m->prediction_stated = !m->unet_config.use_linear_projection; /* Stable Diffusion 2 came in both */
    m->card = (ons_card){.steps = 20, .guidance = 7.5, .timestep = -1, .train_joules = -1};
    strcpy(m->card.kind, "teacher");
    ons_card_assume(m);
}

onestep_status ons_model_from_checkpoint(ons_model *m, const ons_model_sources *s, ons_part_files *files)
{
    ons_safetensors *file = NULL;
    onestep_status st;

    ONS_TRY(ons_safetensors_open(s->model, &file));
    ONS_TRY(ons_weights_expect(file, ONS_WEIGHTS_CHECKPOINT));
    ONS_TRY(ons_unet_config_infer(file, &m->unet_config));
    ONS_TRY(ons_clip_config_infer(file, &m->clip_config));
    if (!s->vae && !s->taesd)
        ONS_TRY(ons_vae_config_infer(file, &m->vae_config));
    assume_settings(m);
    ONS_TRY(open_tokenizer(m, s));
    if (!s->unet)
        files->unet = ons_safetensors_share(file);
    if (!s->vae && !s->taesd)
        files->vae = ons_safetensors_share(file);
    files->clip = ons_safetensors_share(file);
fail:
    ons_safetensors_close(&file);
    return st;
}
