/*
 * Distribution Matching Distillation (Yin et al., CVPR 2024).
 *
 * Three UNets of one architecture: the generator G (trained, conditioned on one timestep), the real score (the
 * frozen teacher) and the fake score (trained all the time to denoise what G makes). One evaluation of G serves
 * both terms, matching on fresh noise and regression on the teacher's pairs; then the fake score takes its
 * steps on the same latents. The formulas stand in docs/distillation.md and at the functions below.
 *
 * While the first warmup_iterations run, only the regression moves G, and the fake score already learns G's
 * outputs: used untrained, its difference to the teacher would undo what the regression reached.
 *
 * Plans: the generator with its losses (one with both terms, one for the warm-up), and the fake score. All
 * draw noise on the host into their inputs, as pure functions of (seed, step), so that a resumed run repeats
 * the bits.
 *
 * dmd_graph.c builds the graphs, dmd_plans.c turns them into plans that fit.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "distill/dmd_impl.h"
#include "io/safetensors.h"

static size_t pixels_of(const dmd *s)
{
    const int f = ons_vae_factor(&s->ctx->teacher->vae_config);

    return (size_t)(s->h * f) * (size_t)(s->w * f) * 3;
}

/* The pairs' pictures, decoded once: the decoder would otherwise run on the same latents every epoch. */
static onestep_status decode_targets(dmd *s)
{
    const ons_pairs *p = s->ctx->pairs;
    enum { BATCH = 32 };
    ons_runner_options o = {.batch = BATCH, .compute = ons_compute_in(&s->ctx->compute, ONS_F32)};
    int f = ons_vae_factor(&s->ctx->teacher->vae_config);
    size_t picture = pixels_of(s);
    onestep_status st;

    o.width = (int)s->w * f;
    o.height = (int)s->h * f;
    s->targets = ons_calloc(p->n, picture);
    if (!s->targets)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %zu decoded pairs", p->n);
    ONS_TRY(ons_runner_create((ons_model *)s->ctx->teacher, &o, &s->decoder));
    for (size_t i = 0; i < p->n; i += BATCH) {
        int n = p->n - i < BATCH ? (int)(p->n - i) : BATCH;

        ONS_TRY(ons_runner_decode(s->decoder, n, p->latents + i * s->latent, s->targets + i * picture));
    }
fail:
    ons_runner_destroy(&s->decoder);
    return st;
}

static void fini_batch(dmd_batch *b)
{
    float *const all[] = {b->z, b->made, b->target, b->guidance, b->t, b->a, b->s, b->e, b->pixels};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ons_free(all[i]);
    ons_free(b->ids);
    *b = (dmd_batch){0};
}

static onestep_status init_batch(dmd *s)
{
    const size_t n = (size_t)s->batch, latents = n * s->latent,
                 tokens = (size_t)ons_tokenizer_context(s->ctx->teacher->tokenizer);
    float **const of_latents[] = {&s->host.z, &s->host.made, &s->host.target, &s->host.e},
                  **const of_samples[] = {&s->host.guidance, &s->host.t, &s->host.a, &s->host.s};
    bool have = true;

    for (int i = 0; i < 4; i++) {
        have = (*of_latents[i] = ons_calloc(latents, sizeof(float))) && have;
        have = (*of_samples[i] = ons_calloc(n, sizeof(float))) && have;
    }
    if (s->targets)
        have = (s->host.pixels = ons_calloc(n * pixels_of(s), sizeof(float))) && have;
    have = (s->host.ids = ons_calloc(n * tokens, sizeof *s->host.ids)) && have;
    return have ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for a batch of %d", s->batch);
}

static void destroy(void *state)
{
    dmd *s = state;

    if (!s)
        return;
    ons_plan_destroy(&s->warm.plan);
    ons_plan_destroy(&s->match.plan);
    ons_plan_destroy(&s->critic);
    ons_adamw_destroy(&s->opt_g);
    ons_adamw_destroy(&s->opt_fake);
    ons_params_destroy(&s->g);
    ons_params_destroy(&s->fake);
    ons_params_destroy(&s->ema);
    ons_free(s->targets);
    fini_batch(&s->host);
    ons_free(s);
}

/* Low-rank changes that do nothing yet, or those of an earlier student. */
static onestep_status create_adapters(dmd *s)
{
    const ons_distill *ctx = s->ctx;
    ons_safetensors *file = NULL;
    onestep_status st;

    ONS_TRY(ons_params_create(&s->g));
    ONS_TRY(ons_unet_adapter_declare(&ctx->teacher->unet_config, s->real, ctx->r->distill.lora_rank, s->g));
    ons_params_init(s->g, ctx->r->seed);
    ONS_TRY(ons_params_clone(s->g, true, &s->fake));
    if (ctx->init_adapter) {
        ONS_TRY(ons_safetensors_open(ctx->init_adapter, &file));
        ONS_TRY(ons_params_load(s->g, file, ""));
    }
    st = ons_params_clone(s->g, true, &s->ema);
fail:
    ons_safetensors_close(&file);
    return st;
}

static onestep_status create_networks(dmd *s)
{
    const ons_distill *ctx = s->ctx;
    const int n_threads = ons_compute_threads(&ctx->compute);
    onestep_status st;

    s->real = ctx->teacher->unet;
    s->clip = ctx->teacher->clip;
    s->vae = ctx->teacher->vae;
    ONS_TRY(ons_dmd_check_networks(s));
    if (ctx->r->distill.lora_rank) {
        ONS_TRY(create_adapters(s));
    } else {
        ONS_TRY(ons_params_clone(ctx->init, true, &s->g));
        ONS_TRY(ons_params_clone(ctx->init, true, &s->ema));
        ONS_TRY(ons_params_clone(s->real, true, &s->fake));
    }
    ONS_TRY(ons_adamw_create(s->g, n_threads, &s->opt_g));
    ONS_TRY(ons_adamw_create(s->fake, n_threads, &s->opt_fake));
fail:
    return st;
}

static onestep_status create(const ons_distill *ctx, void **state)
{
    const ons_recipe *r = ctx->r;
    dmd *s = ons_calloc(1, sizeof *s);
    onestep_status st;

    *state = NULL;
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for DMD");
    if (r->distill.weight_dm <= 0 && r->distill.weight_reg <= 0) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT,
                      "distill.weight_dm and distill.weight_reg are both 0: nothing would be learnt");
        goto fail;
    }
    if (r->distill.min_timestep > r->distill.max_timestep) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT, "distill.min_timestep %d is above max_timestep %d",
                      r->distill.min_timestep, r->distill.max_timestep);
        goto fail;
    }
    if (r->distill.accumulate > 1 && r->distill.critic_steps > 1) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT,
                      "distill.accumulate %d with distill.critic_steps %d: one of them must be 1",
                      r->distill.accumulate, r->distill.critic_steps);
        goto fail;
    }
    s->ctx = ctx;
    s->h = s->w = ctx->teacher->unet_config.sample_size;
    if (ctx->pairs) {
        s->h = ctx->pairs->h;
        s->w = ctx->pairs->w;
    }
    s->c = ctx->teacher->unet_config.in_channels;
    s->latent = (size_t)(s->h * s->w * s->c);
    ONS_TRY(create_networks(s));
    ONS_TRY(ons_dmd_create_plans(s));
    if (s->ctx->pairs && ons_dmd_uses_pixels(s))
        ONS_TRY(decode_targets(s));
    ONS_TRY(init_batch(s));
    *state = s;
    return ONESTEP_OK;
fail:
    destroy(s);
    return st;
}

/* Fills one sample's caption and noise: fresh for matching, a pair for regression. */
static onestep_status load_fresh(dmd *s, const generator *gen, int64_t step)
{
    const ons_recipe *r = s->ctx->r;
    int tokens = ons_tokenizer_context(s->ctx->teacher->tokenizer);
    size_t values = (size_t)gen->n_dm * s->latent;
    onestep_status st;

    ons_randn_by(ons_compute_threads(&s->ctx->compute), r->seed, ONS_STREAM_GENERATOR_NOISE,
                 (uint64_t)step * values, s->host.z, values);
    for (int i = 0; i < gen->n_dm; i++) {
        ons_caption_draw draw =
            ons_dataset_draw(s->ctx->d, r->seed + 17, (uint64_t)step * (uint64_t)gen->n_dm + (uint64_t)i, 0,
                             r->captions.p_keyword);
        bool keyword = draw.caption != ons_dataset_at(s->ctx->d, draw.item)->captions[0];

        ONS_TRY(ons_tokenizer_encode(s->ctx->teacher->tokenizer, draw.caption, s->host.ids + i * tokens, NULL,
                                     NULL));
        s->host.guidance[i] = (float)(keyword ? r->distill.guidance_keyword : r->distill.guidance);
    }
    st = ons_plan_write(gen->plan, "guidance", 0, s->host.guidance, (size_t)gen->n_dm);
fail:
    return st;
}

static int matching_limit(const ons_recipe *r, int64_t step)
{
    bool late = step >= r->distill.iterations - r->distill.late_iterations;

    return late && r->distill.late_max_timestep < r->distill.max_timestep ? r->distill.late_max_timestep
                                                                          : r->distill.max_timestep;
}

/* Draws timesteps in [lo, hi] and noise for n samples of a plan. */
static onestep_status load_noise_levels(dmd *s, ons_plan *plan, const char *prefix, int n, uint64_t index,
                                        int lo, int hi, uint64_t stream_t, uint64_t stream_e)
{
    const ons_schedule *schedule = &s->ctx->teacher->schedule;
    const dmd_batch *b = &s->host;
    const struct {
        char letter;
        const float *values;
        size_t n;
    } inputs[] = {{'t', b->t, (size_t)n},
                  {'a', b->a, (size_t)n},
                  {'s', b->s, (size_t)n},
                  {'e', b->e, (size_t)n * s->latent}};
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < n; i++) {
        int v = lo + (int)ons_rand_below(s->ctx->r->seed, stream_t, index * (uint64_t)n + (uint64_t)i,
                                         (uint64_t)(hi - lo + 1));

        b->t[i] = (float)v;
        b->a[i] = (float)ons_schedule_a(schedule, v);
        b->s[i] = (float)ons_schedule_s(schedule, v);
    }
    ons_randn_by(ons_compute_threads(&s->ctx->compute), s->ctx->r->seed, stream_e,
                 index * (uint64_t)n * s->latent, b->e, (size_t)n * s->latent);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        char name[32];

        snprintf(name, sizeof name, "%s%c", prefix, inputs[i].letter);
        ONS_TRY(ons_plan_write(plan, name, 0, inputs[i].values, inputs[i].n));
    }
fail:
    return st;
}

/* Pairs come behind the matching samples of the batch. */
static onestep_status load_pairs(dmd *s, const generator *gen, int64_t step)
{
    const ons_pairs *p = s->ctx->pairs;
    const dmd_batch *b = &s->host;
    const size_t picture = pixels_of(s), n = (size_t)gen->n_reg;
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < gen->n_reg; i++) {
        size_t k = (size_t)ons_rand_below(s->ctx->r->seed, ONS_STREAM_PAIR_DRAW,
                                          (uint64_t)step * (uint64_t)s->batch + (uint64_t)i, p->n);

        ons_pairs_noise(p, k, b->z + (size_t)(gen->n_dm + i) * s->latent);
        memcpy(b->ids + (gen->n_dm + i) * p->context, p->ids + k * (size_t)p->context,
               (size_t)p->context * sizeof *b->ids);
        memcpy(b->target + (size_t)i * s->latent, p->latents + k * s->latent, s->latent * sizeof *b->target);
        for (size_t v = 0; b->pixels && v < picture; v++)
            b->pixels[(size_t)i * picture + v] = (float)s->targets[k * picture + v] / 127.5f - 1.0f;
    }
    ONS_TRY(ons_plan_write(gen->plan, "target", 0, b->target, n * s->latent));
    if (b->pixels)
        ONS_TRY(ons_plan_write(gen->plan, "target_pixels", 0, b->pixels, n * picture));
fail:
    return st;
}

static ons_adamw_options optimizer_options(const ons_recipe *r, double lr)
{
    return (ons_adamw_options){.lr = lr,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .weight_decay = r->distill.weight_decay,
                               .clip = r->distill.clip};
}

/* Where one evaluation of the generator stands: its step, the index of its draws, and its place among the
 * step's. */
typedef struct turn {
    int64_t step, draw;
    int part, n_parts;
} turn;

/* Denoising steps on what the generator just made; with several evaluations a step, the last one's gradients
 * complete the sum. */
static onestep_status update_critic(dmd *s, const generator *gen, turn at, double *loss, bool *skipped)
{
    const ons_recipe *r = s->ctx->r;
    ons_adamw_options opt = optimizer_options(r, r->distill.fake_lr * fmin(1, (double)(at.step + 1) / 50));
    const size_t tokens = (size_t)ons_tokenizer_context(s->ctx->teacher->tokenizer), n = (size_t)s->batch;
    const int n_steps = r->distill.critic_steps;
    double one;
    onestep_status st;

    ONS_TRY(ons_plan_read(gen->plan, "x", 0, s->host.made, n * s->latent));
    ONS_TRY(ons_plan_write(s->critic, "x", 0, s->host.made, n * s->latent));
    ONS_TRY(ons_plan_write(s->critic, "ids", 0, s->host.ids, n * tokens));
    for (int k = 0; k < n_steps; k++) {
        ONS_TRY(load_noise_levels(s, s->critic, "", s->batch, (uint64_t)(at.draw * n_steps + k), 0,
                                  s->ctx->teacher->schedule.n - 1, ONS_STREAM_CRITIC_TIMESTEP,
                                  ONS_STREAM_CRITIC_EPSILON));
        ONS_TRY(ons_plan_run(s->critic));
        ONS_TRY(ons_plan_read_scalar(s->critic, "loss", &one));
        *loss += (float)one / (n_steps * at.n_parts);
        if (at.n_parts > 1)
            ONS_TRY(ons_adamw_gather(s->opt_fake));
        if (at.part == at.n_parts - 1 && !ons_adamw_step(s->opt_fake, &opt, NULL))
            *skipped = true;
    }
    return ONESTEP_OK;
fail:
    return st;
}

static double lr_now(const ons_recipe *r, int64_t step)
{
    double rise = fmin(1, (double)(step + 1) / 50);
    bool match = step >= r->distill.warmup_iterations && r->distill.match_lr > 0;
    double left = (double)(r->distill.iterations - step) / fmax(1, 0.2 * r->distill.iterations);

    return (match ? r->distill.match_lr : r->distill.lr) * rise * fmin(1, left);
}

/* 0 where this generator has no such result. */
static onestep_status read_result(const generator *gen, const char *name, double *out)
{
    *out = 0;
    return ons_plan_find(gen->plan, name) ? ons_plan_read_scalar(gen->plan, name, out) : ONESTEP_OK;
}

enum { V_REGRESSION, V_DIRECTION, V_REAL, V_FAKE, V_CRITIC, V_GRAD };

static onestep_status run_generator(dmd *s, const generator *gen, turn at, double *values)
{
    const ons_recipe *r = s->ctx->r;
    const size_t n = (size_t)(gen->n_dm + gen->n_reg);
    double regression, direction, real, fake;
    onestep_status st;

    if (gen->n_dm) {
        ONS_TRY(load_fresh(s, gen, at.draw));
        ONS_TRY(load_noise_levels(s, gen->plan, "match_", gen->n_dm, (uint64_t)at.draw, r->distill.min_timestep,
                                  matching_limit(r, at.step), ONS_STREAM_MATCH_TIMESTEP,
                                  ONS_STREAM_MATCH_EPSILON));
    }
    if (gen->n_reg)
        ONS_TRY(load_pairs(s, gen, at.draw));
    ONS_TRY(ons_plan_write(gen->plan, "z", 0, s->host.z, n * s->latent));
    ONS_TRY(ons_plan_write(gen->plan, "ids", 0, s->host.ids,
                           n * (size_t)ons_tokenizer_context(s->ctx->teacher->tokenizer)));
    ONS_TRY(ons_plan_run(gen->plan));
    ONS_TRY(read_result(gen, "regression", &regression));
    ONS_TRY(read_result(gen, "direction2", &direction));
    ONS_TRY(read_result(gen, "real2", &real));
    ONS_TRY(read_result(gen, "fake2", &fake));
    values[V_REGRESSION] += regression / at.n_parts;
    values[V_DIRECTION] += direction / at.n_parts;
    values[V_REAL] += sqrt(real) / at.n_parts;
    values[V_FAKE] += sqrt(fake) / at.n_parts;
    return ONESTEP_OK;
fail:
    return st;
}

/* Matching alone: nothing may move the generator before the fake score knows it. */
static bool generator_moves(const ons_recipe *r, int64_t step)
{
    return r->distill.weight_reg > 0 || step >= r->distill.warmup_iterations;
}

static void move_generator(dmd *s, int64_t step, double *norm, bool *skipped)
{
    const ons_recipe *r = s->ctx->r;
    ons_adamw_options opt = optimizer_options(r, lr_now(r, step));

    if (ons_adamw_step(s->opt_g, &opt, norm))
        ons_ema_update(s->ema, s->g, fmin(r->distill.ema, (1.0 + (double)step) / (10.0 + (double)step)),
                       ons_compute_threads(&s->ctx->compute));
    else
        *skipped = true;
}

static onestep_status step(void *state, int64_t step, double *values, bool *skipped)
{
    dmd *s = state;
    const ons_recipe *r = s->ctx->r;
    bool warm = s->warm.plan && (step < r->distill.warmup_iterations || !s->match.plan);
    const bool moves = generator_moves(r, step);
    const generator *gen = warm ? &s->warm : &s->match;
    const int n = r->distill.accumulate;
    onestep_status st;

    memset(values, 0, 6 * sizeof *values);
    for (int i = 0; i < n; i++) {
        const turn at = {.step = step, .draw = step * n + i, .part = i, .n_parts = n};

        ONS_TRY(run_generator(s, gen, at, values));
        if (n > 1 && moves)
            ONS_TRY(ons_adamw_gather(s->opt_g));
        if (s->critic)
            ONS_TRY(update_critic(s, gen, at, &values[V_CRITIC], skipped));
    }
    if (moves)
        move_generator(s, step, &values[V_GRAD], skipped);
    return ONESTEP_OK;
fail:
    return st;
}

static ons_params *student(void *state)
{
    return ((dmd *)state)->ema;
}

static int sets(void *state, ons_checkpoint_set *out)
{
    dmd *s = state;
    ons_checkpoint_set all[] = {{"generator", s->g},
                                {"generator.ema", s->ema},
                                {"generator.m", ons_adamw_moment(s->opt_g, 0)},
                                {"generator.v", ons_adamw_moment(s->opt_g, 1)},
                                {"fake", s->fake},
                                {"fake.m", ons_adamw_moment(s->opt_fake, 0)},
                                {"fake.v", ons_adamw_moment(s->opt_fake, 1)}};

    memcpy(out, all, sizeof all);
    return (int)(sizeof all / sizeof all[0]);
}

static json_t *save_state(void *state)
{
    dmd *s = state;

    return json_pack("{s:I, s:I}", "generator_steps", (json_int_t)ons_adamw_steps(s->opt_g), "fake_steps",
                     (json_int_t)ons_adamw_steps(s->opt_fake));
}

static void load_state(void *state, const json_t *saved)
{
    dmd *s = state;

    ons_adamw_set_steps(s->opt_g, json_integer_value(json_object_get(saved, "generator_steps")));
    ons_adamw_set_steps(s->opt_fake, json_integer_value(json_object_get(saved, "fake_steps")));
}

static const char *const series[] = {"regression", "direction2", "real_gap", "fake_gap",
                                     "critic",     "grad_norm",  NULL};

const ons_method ons_method_dmd = {
    .name = "dmd",
    .series = series,
    .create = create,
    .step = step,
    .student = student,
    .sets = sets,
    .save_state = save_state,
    .load_state = load_state,
    .destroy = destroy,
};
