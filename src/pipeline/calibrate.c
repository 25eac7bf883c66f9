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
#include "pipeline/generate.h"

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
    ons_runner *runner;
    ons_seen seen[2]; /* UNet, decoder */
    float *noise, *latent, *exact;
    uint8_t *rgb;
    int done, total; /* runs */
} calibration;

static void fini_runner(calibration *c)
{
    ons_runner_destroy(&c->runner);
    ons_free(c->noise);
    ons_free(c->latent);
    ons_free(c->exact);
    ons_free(c->rgb);
    c->noise = c->latent = c->exact = NULL;
    c->rgb = NULL;
}

static onestep_status create_runner(calibration *c, int width, int height)
{
    size_t size;
    ons_runner_options ro = {.batch = 1,
                             .width = width,
                             .height = height,
                             .compute = c->seen[0].compute,
                             .observe = ons_seen_observe,
                             .observe_unet = &c->seen[0],
                             .observe_decoder = &c->seen[1]};
    onestep_status st;

    ONS_TRY(ons_runner_create(c->model, &ro, &c->runner));
    size = (size_t)ons_runner_latent_size(c->runner);
    c->noise = ons_malloc(size * sizeof *c->noise);
    c->latent = ons_malloc(size * sizeof *c->latent);
    c->exact = ons_malloc(size * sizeof *c->exact);
    c->rgb = ons_malloc((size_t)width * (size_t)height * 3);
    if (!c->noise || !c->latent || !c->exact || !c->rgb)
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a picture of %dx%d", width, height);
fail:
    return st;
}

/* Picture i, or its latents alone, as the model is sampled or with one evaluation of the network. */
static onestep_status draw(calibration *c, int i, bool once, float *latent)
{
    const ons_run_settings s = {.guidance = once ? 1 : -1, .steps = once ? 1 : c->options->steps};
    const uint64_t seed = (uint64_t)i + 1;
    int64_t h, w, channels;
    onestep_status st;

    ons_runner_latent_shape(c->runner, &h, &w, &channels);
    ons_picture_noise(ONS_NOISE_PHILOX, seed, h, w, channels, c->noise);
    ONS_TRY(ons_runner_run(c->runner, &s, 1, &prompts[i % N_PROMPTS], NULL, c->noise, &seed, latent,
                           latent ? NULL : c->rgb));
    c->done++;
    if (c->options->progress && !c->options->progress(c->options->user, c->done, c->total))
        st = ons_fail(ONESTEP_INTERRUPTED, "stopped while calibrating");
fail:
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
    const int factor = ons_vae_factor(&c->model->vae_config), side = EFFECT_LATENTS * factor;
    ons_seen *unet = &c->seen[0];
    onestep_status st;

    fini_runner(c);
    ONS_TRY(create_runner(c, side, side));
    unet->mode = ONS_SEE_NOTHING;
    ONS_TRY(draw(c, 0, true, c->exact));
    unet->mode = ONS_PUT_8_BITS;
    for (int i = 0; i < unet->n; i++) {
        double sum = 0;

        unet->target = &unet->layers[i];
        ONS_TRY(draw(c, 0, true, c->latent));
        for (int k = 0; k < ons_runner_latent_size(c->runner); k++)
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
    int width = o->width, height = o->height;
    onestep_status st;

    *out = NULL;
    ONS_TRY(ons_compute_resolve(&compute, &compute));
    compute = ons_compute_in(&compute, ONS_BF16);
    ONS_TRY(ons_size_resolve(m, &width, &height));
    c.seen[0] = (ons_seen){.params = m->unet, .compute = compute};
    c.seen[1] = (ons_seen){.params = m->vae, .compute = compute};
    ONS_TRY(create_runner(&c, width, height));
    ONS_TRY(measure_ranges_and_errors(&c));
    if (o->keep > 0) {
        c.total += 1 + c.seen[0].n;
        ONS_TRY(measure_effects(&c));
    }
    ONS_TRY(finish(&c, out));
fail:
    fini_runner(&c);
    ons_seen_fini(&c.seen[0]);
    ons_seen_fini(&c.seen[1]);
    return st;
}
