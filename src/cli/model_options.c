/* Opening a model as the command line describes it. */
#include "cli/model_options.h"

#include "base/log.h"

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

static ons_model_sources sources_of(const cli_model *o)
{
    static const ons_prediction predictions[] = {ONS_PREDICT_EPSILON, ONS_PREDICT_V};

    return (ons_model_sources){.model = o->model,
                               .unet = o->unet,
                               .vae = o->vae,
                               .taesd = o->taesd,
                               .tokenizer = o->tokenizer,
                               .loras = o->loras.values,
                               .n_loras = o->loras.n,
                               .no_packed = o->no_packed,
                               .prediction = o->prediction ? &predictions[o->prediction - 1] : NULL};
}

onestep_status cli_open_model(const cli_model *o, const ons_compute *c, ons_model **out)
{
    const ons_model_sources s = sources_of(o);

    return ons_model_open_to_run(&s, c, out);
}

onestep_status cli_open_to_run(const cli_model *o, const cli_common *c, ons_model **out)
{
    const ons_compute compute = cli_compute(c);
    ons_model_sources s = sources_of(o);

    s.int8_scales = c->int8_scales;
    if (s.int8_scales && compute.type != ONS_I8)
        ons_warn("--int8-scales has no effect without --type int8");
    return ons_model_open_to_run(&s, &compute, out);
}
