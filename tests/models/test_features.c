/* The feature network against the same computation in PyTorch: every level, both embeddings. */
#include "vectors.h"

enum { N_LEVELS = 2 };

static void build_image(const vectors *v, const ons_nn *nn, const ons_features_config *c)
{
    static const char *const names[N_LEVELS] = {"out.level0", "out.level1"};
    ons_value *levels[ONS_MAX_LEVELS];

    ons_graph_output(nn->g, ons_features_image_build(nn, c, vectors_input(v, nn->g, "in.pixels"), levels),
                     "out.image");
    for (int i = 0; i < N_LEVELS; i++)
        ons_graph_output(nn->g, levels[i], names[i]);
}

static void check_backend(const vectors *v, const ons_features_config *c, ons_params *params,
                          const char *backend)
{
    static const char *const names[] = {"out.level0", "out.level1", "out.image", "out.text"};
    ons_value *ids, *ends;
    ons_graph *g;
    ons_plan *p;
    ons_nn nn;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    ons_nn_init(&nn, g, params, 0, false);
    build_image(v, &nn, c);
    ids = vectors_input(v, g, "in.ids");
    ends = vectors_input(v, g, "in.ends");
    ons_graph_output(g, ons_features_text_build(&nn, c, ids, ends), "out.text");
    p = vectors_plan(v, &g, params, backend);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        vectors_compare(v, p, names[i], 2e-5);
    ons_plan_destroy(&p);
}

static void test_features(void **state)
{
    ons_features_config config;
    ons_params *params;
    vectors v;

    (void)state;
    vectors_open(&v, "features");
    assert_int_equal(ons_features_config_load(v.config, &config), ONESTEP_OK);
    assert_int_equal(config.n_levels, N_LEVELS);
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    assert_int_equal(ons_features_declare(&config, params), ONESTEP_OK);
    if (ons_params_load(params, v.file, "w.") != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    check_backend(&v, &config, params, "ref");
    check_backend(&v, &config, params, "cpu");
    ons_params_destroy(&params);
    vectors_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_features)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
