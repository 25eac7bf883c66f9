/*
 * What a network predicts, where no file says it. At the last timestep x_t is noise but for 7 % of its
 * amplitude, so a network that predicts the noise gives its input back, and one that predicts v = a eps - s x0
 * gives nearly minus the clean latent, which is unlike it.
 */
#include <math.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "pipeline/runner_impl.h"

enum { SIDE_PIXELS = 64 };
static const double LIKENESS = 0.5; /* of input and output: near 1 for noise, near 0 for v */

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static onestep_status measure(ons_model *m, ons_runner *r, double *likeness)
{
    const size_t n = ons_runner_latent_size(r), n_context = (size_t)(r->n_tokens * r->n_hidden);
    float *empty = ons_calloc(n_context, sizeof *empty);
    ons_plan *unet = NULL;
    onestep_status st;

    if (!empty)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to try its network", m->path);
    ONS_TRY(ons_runner_unet_plan(r, (ons_unet_key){.timestep = m->schedule.n - 1}, &unet));
    ons_randn(1, ONS_STREAM_NOISE, 0, r->input, n);
    ONS_TRY(ons_plan_write(unet, "x", 0, r->input, n));
    ONS_TRY(ons_plan_write(unet, "context", 0, empty, n_context));
    ONS_TRY(ons_plan_run(unet));
    ONS_TRY(ons_plan_read(unet, "eps", 0, r->output, n));
    *likeness = cosine(r->input, r->output, n);
fail:
    ons_free(empty);
    return st;
}

onestep_status ons_model_settle_prediction(ons_model *m, const ons_compute *c)
{
    const int factor = ons_vae_factor(&m->vae_config), side = SIDE_PIXELS / factor * factor;
    const ons_runner_options o = {.batch = 1,
                                  .width = side,
                                  .height = side,
                                  .compute = ons_compute_in(c, ons_compute_native_type(c)),
                                  .no_decoder = true};
    ons_runner *r = NULL;
    double likeness = 0;
    onestep_status st = ONESTEP_OK;

    if (m->prediction_stated)
        return ONESTEP_OK;
    ONS_TRY(ons_runner_create(m, &o, &r));
    ONS_TRY(measure(m, r, &likeness));
    m->schedule.prediction = likeness > LIKENESS ? ONS_PREDICT_EPSILON : ONS_PREDICT_V;
    m->prediction_stated = true;
    ons_info("%s: predicts %s (its output at the last timestep is %.0f %% like the noise it was given); "
             "--prediction overrides",
             m->path, likeness > LIKENESS ? "noise" : "v", 100 * likeness);
fail:
    ons_runner_destroy(&r);
    return st;
}
