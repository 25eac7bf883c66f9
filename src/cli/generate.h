/* Inside of `onestep generate`: what was asked for, the list of pictures to make, and where they go. */
#ifndef ONS_CLI_GENERATE_H
#define ONS_CLI_GENERATE_H

#include "cli/commands.h"
#include "cli/model_options.h"
#include "cli/prompts.h"
#include "base/log.h"
#include "pipeline/parameters.h"

typedef struct generate_args {
    cli_common common;
    cli_model model;
    ons_request request;
    const char *output, *prompts, *title;
    const char *init;     /* picture to begin with */
    const char *settings; /* JSON */
    size_t max_memory;
    bool show, json;
} generate_args;

typedef struct generate_job {
    const cli_call *call;
    const generate_args *args;
    ons_model *model;
    ons_request request;
    ons_compute compute;
    struct json_t *settings;      /* of --settings; the request's texts may point into it */
    cli_prompts texts, negatives; /* what was typed or read, as UTF-8; at most one negative prompt */
    const char **prompts;         /* one per picture, of `texts` */
    bool to_stdout, to_folder;
    char *file;    /* the one picture, where neither of the two */
    uint8_t *init; /* [height, width, 3] of the picture that -i gave; NULL: none */
    ons_progress progress;
    ons_result result;
} generate_job;

/* Reads and fits the picture of -i, if there is one, and settles the size (generate_init.c). */
onestep_status generate_load_init(generate_job *j) ONESTEP_CHECK;

/* Where pictures go (generate_output.c). Checked before anything is computed. */
int generate_plan_output(generate_job *j); /* an exit code */
onestep_status generate_prepare_output(generate_job *j) ONESTEP_CHECK;
onestep_status generate_write_picture(generate_job *j, int i, const uint8_t *rgb) ONESTEP_CHECK;
onestep_status generate_write_sheet(const generate_job *j) ONESTEP_CHECK; /* folders only */
onestep_status generate_print_json(const generate_job *j) ONESTEP_CHECK;
char *generate_file_name(const generate_job *j, int i); /* of a picture; NULL: no memory; ons_free */

#endif
