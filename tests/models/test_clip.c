/* CLIPTextModel against transformers, for both activations. The files carry today's names, without
 * "text_model.". */
#include <stdio.h>
#include <string.h>

#include "model/names.h"
#include "vectors.h"

static bool find_weight(const void *context, const char *name, int attempt, ons_place_in_file *place)
{
    const ons_spelling clip = ons_clip_spelling();
    ons_place_in_file bare;

    (void)context;
    if (attempt > 0 || !clip.place(clip.context, name, 0, &bare))
        return false;
    *place = (ons_place_in_file){.n_parts = 1};
    return (size_t)snprintf(place->name, sizeof place->name, "w.%s", bare.name) < sizeof place->name;
}

static void check_clip(const char *name, ons_op act)
{
    static const char *const backends[] = {"ref", "cpu"};
    ons_clip_config config;
    ons_params *params;
    vectors v;

    vectors_open(&v, name);
    assert_int_equal(ons_clip_config_load(v.config, &config), ONESTEP_OK);
    assert_int_equal(config.hidden_act, act);
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    assert_int_equal(ons_clip_declare(&config, params), ONESTEP_OK);
    if (ons_params_map(params, v.file, &(ons_spelling){.place = find_weight}) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    for (size_t i = 0; i < 2; i++) {
        ons_graph *g;
        ons_plan *p;
        ons_nn nn;

        assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
        ons_nn_init(&nn, g, params, 0, false);
        ons_graph_output(g, ons_clip_text_build(&nn, &config, vectors_input(&v, g, "in.ids")), "out.y");
        p = vectors_plan(&v, &g, params, backends[i]);
        vectors_compare(&v, p, "out.y", 2e-5);
        ons_plan_destroy(&p);
    }
    ons_params_destroy(&params);
    vectors_close(&v);
}

static void test_quick_gelu(void **state)
{
    (void)state;
    check_clip("clip_quick_gelu", ONS_OP_QUICK_GELU);
}

static void test_gelu(void **state)
{
    (void)state;
    check_clip("clip_gelu", ONS_OP_GELU);
}

static void test_too_many_tokens(void **state)
{
    const ons_clip_config config = {.vocab_size = 9,
                                    .hidden_size = 4,
                                    .intermediate_size = 8,
                                    .num_hidden_layers = 1,
                                    .num_attention_heads = 1,
                                    .max_position_embeddings = 5,
                                    .hidden_act = ONS_OP_GELU,
                                    .layer_norm_eps = 1e-5};
    const ons_shape ids = ONS_SHAPE2(1, 6);
    ons_params *params;
    ons_graph *g;
    ons_nn nn;

    (void)state;
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    ons_nn_init(&nn, g, params, 0, false);
    ons_clip_text_build(&nn, &config, ons_input(g, "ids", ONS_I32, &ids));
    assert_int_equal(ons_graph_finish(g), ONESTEP_BAD_ARGUMENT);
    assert_non_null(strstr(onestep_error_text(), "6 tokens"));
    ons_graph_destroy(&g);
    ons_params_destroy(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quick_gelu),
        cmocka_unit_test(test_gelu),
        cmocka_unit_test(test_too_many_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
