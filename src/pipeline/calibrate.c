/*
 * Calibrating: pictures of everyday prompts are drawn in bf16 with the model's own settings, so that the ranges
 * are those of the timesteps at which it is sampled; one more picture measures what each layer loses in 8 bits,
 * and the layers that lose most stay bf16.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "pipeline/calibrate_impl.h"
#include "pipeline/draw.h"

static const char *const prompts[] = {
    "a photograph of a red fox in the snow",           "portrait of an old man with a beard, oil painting",
    "a city street at night in the rain, neon lights", "a bowl of fruit on a wooden table",
    "mountains and a lake in the morning, wide angle", "cartoon drawing of a happy robot, white background",
    "close-up of a flower with drops of water",        "a cat",
};
enum { N_PROMPTS = sizeof prompts / sizeof *prompts, EFFECT_LATENTS = 16 };

typedef struct calibration {
    ons_model *model;
    const ons_calibration *options;
    ons_compute compute;
    int width, height;
    ons_seen seen[2];      /* UNet, decoder */
    float *latent, *exact; /* of the small pictures that effects are measured on */
    int done, total;       /* runs */
} calibration;

/* Picture i as the model is sampled, or with one evaluation of the network; its latents alone into `latent`. */
static onestep_status draw(calibration *c, int i, bool once, float *latent)
{
    ons_result r = {.latents = latent};
    ons_request q;
    onestep_status st;

    ons_request_init(&q);
    q.prompt = prompts[i % N_PROMPTS];
    q.seed = (ons_seed){.value = (uint64_t)i + 1};
    q.width = c->width;
    q.height = c->height;
    q.steps = once ? 1 : c->options->steps;
    q.guidance = once ? 1 : -1;
    q.latents_only = latent != NULL;
    q.compute = &c->compute;
    q.observe = ons_seen_observe;
    q.observe_unet = &c->seen[0];
    q.observe_decoder = &c->seen[1];
    ONS_TRY(ons_draw(c->model, &q, &r));
    c->done++;
    if (c->options->progress && !c->options->progress(c->options->user, c->done, c->total))
        st = ons_fail(ONESTEP_INTERRUPTED, "stopped while calibrating");
fail:
    ons_result_fini(&r);
    return st;
}

static onestep_status measure_ranges_and_errors(calibration *c)
{
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < c->options->count; i++)
        ONS_TRY(draw(c, i, false, NULL));
    for (int i = 0; i < 2; i++) {
        ons_seen_choose_scales(&c->seen[i]);
        c->seen[i].mode = ONS_SEE_ERRORS;
    }
    ONS_TRY(draw(c, c->options->count, true, NULL));
fail:
    return st;
}

/*
 * What a layer's error does to the latents differs by orders of magnitude between layers: one run for each,
 * with all others in bf16. On small pictures, since only the order matters.
 */
static onestep_status measure_effects(calibration *c)
{
    const size_t n = (size_t)EFFECT_LATENTS * EFFECT_LATENTS * (size_t)c->model->vae_config.latent_channels;
    ons_seen *unet = &c->seen[0];
    onestep_status st;

    ons_draw_forget(c->model); /* plans of the large pictures have served */
    c->width = c->height = EFFECT_LATENTS * ons_vae_factor(&c->model->vae_config);
    c->latent = ons_malloc(n * sizeof *c->latent);
    c->exact = ons_malloc(n * sizeof *c->exact);
    if (!c->latent || !c->exact)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for latents of %dx%d", EFFECT_LATENTS, EFFECT_LATENTS);
    unet->mode = ONS_SEE_NOTHING;
    ONS_TRY(draw(c, 0, true, c->exact));
    unet->mode = ONS_PUT_8_BITS;
    for (int i = 0; i < unet->n; i++) {
        double sum = 0;

        unet->target = &unet->layers[i];
        ONS_TRY(draw(c, 0, true, c->latent));
        for (size_t k = 0; k < n; k++)
            sum += ((double)c->latent[k] - c->exact[k]) * ((double)c->latent[k] - c->exact[k]);
        unet->layers[i].effect = sum;
    }
fail:
    return st;
}

/* Squared errors of layers add up, so that those go first that err most for the time they save. */
static void keep_best(ons_int8_network *net, const ons_seen *seen, double part)
{
    double total = 0, kept = 0;

    for (int i = 0; i < seen->n; i++)
        total += seen->layers[i].flops;
    for (;;) {
        int best = -1;

        for (int i = 0; i < seen->n; i++) {
            const ons_seen_layer *l = &seen->layers[i];

            if (net->layers[i].keep || kept + l->flops > part * total)
                continue;
            if (best < 0 || l->effect * seen->layers[best].flops > seen->layers[best].effect * l->flops)
                best = i;
        }
        if (best < 0)
            return;
        net->layers[best].keep = true;
        kept += seen->layers[best].flops;
    }
}

static onestep_status take_over(ons_int8_network *net, const ons_seen *seen, double keep_error)
{
    net->known = true;
    net->layers = ons_calloc((size_t)seen->n + 1, sizeof *net->layers);
    if (!net->layers)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the scales of %d layers", seen->n);
    for (int i = 0; i < seen->n; i++) {
        const ons_seen_layer *from = &seen->layers[i];
        ons_int8_layer *to = &net->layers[i];

        *to = (ons_int8_layer){
            .layer = ons_strdup(from->layer), .scale = from->scale, .zero = from->zero, .error = -1};
        if (!to->layer)
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for the scales of %d layers", seen->n);
        net->n++;
        if (from->result_sum > 0)
            to->error = sqrt(from->error_sum / from->result_sum);
        to->keep = to->error > keep_error;
    }
    return ONESTEP_OK;
}

static onestep_status finish(const calibration *c, ons_int8 **out)
{
    ons_int8 *s = ons_calloc(1, sizeof *s);
    onestep_status st;

    if (!s || !(s->source = ons_strdup("the scales just measured"))) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for scales");
        goto fail;
    }
    ONS_TRY(take_over(&s->parts[ONS_INT8_UNET], &c->seen[0], c->options->keep_error));
    keep_best(&s->parts[ONS_INT8_UNET], &c->seen[0], c->options->keep);
    ONS_TRY(take_over(&s->parts[ons_int8_decoder_of(c->model)], &c->seen[1], c->options->keep_error));
    ONS_TRY(ons_int8_settle(s));
    *out = s;
    return ONESTEP_OK;
fail:
    ons_int8_destroy(&s);
    return st;
}

onestep_status ons_int8_calibrate(ons_model *m, const ons_calibration *o, ons_int8 **out)
{
    calibration c = {.model = m, .options = o, .total = o->count + 1};
    ons_compute compute = ons_compute_in(&o->compute, ONS_I8);
    onestep_status st;

    *out = NULL;
    ONS_TRY(ons_compute_resolve(&compute, &compute));
    compute = ons_compute_in(&compute, ONS_BF16);
    c.compute = compute;
    c.width = o->width;
    c.height = o->height;
    ONS_TRY(ons_size_resolve(m, &c.width, &c.height));
    c.seen[0] = (ons_seen){.params = m->unet, .compute = compute};
    c.seen[1] = (ons_seen){.params = m->vae, .compute = compute};
    ONS_TRY(measure_ranges_and_errors(&c));
    if (o->keep > 0) {
        c.total += 1 + c.seen[0].n;
        ONS_TRY(measure_effects(&c));
    }
    ONS_TRY(finish(&c, out));
fail:
    ons_draw_forget(m); /* they know of what looked at them */
    ons_free(c.latent);
    ons_free(c.exact);
    ons_seen_fini(&c.seen[0]);
    ons_seen_fini(&c.seen[1]);
    return st;
}
