/* Each pass alone, what it must and must not touch, and their names. */
#include <stdlib.h>

#include "graph_test.h"

enum { ALL_PASSES = 255 | ONS_PASS_FUSE_UPSAMPLE };

/* Runs one pass only and verifies the result. */
static void run_pass(ons_graph *g, ons_pass pass)
{
    onestep_status st = ons_graph_optimise(g, ALL_PASSES & ~(unsigned)pass, ONS_BF16);

    if (st != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    assert_sound(g);
}

static void test_dead_code(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *p = param(g, "unused", 0, ONS_SHAPE1(3)), *y;

    input1(g, "spare", 2);
    ons_mul(g, x, p);
    y = ons_unary(g, ONS_OP_EXP, x);
    ons_unary(g, ONS_OP_LOG, y);
    ons_graph_output(g, y, "y");
    run_pass(g, ONS_PASS_DEAD_CODE);
    assert_int_equal(ons_graph_n_nodes(g), 3); /* x, spare, exp */
    assert_int_equal(ons_graph_n_values(g), 3);
    assert_string_equal(ons_graph_node(g, 1)->name, "spare");
    assert_ptr_equal(ons_graph_output_at(g, 0)->value, ons_graph_node(g, 2)->out[0]);
}

static void test_cse_merges_chains(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3), *y[2];

    for (int i = 0; i < 2; i++)
        y[i] = ons_mul(g, ons_affine(g, ons_unary(g, ONS_OP_EXP, x), 2, 1), ons_scalar(g, 3));
    ons_graph_output(g, y[0], "a");
    ons_graph_output(g, y[1], "b");
    run_pass(g, ONS_PASS_CSE);
    assert_int_equal(ons_graph_n_nodes(g), 5); /* x, exp, affine, 3, mul */
    assert_ptr_equal(ons_graph_output_at(g, 0)->value, ons_graph_output_at(g, 1)->value);
}

static void test_cse_keeps_what_differs(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input2(g, "x", 2, 6);

    ons_affine(g, x, 2, 0);
    ons_affine(g, x, 2, 1);
    ons_reshape(g, x, &ONS_SHAPE1(12));
    ons_reshape(g, x, &ONS_SHAPE2(3, 4));
    ons_slice(g, x, 1, 0, 2);
    ons_slice(g, x, 1, 0, 3);
    ons_slice(g, x, 1, 2, 3);
    ons_scalar(g, 1);
    ons_scalar(g, 2);
    param(g, "p", 0, ONS_SHAPE1(3));
    param(g, "q", 1, ONS_SHAPE1(3));
    input1(g, "same type and shape", 3);
    input1(g, "as this one", 3);
    run_pass(g, ONS_PASS_CSE);
    assert_int_equal(ons_graph_n_nodes(g), 14);
}

static void test_cse_merges_parameters_of_one_set(void **state)
{
    ons_graph *g = *state;

    for (int i = 0; i < 2; i++)
        ons_unary(g, ONS_OP_EXP, param(g, "p", 7, ONS_SHAPE1(3)));
    ons_param_leaf(g, "p", 1, 7, &ONS_SHAPE1(3), true); /* another set */
    run_pass(g, ONS_PASS_CSE);
    assert_int_equal(count_op(g, ONS_OP_PARAM), 2);
    assert_int_equal(count_op(g, ONS_OP_EXP), 1);
}

static void test_fuse_residual(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input4(g, "x", 1, 4, 4, 3), *w = param(g, "w", 0, ONS_SHAPE4(3, 3, 3, 3)), *y, *late;

    y = ons_conv2d(g, x, w, NULL, NULL, same3);
    late = ons_unary(g, ONS_OP_SILU, x); /* computed after the product */
    y = ons_add(g, late, y);
    ons_graph_output(g, y, "y");
    run_pass(g, ONS_PASS_FUSE_RESIDUAL);
    assert_int_equal(count_op(g, ONS_OP_ADD), 0);
    assert_int_equal(count_op(g, ONS_OP_CONV2D), 1);
    y = ons_graph_output_at(g, 0)->value;
    assert_true(y->node->attrs.conv.residual);
    assert_int_equal(y->node->n_in, 3);
    assert_ptr_equal(y->node->in[2], late);
}

static void test_fuse_residual_with_bias_and_two_products(void **state)
{
    ons_graph *g = *state;
    ons_value *a = input2(g, "a", 3, 4), *b = input2(g, "b", 4, 5), *bias = input1(g, "bias", 5), *first,
              *second;

    first = ons_matmul(g, a, b, false, false, 1, NULL, NULL);
    second = ons_matmul(g, a, b, false, false, 2, bias, NULL);
    ons_graph_output(g, ons_add(g, first, second), "y");
    run_pass(g, ONS_PASS_FUSE_RESIDUAL);
    second = ons_graph_output_at(g, 0)->value;
    assert_int_equal(count_op(g, ONS_OP_MATMUL), 2);
    assert_int_equal(second->node->n_in, 4);
    assert_true(second->node->attrs.matmul.alpha == 2);
    assert_ptr_equal(second->node->in[3], first);
}

static void test_fuse_residual_refuses(void **state)
{
    ons_graph *g = *state;
    ons_value *a = input2(g, "a", 4, 4), *row = input1(g, "row", 4), *shared, *named, *full;

    shared = ons_matmul(g, a, a, false, false, 1, NULL, NULL);
    ons_graph_output(g, ons_add(g, shared, a), "two users");
    ons_graph_output(g, ons_unary(g, ONS_OP_EXP, shared), "the other user");
    ons_graph_output(g, ons_add(g, ons_matmul(g, a, a, true, false, 1, NULL, NULL), row), "broadcast");
    named = ons_matmul(g, a, a, false, true, 1, NULL, NULL);
    ons_graph_output(g, named, "an output itself");
    ons_graph_output(g, ons_add(g, named, a), "named");
    full = ons_matmul(g, a, a, true, true, 1, NULL, a);
    ons_graph_output(g, ons_add(g, full, a), "has a residual");
    full = ons_matmul(g, a, a, false, false, 3, NULL, NULL);
    ons_graph_output(g, ons_add(g, full, full), "both operands");
    run_pass(g, ONS_PASS_FUSE_RESIDUAL);
    assert_int_equal(count_op(g, ONS_OP_ADD), 5);
}

static onestep_status evaluate_affine(const ons_node *n, const void *const *in, void *const *out)
{
    if (n->op != ONS_OP_AFFINE)
        return ONESTEP_UNSUPPORTED;
    for (int64_t i = 0; i < ons_shape_count(&n->out[0]->shape); i++)
        ((float *)out[0])[i] =
            (float)(n->attrs.affine.scale * (double)((const float *)in[0])[i] + n->attrs.affine.shift);
    return ONESTEP_OK;
}

static ons_value *upsampled_conv(ons_graph *g, int64_t side, bool trainable, int64_t kernel)
{
    const int pad = kernel == 3;
    ons_value *x = input4(g, "x", 2, side, side, 5);
    ons_value *w = ons_param_leaf(g, "w", 0, 0, &ONS_SHAPE4(7, kernel, kernel, 5), trainable);

    return ons_conv2d(g, ons_upsample2x(g, x), w, NULL, NULL, (ons_conv_geometry){1, pad, pad, pad, pad});
}

/* Four small convolutions of the picture as it was; what they cost is what was asked for. */
static void test_fold_upsample(void **state)
{
    ons_graph *g = *state;
    ons_value *y = upsampled_conv(g, 40, false, 3);
    const double flops = ons_node_flops(y->node);
    double folded = 0;

    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, y), "y");
    run_pass(g, ONS_PASS_FOLD_UPSAMPLE);
    assert_int_equal(count_op(g, ONS_OP_CONV2D), 4);
    for (int i = 0; i < ons_graph_n_nodes(g); i++)
        if (ons_graph_node(g, i)->op == ONS_OP_CONV2D) {
            assert_int_equal(ons_graph_node(g, i)->in[0]->node->op, ONS_OP_INPUT);
            folded += ons_node_flops(ons_graph_node(g, i));
        }
    assert_true(folded == flops);
    assert_shape(ons_graph_output_at(g, 0)->value, ONS_SHAPE4(2, 80, 80, 7));
}

static bool takes_all(const ons_node *conv)
{
    (void)conv;
    return true;
}

static bool takes_none(const ons_node *conv)
{
    (void)conv;
    return false;
}

/* One operator on the picture as it was, where the backend takes it. */
static void test_fuse_upsample(void **state)
{
    ons_graph *g = *state;
    ons_value *y = upsampled_conv(g, 40, false, 3);
    const double flops = ons_node_flops(y->node);

    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, y), "y");
    ons_graph_fuse_upsample(g, takes_none);
    assert_int_equal(y->node->op, ONS_OP_CONV2D);
    ons_graph_fuse_upsample(g, takes_all);
    run_pass(g, ONS_PASS_DEAD_CODE);
    assert_int_equal(y->node->op, ONS_OP_CONV2D_UPSAMPLED);
    assert_int_equal(y->node->in[0]->node->op, ONS_OP_INPUT);
    assert_int_equal(count_op(g, ONS_OP_UPSAMPLE2X), 0);
    assert_true(ons_node_flops(y->node) == flops);
    assert_shape(ons_graph_output_at(g, 0)->value, ONS_SHAPE4(2, 80, 80, 7));
}

static void test_fuse_upsample_refuses(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { /* weights that are trained, and another kernel */
        ons_graph *g;
        ons_value *y;

        assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
        y = upsampled_conv(g, 40, i == 0, i == 0 ? 3 : 1);
        ons_graph_output(g, y, "y");
        ons_graph_fuse_upsample(g, takes_all);
        assert_int_equal(y->node->op, ONS_OP_CONV2D);
        ons_graph_destroy(&g);
    }
}

/* Weights that are trained, other kernels, and pictures that are too small to pay for it. */
static void test_fold_upsample_refuses(void **state)
{
    static const struct {
        int64_t side, kernel;
        bool trainable;
    } cases[] = {{40, 3, true}, {40, 1, false}, {8, 3, false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ons_graph *g;

        assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
        ons_graph_output(g, upsampled_conv(g, cases[i].side, cases[i].trainable, cases[i].kernel), "y");
        run_pass(g, ONS_PASS_FOLD_UPSAMPLE);
        assert_int_equal(count_op(g, ONS_OP_CONV2D), 1);
        ons_graph_destroy(&g);
    }
}

static void test_fold_constants(void **state)
{
    ons_graph *g = *state;
    float data[4] = {1, 2, 3, 4};
    ons_value *c = ons_constant(g, ONS_F32, &ONS_SHAPE1(4), data), *x = input2(g, "x", 2, 2);
    const float *folded;

    c = ons_affine(g, ons_reshape(g, ons_affine(g, c, 2, 1), &ONS_SHAPE2(2, 2)), 10, 0);
    ons_graph_output(g, ons_add(g, x, c), "y");
    ons_graph_set_evaluator(evaluate_affine);
    run_pass(g, ONS_PASS_FOLD_CONSTANTS);
    ons_graph_set_evaluator(NULL);
    assert_int_equal(ons_graph_n_nodes(g), 3);
    folded = find_op(g, ONS_OP_CONSTANT)->attrs.constant;
    for (int i = 0; i < 4; i++)
        assert_true(folded[i] == 10 * (2 * data[i] + 1));
    assert_int_equal((uintptr_t)folded % 64, 0);
}

static void test_fold_leaves_large_broadcasts_and_needs_an_evaluator(void **state)
{
    ons_graph *g = *state;
    ons_value *one = ons_scalar(g, 1);

    ons_graph_output(g, ons_broadcast_to(g, one, &ONS_SHAPE2(1000, 1000)), "large");
    ons_graph_set_evaluator(evaluate_affine);
    run_pass(g, ONS_PASS_FOLD_CONSTANTS);
    ons_graph_set_evaluator(NULL);
    assert_int_equal(count_op(g, ONS_OP_BROADCAST_TO), 1);
    ons_graph_output(g, ons_affine(g, one, 2, 0), "two");
    run_pass(g, ONS_PASS_FOLD_CONSTANTS);
    assert_int_equal(count_op(g, ONS_OP_AFFINE), 1);
}

static void test_fold_passes_the_evaluators_error_on(void **state)
{
    ons_graph *g = *state;

    ons_graph_output(g, ons_unary(g, ONS_OP_EXP, ons_scalar(g, 1)), "e");
    ons_graph_set_evaluator(evaluate_affine);
    assert_int_equal(ons_graph_optimise(g, 0, ONS_F32), ONESTEP_UNSUPPORTED);
    ons_graph_set_evaluator(NULL);
}

static void test_names(void **state)
{
    unsigned bits = 0;

    (void)state;
    for (unsigned bit = 1; bit < ALL_PASSES; bit *= 2) {
        if (!(ALL_PASSES & bit))
            continue;
        assert_int_equal(ons_passes_parse(ons_pass_name((ons_pass)bit), &bits), ONESTEP_OK);
        assert_int_equal(bits, bit);
    }
    assert_int_equal(ons_passes_parse("cse,hoist", &bits), ONESTEP_OK);
    assert_int_equal(bits, ONS_PASS_CSE | ONS_PASS_HOIST);
    assert_int_equal(ons_passes_parse("all", &bits), ONESTEP_OK);
    assert_int_equal(bits, ALL_PASSES);
    assert_int_equal(ons_passes_parse("", &bits), ONESTEP_OK);
    assert_int_equal(bits, 0);
    assert_int_equal(ons_passes_parse("cse,inline", &bits), ONESTEP_BAD_ARGUMENT);
    assert_non_null(strstr(onestep_error_text(), "unknown pass 'inline'"));
    for (unsigned bit = 1; bit < ALL_PASSES; bit *= 2)
        if (ALL_PASSES & bit)
            assert_non_null(strstr(onestep_error_text(), ons_pass_name((ons_pass)bit)));
}

static void test_environment(void **state)
{
    (void)state;
    unsetenv("ONESTEP_PASSES_OFF");
    assert_int_equal(ons_passes_off(), 0);
    setenv("ONESTEP_PASSES_OFF", "precision", 1);
    assert_int_equal(ons_passes_off(), ONS_PASS_PRECISION);
    unsetenv("ONESTEP_PASSES_OFF");
}

static void test_all_off_changes_nothing(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input1(g, "x", 3);
    uint64_t hash;

    ons_unary(g, ONS_OP_EXP, x);
    ons_unary(g, ONS_OP_EXP, x);
    hash = ons_graph_hash(g);
    assert_int_equal(ons_graph_optimise(g, ALL_PASSES, ONS_BF16), ONESTEP_OK);
    assert_true(ons_graph_hash(g) == hash);
    assert_int_equal(ons_graph_optimise(g, 0, ONS_BF16), ONESTEP_OK);
    assert_true(ons_graph_hash(g) != hash);
}

static void test_failed_graph_is_not_optimised(void **state)
{
    ons_graph *g = *state;

    ons_graph_error(g, "no");
    assert_int_equal(ons_graph_optimise(g, 0, ONS_F32), ONESTEP_BAD_ARGUMENT);
    assert_string_equal(onestep_error_text(), "no");
}

static void test_precision_must_be_known(void **state)
{
    assert_int_equal(ons_graph_optimise(*state, 0, ONS_F16), ONESTEP_UNSUPPORTED);
}

/* Breaks one thing at a time and puts it back. */
static void test_verifier(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input2(g, "x", 2, 3), *y = ons_unary(g, ONS_OP_EXP, x), *z = ons_unary(g, ONS_OP_LOG, y);

    assert_sound(g);
    y->node->in[0] = z; /* computed later */
    assert_int_equal(ons_graph_verify(g), ONESTEP_INTERNAL);
    assert_non_null(strstr(onestep_error_text(), "node 1 (exp"));
    y->node->in[0] = x;
    z->shape.d[0] = 5;
    assert_int_equal(ons_graph_verify(g), ONESTEP_INTERNAL);
    z->shape.d[0] = 2;
    z->dtype = ONS_BF16;
    assert_int_equal(ons_graph_verify(g), ONESTEP_INTERNAL);
    z->dtype = ONS_F32;
    z->node->id = 7;
    assert_int_equal(ons_graph_verify(g), ONESTEP_INTERNAL);
    z->node->id = 2;
    z->node = y->node;
    assert_int_equal(ons_graph_verify(g), ONESTEP_INTERNAL);
    z->node = ons_graph_node(g, 2);
    z->node->op = ONS_OP_ADD; /* wrong arity */
    assert_int_equal(ons_graph_verify(g), ONESTEP_INTERNAL);
    z->node->op = ONS_OP_LOG;
    assert_sound(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(test_dead_code),
        GRAPH_TEST(test_cse_merges_chains),
        GRAPH_TEST(test_cse_keeps_what_differs),
        GRAPH_TEST(test_cse_merges_parameters_of_one_set),
        GRAPH_TEST(test_fuse_residual),
        GRAPH_TEST(test_fuse_residual_with_bias_and_two_products),
        GRAPH_TEST(test_fuse_residual_refuses),
        GRAPH_TEST(test_fuse_upsample),
        GRAPH_TEST(test_fuse_upsample_refuses),
        GRAPH_TEST(test_fold_upsample),
        GRAPH_TEST(test_fold_upsample_refuses),
        GRAPH_TEST(test_fold_constants),
        GRAPH_TEST(test_fold_leaves_large_broadcasts_and_needs_an_evaluator),
        GRAPH_TEST(test_fold_passes_the_evaluators_error_on),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_environment),
        GRAPH_TEST(test_all_off_changes_nothing),
        GRAPH_TEST(test_failed_graph_is_not_optimised),
        GRAPH_TEST(test_precision_must_be_known),
        GRAPH_TEST(test_verifier),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
