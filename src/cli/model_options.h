/* -m and what replaces parts of the model; every command that opens a model has this group. */
#ifndef ONS_CLI_MODEL_OPTIONS_H
#define ONS_CLI_MODEL_OPTIONS_H

#include "cli/commands.h"
#include "pipeline/folder.h"

typedef struct cli_model {
    const char *model, *unet, *vae, *taesd, *tokenizer;
    ons_texts loras;
    int prediction; /* 0: as the files say */
    bool no_packed; /* not an option: set by who packs */
} cli_model;
extern const ons_field cli_model_options[];

/* The model with its parts, ready to run (ons_model_open_to_run). */
onestep_status cli_open_model(const cli_model *o, const ons_compute *c, ons_model **out) ONESTEP_CHECK;
/* The same for a command that draws with cli_running_options: in int8 too. */
onestep_status cli_open_to_run(const cli_model *o, const cli_common *c, ons_model **out) ONESTEP_CHECK;

#endif
