/*
 * Every reader of a model folder's JSON over the same bytes, with or without a stated class. What a reader
 * accepts must come back the same when it is saved, and a network of it, when it is small, must be built or
 * refused.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "diffusion/schedule.h"
#include "fuzz.h"
#include "model/model.h"
#include "train/recipe.h"

enum { MAX_BLOCKS = 6, SIDE = 8, TOKENS = 5 };

static void require_same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n, m;

    if (ons_read_file(a, 1 << 26, &x, &n) != ONESTEP_OK || ons_read_file(b, 1 << 26, &y, &m) != ONESTEP_OK ||
        n != m || memcmp(x, y, n))
        abort();
    ons_free(x);
    ons_free(y);
}

/* Loads, saves, loads, saves: the two saved files are the same. False: not accepted in the first place. */
#define ROUND_TRIP(prefix, path, c)                                                                            \
    do {                                                                                                       \
        char once[128], twice[128];                                                                            \
        fuzz_path("once.json", once);                                                                          \
        fuzz_path("twice.json", twice);                                                                        \
        if (prefix##_load(path, c) != ONESTEP_OK)                                                              \
            return;                                                                                            \
        if (prefix##_save(c, once) != ONESTEP_OK || prefix##_load(once, c) != ONESTEP_OK ||                    \
            prefix##_save(c, twice) != ONESTEP_OK)                                                             \
            abort();                                                                                           \
        require_same_file(once, twice);                                                                        \
    } while (0)

typedef struct site {
    ons_graph *g;
    ons_params *params;
    ons_nn nn;
} site;

static void begin(site *s)
{
    if (ons_graph_create(&s->g) != ONESTEP_OK || ons_params_create(&s->params) != ONESTEP_OK)
        abort();
    ons_nn_init(&s->nn, s->g, s->params, 0, true);
}

static void end(site *s, ons_value *result)
{
    ons_graph_output(s->g, result, "result");
    if (ons_graph_finish(s->g) == ONESTEP_OK && ons_graph_verify(s->g) != ONESTEP_OK)
        abort();
    ons_graph_destroy(&s->g);
    ons_params_destroy(&s->params);
}

static bool is_small(const int *layers, int n)
{
    int sum = 0;

    for (int i = 0; i < n; i++) {
        if (layers[i] > MAX_BLOCKS)
            return false;
        sum += layers[i];
    }
    return sum <= MAX_BLOCKS;
}

static void try_unet(const char *path)
{
    ons_unet_config c;
    site s;

    ROUND_TRIP(ons_unet_config, path, &c);
    if (!is_small(c.layers_per_block, c.n_levels) || !is_small(c.transformer_layers, c.n_levels))
        return;
    begin(&s);
    end(&s, ons_unet_build(&s.nn, &c, ons_input(s.g, "x", ONS_F32, &ONS_SHAPE4(1, SIDE, SIDE, c.in_channels)),
                           ons_input(s.g, "t", ONS_F32, &ONS_SHAPE1(1)),
                           ons_input(s.g, "c", ONS_F32, &ONS_SHAPE3(1, TOKENS, c.cross_attention_dim))));
}

static void try_vae(const char *path)
{
    ons_vae_config c;
    site s;

    ROUND_TRIP(ons_vae_config, path, &c);
    if (c.layers_per_block > MAX_BLOCKS)
        return;
    begin(&s);
    end(&s, ons_vae_encode_build(&s.nn, &c, ons_input(s.g, "x", ONS_F32, &ONS_SHAPE4(1, SIDE, SIDE, 3))));
    begin(&s);
    end(&s, ons_vae_decode_build(&s.nn, &c,
                                 ons_input(s.g, "z", ONS_F32, &ONS_SHAPE4(1, SIDE, SIDE, c.latent_channels))));
}

static void try_clip(const char *path)
{
    ons_clip_config c;
    site s;

    ROUND_TRIP(ons_clip_config, path, &c);
    if (c.num_hidden_layers > MAX_BLOCKS)
        return;
    begin(&s);
    end(&s, ons_clip_text_build(&s.nn, &c, ons_input(s.g, "ids", ONS_I32, &ONS_SHAPE2(1, TOKENS))));
}

static void try_features(const char *path)
{
    ons_features_config c;
    site s;

    ROUND_TRIP(ons_features_config, path, &c);
    begin(&s);
    end(&s, ons_features_image_build(
                &s.nn, &c, ons_input(s.g, "x", ONS_F32, &ONS_SHAPE4(1, c.image_size, c.image_size, 3)), NULL));
}

static void try_schedule(const char *path)
{
    ons_schedule c, again;
    double timesteps[4];
    char once[128];

    /* Betas are recovered from their products when saving, so that the last digits may differ. */
    if (ons_schedule_load(path, &c) != ONESTEP_OK)
        return;
    if (ons_schedule_save(&c, fuzz_path("once.json", once)) != ONESTEP_OK ||
        ons_schedule_load(once, &again) != ONESTEP_OK || again.n != c.n)
        abort();
    for (int i = 0; i < c.n; i++)
        if (!(fabs(c.abar[i] - again.abar[i]) <= 1e-5 * c.abar[i]))
            abort();
    if (ons_schedule_timesteps(&c, 4, timesteps) != ONESTEP_OK)
        return;
    for (int i = 0; i < 4; i++)
        if (timesteps[i] < 0 || timesteps[i] >= c.n)
            abort();
}

static void try_recipe(const char *path)
{
    ons_recipe r;
    char once[128];

    ons_recipe_init(&r);
    if (ons_recipe_load(path, &r) == ONESTEP_OK &&
        ons_recipe_save(&r, fuzz_path("once.json", once)) != ONESTEP_OK)
        abort();
    ons_recipe_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[128];

    ons_log_set_level(ONS_LOG_QUIET);
    fuzz_put("config.json", data, size);
    fuzz_path("config.json", path);
    try_unet(path);
    try_vae(path);
    try_clip(path);
    try_features(path);
    try_schedule(path);
    try_recipe(path);
    return 0;
}
