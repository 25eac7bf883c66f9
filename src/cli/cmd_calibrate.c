/* onestep calibrate: measures the scales that --type int8 needs and keeps them with the model. */
#include "base/log.h"
#include "base/memory.h"
#include "cli/commands.h"
#include "cli/model_options.h"
#include "pipeline/int8.h"

typedef struct calibrate_args {
    cli_model model;
    const char *output;
    int width, height, steps, count;
    double keep_error, keep;
    cli_common common; /* threads and verbosity */
} calibrate_args;

static const ons_field options[] = {
    {'o', "output", ONS_FIELD_TEXT, offsetof(calibrate_args, output), .unit = "FILE",
     .help = "where to write; default int8.json in the model folder, MODEL.int8.json beside a single file, "
             "where --type "
             "int8 looks. Scales of another decoder that are there stay"},
    {0, "steps", ONS_FIELD_INT, offsetof(calibrate_args, steps), .min = 1, .max = 1000,
     .help = "steps of the sampler, at whose timesteps ranges are taken; default the model's own"},
    {0, "count", ONS_FIELD_INT, offsetof(calibrate_args, count), .min = 1, .max = 1000, .preset = "4",
     .help = "pictures whose ranges are taken; one more measures errors"},
    {0, "keep", ONS_FIELD_REAL, offsetof(calibrate_args, keep), .min = 0, .max = 1, .preset = "0.1",
     .help = "part of the UNet's work that stays bf16, in the layers where 8 bits spoil the picture most; 0 "
             "spares finding "
             "them, which takes one small run per layer"},
    {0, "keep-error", ONS_FIELD_REAL, offsetof(calibrate_args, keep_error), .min = 0, .max = 10,
     .preset = "0.1", .help = "layers whose result changes by more than this part of itself stay bf16"},
    {'W', "width", ONS_FIELD_INT, offsetof(calibrate_args, width), .max = 8192,
     .help = "pixels; default the model's own; the scales serve all sizes"},
    {'H', "height", ONS_FIELD_INT, offsetof(calibrate_args, height), .max = 8192,
     .help = "pixels; default the model's own"},
    {'t', "threads", ONS_FIELD_INT, offsetof(calibrate_args, common.n_threads), .max = 1024,
     .help = "compute threads; 0: one per physical core", .preset = "0"},
    {'v', "verbose", ONS_FIELD_FLAG, offsetof(calibrate_args, common.verbose),
     .help = "list every layer with its error"},
    {'q', "quiet", ONS_FIELD_FLAG, offsetof(calibrate_args, common.quiet), .help = "errors only"},
    {0},
};

static void tell(const ons_int8 *s, const char *path)
{
    for (int p = 0; p < ONS_INT8_PARTS; p++) {
        const ons_int8_network *net = &s->parts[p];
        int kept = 0;

        for (int i = 0; i < net->n; i++) {
            kept += net->layers[i].keep;
            ons_verbose("%-12s %-64s scale %-10.4g zero %-4d error %.4f%s", ons_int8_part_names[p],
                        net->layers[i].layer, net->layers[i].scale, net->layers[i].zero, net->layers[i].error,
                        net->layers[i].keep ? " (kept in bf16)" : "");
        }
        if (net->known)
            ons_info("%s: %d layers of the %s, %d of them kept in bf16", path, net->n, ons_int8_part_names[p],
                     kept);
    }
}

static onestep_status calibrate(const calibrate_args *a)
{
    const ons_calibration c = {.width = a->width,
                               .height = a->height,
                               .compute = cli_compute(&a->common),
                               .steps = a->steps,
                               .count = a->count,
                               .keep_error = a->keep_error,
                               .keep = a->keep};
    char *path = a->output ? ons_strdup(a->output) : ons_int8_path(a->model.model);
    ons_model *m = NULL;
    ons_int8 *s = NULL;
    onestep_status st;

    if (!path) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a file name");
        goto fail;
    }
    ONS_TRY(cli_open_model(&a->model, &c.compute, &m));
    ONS_TRY(ons_int8_calibrate_shown(m, &c, &s));
    ONS_TRY(ons_int8_save(s, path));
    tell(s, path);
fail:
    ons_int8_destroy(&s);
    ons_model_close(&m);
    ons_free(path);
    return st;
}

static int run(const cli_call *call)
{
    const calibrate_args *a = call->values;

    cli_apply_common(&a->common);
    return cli_finish(calibrate(a));
}

static const cli_group groups[] = {
    {.title = "Model", .options = cli_model_options, .offset = offsetof(calibrate_args, model)},
    {.options = options},
    {0}};

const cli_command cli_cmd_calibrate = {
    .name = "calibrate",
    .summary = "measure the scales that --type int8 needs",
    .details =
        "Draws a few pictures in bf16 with the model's own settings and notes the range of what every layer "
        "reads, then what each layer loses in 8 bits. Weights are not changed; the file that results is small "
        "and can be read and edited.",
    .groups = groups,
    .values_size = sizeof(calibrate_args),
    .run = run,
};
