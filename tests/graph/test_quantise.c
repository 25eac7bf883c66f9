/* The pass `quantise`: which products get 8-bit operands, where padding goes, what is shared and what is left
 * alone. */
#include "graph_test.h"

static const ons_layer_scale rows[] = {{"a", 0.5, 7}, {"b", 0.5, 7}, {"c", 0.25, 9}, {"kept", 0, 0}};
static const ons_scales scales = {rows, 4, "scales.json"};

static ons_value *frozen(ons_graph *g, const char *name, int index, ons_shape shape)
{
    return ons_param_leaf(g, name, 0, index, &shape, false);
}

static ons_value *linear(ons_graph *g, const char *layer, ons_value *x, int index, int64_t out)
{
    ons_value *y;

    ons_graph_push(g, "%s", layer);
    y = ons_matmul(g, x, frozen(g, layer, index, ONS_SHAPE2(out, x->shape.d[2])), false, true, 1, NULL, NULL);
    ons_graph_pop(g);
    return y;
}

static onestep_status optimise(ons_graph *g, const ons_scales *s)
{
    ons_graph_set_scales(g, s, NULL);
    return ons_graph_optimise(g, 0, ONS_BF16);
}

static void products_of_one_value_share(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input3(g, "x", 1, 5, 32), *a = linear(g, "a", x, 0, 32), *b = linear(g, "b", x, 1, 32),
              *c = linear(g, "c", x, 2, 32);
    int products = 0;

    ons_graph_output(g, linear(g, "kept", ons_mul(g, ons_mul(g, a, b), c), 3, 32), "y");
    assert_int_equal(optimise(g, &scales), ONESTEP_OK);
    assert_sound(g);
    assert_int_equal(count_op(g, ONS_OP_QUANTISE), 2); /* a and b; c */
    for (int i = 0; i < ons_graph_n_nodes(g); i++) {
        const ons_node *n = ons_graph_node(g, i);

        if (n->op != ONS_OP_MATMUL || !strcmp(n->layer, "kept"))
            continue;
        products++;
        assert_int_equal(n->in[0]->dtype, ONS_U8);
        assert_true(n->attrs.quantise.scale == n->in[0]->node->attrs.quantise.scale);
        assert_int_equal(n->attrs.quantise.zero, n->in[0]->node->attrs.quantise.zero);
    }
    assert_int_equal(products, 3);
}

/* The product's padding becomes the quantise's border; a second one with other padding needs another border. */
static void padding_moves(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 1, 6, 8, 32), *y, *z;
    const ons_node *n;

    ons_graph_push(g, "a");
    y = ons_conv2d(g, x, frozen(g, "w", 0, ONS_SHAPE4(32, 3, 3, 32)), NULL, NULL,
                   (ons_conv_geometry){1, 1, 2, 1, 0});
    ons_graph_pop(g);
    ons_graph_push(g, "b");
    z = ons_conv2d(g, x, frozen(g, "v", 1, ONS_SHAPE4(32, 1, 1, 32)), NULL, NULL,
                   (ons_conv_geometry){1, 0, 0, 0, 0});
    ons_graph_pop(g);
    ons_graph_output(g, ons_add(g, y, z), "y");
    assert_int_equal(optimise(g, &scales), ONESTEP_OK);
    assert_sound(g);
    assert_int_equal(count_op(g, ONS_OP_QUANTISE), 2);
    n = find_op(g, ONS_OP_CONV2D);
    assert_shape(n->in[0], ONS_SHAPE4(1, 8, 10, 32));
    assert_int_equal(n->attrs.conv.pad_top + n->attrs.conv.pad_left + n->attrs.conv.pad_bottom, 0);
    assert_int_equal(n->in[0]->node->attrs.quantise.pad_left, 2);
    assert_shape(n->out[0], ONS_SHAPE4(1, 6, 8, 32));
}

static void some_stay(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input3(g, "x", 1, 5, 32), *kept = linear(g, "kept", x, 0, 32),
              *narrow = linear(g, "narrow", x, 1, 31);
    ons_value *trained = ons_matmul(g, x, param(g, "t", 2, ONS_SHAPE2(32, 32)), false, true, 1, NULL, NULL);
    ons_value *one_row =
        ons_matmul(g, input2(g, "t", 1, 32), frozen(g, "r", 3, ONS_SHAPE2(32, 32)), false, true, 1, NULL, NULL);

    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, kept), "a");
    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, narrow), "b");
    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, trained), "c");
    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, one_row), "d");
    assert_int_equal(optimise(g, &scales), ONESTEP_OK);
    assert_sound(g);
    assert_int_equal(count_op(g, ONS_OP_QUANTISE), 0);
}

static void can_be_switched_off(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input3(g, "x", 1, 5, 32);
    unsigned bits;

    ons_graph_output(g, linear(g, "b", ons_unary(g, ONS_OP_SILU, linear(g, "a", x, 0, 32)), 1, 32), "y");
    ons_graph_set_scales(g, &scales, NULL);
    assert_int_equal(ons_passes_parse("quantise", &bits), ONESTEP_OK);
    assert_int_equal(ons_graph_optimise(g, bits, ONS_BF16), ONESTEP_OK);
    assert_int_equal(count_op(g, ONS_OP_QUANTISE), 0);
    assert_int_equal(ons_graph_optimise(g, 0, ONS_F32), ONESTEP_OK);
    assert_int_equal(count_op(g, ONS_OP_QUANTISE), 0);
}

static void a_missing_layer_is_named(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input3(g, "x", 1, 5, 32);

    ons_graph_output(g, linear(g, "b", ons_unary(g, ONS_OP_SILU, linear(g, "unknown", x, 0, 32)), 1, 32), "y");
    assert_int_equal(optimise(g, &scales), ONESTEP_BAD_FILE);
    assert_non_null(strstr(onestep_error_text(), "scales.json: no scale for layer unknown"));
    assert_non_null(strstr(onestep_error_text(), "onestep calibrate"));
}

static void rules_refuse(void **state)
{
    ons_graph *g = *state;
    ons_value *x = ons_input(g, "x", ONS_U8, &ONS_SHAPE4(1, 5, 5, 32)),
              *w = frozen(g, "w", 0, ONS_SHAPE4(32, 3, 3, 32));

    ons_conv2d(g, x, w, NULL, NULL, same3);
    assert_true(ons_graph_failed(g));
    assert_int_equal(ons_graph_finish(g), ONESTEP_BAD_ARGUMENT);
    assert_non_null(strstr(onestep_error_text(), "8-bit operand with scale 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(products_of_one_value_share),
        GRAPH_TEST(padding_moves),
        GRAPH_TEST(some_stay),
        GRAPH_TEST(can_be_switched_off),
        GRAPH_TEST(a_missing_layer_is_named),
        GRAPH_TEST(rules_refuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
