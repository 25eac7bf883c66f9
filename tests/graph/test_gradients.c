/* What ons_grad appends: shapes for every rule, nothing for what needs nothing. Values are checked in
 * tests/grad. */
#include "graph_test.h"

static void assert_gradients_fit(ons_graph *g, ons_value *y, ons_value *const *wrt, int n)
{
    ons_value *loss = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, y)), *d[8];

    ons_grad(g, &loss, NULL, 1, wrt, n, d);
    assert_sound(g);
    for (int i = 0; i < n; i++) {
        assert_shape(d[i], wrt[i]->shape);
        assert_int_not_equal(d[i]->node->op, ONS_OP_BROADCAST_TO);
    }
}

static void test_stop_gradient(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *y = ons_mul(g, ons_stop_gradient(g, ons_unary(g, ONS_OP_EXP, x)), x),
              *dx;

    ons_grad(g, &y, NULL, 1, &x, 1, &dx);
    assert_sound(g);
    assert_int_equal(dx->node->op, ONS_OP_MUL);
    assert_int_equal(dx->node->in[1]->node->op, ONS_OP_STOP_GRADIENT);
    assert_int_equal(count_op(g, ONS_OP_MUL), 2);
}

static void test_unreached_wrt_is_zero(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *z = input2(g, "z", 2, 5), *y = ons_unary(g, ONS_OP_EXP, x), *d[2];
    ons_value *wrt[2] = {z, x};
    float zero = 1;

    ons_grad(g, &y, NULL, 1, wrt, 2, d);
    assert_sound(g);
    assert_shape(d[0], z->shape);
    assert_int_equal(d[0]->node->op, ONS_OP_BROADCAST_TO);
    memcpy(&zero, d[0]->node->in[0]->node->attrs.constant, sizeof zero);
    assert_true(zero == 0);
}

static void test_only_what_wrt_needs(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 1, 4, 4, 2), *w1 = param(g, "w1", 0, ONS_SHAPE4(3, 3, 3, 2));
    ons_value *b1 = param(g, "b1", 1, ONS_SHAPE1(3)), *w2 = param(g, "w2", 2, ONS_SHAPE4(2, 3, 3, 3)), *d[1];
    ons_value *h = ons_conv2d(g, x, w1, b1, NULL, same3), *y = ons_conv2d(g, h, w2, NULL, x, same3);

    ons_grad(g, &y, NULL, 1, &w2, 1, d); /* nothing below the last convolution */
    assert_int_equal(count_op(g, ONS_OP_CONV2D_GRAD_X), 0);
    assert_int_equal(count_op(g, ONS_OP_CONV2D_GRAD_W), 1);
    ons_grad(g, &y, NULL, 1, &b1, 1, d); /* a bias alone is a sum, not a weight gradient */
    assert_int_equal(count_op(g, ONS_OP_CONV2D_GRAD_X), 1);
    assert_int_equal(count_op(g, ONS_OP_CONV2D_GRAD_W), 1);
    assert_int_equal(d[0]->node->op, ONS_OP_SUM_TO);
    assert_sound(g);
}

static void test_outputs_that_do_not_matter_add_nothing(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *y = ons_unary(g, ONS_OP_EXP, x), *side = ons_unary(g, ONS_OP_LOG, x),
              *dx;
    ons_value *seed = input1(g, "seed", 3);
    int before = ons_graph_n_nodes(g);

    ons_grad(g, &y, &seed, 1, &x, 1, &dx);
    assert_int_equal(ons_graph_n_nodes(g), before + 1);
    assert_ptr_equal(dx->node->in[0], seed);
    assert_ptr_equal(dx->node->in[1], y);
    assert_ptr_not_equal(side, NULL);
    assert_sound(g);
}

static void test_accumulation_and_two_outputs(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *s1 = input1(g, "s1", 3), *s2 = input1(g, "s2", 3), *dx;
    ons_value *outputs[2] = {ons_unary(g, ONS_OP_EXP, x), ons_add(g, x, x)}, *seeds[2] = {s1, s2};

    ons_grad(g, outputs, seeds, 2, &x, 1, &dx);
    assert_sound(g);
    assert_int_equal(dx->node->op, ONS_OP_ADD);
    assert_int_equal(count_op(g, ONS_OP_ADD), 3); /* x + x, and three contributions */
}

static void test_wrt_may_be_an_inner_value(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *h = ons_unary(g, ONS_OP_EXP, x), *y = ons_unary(g, ONS_OP_SQUARE, h),
              *dh;

    ons_grad(g, &y, NULL, 1, &h, 1, &dh);
    assert_sound(g);
    assert_int_equal(count_op(g, ONS_OP_MUL), 1); /* dy * 2h, and not through exp */
}

static void test_broadcast_operands(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 3, 3, 4), *b = input1(g, "b", 4), *t = input4(g, "t", 2, 1, 1, 4);
    ons_value *y = ons_sub(g, ons_mul(g, ons_add(g, x, t), b), t);

    assert_gradients_fit(g, y, (ons_value *const[]){x, b, t}, 3);
}

static void test_unary_rules(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input2(g, "x", 3, 4), *y = x;

    for (int op = ONS_OP_SILU; op <= ONS_OP_RECIPROCAL; op++)
        y = ons_unary(g, (ons_op)op, y);
    y = ons_unary(g, ONS_OP_LOG_SOFTMAX, ons_unary(g, ONS_OP_SOFTMAX, ons_clamp(g, y, -1, 1)));
    y = ons_geglu(g, ons_cast(g, ons_cast(g, ons_affine(g, y, 2, 1), ONS_BF16), ONS_F32));
    assert_gradients_fit(g, y, &x, 1);
}

static void test_layout_rules(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 4, 6, 3), *z = input4(g, "z", 2, 4, 6, 2), *both[2] = {x, z}, *y;
    int perm[4] = {1, 3, 0, 2};

    y = ons_concat(g, 3, both, 2);
    y = ons_max_pool2x(g, ons_avg_pool2x(g, ons_upsample_to(g, ons_upsample2x(g, y), 9, 13)));
    y = ons_transpose(g, ons_slice(g, y, 3, 1, 4), perm);
    y = ons_sum_to(g, ons_reshape(g, y, &ONS_SHAPE2(2, -1)), &ONS_SHAPE2(2, 1));
    assert_gradients_fit(g, ons_broadcast_to(g, y, &ONS_SHAPE2(2, 3)), both, 2);
}

/* Every pair of transpositions, on matrices, on rows and batched, gives gradients of the operands' shapes. */
static void test_matmul_rules(void **state)
{
    static const int ranks[3][2] = {{2, 2}, {3, 2}, {3, 3}};

    (void)state;
    for (int i = 0; i < 12; i++) {
        bool ta = i & 1, tb = i & 2;
        int rank_a = ranks[i / 4][0], rank_b = ranks[i / 4][1];
        ons_graph *g;
        ons_shape sa = ta ? ONS_SHAPE2(5, 3) : ONS_SHAPE2(3, 5), sb = tb ? ONS_SHAPE2(4, 5) : ONS_SHAPE2(5, 4);
        ons_value *in[4];

        if (ta && rank_a != rank_b)
            continue;
        assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
        in[0] = rank_a == 2 ? input2(g, "a", sa.d[0], sa.d[1]) : input3(g, "a", 2, sa.d[0], sa.d[1]);
        in[1] = rank_b == 2 ? input2(g, "b", sb.d[0], sb.d[1]) : input3(g, "b", 2, sb.d[0], sb.d[1]);
        in[2] = input1(g, "bias", 4);
        in[3] = rank_a == 2 ? input2(g, "r", 3, 4) : input3(g, "r", 2, 3, 4);
        assert_gradients_fit(g, ons_matmul(g, in[0], in[1], ta, tb, 0.5, in[2], in[3]), in, 4);
        ons_graph_destroy(&g);
    }
}

static void test_network_rules(void **state)
{
    ons_graph *g = *state;
    ons_value *table = input2(g, "table", 10, 8), *ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(2, 16));
    ons_value *c = input1(g, "c", 8), *w = input4(g, "w", 8, 3, 3, 8), *b = input1(g, "b", 8), *x, *y;

    x = ons_layer_norm(g, ons_embedding(g, table, ids), c, c, 1e-5);
    y = ons_reshape(g, ons_attention(g, x, x, x, 2, 0.5, true), &ONS_SHAPE4(2, 4, 4, 8));
    y = ons_conv2d(g, ons_group_norm(g, y, c, c, 4, 1e-5, ONS_ACT_SILU), w, b, y, same3);
    assert_gradients_fit(g, y, (ons_value *const[]){table, c, w, b}, 4);
    assert_int_equal(count_op(g, ONS_OP_EMBEDDING_GRAD), 1);
}

static void test_gradient_of_a_gradient(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 1, 6, 6, 2), *w = input4(g, "w", 3, 3, 3, 2), *dx, *d[2];
    ons_value *y = ons_conv2d(g, x, w, NULL, NULL, (ons_conv_geometry){2, 0, 0, 1, 1}), *seed;

    seed = input4(g, "seed", 1, 3, 3, 3);
    ons_grad(g, &y, &seed, 1, &x, 1, &dx);
    ons_grad(g, &dx, NULL, 1, (ons_value *const[]){seed, w}, 2, d);
    assert_sound(g);
    assert_int_equal(d[0]->node->op, ONS_OP_CONV2D);
    assert_int_equal(d[1]->node->op, ONS_OP_CONV2D_GRAD_W);
    assert_shape(d[0], seed->shape);
    assert_shape(d[1], w->shape);
}

static void test_gradient_nodes_carry_the_layer(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *y, *dx;

    ons_graph_push(g, "mid");
    y = ons_unary(g, ONS_OP_EXP, x);
    ons_graph_pop(g);
    ons_grad(g, &y, NULL, 1, &x, 1, &dx);
    assert_string_equal(dx->node->layer, "mid");
    assert_sound(g);
}

static void test_operator_without_rule(void **state)
{
    ons_graph *g = *state;
    ons_value *t = input1(g, "t", 2), *y = ons_timestep_embedding(g, t, 8, true, 0, 1e4), *dt;

    ons_grad(g, &y, NULL, 1, &t, 1, &dt);
    assert_error(
        g, "timestep_embedding has no gradient rule; put ons_stop_gradient before it or leave it out of the "
           "loss");
}

static void test_statistics_have_no_gradient(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input2(g, "x", 2, 8), *c = input1(g, "c", 8), *dx;
    ons_value *stats = ons_layer_norm(g, x, c, c, 1e-5)->node->out[1];

    ons_grad(g, &stats, NULL, 1, &x, 1, &dx);
    assert_error(g, "layer_norm: no gradient flows through its second output (statistics); stop it there");
}

static void test_arguments_are_checked(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE1(3)), *d = NULL;

    ons_grad(g, &x, NULL, 1, &ids, 1, &d);
    assert_non_null(d);
    assert_error(g, "ons_grad: wrt 0 is of type i32; only floating-point values have gradients");
}

static void test_seed_shape_is_checked(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *y = ons_unary(g, ONS_OP_EXP, x), *seed = input1(g, "seed", 4), *dx;

    ons_grad(g, &y, &seed, 1, &x, 1, &dx);
    assert_error(g, "exp: gradient is f32 [4], its value f32 [3]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(test_stop_gradient),
        GRAPH_TEST(test_unreached_wrt_is_zero),
        GRAPH_TEST(test_only_what_wrt_needs),
        GRAPH_TEST(test_outputs_that_do_not_matter_add_nothing),
        GRAPH_TEST(test_accumulation_and_two_outputs),
        GRAPH_TEST(test_wrt_may_be_an_inner_value),
        GRAPH_TEST(test_broadcast_operands),
        GRAPH_TEST(test_unary_rules),
        GRAPH_TEST(test_layout_rules),
        cmocka_unit_test(test_matmul_rules),
        GRAPH_TEST(test_network_rules),
        GRAPH_TEST(test_gradient_of_a_gradient),
        GRAPH_TEST(test_gradient_nodes_carry_the_layer),
        GRAPH_TEST(test_operator_without_rule),
        GRAPH_TEST(test_statistics_have_no_gradient),
        GRAPH_TEST(test_arguments_are_checked),
        GRAPH_TEST(test_seed_shape_is_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
