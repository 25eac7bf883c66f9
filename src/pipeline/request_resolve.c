/* Which settings a run gets: what was asked for, else what the model's card says, checked against what the
 * model can do. */
#include "pipeline/request.h"

#include <stdio.h>
#include <string.h>

#include "diffusion/sampler.h"

enum { MAX_PIXELS = 8192 }; /* per side; bounds the arithmetic on sizes */

onestep_status ons_size_resolve(const ons_model *m, int *width, int *height)
{
    const int factor = ons_vae_factor(&m->vae_config), own = m->unet_config.sample_size * factor;

    if (*width == 0)
        *width = own;
    if (*height == 0)
        *height = own;
    if (*width < factor || *height < factor || *width > MAX_PIXELS || *height > MAX_PIXELS || *width % factor ||
        *height % factor)
        return ons_fail(
            ONESTEP_BAD_ARGUMENT,
            "%dx%d pixels: this model makes sizes whose sides are multiples of %d from %d to %d; it was "
            "trained for %dx%d",
            *width, *height, factor, factor, MAX_PIXELS / factor * factor, own, own);
    return ONESTEP_OK;
}

/* What the sampler's own grid gives way to; NULL: nothing. `single` is room for one. */
static const int *custom_timesteps(const ons_model *m, const ons_request *q, const ons_resolved *out,
                                   int *single)
{
    if (q->timesteps.n)
        return q->timesteps.values;
    if (out->steps != 1)
        return NULL;
    if (m->card.timestep >= 0)
        *single = m->card.timestep; /* the one timestep that a student was trained at */
    else if (strcmp(out->sampler, "lcm") != 0)
        *single = m->schedule.n - 1; /* "leading" spacing would start a single step at t = 1, from pure noise */
    else
        return NULL;
    return single;
}

/* Image to image takes the last strength x steps of them (diffusers' get_timesteps), but one at least: a
 * one-step model has no more. */
static void choose_first_step(const ons_request *q, ons_resolved *out)
{
    const int taken = (int)(out->steps * q->strength);

    out->first_step = out->steps - (taken < 1 ? 1 : taken < out->steps ? taken : out->steps);
}

/* A one-step student's guidance is built in. */
static double choose_guidance(const ons_model *m, const ons_request *q)
{
    const double asked = q->guidance < 0 ? m->card.guidance : q->guidance;

    return m->card.timestep >= 0 || asked == 0 ? 1 : asked;
}

/* About 16 pictures of 128x128 at a time: enough to fill the cores, small enough for memory. */
static int choose_batch(const ons_request *q, const ons_resolved *run)
{
    enum { MOST = 16 };
    const int n = ons_request_pictures(q);
    int64_t fit = (int64_t)MOST * 128 * 128 / ((int64_t)run->width * run->height);

    fit = fit < 1 ? 1 : fit > MOST ? MOST : fit;
    if (q->batch_size > 0)
        fit = q->batch_size;
    return fit < n || q->same_batch ? (int)fit : n;
}

onestep_status ons_request_resolve(const ons_model *m, const ons_request *q, ons_resolved *out)
{
    const int wanted = q->timesteps.n ? q->timesteps.n : q->steps;
    const int *custom;
    int single;
    onestep_status st;

    memset(out, 0, sizeof *out);
    out->width = q->width;
    out->height = q->height;
    ONS_TRY(ons_size_resolve(m, &out->width, &out->height));
    out->batch = choose_batch(q, out);
    out->steps = wanted > 0 ? wanted : m->card.steps;
    out->guidance = choose_guidance(m, q);
    snprintf(out->sampler, sizeof out->sampler, "%s", q->sampler ? q->sampler : m->card.sampler);
    if (wanted < 0 || out->steps < 1 || out->steps > m->schedule.n)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d steps: this model can do 1 to %d", out->steps, m->schedule.n);
    custom = custom_timesteps(m, q, out, &single);
    out->custom_timesteps = custom != NULL;
    /* Refuses unknown samplers and timesteps before anything is computed. */
    ONS_TRY(ons_sampler_check(out->sampler, &m->schedule, out->steps, custom, out->timesteps));
    if (q->init)
        choose_first_step(q, out);
    out->evaluations = ons_sampler_evaluations(out->sampler, out->steps, out->first_step);
fail:
    return st;
}
