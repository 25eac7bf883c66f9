/*
 * One step of DMD against tests/reference/make_dmd_vectors.py, which writes the losses down as the paper has
 * them and leaves the derivatives to PyTorch: what the generator makes, its terms, its gradients, and the fake
 * score's loss and gradients. Once with noise as what the networks predict and latents alone compared, once
 * with v and pixels.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/plan.h"
#include "../models/vectors.h"
#include "distill/dmd_impl.h"
#include "train/recipe.h"

enum { SIDE = 4, CHANNELS = 4, N_MATCH = 3, N_PAIRS = 2, TOKENS = 6 };
static const double TOLERANCE = 1e-4; /* of the largest element */

typedef struct step_case {
    const char *name;
    ons_prediction prediction;
    int timestep;
    double weight_dm, weight_reg, weight_latent, weight_pixel, low_snr_boost;
} step_case;

/* CASES of make_dmd_vectors.py */
static const step_case noise_and_latents = {"dmd_epsilon", ONS_PREDICT_EPSILON, 999, 0.7, 0.25, 1, 0, 3},
                       v_and_pixels = {"dmd_v", ONS_PREDICT_V, 979, 1.3, 0.5, 0.4, 0.8, 1.5};

typedef struct step {
    vectors v;
    ons_model teacher;
    ons_recipe recipe;
    ons_distill ctx;
    dmd s;
} step;

static void check(onestep_status st)
{
    if (st != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

static const char *path_of(const char *name, char path[512])
{
    assert_non_null(getenv("ONESTEP_SOURCE_ROOT"));
    snprintf(path, 512, "%s/tests/distill/vectors/%s", getenv("ONESTEP_SOURCE_ROOT"), name);
    return path;
}

/* The declared set filled from the file. */
static void load(const step *t, ons_params *set, const char *prefix)
{
    check(ons_params_load(set, t->v.file, prefix));
}

static ons_params *open_unet(const step *t, const char *prefix)
{
    ons_params *set;

    check(ons_params_create(&set));
    check(ons_unet_declare(&t->teacher.unet_config, set));
    load(t, set, prefix);
    return set;
}

static void open_teacher(step *t, const step_case *c)
{
    static const char *const captions[] = {"a"}; /* nothing to merge: ids are bytes */
    ons_model *m = &t->teacher;
    char path[512];

    check(ons_unet_config_load(path_of("unet.json", path), &m->unet_config));
    check(ons_vae_config_load(path_of("vae.json", path), &m->vae_config));
    check(ons_clip_config_load(path_of("clip.json", path), &m->clip_config));
    m->unet = open_unet(t, "w.real.");
    check(ons_params_create(&m->vae));
    check(ons_vae_declare(&m->vae_config, m->vae));
    load(t, m->vae, "w.vae.");
    check(ons_params_create(&m->clip));
    check(ons_clip_declare(&m->clip_config, m->clip));
    load(t, m->clip, "w.clip.");
    check(ons_tokenizer_train(captions, 1, 514, TOKENS, &m->tokenizer));
    ons_schedule_init_sd(&m->schedule);
    m->schedule.prediction = c->prediction;
}

static void set_recipe(ons_recipe *r, const step_case *c)
{
    ons_recipe_init(r);
    r->distill.batch_size = N_MATCH;
    r->distill.pair_batch_size = N_PAIRS;
    r->distill.warmup_iterations = 0;
    r->distill.timestep = c->timestep;
    r->distill.weight_dm = c->weight_dm;
    r->distill.weight_reg = c->weight_reg;
    r->distill.weight_latent = c->weight_latent;
    r->distill.weight_pixel = c->weight_pixel;
    r->distill.low_snr_boost = c->low_snr_boost;
}

static void open_step(step *t, const step_case *c, const char *backend)
{
    char name[64], path[512];

    memset(t, 0, sizeof *t);
    snprintf(name, sizeof name, "%s.safetensors", c->name);
    check(ons_safetensors_open(path_of(name, path), &t->v.file));
    open_teacher(t, c);
    set_recipe(&t->recipe, c);
    t->ctx = (ons_distill){.r = &t->recipe,
                           .teacher = &t->teacher,
                           .compute = {.backend = ons_backend_find(backend), .n_threads = 2, .type = ONS_F32}};
    t->s = (dmd){.ctx = &t->ctx,
                 .g = open_unet(t, "w.gen."),
                 .fake = open_unet(t, "w.fake."),
                 .real = t->teacher.unet,
                 .clip = t->teacher.clip,
                 .vae = t->teacher.vae,
                 .h = SIDE,
                 .w = SIDE,
                 .c = CHANNELS,
                 .latent = SIDE * SIDE * CHANNELS};
    check(ons_adamw_create(t->s.g, 2, &t->s.opt_g));
    check(ons_adamw_create(t->s.fake, 2, &t->s.opt_fake));
    check(ons_dmd_create_plans(&t->s));
}

static void close_step(step *t)
{
    ons_plan_destroy(&t->s.match.plan);
    ons_plan_destroy(&t->s.critic);
    ons_adamw_destroy(&t->s.opt_g);
    ons_adamw_destroy(&t->s.opt_fake);
    ons_params_destroy(&t->s.g);
    ons_params_destroy(&t->s.fake);
    ons_params_destroy(&t->teacher.unet);
    ons_params_destroy(&t->teacher.vae);
    ons_params_destroy(&t->teacher.clip);
    ons_tokenizer_close(&t->teacher.tokenizer);
    ons_recipe_fini(&t->recipe);
    vectors_close(&t->v);
}

static void give(const step *t, ons_plan *p, const char *input, const char *tensor)
{
    const ons_file_tensor *f = vectors_find(&t->v, tensor);
    const ons_value *v = ons_plan_find(p, input);

    assert_non_null(v);
    assert_int_equal(f->size, ons_shape_count(&v->shape) * 4);
    memcpy(ons_plan_input(p, input), f->data, f->size);
}

/* Timesteps of the file, and the schedule's levels there. */
static void give_levels(const step *t, ons_plan *p, const char *prefix, int n)
{
    char input[3][32], tensor[32];
    const float *times;

    for (int i = 0; i < 3; i++)
        snprintf(input[i], sizeof input[i], "%s%c", prefix, "tas"[i]);
    snprintf(tensor, sizeof tensor, "in.%st", prefix);
    give(t, p, input[0], tensor);
    times = ons_plan_input(p, input[0]);
    for (int i = 0; i < n; i++) {
        ((float *)ons_plan_input(p, input[1]))[i] = (float)ons_schedule_a(&t->teacher.schedule, (int)times[i]);
        ((float *)ons_plan_input(p, input[2]))[i] = (float)ons_schedule_s(&t->teacher.schedule, (int)times[i]);
    }
}

static void compare(const step *t, ons_plan *p, const char *result)
{
    char tensor[64];
    const ons_file_tensor *f;
    float expected[(N_MATCH + N_PAIRS) * SIDE * SIDE * CHANNELS];

    snprintf(tensor, sizeof tensor, "out.%s", result);
    f = vectors_find(&t->v, tensor);
    assert_non_null(ons_plan_result(p, result));
    assert_true(f->size <= sizeof expected);
    memcpy(expected, f->data, f->size);
    vectors_compare_data(result, ons_plan_result(p, result), expected, f->size / sizeof *expected, TOLERANCE);
}

static void compare_gradients(const step *t, ons_params *grads, const char *prefix)
{
    ons_params *expected;

    check(ons_params_clone(grads, false, &expected));
    load(t, expected, prefix);
    for (int i = 0; i < ons_params_count(grads); i++) {
        const ons_param *row = ons_params_at(grads, i);

        vectors_compare_data(row->name, ons_params_data(grads, i), ons_params_data(expected, i),
                             (size_t)ons_shape_count(&row->shape), TOLERANCE);
    }
    ons_params_destroy(&expected);
}

static void check_generator(step *t)
{
    static const char *const results[] = {"x", "regression", "direction2", "real2", "fake2"};
    ons_plan *p = t->s.match.plan;

    give(t, p, "z", "in.z");
    give(t, p, "ids", "in.ids");
    give(t, p, "guidance", "in.guidance");
    give(t, p, "match_e", "in.match_e");
    give(t, p, "target", "in.target");
    if (ons_dmd_uses_pixels(&t->s))
        give(t, p, "target_pixels", "in.target_pixels");
    give_levels(t, p, "match_", N_MATCH);
    check(ons_plan_run(p));
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        compare(t, p, results[i]);
    compare_gradients(t, ons_adamw_grads(t->s.opt_g), "g.gen.");
}

static void check_fake_score(step *t)
{
    ons_plan *p = t->s.critic;

    give(t, p, "x", "in.x");
    give(t, p, "e", "in.e");
    give(t, p, "ids", "in.ids");
    give_levels(t, p, "", N_MATCH + N_PAIRS);
    check(ons_plan_run(p));
    compare(t, p, "loss");
    compare_gradients(t, ons_adamw_grads(t->s.opt_fake), "g.fake.");
}

static void check_step(const step_case *c)
{
    static const char *const backends[] = {"ref", "cpu"};

    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        step t;

        open_step(&t, c, backends[i]);
        check_generator(&t);
        check_fake_score(&t);
        close_step(&t);
    }
}

static void a_step_on_noise_and_latents(void **state)
{
    (void)state;
    check_step(&noise_and_latents);
}

static void a_step_on_v_and_pixels(void **state)
{
    (void)state;
    check_step(&v_and_pixels);
}

/* The vectors' empty caption is the tokenizer's. */
static void the_empty_caption_is_the_same(void **state)
{
    int32_t ids[TOKENS];
    step t;

    (void)state;
    open_step(&t, &noise_and_latents, "ref");
    check(ons_tokenizer_encode(t.teacher.tokenizer, "", ids, NULL, NULL));
    assert_memory_equal(ids, vectors_find(&t.v, "in.empty")->data, sizeof ids);
    close_step(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_empty_caption_is_the_same),
        cmocka_unit_test(a_step_on_noise_and_latents),
        cmocka_unit_test(a_step_on_v_and_pixels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
