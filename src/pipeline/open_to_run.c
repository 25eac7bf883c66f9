/*
 * Opening a model that will be run: what its network predicts is settled, and in 8 bits its scales come along,
 * measured now where nobody has kept any.
 */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "base/text.h"
#include "pipeline/int8.h"

char *ons_int8_path(const char *model)
{
    static const char ending[] = ".safetensors";

    if (ons_ends_with(model, ending))
        return ons_format("%.*s.int8.json", (int)ons_length_without(model, ending), model);
    return ons_path_join(model, "int8.json");
}

static bool show_run(void *user, int done, int total)
{
    ons_progress *p = user;

    p->total = total; /* known only once the layers are */
    ons_progress_update(p, done, "%s", "");
    return !ons_interrupted();
}

onestep_status ons_int8_calibrate_shown(ons_model *m, const ons_calibration *o, ons_int8 **out)
{
    ons_progress progress;
    ons_calibration shown = *o;
    onestep_status st;

    shown.progress = show_run;
    shown.user = &progress;
    ons_progress_begin(&progress, "calibrate", "run", 0, o->count + 1);
    st = ons_int8_calibrate(m, &shown, out);
    ons_progress_end(&progress);
    return st;
}

/* With a model of its own, so that what it packed in bf16 goes with it. */
static onestep_status measure_now(const ons_model_sources *s, const ons_compute *c, const char *path,
                                  ons_int8 **out)
{
    const ons_calibration calibration = {
        .compute = *c, .count = 4, .keep_error = 0.1, .keep = 0.1}; /* as onestep calibrate */
    const ons_compute bf16 = ons_compute_in(c, ONS_BF16);
    ons_model *m = NULL;
    onestep_status st;

    ons_warn(
        "%s is not there: the scales that int8 needs are measured first, as in every run until they are kept "
        "(onestep calibrate -m %s)",
        path, s->model);
    ONS_TRY(ons_model_open_to_run(s, &bf16, &m));
    ONS_TRY(ons_int8_calibrate_shown(m, &calibration, out));
fail:
    ons_model_close(&m);
    return st;
}

static onestep_status obtain_scales(const ons_model_sources *s, const ons_compute *c, ons_int8 **out)
{
    char *path = s->int8_scales ? ons_strdup(s->int8_scales) : ons_int8_path(s->model);
    onestep_status st;

    if (!path)
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to look for scales");
    else if (s->int8_scales || ons_path_exists(path))
        st = ons_int8_load(path, out);
    else
        st = measure_now(s, c, path, out);
    if (st == ONESTEP_OK && !s->int8_scales && (s->n_loras || s->unet) && ons_path_exists(path))
        ons_warn("%s was measured without --lora and --unet; onestep calibrate with them and -o FILE makes "
                 "scales of their own (--int8-scales FILE)",
                 path);
    ons_free(path);
    return st;
}

onestep_status ons_model_open_to_run(const ons_model_sources *s, const ons_compute *c, ons_model **out)
{
    ons_compute compute;
    ons_int8 *scales = NULL;
    onestep_status st;

    *out = NULL;
    ONS_TRY(ons_compute_resolve(c, &compute));
    if (compute.type == ONS_I8)
        ONS_TRY(obtain_scales(s, &compute, &scales));
    ONS_TRY(ons_model_assemble(s, out));
    (*out)->int8 = scales;
    scales = NULL;
    (*out)->compute = compute;
    ONS_TRY(ons_model_settle_prediction(*out, &compute));
    return ONESTEP_OK;
fail:
    ons_int8_destroy(&scales);
    ons_model_close(out);
    return st;
}
