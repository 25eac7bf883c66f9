/*
 * The teacher's step. DDPM's simple loss (Ho et al. 2020): UNet and text encoder learn to predict the noise in
 * noised latents, with two weights. min(SNR, gamma)/SNR of Hang et al. 2023 keeps the nearly clean timesteps,
 * whose noise is unpredictable, from drowning the gradient of those that decide what is drawn. SNR^-1/2 below
 * SNR 1, up to a limit, is the weight that flow matching has there (Kingma and Gao 2023): an error in x0 counts
 * SNR times in the noise, so that what a caption looks like would hardly be felt where only the caption can
 * tell. Timesteps are stratified over the batch.
 */
#include "train/teacher_step.h"

#include <math.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "base/system.h"
#include "train/gradients.h"
#include "train/run.h"

struct ons_teacher_step {
    const ons_recipe *r;
    ons_model *m;
    ons_teacher_step_options options;
    int64_t side;       /* of a latent */
    size_t latent_size; /* floats of one */
    ons_plan *plan;
    ons_params *nets[ONS_TEACHER_SETS]; /* borrowed from m */
    ons_adamw *optimizers[ONS_TEACHER_SETS];
    ons_params *ema[ONS_TEACHER_SETS];
    float *posterior; /* noise of a batch */
    /* What a batch writes into the plan. */
    float *xt, *eps, *t, *weight;
    int32_t *ids;
};

static onestep_status build(const ons_teacher_step *s, ons_graph *g)
{
    const ons_unet_config *c = &s->m->unet_config;
    int64_t b = s->r->train.batch_size;
    ons_value *xt = ons_input(g, "xt", ONS_F32, &ONS_SHAPE4(b, s->side, s->side, c->in_channels));
    ons_value *eps = ons_input(g, "eps", ONS_F32, &ONS_SHAPE4(b, s->side, s->side, c->in_channels));
    ons_value *t = ons_input(g, "t", ONS_F32, &ONS_SHAPE1(b));
    ons_value *weight = ons_input(g, "weight", ONS_F32, &ONS_SHAPE4(b, 1, 1, 1));
    ons_value *ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(b, s->options.n_tokens));
    ons_value *error, *loss;
    ons_nn unet, clip;

    ons_nn_init(&unet, g, s->m->unet, ONS_TEACHER_UNET, true);
    ons_nn_init(&clip, g, s->m->clip, ONS_TEACHER_TEXT, true);
    error =
        ons_sub(g, ons_unet_build(&unet, c, xt, t, ons_clip_text_build(&clip, &s->m->clip_config, ids)), eps);
    loss = ons_mean_all(g, ons_mul(g, ons_unary(g, ONS_OP_SQUARE, error), weight));
    ons_graph_output(g, loss, "loss");
    return ons_train_add_gradients(g, &loss, NULL, 1, (const int[]){ONS_TEACHER_UNET, ONS_TEACHER_TEXT},
                                   ONS_TEACHER_SETS);
}

onestep_status ons_teacher_step_plan(ons_teacher_step *s)
{
    ons_plan_options po = {
        .compute = s->options.compute, .params = {s->m->unet, s->m->clip}, .label = "teacher"};
    ons_graph *g = NULL;
    onestep_status st = ONESTEP_OK;

    if (s->plan)
        return ONESTEP_OK;
    ONS_TRY(ons_graph_create(&g));
    ONS_TRY(build(s, g));
    ONS_TRY(ons_plan_create(&g, &po, &s->plan));
    for (int i = 0; i < ONS_TEACHER_SETS; i++)
        ONS_TRY(ons_train_bind_slot(s->plan, i, s->optimizers[i]));
    ONS_TRY(ons_plan_allocate(s->plan));
fail:
    if (st != ONESTEP_OK)
        ons_plan_destroy(&s->plan);
    ons_graph_destroy(&g);
    return st;
}

/* x0 drawn from the posterior, x_t = a_t x0 + s_t eps (Ho et al. 2020, eq. 4) */
static void noise_picture(const ons_teacher_step *s, const float *mean, const float *std, int t,
                          const float *eps, const float *posterior, float *xt)
{
    float a = (float)ons_schedule_a(&s->m->schedule, t), sigma = (float)ons_schedule_s(&s->m->schedule, t);

    for (size_t i = 0; i < s->latent_size; i++)
        xt[i] = a * (mean[i] + std[i] * posterior[i]) + sigma * eps[i];
}

/* Stratified: one timestep from each of `n` equal parts of the range, so that every batch sees all noise
 * levels. */
static int draw_timestep(const ons_teacher_step *s, int64_t step, int i)
{
    int n = s->r->train.batch_size;
    float u;

    ons_rand_uniform(s->r->seed, ONS_STREAM_TIMESTEP, (uint64_t)step * (uint64_t)n + (uint64_t)i, &u, 1);
    return (int)fmin((i + (double)u) / n * s->m->schedule.n, s->m->schedule.n - 1);
}

static float loss_weight(const ons_teacher_step *s, int t)
{
    double a = ons_schedule_a(&s->m->schedule, t), sigma = ons_schedule_s(&s->m->schedule, t);
    double snr = a * a / (sigma * sigma), gamma = s->r->train.min_snr;
    double boost = fmin(fmax(1 / sqrt(snr), 1), s->r->train.low_snr_boost);

    return (float)(gamma > 0 ? boost * fmin(snr, gamma) / snr : boost);
}

static onestep_status load_batch(ons_teacher_step *s, int64_t step, ons_teacher_pick pick, void *context)
{
    const ons_recipe *r = s->r;
    int n = r->train.batch_size;
    size_t size = s->latent_size, values = (size_t)n * size;
    const int n_threads = ons_compute_threads(&s->options.compute);
    onestep_status st;

    ons_randn_by(n_threads, r->seed, ONS_STREAM_EPSILON, (uint64_t)step * values, s->eps, values);
    ons_randn_by(n_threads, r->seed, ONS_STREAM_POSTERIOR, (uint64_t)step * values, s->posterior, values);
    for (int i = 0; i < n; i++) {
        int timestep = draw_timestep(s, step, i);
        const float *mean, *std;

        ONS_TRY(pick(context, (uint64_t)step * (uint64_t)n + (uint64_t)i, s->ids + i * s->options.n_tokens,
                     &mean, &std));
        s->t[i] = (float)timestep;
        s->weight[i] = loss_weight(s, timestep);
        noise_picture(s, mean, std, timestep, s->eps + (size_t)i * size, s->posterior + (size_t)i * size,
                      s->xt + (size_t)i * size);
    }
    ONS_TRY(ons_plan_write(s->plan, "xt", 0, s->xt, values));
    ONS_TRY(ons_plan_write(s->plan, "eps", 0, s->eps, values));
    ONS_TRY(ons_plan_write(s->plan, "t", 0, s->t, (size_t)n));
    ONS_TRY(ons_plan_write(s->plan, "weight", 0, s->weight, (size_t)n));
    st = ons_plan_write(s->plan, "ids", 0, s->ids, (size_t)n * (size_t)s->options.n_tokens);
fail:
    return st;
}

static void optimize(ons_teacher_step *s, int64_t step, ons_teacher_result *out)
{
    const ons_recipe *r = s->r;
    ons_adamw_options opt = {.lr = r->train.lr *
                                   ons_lr_factor(step, r->train.iterations, r->train.warmup, r->train.flat),
                             .beta1 = 0.9,
                             .beta2 = 0.99,
                             .eps = 1e-8,
                             .weight_decay = r->train.weight_decay,
                             .clip = r->train.clip};
    double decay = fmin(r->train.ema, (1.0 + (double)step) / (10.0 + (double)step));

    out->taken = ons_adamw_step_group(s->optimizers, ONS_TEACHER_SETS, &opt, &out->grad_norm);
    for (int i = 0; i < ONS_TEACHER_SETS && out->taken; i++)
        ons_ema_update(s->ema[i], s->nets[i], decay, ons_compute_threads(&s->options.compute));
}

onestep_status ons_teacher_step_run(ons_teacher_step *s, int64_t step, ons_teacher_pick pick, void *context,
                                    ons_teacher_result *out)
{
    double start, loaded, ran;
    onestep_status st;

    ONS_TRY(ons_teacher_step_plan(s));
    start = ons_now_s();
    ONS_TRY(load_batch(s, step, pick, context));
    loaded = ons_now_s();
    ONS_TRY(ons_plan_run(s->plan));
    ONS_TRY(ons_plan_read_scalar(s->plan, "loss", &out->loss));
    ran = ons_now_s();
    optimize(s, step, out);
    out->load_s = loaded - start;
    out->network_s = ran - loaded;
    out->optimize_s = ons_now_s() - ran;
fail:
    return st;
}

static onestep_status allocate_batch(ons_teacher_step *s)
{
    const size_t n = (size_t)s->r->train.batch_size, values = n * s->latent_size;

    s->posterior = ons_malloc(values * sizeof *s->posterior);
    s->xt = ons_malloc(values * sizeof *s->xt);
    s->eps = ons_malloc(values * sizeof *s->eps);
    s->t = ons_malloc(n * sizeof *s->t);
    s->weight = ons_malloc(n * sizeof *s->weight);
    s->ids = ons_malloc(n * (size_t)s->options.n_tokens * sizeof *s->ids);
    return s->posterior && s->xt && s->eps && s->t && s->weight && s->ids
               ? ONESTEP_OK
               : ons_fail(ONESTEP_NO_MEMORY, "no memory for a batch of %d", s->r->train.batch_size);
}

onestep_status ons_teacher_step_create(const ons_recipe *r, ons_model *m, const ons_teacher_step_options *o,
                                       ons_teacher_step **out)
{
    ons_teacher_step *s = ons_calloc(1, sizeof *s);
    onestep_status st;

    *out = NULL;
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to train a teacher");
    s->r = r;
    s->m = m;
    s->options = *o;
    s->side = r->resolution / ons_vae_factor(&m->vae_config);
    s->latent_size = (size_t)(s->side * s->side * m->unet_config.in_channels);
    s->nets[ONS_TEACHER_UNET] = m->unet;
    s->nets[ONS_TEACHER_TEXT] = m->clip;
    for (int i = 0; i < ONS_TEACHER_SETS; i++) {
        ONS_TRY(ons_adamw_create(s->nets[i], ons_compute_threads(&o->compute), &s->optimizers[i]));
        ONS_TRY(ons_params_clone(s->nets[i], true, &s->ema[i]));
    }
    ONS_TRY(allocate_batch(s));
    *out = s;
    return ONESTEP_OK;
fail:
    ons_teacher_step_destroy(&s);
    return st;
}

void ons_teacher_step_destroy(ons_teacher_step **s)
{
    if (!s || !*s)
        return;
    ons_plan_destroy(&(*s)->plan);
    for (int i = 0; i < ONS_TEACHER_SETS; i++) {
        ons_adamw_destroy(&(*s)->optimizers[i]);
        ons_params_destroy(&(*s)->ema[i]);
    }
    ons_free((*s)->posterior);
    ons_free((*s)->xt);
    ons_free((*s)->eps);
    ons_free((*s)->t);
    ons_free((*s)->weight);
    ons_free((*s)->ids);
    ons_free(*s);
    *s = NULL;
}

ons_adamw *ons_teacher_step_optimizer(ons_teacher_step *s, int set)
{
    return s->optimizers[set];
}

ons_params *ons_teacher_step_ema(ons_teacher_step *s, int set)
{
    return s->ema[set];
}

ons_plan *ons_teacher_step_get_plan(ons_teacher_step *s)
{
    return s->plan;
}

size_t ons_teacher_step_latent_size(const ons_teacher_step *s)
{
    return s->latent_size;
}
