/* onestep convert: any model that opens, written as a diffusers folder; weights packed for this machine, beside
 * it or beside what is there. */
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "pipeline/packed.h"

typedef struct convert_args {
    cli_model model;
    const char *output;
    int stored;
    bool packed;
    int width, height;
    cli_common common; /* of `packed`: threads and arithmetic */
} convert_args;

static const ons_field options[] = {
    {'o', "output", ONS_FIELD_TEXT, offsetof(convert_args, output), .unit = "DIR",
     .help = "folder for the result; must be absent or empty"},
    {0, "type", ONS_FIELD_CHOICE, offsetof(convert_args, stored), .choices = "same|f32|f16|bf16",
     .preset = "same",
     .help = "precision of the stored weights; same: the one in which the UNet is stored now"},
    {'v', "verbose", ONS_FIELD_FLAG, offsetof(convert_args, common.verbose), .help = "say more"},
    {'q', "quiet", ONS_FIELD_FLAG, offsetof(convert_args, common.quiet), .help = "errors only"},
    {0},
};

static const ons_field packing[] = {
    {0, "packed", ONS_FIELD_FLAG, offsetof(convert_args, packed),
     .help = "keep the weights as this machine's kernels want them too, in packed.safetensors: every start is "
             "faster. Without -o beside the model -m itself, which is left as it is"},
    {0, "packed-type", ONS_FIELD_CHOICE, offsetof(convert_args, common.type), .choices = "auto|f32|bf16|int8",
     .preset = "auto",
     .help = "arithmetic that they are for; auto: f32 or bf16, the faster one that the CPU has natively"},
    {'t', "threads", ONS_FIELD_INT, offsetof(convert_args, common.n_threads), .max = 1024,
     .help = "compute threads that they are for; 0: one per physical core", .preset = "0"},
    {'W', "width", ONS_FIELD_INT, offsetof(convert_args, width), .max = 8192,
     .help = "size of the pictures that they are for; default the model's own"},
    {'H', "height", ONS_FIELD_INT, offsetof(convert_args, height), .max = 8192,
     .help = "size of the pictures that they are for; default the model's own"},
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
    const ons_compute asked = cli_compute(&a->common), /* --packed-type is no matter here */
        compute = ons_compute_in(&asked, ons_compute_native_type(&asked));
    ons_model *m = NULL;
    ons_dtype type;
    onestep_status st;

    ONS_TRY(check_output(a->output));
    ONS_TRY(cli_open_model(&a->model, &compute, &m));
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

/* Of the model as -m names it, or of the folder that was made of it. */
static onestep_status pack(const convert_args *a)
{
    const cli_model made = {.model = a->output};
    const ons_runner_options o = {
        .batch = 1, .width = a->width, .height = a->height, .compute = cli_compute(&a->common)};
    cli_model source = a->output ? made : a->model;
    ons_model *m = NULL;
    char *path = NULL;
    size_t bytes;
    onestep_status st;

    source.no_packed = true;
    ONS_TRY(cli_open_to_run(&source, &a->common, &m));
    ONS_TRY(ons_model_write_packed(m, &o, &path, &bytes));
    ons_info("%s: %.0f MB of weights packed for %s on this machine", path, (double)bytes / 1e6,
             ons_dtype_name(o.compute.type));
fail:
    ons_free(path);
    ons_model_close(&m);
    return st;
}

static onestep_status work(const convert_args *a)
{
    onestep_status st = ONESTEP_OK;

    if (a->output)
        ONS_TRY(convert(a));
    if (a->packed)
        ONS_TRY(pack(a));
fail:
    return st;
}

/* Beside a model stand packed copies of its own weights and of no others. */
static int check_arguments(const cli_call *call)
{
    static const char *const changes[] = {"unet", "vae", "taesd", "lora", "type"};
    static const char *const of_packing[] = {"packed-type", "threads", "width", "height"};
    const convert_args *a = call->values;

    if (!a->output && !a->packed)
        return cli_usage(call->command, "nowhere to write to: -o DIR, or --packed alone, is missing");
    for (size_t i = 0; !a->output && i < sizeof changes / sizeof *changes; i++)
        if (cli_given(call, changes[i]))
            return cli_usage(call->command, "--%s makes another model: give -o DIR as well", changes[i]);
    for (size_t i = 0; !a->packed && i < sizeof of_packing / sizeof *of_packing; i++)
        if (cli_given(call, of_packing[i]))
            ons_warn("--%s has no effect without --packed", of_packing[i]);
    return 0;
}

static int run(const cli_call *call)
{
    const convert_args *a = call->values;
    const int code = check_arguments(call);

    if (code)
        return code;
    cli_apply_common(&a->common);
    return cli_finish(work(a));
}

static const cli_group groups[] = {
    {.title = "Model", .options = cli_model_options, .offset = offsetof(convert_args, model)},
    {.options = options},
    {.title = "Packed weights", .options = packing},
    {0}};

const cli_command cli_cmd_convert = {
    .name = "convert",
    .summary = "write a model as a diffusers folder, or pack its weights for this machine",
    .details = "Takes what generate takes: a folder of any generation or a checkpoint in one file, parts "
               "replaced. The result opens in "
               "onestep and in diffusers. Packed weights are used by every command that opens the model, on "
               "this CPU and with this version of oneDNN, until a file of the model is written again; "
               "convert --packed makes them anew.",
    .groups = groups,
    .values_size = sizeof(convert_args),
    .run = run,
};
