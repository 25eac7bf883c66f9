/* The rows of a request, and what can be said about one without a model. */
#include "pipeline/request.h"

#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "diffusion/sampler.h"

const ons_field ons_request_fields[] = {
    {'p', "prompt", ONS_FIELD_TEXT, offsetof(ons_request, prompt), .help = "what to draw"},
    {'n', "negative", ONS_FIELD_TEXT, offsetof(ons_request, negative),
     .help = "what to keep away from; needs guidance", .synonym = "negative-prompt"},
    {'W', "width", ONS_FIELD_INT, offsetof(ons_request, width), .max = 8192,
     .help = "pixels; default the model's own, with -i the picture's"},
    {'H', "height", ONS_FIELD_INT, offsetof(ons_request, height), .max = 8192,
     .help = "pixels; default the model's own, with -i the picture's"},
    {'s', "seed", ONS_FIELD_SEED, offsetof(ons_request, seed), .preset = "-1",
     .help = "seed of the first picture, further ones count up; -1: random. Always printed"},
    {'b', "count", ONS_FIELD_INT, offsetof(ons_request, count), .min = 1, .max = 4096, .preset = "1",
     .help = "pictures per prompt", .synonym = "batch-count"},
    {0, "strength", ONS_FIELD_REAL, offsetof(ons_request, strength), .min = 0, .max = 1, .preset = "0.75",
     .help = "of image to image: the part of the steps that is taken; 1 keeps nothing of the picture"},
    {0, "steps", ONS_FIELD_INT, offsetof(ons_request, steps), .min = 1, .max = 1000,
     .help = "steps of the sampler; default the model's own"},
    {0, "timesteps", ONS_FIELD_LIST, offsetof(ons_request, timesteps), .max = 999,
     .help = "the very timesteps, descending, instead of --steps: 999,749,499,249"},
    {0, "cfg-scale", ONS_FIELD_REAL, offsetof(ons_request, guidance), .min = -1, .max = 100, .preset = "-1",
     .help = "guidance; 0 and 1 are off; -1: the model's own, off for a student", .synonym = "guidance-scale"},
    {0, "sampler", ONS_FIELD_TEXT, offsetof(ons_request, sampler), .unit = "NAME",
     .help = "of the diffusion process; default the model's own", .synonym = "sampling-method",
     .names = ons_sampler_names},
    {0, "rng", ONS_FIELD_CHOICE, offsetof(ons_request, noise), .choices = "philox|torch", .preset = "philox",
     .help = "starting noise; torch: what torch.randn gives for the seed on a CPU"},
    {0, "batch-size", ONS_FIELD_INT, offsetof(ons_request, batch_size), .max = 1024, .preset = "0",
     .help = "pictures computed together; 0: by size"},
    {0, "vae-tiling", ONS_FIELD_FLAG, offsetof(ons_request, tiling),
     .help = "decode tile by tile, whatever memory there is"},
    {0},
};

void ons_request_init(ons_request *q)
{
    const ons_field *wrong;
    char why[128];

    memset(q, 0, sizeof *q);
    if (!ons_fields_preset(ons_request_fields, q, &wrong, why, sizeof why))
        ons_warn("the default of %s does not parse: %s", wrong->name, why);
}

/* Zero where a row has no default: it was not asked for. */
static bool fits(const ons_field *f, const ons_request *q, char *why, size_t size)
{
    const void *at = (const char *)q + f->offset;
    const ons_int_list *list = at;
    const double value = f->type == ONS_FIELD_INT    ? *(const int *)at
                         : f->type == ONS_FIELD_REAL ? *(const double *)at
                                                     : 0;

    if (f->type == ONS_FIELD_LIST) {
        for (int i = 0; i < list->n; i++)
            if (!ons_field_fits(f, list->values[i], why, size))
                return false;
        return true;
    }
    if (f->type != ONS_FIELD_INT && f->type != ONS_FIELD_REAL)
        return true;
    return (value == 0 && !f->preset) || ons_field_fits(f, value, why, size);
}

static onestep_status check_lists(const ons_request *q)
{
    for (int i = 0; i < q->n; i++)
        if (!q->prompts[i] || (q->negatives && !q->negatives[i]))
            return ons_fail(ONESTEP_BAD_ARGUMENT, "picture %d has no %sprompt", i,
                            q->prompts[i] ? "negative " : "");
    return ONESTEP_OK;
}

onestep_status ons_request_check(const ons_request *q)
{
    char why[128];

    for (const ons_field *f = ons_request_fields; f->name; f++)
        if ((q->n == 0 || strcmp(f->name, "count") != 0) && !fits(f, q, why, sizeof why))
            return ons_fail(ONESTEP_BAD_ARGUMENT, "%s %s", f->name, why);
    if (q->n < 0 || (q->n == 0 ? !q->prompt : !q->prompts))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "nothing to draw: a prompt is missing");
    if (q->noise < ONS_NOISE_PHILOX || q->noise > ONS_NOISE_TORCH)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "starting noise %d: 0 (philox) and 1 (torch) are possible",
                        q->noise);
    if (q->timesteps.n && q->steps && q->steps != q->timesteps.n)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d steps and %d timesteps contradict each other", q->steps,
                        q->timesteps.n);
    if (q->init && !(q->strength > 0))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a strength of 0 would take no step");
    return check_lists(q);
}

int ons_request_pictures(const ons_request *q)
{
    return q->n ? q->n : q->count;
}

const char *ons_request_prompt(const ons_request *q, int i)
{
    return q->n ? q->prompts[i] : q->prompt;
}

const char *ons_request_negative(const ons_request *q, int i)
{
    if (q->n && q->negatives)
        return q->negatives[i];
    return q->negative ? q->negative : "";
}
