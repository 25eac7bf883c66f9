/*
 * The autoencoder stage: reconstruction by L1 + 2 MSE + L1 of the image gradients, plus a light KL term
 * (Rombach et al. 2022, without the adversarial part, which pays at sizes far above these). Flips and shifts
 * make few pictures go further.
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "base/system.h"
#include "train/checkpoint.h"
#include "train/gradients.h"
#include "train/run.h"
#include "train/train.h"

typedef struct stage {
    const ons_recipe *r;
    const ons_dataset *d;
    ons_model *m;
    ons_plan *plan;
    float *pixels, *noise; /* of a batch, on their way into the plan */
    ons_adamw *optimizer;
    ons_params *ema;
    ons_run run;
    char *checkpoint;
    int latent_side, n_threads;
} stage;

void ons_pixels_load(float *dst, const uint8_t *rgb, int size, bool mirror, int dx, int dy)
{
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            int sx = (mirror ? size - 1 - x : x) + dx, sy = y + dy;
            bool inside = sx >= 0 && sx < size && sy >= 0 && sy < size;

            for (int c = 0; c < 3; c++)
                *dst++ = inside ? (float)rgb[(sy * size + sx) * 3 + c] / 127.5f - 1.0f : 1.0f;
        }
}

static ons_value *mean_abs(ons_graph *g, ons_value *x)
{
    return ons_mean_all(g, ons_unary(g, ONS_OP_ABS, x));
}

/* Mean |difference of neighbours| of the error along one axis: penalises lost edges. */
static ons_value *edge_loss(ons_graph *g, ons_value *error, int axis)
{
    int64_t n = error->shape.d[axis];

    return mean_abs(g, ons_sub(g, ons_slice(g, error, axis, 1, n - 1), ons_slice(g, error, axis, 0, n - 1)));
}

/* KL of N(mean, exp(logvar)) to N(0, 1) per latent value: (mean^2 + exp(logvar) - 1 - logvar) / 2. */
static ons_value *kl_term(ons_graph *g, ons_value *mean, ons_value *logvar)
{
    ons_value *sum = ons_add(g, ons_unary(g, ONS_OP_SQUARE, mean), ons_unary(g, ONS_OP_EXP, logvar));

    return ons_affine(g, ons_mean_all(g, ons_sub(g, sum, logvar)), 0.5, -0.5);
}

static onestep_status build(stage *s, ons_graph *g)
{
    const ons_vae_config *c = &s->m->vae_config;
    int64_t b = s->r->vae.batch_size, size = s->r->resolution, side = s->latent_side, z_c = c->latent_channels;
    ons_value *pixels = ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(b, size, size, 3));
    ons_value *noise = ons_input(g, "noise", ONS_F32, &ONS_SHAPE4(b, side, side, z_c));
    ons_value *moments, *mean, *logvar, *z, *error, *l1, *l2, *edges, *kl, *loss;
    ons_nn nn;

    ons_nn_init(&nn, g, s->m->vae, 0, true);
    moments = ons_vae_encode_build(&nn, c, pixels);
    mean = ons_slice(g, moments, 3, 0, z_c);
    logvar = ons_clamp(g, ons_slice(g, moments, 3, z_c, z_c), -30, 20);
    z = ons_add(g, mean, ons_mul(g, ons_unary(g, ONS_OP_EXP, ons_affine(g, logvar, 0.5, 0)), noise));
    error = ons_sub(g, ons_vae_decode_build(&nn, c, z), pixels);
    l1 = mean_abs(g, error);
    l2 = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, error));
    edges = ons_add(g, edge_loss(g, error, 1), edge_loss(g, error, 2));
    kl = kl_term(g, mean, logvar);
    loss = ons_add(g, ons_add(g, l1, ons_affine(g, l2, 2, 0)),
                   ons_add(g, edges, ons_affine(g, kl, s->r->vae.kl_weight, 0)));
    ons_graph_output(g, loss, "loss");
    ons_graph_output(g, l2, "mse");
    ons_graph_output(g, kl, "kl");
    return ons_train_bind_gradients(g, loss, s->m->vae, 0);
}

static onestep_status make_plan(stage *s, const ons_train_options *o)
{
    ons_plan_options po = {.compute = o->compute, .params = {s->m->vae}, .label = "autoencoder"};
    ons_graph *g = NULL;
    onestep_status st;

    ONS_TRY(ons_graph_create(&g));
    ONS_TRY(build(s, g));
    ONS_TRY(ons_plan_create(&g, &po, &s->plan));
    ONS_TRY(ons_train_bind_slot(s->plan, 0, s->optimizer));
    ONS_TRY(ons_plan_allocate(s->plan));
fail:
    ons_graph_destroy(&g);
    return st;
}

static onestep_status allocate_batch(stage *s)
{
    const size_t n = (size_t)s->r->vae.batch_size, size = (size_t)s->r->resolution;

    s->pixels = ons_malloc(n * size * size * 3 * sizeof *s->pixels);
    s->noise = ons_malloc(n * (size_t)(s->latent_side * s->latent_side * s->m->vae_config.latent_channels) *
                          sizeof *s->noise);
    return s->pixels && s->noise
               ? ONESTEP_OK
               : ons_fail(ONESTEP_NO_MEMORY, "no memory for a batch of %d pictures", s->r->vae.batch_size);
}

static onestep_status load_batch(stage *s, int64_t step)
{
    const ons_recipe *r = s->r;
    int size = r->resolution, n = r->vae.batch_size;
    onestep_status st;
    size_t values = (size_t)n * (size_t)(s->latent_side * s->latent_side * s->m->vae_config.latent_channels);

    for (int i = 0; i < n; i++) {
        uint64_t index = (uint64_t)step * (uint64_t)n + (uint64_t)i;
        ons_caption_draw draw = ons_dataset_draw_even(s->d, r->seed, index, 0, 0);
        uint64_t u = ons_rand_u64(r->seed, ONS_STREAM_VAE_AUGMENT, index);
        int span = 2 * r->vae.shift + 1;

        ons_pixels_load(s->pixels + (size_t)i * (size_t)(size * size * 3), ons_dataset_at(s->d, draw.item)->rgb,
                        size, r->vae.flip && (u & 1), (int)((u >> 8) % (uint64_t)span) - r->vae.shift,
                        (int)((u >> 32) % (uint64_t)span) - r->vae.shift);
    }
    ons_randn_by(s->n_threads, r->seed, ONS_STREAM_VAE_NOISE, (uint64_t)step * values, s->noise, values);
    ONS_TRY(ons_plan_write(s->plan, "pixels", 0, s->pixels, (size_t)n * (size_t)(size * size * 3)));
    st = ons_plan_write(s->plan, "noise", 0, s->noise, values);
fail:
    return st;
}

static onestep_status save(stage *s)
{
    ons_checkpoint_set sets[] = {{"vae", s->m->vae},
                                 {"vae.ema", s->ema},
                                 {"vae.m", ons_adamw_moment(s->optimizer, 0)},
                                 {"vae.v", ons_adamw_moment(s->optimizer, 1)}};
    json_t *state = json_pack("{s:I, s:I}", "step", (json_int_t)s->run.step, "optimizer_steps",
                              (json_int_t)ons_adamw_steps(s->optimizer));
    onestep_status st = ons_checkpoint_save(s->checkpoint, sets, 4, state);

    json_decref(state);
    return st;
}

static onestep_status restore(stage *s, int64_t *step)
{
    ons_checkpoint_set sets[] = {{"vae", s->m->vae},
                                 {"vae.ema", s->ema},
                                 {"vae.m", ons_adamw_moment(s->optimizer, 0)},
                                 {"vae.v", ons_adamw_moment(s->optimizer, 1)}};
    json_t *state = NULL;
    onestep_status st = ons_checkpoint_load(s->checkpoint, sets, 4, &state);

    if (st == ONESTEP_OK) {
        *step = json_integer_value(json_object_get(state, "step"));
        ons_adamw_set_steps(s->optimizer, json_integer_value(json_object_get(state, "optimizer_steps")));
    }
    json_decref(state);
    return st;
}

static onestep_status one_step(stage *s, int64_t step)
{
    const ons_recipe *r = s->r;
    ons_adamw_options opt = {.lr = r->vae.lr * ons_lr_factor(step, r->vae.iterations, r->vae.warmup, 0.2),
                             .beta1 = 0.9,
                             .beta2 = 0.99,
                             .eps = 1e-8,
                             .weight_decay = 0.01,
                             .clip = 1};
    double values[3], mse, norm;
    bool taken;
    onestep_status st;

    ONS_TRY(load_batch(s, step));
    ONS_TRY(ons_plan_run(s->plan));
    ONS_TRY(ons_plan_read_scalar(s->plan, "loss", &values[0]));
    ONS_TRY(ons_plan_read_scalar(s->plan, "mse", &mse));
    ONS_TRY(ons_plan_read_scalar(s->plan, "kl", &values[2]));
    taken = ons_adamw_step(s->optimizer, &opt, &norm);
    if (taken)
        ons_ema_update(s->ema, s->m->vae, fmin(0.995, (1.0 + (double)step) / (10.0 + (double)step)),
                       s->n_threads);
    /* PSNR of pixels in [-1, 1]: peak 2 */
    values[1] = 10 * log10(4 / fmax(mse, 1e-12));
    st = ons_run_step(&s->run, step + 1, values, !taken);
fail:
    return st;
}

static onestep_status loop(stage *s, int64_t step)
{
    onestep_status st;

    for (; step < s->r->vae.iterations; step++) {
        if ((st = one_step(s, step)) != ONESTEP_OK)
            return st;
        if ((ons_run_checkpoint_due(&s->run) || ons_interrupted()) && (st = save(s)) != ONESTEP_OK)
            return st;
        if (ons_interrupted())
            return ons_fail(ONESTEP_INTERRUPTED, "stopped at step %lld of the autoencoder",
                            (long long)step + 1);
    }
    return ONESTEP_OK;
}

onestep_status ons_train_autoencoder(const ons_recipe *r, const ons_train_options *o, const ons_dataset *d,
                                     ons_model *m)
{
    static const char *const series[] = {"loss", "psnr", "kl", NULL};
    stage s = {.r = r,
               .d = d,
               .m = m,
               .n_threads = ons_compute_threads(&o->compute),
               .latent_side = r->resolution / ons_vae_factor(&m->vae_config)};
    char *folder = ons_path_join(o->output, "training");
    int64_t step = 0;
    onestep_status st;

    s.checkpoint = ons_format("%s/training/autoencoder.safetensors", o->output);
    if (!folder || !s.checkpoint) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to start training");
        goto fail;
    }
    ons_params_set_threads(m->vae, s.n_threads);
    ons_params_init(m->vae, r->seed);
    ONS_TRY(ons_adamw_create(m->vae, s.n_threads, &s.optimizer));
    ONS_TRY(ons_params_clone(m->vae, true, &s.ema));
    if (o->resume && ons_path_exists(s.checkpoint))
        ONS_TRY(restore(&s, &step));
    ONS_TRY(make_plan(&s, o));
    ONS_TRY(allocate_batch(&s));
    ONS_TRY(ons_run_begin(&(ons_run_options){.folder = folder,
                                             .stage = "autoencoder",
                                             .unit = "step",
                                             .start = step,
                                             .total = r->vae.iterations,
                                             .checkpoint_every = r->every.checkpoint_every,
                                             .log_every = r->every.log_every,
                                             .sample_every = r->every.sample_every,
                                             .energy = o->energy,
                                             .series = series},
                          &s.run));
    ONS_TRY(loop(&s, step));
    ons_ema_update(m->vae, s.ema, 0, s.n_threads); /* the average is what everybody uses from here on */
    st = ons_latents_normalise(m, d, o);
fail:
    ons_run_end(&s.run);
    ons_plan_destroy(&s.plan);
    ons_free(s.pixels);
    ons_free(s.noise);
    ons_adamw_destroy(&s.optimizer);
    ons_params_destroy(&s.ema);
    ons_free(s.checkpoint);
    ons_free(folder);
    return st;
}
