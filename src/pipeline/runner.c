/*
 * The runner: prompts and noise in, latents and pixels out. It owns the plans and the buffers between sampler
 * and network; the sampler owns the state of a run. A run of fewer pictures than the batch leaves the other
 * rows as they were and ignores what comes out.
 */
#include "pipeline/runner_impl.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "base/system.h"
#include "pipeline/int8.h"

/* Relatives of Stable Diffusion whose UNet reads more than the latent. */
static const char *name_purpose(int in_channels)
{
    switch (in_channels) {
    case 5:
        return " (a model that also reads depth)";
    case 7:
        return " (an upscaler)";
    case 8:
        return " (a model that edits a picture by instruction)";
    case 9:
        return " (a model for inpainting)";
    default:
        return "";
    }
}

static onestep_status check_model(const ons_model *m)
{
    const int c = m->vae_config.latent_channels;

    if (m->unet_config.in_channels != c || m->unet_config.out_channels != c)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: the UNet has %d input and %d output channels, the latent has %d; they must be equal%s",
            m->path, m->unet_config.in_channels, m->unet_config.out_channels, c,
            name_purpose(m->unet_config.in_channels));
    if (ons_tokenizer_context(m->tokenizer) > m->clip_config.max_position_embeddings)
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: the tokenizer gives %d tokens, the text encoder takes at most %d", m->path,
                        ons_tokenizer_context(m->tokenizer), m->clip_config.max_position_embeddings);
    return ONESTEP_OK;
}

static onestep_status check_scales(const ons_runner *r)
{
    if (r->options.compute.type != ONS_I8)
        return ONESTEP_OK;
    if (!r->model->int8)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: int8 needs scales (onestep calibrate)", r->model->path);
    return ons_int8_check(r->model->int8, r->model);
}

static onestep_status allocate_buffers(ons_runner *r)
{
    uint64_t n = (uint64_t)(r->h * r->w * r->c);

    if (!ons_mul_u64(n, (uint64_t)r->options.batch, &n) || !(r->input = ons_calloc(n, sizeof(float))) ||
        !(r->output = ons_calloc(n, sizeof(float))))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d latents of %dx%d; take a smaller batch",
                        r->options.batch, (int)r->w, (int)r->h);
    return ONESTEP_OK;
}

onestep_status ons_runner_create(ons_model *m, const ons_runner_options *o, ons_runner **out)
{
    ons_runner *r = ons_calloc(1, sizeof *r);
    onestep_status st;

    *out = NULL;
    if (!r)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a runner");
    r->model = m;
    r->options = *o;
    ONS_TRY(check_model(m));
    ONS_TRY(ons_compute_resolve(&o->compute, &r->options.compute));
    ONS_TRY(check_scales(r));
    ONS_TRY(ons_size_resolve(m, &r->options.width, &r->options.height));
    if (o->batch < 1 || o->batch > 65536) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT, "a batch of %d pictures: 1 to 65536 are possible", o->batch);
        goto fail;
    }
    r->h = r->options.height / ons_vae_factor(&m->vae_config);
    r->w = r->options.width / ons_vae_factor(&m->vae_config);
    r->c = m->vae_config.latent_channels;
    r->n_tokens = ons_tokenizer_context(m->tokenizer);
    r->n_hidden = m->clip_config.hidden_size;
    ONS_TRY(allocate_buffers(r));
    *out = r;
    return ONESTEP_OK;
fail:
    ons_runner_destroy(&r);
    return st;
}

void ons_runner_destroy(ons_runner **runner)
{
    ons_runner *r = runner ? *runner : NULL;

    if (!r)
        return;
    ons_plan_destroy(&r->text);
    ons_plan_destroy(&r->decoder);
    for (int i = 0; i < r->n_unet; i++)
        ons_plan_destroy(&r->unet[i].plan);
    ons_free(r->encoded);
    ons_free(r->input);
    ons_free(r->output);
    ons_free(r);
    *runner = NULL;
}

size_t ons_runner_latent_size(const ons_runner *r)
{
    return (size_t)(r->h * r->w * r->c);
}

void ons_runner_latent_shape(const ons_runner *r, int64_t *h, int64_t *w, int64_t *c)
{
    *h = r->h;
    *w = r->w;
    *c = r->c;
}

ons_run_stats ons_runner_stats(const ons_runner *r)
{
    return r->stats;
}

ons_runner_plans ons_runner_get_plans(const ons_runner *r)
{
    return (ons_runner_plans){r->text, r->last_unet, r->decoder};
}

static size_t held_bytes(const ons_runner *r)
{
    size_t bytes = 0;

    if (r->text)
        bytes += ons_plan_peak_bytes(r->text);
    if (r->decoder)
        bytes += ons_plan_peak_bytes(r->decoder);
    for (int i = 0; i < r->n_unet; i++)
        bytes += ons_plan_peak_bytes(r->unet[i].plan);
    return bytes;
}

size_t ons_runner_peak_bytes(const ons_runner *r)
{
    const size_t held = held_bytes(r);

    return held > r->most_held ? held : r->most_held;
}

onestep_status ons_runner_run_plan(const ons_runner *r, ons_plan *p)
{
    ons_plan_set_stop(p, r->stop);
    return ons_plan_run(p);
}

/* Contexts of the run into the plan: conditional rows first, then the negatives where guidance needs them. */
static onestep_status set_contexts(ons_runner *r, ons_plan *unet, bool guided, const ons_batch *b)
{
    const size_t size = (size_t)(r->n_tokens * r->n_hidden);
    const double start_s = ons_now_s();
    onestep_status st;

    ons_runner_begin_prompts(r);
    ONS_TRY(ons_runner_encode(r, b->n, b->prompts));
    if (guided)
        ONS_TRY(ons_runner_encode(r, b->n, b->negatives));
    for (int i = 0; i < b->n; i++) {
        ONS_TRY(ons_plan_write(unet, "context", (size_t)i * size, ons_runner_context(r, b->prompts[i]), size));
        if (guided)
            ONS_TRY(ons_plan_write(unet, "context", (size_t)(r->options.batch + i) * size,
                                   ons_runner_context(r, b->negatives[i]), size));
    }
    r->stats.text_s += ons_now_s() - start_s;
    return ONESTEP_OK;
fail:
    return st;
}

/* Fresh noise of the stochastic samplers: picture i draws its own, so that it does not depend on its
 * neighbours. */
typedef struct noise_source {
    const ons_runner *r;
    const uint64_t *seeds;
    ons_noise_kind kind;
    int n, draw;    /* pictures; draws so far */
    float *scratch; /* torch: one draw in its own element order, [latent] */
} noise_source;

static void draw_fresh_noise(void *user, float *dst, size_t n_values)
{
    noise_source *source = user;
    const size_t size = n_values / (size_t)source->n;
    const ons_runner *r = source->r;

    source->draw++;
    for (int i = 0; i < source->n; i++) {
        if (source->kind == ONS_NOISE_PHILOX) {
            ons_randn(source->seeds[i], ONS_STREAM_NOISE + (uint64_t)source->draw, 0, dst + (size_t)i * size,
                      size);
            continue;
        }
        ons_torch_randn(source->seeds[i], source->draw, source->scratch, size);
        ons_nchw_to_nhwc(dst + (size_t)i * size, source->scratch, 1, r->c, r->h, r->w);
    }
}

static onestep_status prepare_torch_noise(noise_source *source, int n_steps)
{
    const size_t size = ons_runner_latent_size(source->r);

    if (source->kind != ONS_NOISE_TORCH || n_steps == 1)
        return ONESTEP_OK;
    source->scratch = ons_malloc(size * sizeof(float));
    return source->scratch ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for torch's noise");
}

static onestep_status evaluate(ons_runner *r, ons_plan *unet, bool guided, double t, size_t n_values)
{
    const float time = (float)t;
    onestep_status st;

    ONS_TRY(ons_plan_write(unet, "x", 0, r->input, n_values));
    for (int i = 0; i < r->options.batch; i++)
        ONS_TRY(ons_plan_write(unet, "t", (size_t)i, &time, 1));
    ONS_TRY(ons_runner_run_plan(r, unet));
    ONS_TRY(ons_plan_read(unet, "eps", 0, r->output, n_values));
    r->stats.n_evaluations += guided ? 2 : 1;
    r->stats.flops += ons_plan_flops(unet);
    r->stats.unet_flops += ons_plan_flops(unet);
    return ONESTEP_OK;
fail:
    return st;
}

static onestep_status create_sampler(const ons_runner *r, const ons_resolved *set, size_t n_values,
                                     noise_source *source, ons_sampler **out)
{
    int custom[ONS_MAX_TIMESTEPS];

    for (int i = 0; i < set->steps; i++)
        custom[i] = (int)set->timesteps[i];
    return ons_sampler_create(set->sampler, &r->model->schedule, set->steps,
                              set->custom_timesteps ? custom : NULL, n_values, draw_fresh_noise, source, out);
}

static onestep_status sample(ons_runner *r, ons_noise_kind kind, const ons_resolved *set, ons_plan *unet,
                             const ons_batch *b)
{
    const size_t n_values = (size_t)b->n * ons_runner_latent_size(r);
    noise_source source = {
        .r = r,
        .seeds = b->seeds,
        .kind = kind,
        .n = b->n,
        .draw = b->clean && r->model->vae_config.kind == ONS_VAE_KL ? 1 : 0}; /* the posterior took one */
    ons_sampler *sampler = NULL;
    const double start_s = ons_now_s();
    onestep_status st;
    double t;
    int step = 0;

    ONS_TRY(prepare_torch_noise(&source, source.draw + set->steps - set->first_step));
    ONS_TRY(create_sampler(r, set, n_values, &source, &sampler));
    if (b->clean)
        ons_sampler_begin_from(sampler, set->first_step, b->clean, b->noise);
    else
        ons_sampler_begin(sampler, b->noise);
    while (ons_sampler_next(sampler, &t, r->input)) {
        ONS_TRY(evaluate(r, unet, set->guidance != 1, t, n_values));
        if (b->evaluated)
            ONS_TRY(b->evaluated(b->user, ++step, t));
        ons_sampler_step(sampler, r->output);
    }
    memcpy(b->latents, ons_sampler_result(sampler), n_values * sizeof *b->latents);
    st = ONESTEP_OK;
fail:
    r->stats.unet_s += ons_now_s() - start_s;
    ons_sampler_destroy(&sampler);
    ons_free(source.scratch);
    return st;
}

static ons_unet_key key_of(const ons_resolved *set)
{
    return (ons_unet_key){.guided = set->guidance != 1,
                          .timestep = set->steps == 1 ? (int)set->timesteps[0] : -1};
}

onestep_status ons_runner_announce(ons_runner *r, const ons_resolved *set)
{
    ons_plan *unet;
    onestep_status st;

    ONS_TRY(ons_runner_make_text_plan(r));
    ONS_TRY(ons_runner_make_unet_plan(r, key_of(set), &unet));
    if (!r->options.no_decoder)
        ONS_TRY(ons_runner_make_decoder_plan(r));
fail:
    return st;
}

/* Stages of a runner's only run give back what nobody will need. */
static void end_text(ons_runner *r)
{
    if (!r->options.one_shot)
        return;
    r->most_held = ons_runner_peak_bytes(r);
    ons_plan_destroy(&r->text);
    ons_params_release_packed(r->model->clip);
}

static void end_unet(ons_runner *r)
{
    if (!r->options.one_shot)
        return;
    r->most_held = ons_runner_peak_bytes(r);
    for (; r->n_unet; r->n_unet--)
        ons_plan_destroy(&r->unet[r->n_unet - 1].plan);
    r->last_unet = NULL;
    ons_params_release_packed(r->model->unet);
}

onestep_status ons_runner_run(ons_runner *r, const ons_request *q, const ons_resolved *set, const ons_batch *b)
{
    const double start_s = ons_now_s();
    const ons_unet_key key = key_of(set);
    ons_plan *unet = NULL;
    onestep_status st;

    r->stats = (ons_run_stats){0};
    r->stop = q->stop ? q->stop : ons_interrupt_stop();
    if (b->n < 1 || b->n > r->options.batch)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d pictures; this runner takes 1 to %d", b->n, r->options.batch);
    ONS_TRY(ons_runner_fit(r, key, b->rgb != NULL));
    ONS_TRY(ons_runner_unet_plan(r, key, &unet));
    r->last_unet = unet;
    ONS_TRY(set_contexts(r, unet, key.guided, b));
    end_text(r);
    if (key.guided)
        ONS_TRY(ons_plan_write(unet, "guidance", 0, &(float){(float)set->guidance}, 1));
    ONS_TRY(sample(r, (ons_noise_kind)q->noise, set, unet, b));
    end_unet(r);
    if (b->rgb)
        ONS_TRY(ons_runner_decode(r, b->n, b->latents, b->rgb));
fail:
    r->stop = NULL;
    r->stats.total_s = ons_now_s() - start_s;
    return st;
}
