/* Running in 8 bits as the command line asks for it: the CPU is checked, scales are found or measured. */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/model_options.h"
#include "pipeline/int8.h"

static bool show_picture(void *user, int done, int total)
{
    ons_progress *p = user;

    p->total = total; /* known only once the layers are */
    ons_progress_update(p, done, "%s", "");
    return !ons_interrupted();
}

onestep_status cli_calibrate(ons_model *m, const cli_calibration *c, ons_int8 **out)
{
    ons_progress progress;
    const ons_calibration o = {.width = c->width,
                               .height = c->height,
                               .compute = c->compute,
                               .steps = c->steps,
                               .count = c->count,
                               .keep_error = c->keep_error,
                               .keep = c->keep,
                               .progress = show_picture,
                               .user = &progress};
    onestep_status st;

    ons_progress_begin(&progress, "calibrate", "run", 0, c->count + 1);
    st = ons_int8_calibrate(m, &o, out);
    ons_progress_end(&progress);
    return st;
}

char *cli_scales_path(const char *model)
{
    const char *end = strstr(model, ".safetensors");

    if (end && !end[strlen(".safetensors")])
        return ons_format("%.*s.int8.json", (int)(end - model), model);
    return ons_path_join(model, "int8.json");
}

/* With a model of its own, so that what it packed in bf16 goes with it. */
static onestep_status measure_now(const cli_model *o, const cli_common *c, const char *path, ons_int8 **out)
{
    const cli_calibration calibration = {
        .compute = cli_compute(c), .count = 4, .keep_error = 0.1, .keep = 0.1}; /* as onestep calibrate */
    ons_model *m = NULL;
    onestep_status st;

    ons_warn(
        "%s is not there: the scales that int8 needs are measured first, as in every run until they are kept "
        "(onestep calibrate -m %s)",
        path, o->model);
    ONS_TRY(cli_open_model(o, &calibration.compute, &m));
    ONS_TRY(cli_calibrate(m, &calibration, out));
fail:
    ons_model_close(&m);
    return st;
}

static onestep_status obtain_scales(const cli_model *o, const cli_common *c, ons_int8 **out)
{
    char *path = c->int8_scales ? ons_strdup(c->int8_scales) : cli_scales_path(o->model);
    onestep_status st;

    if (!path)
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to look for scales");
    else if (c->int8_scales || ons_path_exists(path))
        st = ons_int8_load(path, out);
    else
        st = measure_now(o, c, path, out);
    if (st == ONESTEP_OK && !c->int8_scales && (o->loras.n || o->unet) && ons_path_exists(path))
        ons_warn("%s was measured without --lora and --unet; onestep calibrate with them and -o FILE makes "
                 "scales of "
                 "their own (--int8-scales FILE)",
                 path);
    ons_free(path);
    return st;
}

onestep_status cli_open_to_run(const cli_model *o, const cli_common *c, ons_model **out)
{
    ons_compute compute = cli_compute(c);
    ons_int8 *scales = NULL;
    onestep_status st;

    *out = NULL;
    ONS_TRY(ons_compute_resolve(&compute, &compute));
    if (compute.type == ONS_I8) {
        ONS_TRY(obtain_scales(o, c, &scales));
    } else if (c->int8_scales) {
        ons_warn("--int8-scales has no effect without --type int8");
    }
    ONS_TRY(cli_open_model(o, &compute, out));
    (*out)->int8 = scales;
    return ONESTEP_OK;
fail:
    ons_int8_destroy(&scales);
    return st;
}
