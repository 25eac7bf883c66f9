/* What evaluating adds to drawing: a progress line and a meter. */
#include "eval/draw.h"

#include <stdio.h>
#include <string.h>

#include "base/system.h"

enum { MIN_COARSE_S = 60 };

static void begin_stretch(ons_meter *m)
{
    m->begin_s = ons_now_s();
    m->begin_joules = m->energy ? ons_energy_joules(m->energy) : -1;
    if (!m->energy || !strcmp(m->source, ons_energy_source(m->energy)))
        return;
    m->joules = m->seconds = 0;
    m->pictures = 0;
    snprintf(m->source, sizeof m->source, "%s", ons_energy_source(m->energy));
}

static void end_stretch(ons_meter *m, long pictures)
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

onestep_status ons_drawer_init(ons_drawer *d, ons_model *m, const ons_request *settings,
                               const ons_compute *compute, ons_energy *energy)
{
    int height = 0;
    onestep_status st;

    memset(d, 0, sizeof *d);
    d->model = m;
    d->request = *settings;
    d->request.same_batch = true;
    d->compute = *compute;
    d->meter.energy = energy;
    ONS_TRY(ons_size_resolve(m, &d->side, &height));
    if (height != d->side)
        st = ons_fail(ONESTEP_UNSUPPORTED, "this model draws %dx%d, and evaluation compares square pictures",
                      d->side, height);
fail:
    return st;
}

static onestep_status show_picture(void *user, int i, const uint8_t *rgb)
{
    ons_drawer *d = user;

    (void)rgb;
    ons_progress_update(&d->progress, i + 1, "%s", "");
    return ONESTEP_OK;
}

onestep_status ons_drawer_draw(void *drawer, const char *const *captions, const uint64_t *seeds, int64_t n,
                               uint8_t *rgb)
{
    ons_drawer *d = drawer;
    ons_result r = {.rgb = rgb};
    ons_request q = d->request;
    onestep_status st;

    q.n = (int)n;
    q.prompts = captions;
    q.seeds = seeds;
    q.compute = &d->compute;
    q.picture = d->label ? show_picture : NULL;
    q.user = d;
    if (d->label)
        ons_progress_begin(&d->progress, d->label, "picture", 0, (long)n);
    begin_stretch(&d->meter);
    ONS_TRY(ons_draw(d->model, &q, &r));
    end_stretch(&d->meter, (long)n);
    d->last = r.stats;
    d->run_s += r.stats.total_s;
    d->pictures += (long)n;
fail:
    if (d->label)
        ons_progress_end(&d->progress);
    ons_result_fini(&r);
    return st;
}
