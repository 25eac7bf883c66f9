/* Drawing in batches. The last batch is as short as it must be: a runner takes fewer pictures than it was made
 * for. */
#include "eval/draw.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"

enum { MIN_COARSE_S = 60 };

void ons_meter_begin(ons_meter *m)
{
    m->begin_s = ons_now_s();
    m->begin_joules = m->energy ? ons_energy_joules(m->energy) : -1;
    if (!m->energy || !strcmp(m->source, ons_energy_source(m->energy)))
        return;
    m->joules = m->seconds = 0;
    m->pictures = 0;
    snprintf(m->source, sizeof m->source, "%s", ons_energy_source(m->energy));
}

void ons_meter_end(ons_meter *m, long pictures)
{
    double joules = m->energy ? ons_energy_joules(m->energy) : -1;

    if (m->begin_joules < 0 || joules < 0 || strcmp(m->source, ons_energy_source(m->energy)))
        return;
    m->joules += joules - m->begin_joules;
    m->seconds += ons_now_s() - m->begin_s;
    m->pictures += pictures;
}

double ons_meter_joules_per_picture(const ons_meter *m)
{
    if (!m->energy || m->pictures < 1)
        return -1;
    if (!ons_energy_is_fine_grained(m->energy) && m->seconds < MIN_COARSE_S)
        return -1;
    return m->joules / (double)m->pictures;
}

onestep_status ons_drawer_init(ons_drawer *d, ons_model *m, const ons_run_settings *settings, int batch,
                               const ons_compute *c, ons_energy *energy)
{
    onestep_status st;
    int height = 0;
    ons_runner_options o = {.batch = batch, .compute = *c};

    memset(d, 0, sizeof *d);
    d->model = m;
    d->settings = *settings;
    d->batch = batch;
    d->meter.energy = energy;
    ONS_TRY(ons_size_resolve(m, &d->side, &height));
    if (height != d->side) {
        st = ons_fail(ONESTEP_UNSUPPORTED, "this model draws %dx%d, and evaluation compares square pictures",
                      d->side, height);
        goto fail;
    }
    ONS_TRY(ons_runner_create(m, &o, &d->runner));
    d->noise = ons_malloc((size_t)batch * (size_t)ons_runner_latent_size(d->runner) * sizeof *d->noise);
    if (!d->noise)
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the noise of %d pictures", batch);
fail:
    if (st != ONESTEP_OK)
        ons_drawer_fini(d);
    return st;
}

void ons_drawer_fini(ons_drawer *d)
{
    ons_runner_destroy(&d->runner);
    ons_free(d->noise);
    d->noise = NULL;
}

static onestep_status draw_batch(ons_drawer *d, const char *const *captions, const uint64_t *seeds, int n,
                                 uint8_t *rgb)
{
    onestep_status st;
    int64_t h, w, c;
    size_t latent = (size_t)ons_runner_latent_size(d->runner);

    ons_runner_latent_shape(d->runner, &h, &w, &c);
    for (int i = 0; i < n; i++)
        ons_picture_noise(d->settings.noise, seeds[i], h, w, c, d->noise + (size_t)i * latent);
    ONS_TRY(ons_runner_run(d->runner, &d->settings, n, captions, NULL, d->noise, seeds, NULL, rgb));
    d->run_s += ons_runner_stats(d->runner).total_s;
    d->pictures += n;
fail:
    return st;
}

onestep_status ons_drawer_draw(void *drawer, const char *const *captions, const uint64_t *seeds, int64_t n,
                               uint8_t *rgb)
{
    ons_drawer *d = drawer;
    onestep_status st = ONESTEP_OK;
    size_t picture = (size_t)d->side * (size_t)d->side * 3;
    ons_progress progress;

    if (d->label)
        ons_progress_begin(&progress, d->label, "picture", 0, (long)n);
    for (int64_t at = 0; at < n; at += d->batch) {
        int k = n - at < d->batch ? (int)(n - at) : d->batch;

        if (ons_interrupted()) {
            st = ons_fail(ONESTEP_INTERRUPTED, "interrupted while drawing");
            goto fail;
        }
        ons_meter_begin(&d->meter);
        ONS_TRY(draw_batch(d, captions + at, seeds + at, k, rgb + (size_t)at * picture));
        ons_meter_end(&d->meter, k);
        if (d->label)
            ons_progress_update(&progress, (long)(at + k), "%s", "");
    }
fail:
    if (d->label)
        ons_progress_end(&progress);
    return st;
}
