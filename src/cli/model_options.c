/* Opening a model as the command line describes it. */
#include "cli/model_options.h"

const ons_field cli_model_options[] = {
    {'m', "model", ONS_FIELD_TEXT, offsetof(cli_model, model), .unit = "DIR|FILE", .required = true,
     .help = "pipeline folder (onestep's, or any of diffusers' Stable Diffusion kind), or a Stable Diffusion "
             "1.x or 2.x "
             "checkpoint in one safetensors file"},
    {0, "unet", ONS_FIELD_TEXT, offsetof(cli_model, unet), .unit = "DIR|FILE",
     .help = "take the UNet from here: a folder, a file of weights, another model"},
    {0, "vae", ONS_FIELD_TEXT, offsetof(cli_model, vae), .unit = "DIR|FILE",
     .help = "take the autoencoder from here"},
    {0, "taesd", ONS_FIELD_TEXT, offsetof(cli_model, taesd), .unit = "DIR|FILE",
     .help = "decode with a tiny autoencoder (TAESD): a fraction of the time, a little less detail",
     .synonym = "tae"},
    {0, "lora", ONS_FIELD_TEXTS, offsetof(cli_model, loras), .unit = "FILE[:WEIGHT]",
     .help = "merge this LoRA, at a strength other than 1 behind a colon; may be given several times"},
    {0, "tokenizer", ONS_FIELD_TEXT, offsetof(cli_model, tokenizer), .unit = "DIR",
     .help = "folder with the vocabulary, for checkpoints in one file: default tokenizer/ beside the file"},
    {0, "prediction", ONS_FIELD_CHOICE, offsetof(cli_model, prediction), .choices = "auto|epsilon|v",
     .preset = "auto", .help = "what the network predicts; auto: as the files say, else measured"},
    {0},
};

onestep_status cli_open_model(const cli_model *o, const ons_compute *c, ons_model **out)
{
    const ons_prediction predictions[] = {ONS_PREDICT_EPSILON, ONS_PREDICT_V};
    const ons_model_sources s = {.model = o->model,
                                 .unet = o->unet,
                                 .vae = o->vae,
                                 .taesd = o->taesd,
                                 .tokenizer = o->tokenizer,
                                 .loras = o->loras.values,
                                 .n_loras = o->loras.n,
                                 .no_packed = o->no_packed,
                                 .prediction = o->prediction ? &predictions[o->prediction - 1] : NULL};
    onestep_status st = ons_model_assemble(&s, out);

    if (st == ONESTEP_OK && (st = ons_model_settle_prediction(*out, c)) != ONESTEP_OK)
        ons_model_close(out);
    return st;
}
