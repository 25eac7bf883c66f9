/* The feature network end to end: trained on a small set it must tell its pictures apart, keep what it learned
 * on disk, and measure a perfect and a useless model as such. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "eval/evaluate.h"
#include "metrics/metrics.h"
#include "shapes.h"
#include "train/contrastive.h"

enum { SIDE = SHAPES_SIDE, BYTES = SIDE * SIDE * 3, N = SHAPES_COUNT };

static char folder[64];
static ons_dataset *data;
static ons_features *features;
static ons_embedder *embedder;

static ons_contrastive_options tiny(int iterations)
{
    return (ons_contrastive_options){.data = data,
                                     .image_size = SIDE,
                                     .n_levels = 3,
                                     .channels = {16, 24, 32},
                                     .embed_dim = 32,
                                     .vocab_size = 600,
                                     .iterations = iterations,
                                     .batch_size = 32,
                                     .lr = 1e-3,
                                     .p_keyword = 0.2,
                                     .seed = 5};
}

static onestep_status prepare(void)
{
    onestep_status st;
    ons_contrastive_options o;

    ONS_TRY(ons_dataset_open(folder, &(ons_dataset_options){.size = SIDE, .include_heldout = true}, &data));
    o = tiny(300);
    ONS_TRY(ons_contrastive_train(&o, &features));
    ONS_TRY(ons_embedder_create(features, &(ons_compute){0}, &embedder));
fail:
    return st;
}

static int set_up(void **state)
{
    (void)state;
    if (shapes_write(folder) == 0 && prepare() == ONESTEP_OK)
        return 0;
    print_error("%s\n", onestep_error_text());
    return -1;
}

static int tear_down(void **state)
{
    (void)state;
    ons_embedder_destroy(&embedder);
    ons_features_close(&features);
    ons_dataset_close(&data);
    return shapes_remove(folder);
}

static void embed_all(ons_embedder *e, float *captions, float *pictures)
{
    static uint8_t rgb[N * BYTES];
    static char names[N][64];
    const char *texts[N];

    for (int i = 0; i < N; i++) {
        shapes_draw(i, rgb + i * BYTES);
        shapes_name(i, names[i]);
        texts[i] = names[i];
    }
    assert_int_equal(ons_embed_pictures(e, rgb, N, SIDE, NULL, pictures), ONESTEP_OK);
    assert_int_equal(ons_embed_captions(e, texts, N, captions), ONESTEP_OK);
}

static void training_tells_pictures_apart(void **state)
{
    static float captions[N * 32], pictures[N * 32];
    ons_retrieval got;

    (void)state;
    assert_int_equal(ons_embedder_n_embedding(embedder), 32);
    assert_int_equal(ons_embedder_n_features(embedder), 32);
    embed_all(embedder, captions, pictures);
    ons_retrieve(captions, pictures, N, 32, 2, &got);
    print_message("top1 %.3f top5 %.3f cosine %.3f (chance %.3f)\n", got.top1, got.top5, got.clip, 1.0 / N);
    assert_true(got.top1 > 0.6);
    assert_true(got.top5 > 0.9);
}

static void the_untrained_network_does_not(void **state)
{
    static float captions[N * 32], pictures[N * 32];
    ons_contrastive_options o = tiny(1);
    ons_features *f = NULL;
    ons_embedder *e = NULL;
    ons_retrieval got;

    (void)state;
    assert_int_equal(ons_contrastive_train(&o, &f), ONESTEP_OK);
    assert_int_equal(ons_embedder_create(f, &(ons_compute){0}, &e), ONESTEP_OK);
    embed_all(e, captions, pictures);
    ons_retrieve(captions, pictures, N, 32, 2, &got);
    assert_true(got.top1 < 0.1);
    ons_embedder_destroy(&e);
    ons_features_close(&f);
}

static void training_repeats_its_bits(void **state)
{
    ons_contrastive_options o = tiny(5);
    ons_features *a = NULL, *b = NULL;

    (void)state;
    assert_int_equal(ons_contrastive_train(&o, &a), ONESTEP_OK);
    assert_int_equal(ons_contrastive_train(&o, &b), ONESTEP_OK);
    assert_memory_equal(ons_params_region(a->params), ons_params_region(b->params),
                        ons_params_region_size(a->params) * sizeof(float));
    ons_features_close(&b);
    o.seed++;
    assert_int_equal(ons_contrastive_train(&o, &b), ONESTEP_OK);
    assert_memory_not_equal(ons_params_region(a->params), ons_params_region(b->params),
                            ons_params_region_size(a->params) * sizeof(float));
    ons_features_close(&a);
    ons_features_close(&b);
}

static void a_folder_keeps_the_network(void **state)
{
    static float captions[2][N * 32], pictures[2][N * 32];
    char path[96];
    ons_features *f = NULL;
    ons_embedder *e = NULL;
    double trained_s = -1;

    (void)state;
    snprintf(path, sizeof path, "%s/kept", folder);
    assert_false(ons_features_present(path));
    assert_int_equal(ons_features_save(features, path, ONS_F32), ONESTEP_OK);
    assert_true(ons_features_present(path));
    assert_int_equal(ons_features_obtain(path, data, SIDE, 1, &(ons_compute){0}, &f, &trained_s), ONESTEP_OK);
    assert_true(trained_s == 0);
    assert_int_equal(ons_embedder_create(f, &(ons_compute){0}, &e), ONESTEP_OK);
    embed_all(embedder, captions[0], pictures[0]);
    embed_all(e, captions[1], pictures[1]);
    assert_memory_equal(captions[0], captions[1], sizeof captions[0]);
    assert_memory_equal(pictures[0], pictures[1], sizeof pictures[0]);
    ons_embedder_destroy(&e);
    ons_features_close(&f);
}

static int number_of(const char *caption)
{
    char name[64];

    for (int i = 0; i < N; i++) {
        shapes_name(i, name);
        if (!strcmp(name, caption))
            return i;
    }
    return -1;
}

/* Knows every picture; of a keyword it draws one that carries it, a different one for each seed. */
static onestep_status draw_perfectly(void *user, const char *const *captions, const uint64_t *seeds, int64_t n,
                                     uint8_t *rgb)
{
    (void)user;
    for (int64_t i = 0; i < n; i++) {
        int number = number_of(captions[i]);

        for (int k = 0; number < 0 && k < N; k++) {
            int candidate = (int)((seeds[i] * 37 + (uint64_t)k) % N);
            char name[64];

            shapes_name(candidate, name);
            if (candidate % 7 != 3 && strstr(name, captions[i]))
                number = candidate;
        }
        if (number < 0)
            return ons_fail(ONESTEP_BAD_ARGUMENT, "no picture fits '%s'", captions[i]);
        shapes_draw(number, rgb + i * BYTES);
    }
    return ONESTEP_OK;
}

static onestep_status draw_nothing(void *user, const char *const *captions, const uint64_t *seeds, int64_t n,
                                   uint8_t *rgb)
{
    (void)user;
    (void)captions;
    (void)seeds;
    memset(rgb, 255, (size_t)n * BYTES);
    return ONESTEP_OK;
}

static void a_perfect_model_is_measured_as_one(void **state)
{
    const ons_eval_options o = {.n = 64, .n_diversity = 4, .seed = 3, .side = SIDE};
    ons_eval got;

    (void)state;
    assert_int_equal(ons_evaluate(data, embedder, &o, draw_perfectly, NULL, &got), ONESTEP_OK);
    assert_true(got.train.present && got.heldout.present && got.ambiguous.present);
    assert_int_equal(got.train.n_captions, 64);
    assert_int_equal(got.heldout.n_captions, 14);
    assert_int_equal(got.ambiguous.n_captions, 8);
    assert_int_equal(got.ambiguous.n_pictures, 64);
    assert_true(got.train.exact == 1 && got.heldout.exact == 1 && got.ambiguous.exact == 1);
    assert_true(got.train.frechet < 1e-6 && got.heldout.frechet < 1e-6 && got.train.patch_frechet < 1e-6);
    assert_true(got.train.precision == 1 && got.train.recall == 1);
    assert_true(got.train.top1 == got.train.real_top1 && got.train.top1 > 0.5);
    assert_true(got.train.nearest < 1e-6 &&
                got.heldout.nearest > 1e-3); /* held-out pictures are in no training set */
    assert_true(got.train.diversity < 1e-6 && got.ambiguous.diversity > 1e-3);
    assert_true(got.real_nearest > 0);
}

static void a_useless_model_is_measured_as_one(void **state)
{
    const ons_eval_options o = {.n = 32, .n_diversity = 2, .seed = 3, .side = SIDE};
    ons_eval got;

    (void)state;
    assert_int_equal(ons_evaluate(data, embedder, &o, draw_nothing, NULL, &got), ONESTEP_OK);
    assert_true(got.train.top1 == 0 && got.train.top5 == 0);
    assert_true(got.train.exact < 0.1);
    assert_true(got.train.frechet > 1e-3 && got.train.patch_frechet > 1e-3);
    assert_true(got.train.recall < 0.1); /* one picture over and over covers nothing */
    assert_true(got.ambiguous.diversity == 0);
}

static onestep_status draw_and_fail(void *user, const char *const *captions, const uint64_t *seeds, int64_t n,
                                    uint8_t *rgb)
{
    (void)user;
    (void)captions;
    (void)seeds;
    (void)n;
    (void)rgb;
    return ons_fail(ONESTEP_INTERRUPTED, "stopped");
}

static void failures_come_through(void **state)
{
    ons_eval_options o = {.n = 32, .seed = 3, .side = SIDE};
    ons_contrastive_options training = tiny(1);
    ons_features *f = NULL;
    ons_eval got;

    (void)state;
    assert_int_equal(ons_evaluate(data, embedder, &o, draw_and_fail, NULL, &got), ONESTEP_INTERRUPTED);
    o.n = 1;
    assert_int_equal(ons_evaluate(data, embedder, &o, draw_nothing, NULL, &got), ONESTEP_BAD_ARGUMENT);
    training.data = NULL;
    assert_int_equal(
        ons_dataset_open(folder, &(ons_dataset_options){.size = 0}, (ons_dataset **)&training.data),
        ONESTEP_OK);
    assert_int_equal(ons_contrastive_train(&training, &f), ONESTEP_BAD_ARGUMENT);
    assert_null(f);
    ons_dataset_close((ons_dataset **)&training.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_tells_pictures_apart),
        cmocka_unit_test(the_untrained_network_does_not),
        cmocka_unit_test(training_repeats_its_bits),
        cmocka_unit_test(a_folder_keeps_the_network),
        cmocka_unit_test(a_perfect_model_is_measured_as_one),
        cmocka_unit_test(a_useless_model_is_measured_as_one),
        cmocka_unit_test(failures_come_through),
    };

    return cmocka_run_group_tests_name("contrastive", tests, set_up, tear_down);
}
