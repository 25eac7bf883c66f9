/* Which settings a run gets: what was asked for, else what the model's card says, checked against what the
 * model can do. */
#include "pipeline/generate.h"

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
static const int *custom_timesteps(const ons_model *m, const ons_run_settings *s, const ons_resolved *out,
                                   int *single)
{
    if (s->timesteps)
        return s->timesteps;
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
static void choose_first_step(const ons_run_settings *s, ons_resolved *out)
{
    const int taken = (int)(out->steps * s->strength);

    out->first_step = out->steps - (taken < 1 ? 1 : taken < out->steps ? taken : out->steps);
}

onestep_status ons_run_resolve(const ons_model *m, const ons_run_settings *s, ons_resolved *out)
{
    const int *custom;
    int single;
    onestep_status st;

    memset(out, 0, sizeof *out);
    out->steps = s->steps > 0 ? s->steps : m->card.steps;
    out->guidance = s->guidance < 0 ? m->card.guidance : s->guidance;
    if (out->guidance == 0)
        out->guidance = 1;
    snprintf(out->sampler, sizeof out->sampler, "%s", s->sampler ? s->sampler : m->card.sampler);
    if (s->steps < 0 || out->steps < 1 || out->steps > m->schedule.n)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d steps: this model can do 1 to %d", out->steps, m->schedule.n);
    custom = custom_timesteps(m, s, out, &single);
    out->custom_timesteps = custom != NULL;
    /* Refuses unknown samplers and timesteps before anything is computed. */
    ONS_TRY(ons_sampler_check(out->sampler, &m->schedule, out->steps, custom, out->timesteps));
    if (s->strength > 0)
        choose_first_step(s, out);
    out->evaluations = ons_sampler_evaluations(out->sampler, out->steps, out->first_step);
fail:
    return st;
}
