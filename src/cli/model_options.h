/* -m and what replaces parts of the model; every command that opens a model has this group. */
#ifndef ONS_CLI_MODEL_OPTIONS_H
#define ONS_CLI_MODEL_OPTIONS_H

#include "cli/options.h"
#include "pipeline/folder.h"

typedef struct cli_model {
    const char *model, *unet, *vae, *taesd, *tokenizer;
    cli_texts loras;
    int prediction; /* 0: as the files say */
    bool no_packed; /* not an option: set by who packs */
} cli_model;
extern const cli_option cli_model_options[];

/* The model with its parts, ready to run: what its network predicts is settled. */
onestep_status cli_open_model(const cli_model *o, ons_model **out) ONESTEP_CHECK;

#endif
