/* onestep convert: any model that opens, written as a diffusers folder. */
#include "base/file.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/model_options.h"

typedef struct convert_args {
    cli_model model;
    const char *output;
    int stored;
    bool verbose, quiet;
} convert_args;

static const cli_option options[] = {
    {'o', "output", CLI_TEXT, offsetof(convert_args, output), .unit = "DIR", .required = true,
     .help = "folder for the result; must be absent or empty"},
    {0, "type", CLI_CHOICE, offsetof(convert_args, stored), .choices = "same|f32|f16|bf16", .preset = "same",
     .help = "precision of the stored weights; same: the one in which the UNet is stored now"},
    {'v', "verbose", CLI_FLAG, offsetof(convert_args, verbose), .help = "say more"},
    {'q', "quiet", CLI_FLAG, offsetof(convert_args, quiet), .help = "errors only"},
    {0},
};

static ons_dtype stored_type(const convert_args *a, const ons_model *m)
{
    const ons_dtype types[] = {ONS_F32, ONS_F32, ONS_F16, ONS_BF16};

    return a->stored ? types[a->stored] : ons_params_file_type(m->unet);
}

/* A folder that holds something might be the very source, whose files are still mapped. */
static onestep_status check_output(const char *folder)
{
    char **names = NULL;
    size_t n = 0;
    onestep_status st = ONESTEP_OK;

    if (!ons_path_exists(folder))
        return ONESTEP_OK;
    ONS_TRY(ons_list_dir(folder, &names, &n));
    if (n > 0)
        st = ons_fail(ONESTEP_BAD_ARGUMENT, "%s holds %zu files already; give a new folder", folder, n);
fail:
    ons_free_names(names, n);
    return st;
}

static onestep_status convert(const convert_args *a)
{
    ons_model *m = NULL;
    ons_dtype type;
    onestep_status st;

    ONS_TRY(check_output(a->output));
    ONS_TRY(cli_open_model(&a->model, &m));
    type = stored_type(a, m);
    ONS_TRY(ons_model_save(m, a->output, type));
    ons_info(
        "%s: %.1f M weights of the UNet, %.1f M of the autoencoder, %.1f M of the text encoder, stored as %s",
        a->output, (double)ons_params_n_values(m->unet) / 1e6, (double)ons_params_n_values(m->vae) / 1e6,
        (double)ons_params_n_values(m->clip) / 1e6, ons_dtype_name(type));
fail:
    ons_model_close(&m);
    return st;
}

static int run(const cli_call *call)
{
    const convert_args *a = call->values;

    cli_apply_common(&(cli_common){.verbose = a->verbose, .quiet = a->quiet});
    return cli_finish(convert(a));
}

static const cli_group groups[] = {
    {"Model", cli_model_options, offsetof(convert_args, model)}, {NULL, options, 0}, {0}};

const cli_command cli_cmd_convert = {
    .name = "convert",
    .summary = "write a model as a diffusers folder",
    .details = "Takes what generate takes: a folder of any generation or a checkpoint in one file, parts "
               "replaced. The result opens in "
               "onestep and in diffusers.",
    .groups = groups,
    .values_size = sizeof(convert_args),
    .run = run,
};
