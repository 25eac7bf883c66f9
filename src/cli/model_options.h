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

/* The model with its parts, ready to run: what its network predicts is settled, by trying it where no file
 * says. */
onestep_status cli_open_model(const cli_model *o, const ons_compute *c, ons_model **out) ONESTEP_CHECK;

/*
 * The same for a command that draws with cli_running_options: in int8 the model comes with its scales, which
 * are measured first where there are none yet. UNSUPPORTED: the CPU is not made for it.
 */
onestep_status cli_open_to_run(const cli_model *o, const cli_common *c, ons_model **out) ONESTEP_CHECK;

typedef struct cli_calibration {
    ons_compute compute;
    int width, height, steps, count;
    double keep_error, keep;
} cli_calibration;
/* ons_int8_calibrate with a progress line. */
onestep_status cli_calibrate(ons_model *m, const cli_calibration *c, ons_int8 **out) ONESTEP_CHECK;
char *cli_scales_path(const char *model); /* where a model's scales belong; NULL: no memory; ons_free */

#endif
