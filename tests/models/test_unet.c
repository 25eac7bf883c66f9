/* UNet2DConditionModel against diffusers: outputs of four architectures, and every gradient of one. */
#include <string.h>

#include "backend/plan.h"
#include "vectors.h"

static const char *const backends[] = {"ref", "cpu"};

typedef struct unet {
    vectors v;
    ons_unet_config config;
    ons_params *params;
} unet;

static void open_unet(unet *u, const char *name)
{
    vectors_open(&u->v, name);
    assert_int_equal(ons_unet_config_load(u->v.config, &u->config), ONESTEP_OK);
    assert_int_equal(ons_params_create(&u->params), ONESTEP_OK);
    assert_int_equal(ons_unet_declare(&u->config, u->params), ONESTEP_OK);
    if (ons_params_load(u->params, u->v.file, "w.") != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

static void close_unet(unet *u)
{
    ons_params_destroy(&u->params);
    vectors_close(&u->v);
}

static ons_value *build(const unet *u, ons_graph *g, bool trainable)
{
    ons_nn nn;

    ons_nn_init(&nn, g, u->params, 0, trainable);
    return ons_unet_build(&nn, &u->config, vectors_input(&u->v, g, "in.x"), vectors_input(&u->v, g, "in.t"),
                          vectors_input(&u->v, g, "in.context"));
}

static void check_outputs(const char *name)
{
    unet u;

    open_unet(&u, name);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        ons_graph *g;
        ons_plan *p;

        assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
        ons_graph_output(g, build(&u, g, false), "out.y");
        p = vectors_plan(&u.v, &g, u.params, backends[i]);
        vectors_compare(&u.v, p, "out.y", 2e-5);
        ons_plan_destroy(&p);
    }
    close_unet(&u);
}

static void test_plain(void **state)
{
    (void)state;
    check_outputs("unet_plain");
}

static void test_odd_sizes(void **state)
{
    (void)state;
    check_outputs("unet_odd");
}

static void test_bare_middle(void **state)
{
    (void)state;
    check_outputs("unet_bare");
}

static void test_no_middle(void **state)
{
    (void)state;
    check_outputs("unet_no_mid");
}

enum { MAX_WRT = 512 };

/* Parameter leaves of the graph, then x and the context. */
static int find_leaves(const ons_graph *g, ons_value **wrt)
{
    int n = 0;

    for (int i = 0; i < ons_graph_n_nodes(g); i++) {
        ons_node *node = ons_graph_node(g, i);

        if (node->op == ONS_OP_PARAM && n < MAX_WRT)
            wrt[n++] = node->out[0];
    }
    return n;
}

static ons_value *find_input(const ons_graph *g, const char *name)
{
    for (int i = 0; i < ons_graph_n_nodes(g); i++)
        if (ons_graph_node(g, i)->op == ONS_OP_INPUT && !strcmp(ons_graph_node(g, i)->name, name))
            return ons_graph_node(g, i)->out[0];
    return NULL;
}

static void check_gradients(const unet *u, const ons_params *expected, const char *backend)
{
    ons_value *wrt[MAX_WRT + 2], *grads[MAX_WRT + 2], *y, *seed;
    ons_graph *g;
    ons_plan *p;
    int n;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    y = build(u, g, true);
    seed = vectors_input(&u->v, g, "in.seed");
    n = find_leaves(g, wrt);
    assert_int_equal(n, ons_params_count(expected));
    wrt[n] = find_input(g, "in.x");
    wrt[n + 1] = find_input(g, "in.context");
    ons_grad(g, &y, &seed, 1, wrt, n + 2, grads);
    for (int i = 0; i < n; i++)
        ons_graph_output(g, grads[i], wrt[i]->node->name);
    ons_graph_output(g, grads[n], "out.dx");
    ons_graph_output(g, grads[n + 1], "out.dcontext");
    p = vectors_plan(&u->v, &g, u->params, backend);
    for (int i = 0; i < n; i++) {
        const ons_param *row = ons_params_at(expected, i);

        vectors_compare_data(row->name, ons_plan_result(p, row->name),
                             ons_params_data((ons_params *)expected, i), (size_t)ons_shape_count(&row->shape),
                             5e-5);
    }
    vectors_compare(&u->v, p, "out.dx", 5e-5);
    vectors_compare(&u->v, p, "out.dcontext", 5e-5);
    ons_plan_destroy(&p);
}

static void test_gradients(void **state)
{
    ons_params *expected;
    unet u;

    (void)state;
    open_unet(&u, "unet_plain");
    assert_int_equal(ons_params_clone(u.params, false, &expected), ONESTEP_OK);
    assert_int_equal(ons_params_load(expected, u.v.file, "g."), ONESTEP_OK);
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        check_gradients(&u, expected, backends[i]);
    ons_params_destroy(&expected);
    close_unet(&u);
}

/* A config that asks for other shapes than the file has must name the tensor and both. */
static void test_mismatch_is_named(void **state)
{
    ons_params *params;
    unet u;

    (void)state;
    open_unet(&u, "unet_plain");
    u.config.cross_attention_dim = 13;
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    assert_int_equal(ons_unet_declare(&u.config, params), ONESTEP_OK);
    assert_int_equal(ons_params_load(params, u.v.file, "w."), ONESTEP_BAD_FILE);
    assert_non_null(strstr(onestep_error_text(), "attn2.to_k.weight"));
    assert_non_null(strstr(onestep_error_text(), "[8, 12]"));
    assert_non_null(strstr(onestep_error_text(), "[8, 13]"));
    ons_params_destroy(&params);
    close_unet(&u);
}

/* The precision pass keeps what is built under this name in f32. */
static void test_last_convolution_has_its_scope(void **state)
{
    ons_graph *g;
    ons_value *y;
    unet u;

    (void)state;
    open_unet(&u, "unet_plain");
    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    y = build(&u, g, false);
    assert_string_equal(y->node->layer, "conv_out");
    ons_graph_destroy(&g);
    close_unet(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_odd_sizes),
        cmocka_unit_test(test_bare_middle),
        cmocka_unit_test(test_no_middle),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_mismatch_is_named),
        cmocka_unit_test(test_last_convolution_has_its_scope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
