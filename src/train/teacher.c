/*
 * The teacher stage: UNet and text encoder learn to predict the noise in noised latents (DDPM's simple loss, Ho
 * et al. 2020), with two weights. min(SNR, gamma)/SNR of Hang et al. 2023 keeps the nearly clean timesteps,
 * whose noise is unpredictable, from drowning the gradient of those that decide what is drawn. SNR^-1/2 below
 * SNR 1, up to a limit, is the weight that flow matching has there (Kingma and Gao 2023): an error in x0 counts
 * SNR times in the noise, so that what a caption looks like would hardly be felt where only the caption can
 * tell. Timesteps are stratified over the batch.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "train/checkpoint.h"
#include "train/gradients.h"
#include "train/run.h"
#include "train/samples.h"
#include "train/streams.h"
#include "train/train.h"

enum { SLOT_UNET = 0, SLOT_CLIP = 1, N_SETS = 8 };

typedef struct stage {
    const ons_recipe *r;
    const ons_train_options *o;
    const ons_dataset *d;
    ons_model *m;
    ons_latents latents;
    ons_plan *plan;
    ons_adamw *optimizers[2]; /* UNet, text encoder */
    ons_params *ema[2];
    ons_model averaged; /* borrows everything from m but the two EMA sets */
    ons_samples samples;
    ons_run run;
    char *folder, *checkpoint;
} stage;

static onestep_status build(stage *s, ons_graph *g)
{
    const ons_unet_config *c = &s->m->unet_config;
    int64_t b = s->r->train.batch_size, side = s->r->resolution / ons_vae_factor(&s->m->vae_config);
    ons_value *xt = ons_input(g, "xt", ONS_F32, &ONS_SHAPE4(b, side, side, c->in_channels));
    ons_value *eps = ons_input(g, "eps", ONS_F32, &ONS_SHAPE4(b, side, side, c->in_channels));
    ons_value *t = ons_input(g, "t", ONS_F32, &ONS_SHAPE1(b));
    ons_value *weight = ons_input(g, "weight", ONS_F32, &ONS_SHAPE4(b, 1, 1, 1));
    ons_value *ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(b, ons_tokenizer_context(s->m->tokenizer)));
    ons_value *error, *loss;
    ons_nn unet, clip;

    ons_nn_init(&unet, g, s->m->unet, SLOT_UNET, true);
    ons_nn_init(&clip, g, s->m->clip, SLOT_CLIP, true);
    error =
        ons_sub(g, ons_unet_build(&unet, c, xt, t, ons_clip_text_build(&clip, &s->m->clip_config, ids)), eps);
    loss = ons_mean_all(g, ons_mul(g, ons_unary(g, ONS_OP_SQUARE, error), weight));
    ons_graph_output(g, loss, "loss");
    return ons_train_add_gradients(g, &loss, NULL, 1, (const int[]){SLOT_UNET, SLOT_CLIP}, 2);
}

static onestep_status make_plan(stage *s)
{
    ons_plan_options po = {.n_threads = s->o->n_threads,
                           .precision = s->o->precision,
                           .params = {s->m->unet, s->m->clip},
                           .label = "teacher"};
    ons_graph *g = NULL;
    onestep_status st;

    ONS_TRY(ons_graph_create(&g));
    ONS_TRY(build(s, g));
    ONS_TRY(ons_plan_create(&g, &po, &s->plan));
    ONS_TRY(ons_train_bind_slot(s->plan, SLOT_UNET, s->optimizers[0]));
    ONS_TRY(ons_train_bind_slot(s->plan, SLOT_CLIP, s->optimizers[1]));
    ONS_TRY(ons_plan_allocate(s->plan));
fail:
    ons_graph_destroy(&g);
    return st;
}

/* x0 drawn from the posterior, x_t = a_t x0 + s_t eps (methods: eq. 1) */
static void noise_picture(const stage *s, size_t item, int t, const float *eps, const float *posterior,
                          float *xt)
{
    const float *mean = s->latents.mean + item * s->latents.size,
                *std = s->latents.std + item * s->latents.size;
    float a = (float)ons_schedule_a(&s->m->schedule, t), sigma = (float)ons_schedule_s(&s->m->schedule, t);

    for (size_t i = 0; i < s->latents.size; i++)
        xt[i] = a * (mean[i] + std[i] * posterior[i]) + sigma * eps[i];
}

/* Stratified: one timestep from each of `n` equal parts of the range, so that every batch sees all noise
 * levels. */
static int draw_timestep(const stage *s, int64_t step, int i)
{
    int n = s->r->train.batch_size;
    float u;

    ons_rand_uniform(s->r->seed, ONS_STREAM_TIMESTEP, (uint64_t)step * (uint64_t)n + (uint64_t)i, &u, 1);
    return (int)fmin((i + (double)u) / n * s->m->schedule.n, s->m->schedule.n - 1);
}

static float loss_weight(const stage *s, int t)
{
    double a = ons_schedule_a(&s->m->schedule, t), sigma = ons_schedule_s(&s->m->schedule, t);
    double snr = a * a / (sigma * sigma), gamma = s->r->train.min_snr;

    double boost = fmin(fmax(1 / sqrt(snr), 1), s->r->train.low_snr_boost);

    return (float)(gamma > 0 ? boost * fmin(snr, gamma) / snr : boost);
}

static onestep_status load_batch(stage *s, int64_t step, float *posterior)
{
    const ons_recipe *r = s->r;
    int n = r->train.batch_size, context = ons_tokenizer_context(s->m->tokenizer);
    float *xt = ons_plan_input(s->plan, "xt"), *eps = ons_plan_input(s->plan, "eps");
    float *t = ons_plan_input(s->plan, "t"), *weight = ons_plan_input(s->plan, "weight");
    int32_t *ids = ons_plan_input(s->plan, "ids");
    size_t size = s->latents.size, values = (size_t)n * size;

    ons_randn(r->seed, ONS_STREAM_EPSILON, (uint64_t)step * values, eps, values);
    ons_randn(r->seed, ONS_STREAM_POSTERIOR, (uint64_t)step * values, posterior, values);
    for (int i = 0; i < n; i++) {
        ons_draw draw = ons_dataset_draw(s->d, r->seed, (uint64_t)step * (uint64_t)n + (uint64_t)i,
                                         r->captions.p_empty, r->captions.p_keyword);
        int timestep = draw_timestep(s, step, i);
        onestep_status st = ons_tokenizer_encode(s->m->tokenizer, draw.caption, ids + i * context, NULL, NULL);

        if (st != ONESTEP_OK)
            return st;
        t[i] = (float)timestep;
        weight[i] = loss_weight(s, timestep);
        noise_picture(s, draw.item, timestep, eps + (size_t)i * size, posterior + (size_t)i * size,
                      xt + (size_t)i * size);
    }
    return ONESTEP_OK;
}

static void list_sets(stage *s, ons_checkpoint_set sets[N_SETS])
{
    sets[0] = (ons_checkpoint_set){"unet", s->m->unet};
    sets[1] = (ons_checkpoint_set){"text", s->m->clip};
    sets[2] = (ons_checkpoint_set){"unet.ema", s->ema[0]};
    sets[3] = (ons_checkpoint_set){"text.ema", s->ema[1]};
    sets[4] = (ons_checkpoint_set){"unet.m", ons_adamw_moment(s->optimizers[0], 0)};
    sets[5] = (ons_checkpoint_set){"unet.v", ons_adamw_moment(s->optimizers[0], 1)};
    sets[6] = (ons_checkpoint_set){"text.m", ons_adamw_moment(s->optimizers[1], 0)};
    sets[7] = (ons_checkpoint_set){"text.v", ons_adamw_moment(s->optimizers[1], 1)};
}

static onestep_status save(stage *s)
{
    ons_checkpoint_set sets[N_SETS];
    json_t *state = json_pack("{s:I, s:I, s:s}", "step", (json_int_t)s->run.step, "optimizer_steps",
                              (json_int_t)ons_adamw_steps(s->optimizers[0]), "fingerprint",
                              ons_fingerprint(s->o->n_threads));
    onestep_status st;

    list_sets(s, sets);
    st = ons_checkpoint_save(s->checkpoint, sets, N_SETS, state);
    json_decref(state);
    return st;
}

static onestep_status restore(stage *s, int64_t *step)
{
    ons_checkpoint_set sets[N_SETS];
    json_t *state = NULL;
    const char *fingerprint;
    onestep_status st;

    list_sets(s, sets);
    if ((st = ons_checkpoint_load(s->checkpoint, sets, N_SETS, &state)) != ONESTEP_OK)
        return st;
    *step = json_integer_value(json_object_get(state, "step"));
    for (int i = 0; i < 2; i++)
        ons_adamw_set_steps(s->optimizers[i], json_integer_value(json_object_get(state, "optimizer_steps")));
    fingerprint = json_string_value(json_object_get(state, "fingerprint"));
    if (fingerprint && strcmp(fingerprint, ons_fingerprint(s->o->n_threads)))
        ons_warn("the checkpoint was made with %s, this is %s: training goes on, but the bits will differ",
                 fingerprint, ons_fingerprint(s->o->n_threads));
    json_decref(state);
    return ONESTEP_OK;
}

static onestep_status one_step(stage *s, int64_t step, float *posterior)
{
    const ons_recipe *r = s->r;
    ons_adamw_options opt = {.lr = r->train.lr *
                                   ons_lr_factor(step, r->train.iterations, r->train.warmup, r->train.flat),
                             .beta1 = 0.9,
                             .beta2 = 0.99,
                             .eps = 1e-8,
                             .weight_decay = r->train.weight_decay,
                             .clip = r->train.clip};
    double values[2], decay = fmin(r->train.ema, (1.0 + (double)step) / (10.0 + (double)step));
    bool taken;
    onestep_status st;

    if ((st = load_batch(s, step, posterior)) != ONESTEP_OK || (st = ons_plan_run(s->plan)) != ONESTEP_OK)
        return st;
    taken = ons_adamw_step_group(s->optimizers, 2, &opt, &values[1]);
    for (int i = 0; i < 2 && taken; i++)
        ons_ema_update(s->ema[i], ons_adamw_params(s->optimizers[i]), decay);
    values[0] = *(const float *)ons_plan_result(s->plan, "loss");
    return ons_run_step(&s->run, step + 1, values, !taken);
}

static onestep_status loop(stage *s, int64_t step, float *posterior)
{
    onestep_status st;

    for (; step < s->r->train.iterations; step++) {
        if ((st = one_step(s, step, posterior)) != ONESTEP_OK)
            return st;
        if ((ons_run_checkpoint_due(&s->run) || ons_interrupted()) && (st = save(s)) != ONESTEP_OK)
            return st;
        if (ons_interrupted())
            return ons_fail(ONESTEP_INTERRUPTED, "stopped at step %lld of the teacher", (long long)step + 1);
        if (ons_run_sample_due(&s->run) &&
            (st = ons_samples_write(&s->samples, s->folder, "teacher", step + 1)) != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static onestep_status prepare(stage *s, int64_t *step)
{
    const ons_recipe *r = s->r;
    onestep_status st;

    ONS_TRY(ons_latents_encode(s->m, s->d, s->o, &s->latents));
    ONS_TRY(ons_adamw_create(s->m->unet, &s->optimizers[0]));
    ONS_TRY(ons_adamw_create(s->m->clip, &s->optimizers[1]));
    ONS_TRY(ons_params_clone(s->m->unet, true, &s->ema[0]));
    ONS_TRY(ons_params_clone(s->m->clip, true, &s->ema[1]));
    s->averaged = *s->m;
    s->averaged.unet = s->ema[0];
    s->averaged.clip = s->ema[1];
    if (s->o->resume && ons_path_exists(s->checkpoint))
        ONS_TRY(restore(s, step));
    ONS_TRY(make_plan(s));
    st = ons_samples_create(&s->averaged, s->d, r->seed, s->o->n_threads, &s->samples);
fail:
    return st;
}

static void finish(stage *s)
{
    ons_run_end(&s->run);
    ons_samples_fini(&s->samples);
    ons_plan_destroy(&s->plan);
    for (int i = 0; i < 2; i++) {
        ons_adamw_destroy(&s->optimizers[i]);
        ons_params_destroy(&s->ema[i]);
    }
    ons_latents_fini(&s->latents);
    ons_free(s->checkpoint);
    ons_free(s->folder);
}

/* On top of what a pipeline that is trained further has cost before; unknown joules stay unknown. */
static void add_cost(ons_card *card, const ons_run *run)
{
    double joules = ons_run_joules(run);

    card->train_seconds += ons_run_seconds(run);
    card->train_joules = joules < 0 || card->train_joules < 0 ? -1 : card->train_joules + joules;
}

onestep_status ons_train_teacher(const ons_recipe *r, const ons_train_options *o, const ons_dataset *d,
                                 ons_model *m)
{
    static const char *const series[] = {"loss", "grad_norm", NULL};
    stage s = {.r = r, .o = o, .d = d, .m = m};
    float *posterior = NULL;
    int64_t step = 0;
    onestep_status st;

    s.folder = ons_path_join(o->output, "training");
    s.checkpoint = ons_format("%s/training/teacher.safetensors", o->output);
    if (!s.folder || !s.checkpoint) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to start training");
        goto fail;
    }
    ONS_TRY(prepare(&s, &step));
    posterior = ons_malloc((size_t)r->train.batch_size * s.latents.size * sizeof *posterior);
    if (!posterior) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a batch of %d", r->train.batch_size);
        goto fail;
    }
    ONS_TRY(ons_run_begin(&(ons_run_options){.folder = s.folder,
                                             .stage = "teacher",
                                             .unit = "step",
                                             .start = step,
                                             .total = r->train.iterations,
                                             .checkpoint_every = r->every.checkpoint_every,
                                             .log_every = r->every.log_every,
                                             .sample_every = r->every.sample_every,
                                             .energy = o->energy,
                                             .series = series},
                          &s.run));
    ONS_TRY(loop(&s, step, posterior));
    ons_ema_update(m->unet, s.ema[0], 0); /* the averages are the model */
    ons_ema_update(m->clip, s.ema[1], 0);
    add_cost(&m->card, &s.run);
fail:
    ons_free(posterior);
    finish(&s);
    return st;
}
