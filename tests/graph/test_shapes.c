/* Shapes that the rules give, and the message of every refusal. */
#include "graph_test.h"

static void test_elementwise(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 8, 6, 4);

    assert_shape(ons_add(g, x, input1(g, "c", 4)), ONS_SHAPE4(2, 8, 6, 4));
    assert_shape(ons_mul(g, x, input4(g, "t", 2, 1, 1, 4)), ONS_SHAPE4(2, 8, 6, 4));
    assert_shape(ons_sub(g, x, ons_scalar(g, 3)), ONS_SHAPE4(2, 8, 6, 4));
    assert_shape(ons_geglu(g, x), ONS_SHAPE4(2, 8, 6, 2));
    assert_shape(ons_unary(g, ONS_OP_SOFTMAX, x), ONS_SHAPE4(2, 8, 6, 4));
    assert_int_equal(ons_cast(g, x, ONS_BF16)->dtype, ONS_BF16);
    assert_sound(g);
}

static void test_builders_that_change_nothing(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 8, 6, 4);

    assert_ptr_equal(ons_reshape(g, x, &x->shape), x);
    assert_ptr_equal(ons_sum_to(g, x, &x->shape), x);
    assert_ptr_equal(ons_broadcast_to(g, x, &x->shape), x);
    assert_ptr_equal(ons_affine(g, x, 1, 0), x);
    assert_ptr_equal(ons_cast(g, x, ONS_F32), x);
    assert_ptr_equal(ons_slice(g, x, 3, 0, 4), x);
    assert_ptr_equal(ons_concat(g, 0, &x, 1), x);
    assert_int_equal(ons_graph_n_nodes(g), 1);
}

static void test_layout(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 7, 6, 4), *y = input4(g, "y", 2, 7, 6, 3), *both[2] = {x, y};
    int perm[4] = {0, 3, 1, 2};

    assert_shape(ons_reshape(g, x, &ONS_SHAPE3(2, -1, 4)), ONS_SHAPE3(2, 42, 4));
    assert_shape(ons_sum_to(g, x, &ONS_SHAPE3(7, 1, 4)), ONS_SHAPE3(7, 1, 4));
    assert_shape(ons_broadcast_to(g, ons_scalar(g, 1), &ONS_SHAPE2(3, 5)), ONS_SHAPE2(3, 5));
    assert_shape(ons_mean_all(g, x), ONS_SHAPE0());
    assert_shape(ons_transpose(g, x, perm), ONS_SHAPE4(2, 4, 7, 6));
    assert_shape(ons_concat(g, -1, both, 2), ONS_SHAPE4(2, 7, 6, 7));
    assert_shape(ons_slice(g, x, 1, 2, 3), ONS_SHAPE4(2, 3, 6, 4));
    assert_shape(ons_upsample2x(g, x), ONS_SHAPE4(2, 14, 12, 4));
    assert_shape(ons_upsample_to(g, x, 13, 11), ONS_SHAPE4(2, 13, 11, 4));
    assert_shape(ons_avg_pool2x(g, x), ONS_SHAPE4(2, 3, 3, 4));
    assert_shape(ons_max_pool2x(g, x), ONS_SHAPE4(2, 3, 3, 4));
    assert_sound(g);
}

static void test_products(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 9, 8, 4), *w = param(g, "w", 0, ONS_SHAPE4(6, 3, 3, 4));
    ons_value *b = param(g, "b", 1, ONS_SHAPE1(6)), *a = input3(g, "a", 2, 5, 4);
    ons_value *y = ons_conv2d(g, x, w, b, NULL, same3);

    assert_shape(y, ONS_SHAPE4(2, 9, 8, 6));
    assert_int_equal(y->node->attrs.conv.kh, 3);
    assert_int_equal(y->node->attrs.conv.in_h, 9);
    assert_shape(ons_conv2d(g, x, w, b, y, same3), ONS_SHAPE4(2, 9, 8, 6));
    assert_shape(ons_conv2d(g, x, w, NULL, NULL, (ons_conv_geometry){2, 0, 0, 1, 1}), ONS_SHAPE4(2, 4, 4, 6));
    assert_shape(ons_matmul(g, a, input2(g, "m", 4, 7), false, false, 1, NULL, NULL), ONS_SHAPE3(2, 5, 7));
    assert_shape(ons_matmul(g, a, input2(g, "mt", 7, 4), false, true, 1, NULL, NULL), ONS_SHAPE3(2, 5, 7));
    assert_shape(ons_matmul(g, a, input3(g, "k", 2, 9, 4), false, true, 1, NULL, NULL), ONS_SHAPE3(2, 5, 9));
    assert_shape(ons_matmul(g, a, input3(g, "v", 2, 5, 3), true, false, 1, NULL, NULL), ONS_SHAPE3(2, 4, 3));
    assert_shape(ons_embedding(g, input2(g, "table", 100, 16), ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(2, 5))),
                 ONS_SHAPE3(2, 5, 16));
    assert_sound(g);
}

static void test_norms_and_attention(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 4, 4, 8), *c = input1(g, "c", 8);
    ons_value *norm = ons_group_norm(g, x, c, c, 4, 1e-5, ONS_ACT_SILU);
    ons_value *t = input3(g, "t", 2, 5, 8), *k = input3(g, "k", 2, 3, 8);
    ons_value *layer = ons_layer_norm(g, t, c, c, 1e-5), *o = ons_attention(g, t, k, k, 2, 0.5, false);

    assert_shape(norm, ONS_SHAPE4(2, 4, 4, 8));
    assert_shape(norm->node->out[1], ONS_SHAPE3(2, 4, 2));
    assert_shape(layer->node->out[1], ONS_SHAPE2(10, 2));
    assert_shape(o, ONS_SHAPE3(2, 5, 8));
    assert_shape(o->node->out[1], ONS_SHAPE3(2, 2, 5));
    assert_shape(ons_timestep_embedding(g, input1(g, "s", 2), 16, true, 0, 10000), ONS_SHAPE2(2, 16));
    assert_sound(g);
}

static void test_leaves_are_checked(void **state)
{
    ons_graph *g = *state;

    ons_input(g, "x", ONS_F32, &ONS_SHAPE2(3, 0));
    assert_error(g, "input 'x' has shape [3, 0]; dimensions must be positive and fit into memory");
}

/* One refusal per row: what is built, and the message that it must leave. */
typedef struct refusal {
    void (*build)(ons_graph *g, ons_value *x, ons_value *c);
    const char *message;
} refusal;

#define REFUSE(name, ...)                                                                                      \
    static void name(ons_graph *g, ons_value *x, ons_value *c)                                                 \
    {                                                                                                          \
        (void)x;                                                                                               \
        (void)c;                                                                                               \
        __VA_ARGS__;                                                                                           \
    }

REFUSE(small_first, ons_add(g, c, x))
REFUSE(mixed_types, ons_mul(g, x, ons_cast(g, x, ONS_BF16)))
REFUSE(null_input, ons_add(g, x, NULL))
REFUSE(integer_input, ons_unary(g, ONS_OP_SILU, ons_input(g, "i", ONS_I32, &ONS_SHAPE1(3))))
REFUSE(odd_halves, ons_geglu(g, input1(g, "o", 3)))
REFUSE(bad_cast, ons_cast(g, x, ONS_I32))
REFUSE(not_unary, ons_unary(g, ONS_OP_SILU_GRAD, x))
REFUSE(bad_bounds, ons_clamp(g, x, 1, -1))
REFUSE(bad_reshape, ons_reshape(g, x, &ONS_SHAPE2(7, -1)))
REFUSE(bad_sum, ons_sum_to(g, x, &ONS_SHAPE1(5)))
REFUSE(bad_broadcast, ons_broadcast_to(g, x, &ONS_SHAPE1(4)))
REFUSE(bad_transpose, ons_transpose(g, c, (const int[]){1}))
REFUSE(bad_concat, ons_concat(g, 3, (ons_value *const[]){x, input4(g, "y", 2, 8, 5, 4)}, 2))
REFUSE(bad_axis, ons_concat(g, 4, (ons_value *const[]){x, x}, 2))
REFUSE(bad_slice, ons_slice(g, x, 3, 2, 3))
REFUSE(bad_image, ons_upsample2x(g, c))
REFUSE(bad_size, ons_upsample_to(g, x, 0, 3))
REFUSE(odd_sum, ons_apply(g, ONS_OP_DOWNSUM2X, (ons_value *const[]){input4(g, "y", 1, 3, 4, 1)}, 1, NULL, NULL))
REFUSE(bad_arity, ons_apply(g, ONS_OP_ADD, &x, 1, NULL, NULL))
REFUSE(leaf_op, ons_apply(g, ONS_OP_PARAM, NULL, 0, NULL, NULL))
REFUSE(bad_channels, ons_conv2d(g, x, input4(g, "w", 6, 3, 3, 5), NULL, NULL, same3))
REFUSE(bad_stride, ons_conv2d(g, x, x, NULL, NULL, (ons_conv_geometry){0, 0, 0, 0, 0}))
REFUSE(large_kernel,
       ons_conv2d(g, x, input4(g, "w", 6, 9, 3, 4), NULL, NULL, (ons_conv_geometry){1, 0, 0, 0, 0}))
REFUSE(bad_bias, ons_conv2d(g, x, input4(g, "w", 6, 3, 3, 4), c, NULL, same3))
REFUSE(bad_residual, ons_conv2d(g, x, input4(g, "w", 6, 3, 3, 4), NULL, x, same3))
REFUSE(inner, ons_matmul(g, input2(g, "a", 3, 4), input2(g, "b", 5, 6), false, true, 1, NULL, NULL))
REFUSE(batch, ons_matmul(g, input3(g, "a", 2, 3, 4), input3(g, "b", 3, 4, 6), false, false, 1, NULL, NULL))
REFUSE(trans_rows, ons_matmul(g, input3(g, "a", 2, 3, 4), input2(g, "b", 3, 6), true, false, 1, NULL, NULL))
REFUSE(vectors, ons_matmul(g, c, c, false, false, 1, NULL, NULL))
REFUSE(float_ids, ons_embedding(g, input2(g, "t", 3, 4), c))
REFUSE(bad_groups, ons_group_norm(g, x, c, c, 3, 1e-5, ONS_ACT_NONE))
REFUSE(bad_gamma, ons_layer_norm(g, x, input1(g, "d", 3), c, 1e-5))
REFUSE(bad_heads, ons_attention(g, input3(g, "q", 1, 2, 4), input3(g, "k", 1, 2, 4), c, 3, 1, false))
REFUSE(bad_values, ons_attention(g, input3(g, "q", 1, 2, 4), input3(g, "k", 1, 2, 4), c, 2, 1, false))
REFUSE(causal, ons_attention(g, input3(g, "q", 1, 2, 4), input3(g, "k", 1, 3, 4), c, 2, 1, true))
REFUSE(odd_embedding, ons_timestep_embedding(g, c, 7, true, 0, 1e4))
REFUSE(twice, input4(g, "x", 1, 1, 1, 1))
REFUSE(same_output, ons_graph_output(g, x, "r"), ons_graph_output(g, c, "r"))

static const refusal refusals[] = {
    {small_first, "add: shapes [4] and [2, 8, 6, 4]; the second must equal the first or broadcast to it "
                  "(right-aligned, each dimension equal or 1)"},
    {mixed_types, "mul: operands are f32 and bf16; cast one of them"},
    {null_input, "add: input 1 is missing (NULL)"},
    {integer_input, "silu: input 0 must be of a floating-point type, found i32"},
    {odd_halves, "geglu: the last dimension must hold two halves, found shape [3]"},
    {bad_cast, "cast: target type must be a floating-point type, found i32"},
    {not_unary, "silu_grad is not an operator of one input without attributes"},
    {bad_bounds, "clamp: lower bound 1 is above upper bound -1"},
    {bad_reshape, "reshape: [2, 8, 6, 4] has 384 elements, which do not fit target [7, -1]"},
    {bad_sum, "sum_to: [2, 8, 6, 4] and target [5]; the target must broadcast to the input"},
    {bad_broadcast, "broadcast_to: [2, 8, 6, 4] and target [4]; the input must broadcast to the target"},
    {bad_transpose, "transpose: entry 0 of the permutation is 1; each of 0 to 0 must occur once"},
    {bad_concat, "concat: input 1 is [2, 8, 5, 4] and input 0 [2, 8, 6, 4]; they may differ along axis 3 only"},
    {bad_axis, "concat: axis 4 of a value with 4 dimensions"},
    {bad_slice, "slice: 3 elements from 2 of a dimension of 4"},
    {bad_image, "upsample2x: needs an image [N, H, W, C] of at least 1x1, found [4]"},
    {bad_size, "upsample_to: target size 0x3; both sides must be positive"},
    {odd_sum, "downsum2x: needs even sides, found 3x4"},
    {bad_arity, "add: takes 2 inputs, found 1"},
    {leaf_op, "param: leaves have builders of their own"},
    {bad_channels, "conv2d: input has 4 channels, the weights expect 5"},
    {bad_stride, "conv2d: stride 0 and pads 0, 0, 0, 0; the stride must be positive, no pad negative"},
    {large_kernel, "conv2d: a 9x3 kernel does not fit a 8x6 image with its padding"},
    {bad_bias, "conv2d: bias must be [6], found [4]"},
    {bad_residual, "conv2d: residual is [2, 8, 6, 4] and the result [2, 8, 6, 6]; they must be equal"},
    {inner, "matmul: [3, 4] and [5, 6] transposed: inner dimensions are 4 and 6"},
    {batch, "matmul: [2, 3, 4] and [3, 4, 6]; the second must have two dimensions or the first one's leading "
            "dimensions"},
    {trans_rows, "matmul: the first of [2, 3, 4] and [3, 6] can be transposed only when both have as many "
                 "dimensions"},
    {vectors, "matmul: [4] and [4]; both need at least two dimensions"},
    {float_ids, "embedding: input 1 must hold i32 token numbers, found f32"},
    {bad_groups, "group_norm: 4 channels do not divide into 3 groups"},
    {bad_gamma, "layer_norm: gamma must be [4], found [3]"},
    {bad_heads, "attention: 4 channels do not divide into 3 heads"},
    {bad_values, "attention: v must be [1, 2, 4], found [4]"},
    {causal, "attention: causal attention needs as many keys as queries, found 3 and 2"},
    {odd_embedding, "timestep_embedding: dimension must be even and positive, found 7"},
    {twice, "two inputs are named 'x'; names must differ"},
    {same_output, "two outputs are named 'r'; names must differ"},
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        ons_graph *g;

        assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
        refusals[i].build(g, input4(g, "x", 2, 8, 6, 4), input1(g, "c", 4));
        assert_error(g, refusals[i].message);
        ons_graph_destroy(&g);
    }
}

static void test_first_error_with_layer_path(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 1, 4, 4, 3), *w = param(g, "w", 0, ONS_SHAPE4(6, 3, 3, 4)), *y;

    ons_graph_push(g, "down.%d", 1);
    ons_graph_push(g, "resnets.0");
    y = ons_conv2d(g, x, w, NULL, NULL, same3);
    ons_graph_pop(g);
    assert_non_null(y);
    y = ons_attention(g, ons_add(g, y, x), y, y, 2, 1, false);
    assert_non_null(ons_mean_all(g, ons_concat(g, 1, (ons_value *const[]){y, x}, 2)));
    ons_graph_output(g, y, "y");
    ons_graph_pop(g);
    assert_error(g, "down.1.resnets.0: conv2d: input has 3 channels, the weights expect 4");
}

static void test_error_of_a_layer_above(void **state)
{
    ons_graph *g = *state;

    ons_graph_push(g, "mid");
    assert_non_null(ons_graph_error(g, "%d heads", 3));
    ons_graph_error(g, "a later error");
    ons_graph_pop(g);
    assert_error(g, "mid: 3 heads");
}

static void test_failed_graph_survives_gradients_and_generic_builders(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *bad = ons_reshape(g, x, &ONS_SHAPE1(4)), *out[ONS_MAX_OUTPUTS],
              *dx = NULL;

    ons_grad(g, &bad, NULL, 1, &x, 1, &dx);
    assert_non_null(dx);
    assert_non_null(ons_apply(g, ONS_OP_GROUP_NORM, (ons_value *const[]){bad, bad, bad}, 3, NULL, out));
    assert_non_null(out[1]);
    assert_error(g, "reshape: [3] has 3 elements, which do not fit target [4]");
}

static void test_values_of_another_graph_are_refused(void **state)
{
    ons_graph *g = *state, *other;
    ons_value *foreign;

    assert_int_equal(ons_graph_create(&other), ONESTEP_OK);
    foreign = input1(other, "y", 3);
    ons_add(g, input1(g, "x", 3), foreign);
    ons_graph_destroy(&other);
    assert_error(g, "add: input 1 is a value of another graph");
}

static void test_unbalanced_scopes(void **state)
{
    ons_graph *g = *state;

    ons_graph_push(g, "mid");
    assert_int_equal(ons_graph_finish(g), ONESTEP_INTERNAL);
    ons_graph_pop(g);
    assert_int_equal(ons_graph_finish(g), ONESTEP_OK);
    ons_graph_pop(g);
    assert_error(g, "scope popped that was never pushed");
}

static void test_cost(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 2, 8, 8, 4), *w = param(g, "w", 0, ONS_SHAPE4(6, 3, 3, 4));
    ons_value *y = ons_conv2d(g, x, w, NULL, NULL, same3), *q = input3(g, "q", 2, 5, 8),
              *k = input3(g, "k", 2, 3, 8);
    ons_value *loss = ons_mean_all(g, y), *d[2];

    assert_true(ons_node_flops(y->node) == 2.0 * 2 * 8 * 8 * 6 * 9 * 4);
    assert_true(ons_node_bytes(y->node) == 4.0 * (2 * 8 * 8 * 4 + 6 * 9 * 4 + 2 * 8 * 8 * 6));
    assert_true(ons_node_flops(ons_matmul(g, q, k, false, true, 1, NULL, NULL)->node) == 2.0 * 2 * 5 * 3 * 8);
    assert_true(ons_node_flops(ons_attention(g, q, k, k, 2, 1, false)->node) == 4.0 * 2 * 5 * 3 * 8);
    assert_true(ons_node_flops(ons_attention(g, q, q, q, 2, 1, true)->node) == 4.0 * 2 * 15 * 8);
    ons_grad(g, &loss, NULL, 1, (ons_value *const[]){x, w}, 2, d);
    assert_true(ons_node_flops(d[0]->node) == ons_node_flops(y->node));
    assert_true(ons_node_flops(d[1]->node) == ons_node_flops(y->node));
    assert_true(ons_node_flops(loss->node) == 0);
    assert_true(ons_node_bytes(ons_stop_gradient(g, x)->node) == 0);
    assert_sound(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(test_elementwise),
        GRAPH_TEST(test_builders_that_change_nothing),
        GRAPH_TEST(test_layout),
        GRAPH_TEST(test_products),
        GRAPH_TEST(test_norms_and_attention),
        GRAPH_TEST(test_leaves_are_checked),
        cmocka_unit_test(test_refusals),
        GRAPH_TEST(test_first_error_with_layer_path),
        GRAPH_TEST(test_error_of_a_layer_above),
        GRAPH_TEST(test_failed_graph_survives_gradients_and_generic_builders),
        GRAPH_TEST(test_values_of_another_graph_are_refused),
        GRAPH_TEST(test_unbalanced_scopes),
        GRAPH_TEST(test_cost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
