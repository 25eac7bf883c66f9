/* The bf16 rule: which values change type, which never do, where the casts stand. */
#include "graph_test.h"

static void run_precision(ons_graph *g)
{
    onestep_status st = ons_graph_optimise(g, 0, ONS_BF16);

    if (st != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    assert_sound(g);
}

typedef struct net {
    ons_value *x, *w, *bias, *c;
} net;

static net make_leaves(ons_graph *g)
{
    return (net){input4(g, "x", 1, 4, 4, 8), param(g, "w", 0, ONS_SHAPE4(8, 3, 3, 8)),
                 param(g, "bias", 1, ONS_SHAPE1(8)), param(g, "c", 2, ONS_SHAPE1(8))};
}

/* conv -> norm -> silu -> conv, as an output. */
static ons_value *build_block(ons_graph *g, const net *n, const char *last_layer)
{
    ons_value *y = ons_conv2d(g, n->x, n->w, n->bias, NULL, same3);

    y = ons_group_norm(g, y, n->c, n->c, 2, 1e-5, ONS_ACT_NONE);
    y = ons_unary(g, ONS_OP_SILU, y);
    ons_graph_push(g, "%s", last_layer);
    y = ons_conv2d(g, y, n->w, n->bias, NULL, same3);
    ons_graph_pop(g);
    return y;
}

static void test_between_products(void **state)
{
    ons_graph *g = *state;
    net n = make_leaves(g);
    ons_node *norm, *first;

    ons_graph_output(g, build_block(g, &n, "last"), "y");
    run_precision(g);
    first = find_op(g, ONS_OP_CONV2D);
    norm = find_op(g, ONS_OP_GROUP_NORM);
    assert_int_equal(first->in[0]->node->op, ONS_OP_CAST);
    assert_int_equal(first->in[0]->dtype, ONS_BF16);
    assert_ptr_equal(first->in[1], n.w);
    assert_int_equal(n.w->dtype, ONS_F32);
    assert_int_equal(first->in[2]->dtype, ONS_F32);
    assert_int_equal(first->out[0]->dtype, ONS_BF16);
    assert_int_equal(norm->in[0]->dtype, ONS_BF16);
    assert_int_equal(norm->in[1]->dtype, ONS_F32);
    assert_int_equal(norm->out[0]->dtype, ONS_BF16);
    assert_int_equal(norm->out[1]->dtype, ONS_F32);
    assert_int_equal(find_op(g, ONS_OP_SILU)->out[0]->dtype, ONS_BF16);
    assert_int_equal(n.x->dtype, ONS_F32);
    assert_int_equal(ons_graph_output_at(g, 0)->value->dtype, ONS_F32);
    assert_int_equal(ons_graph_output_at(g, 0)->value->node->op, ONS_OP_CAST);
    assert_int_equal(count_op(g, ONS_OP_CAST), 2);
}

static void test_last_convolution_stays_f32(void **state)
{
    ons_graph *g = *state;
    net n = make_leaves(g);
    ons_node *last;

    ons_graph_output(g, build_block(g, &n, "unet.conv_out"), "y");
    run_precision(g);
    last = ons_graph_output_at(g, 0)->value->node;
    assert_int_equal(last->op, ONS_OP_CONV2D);
    assert_int_equal(last->in[0]->dtype, ONS_F32);
    assert_int_equal(find_op(g, ONS_OP_CONV2D)->out[0]->dtype, ONS_BF16);
    assert_int_equal(find_op(g, ONS_OP_SILU)->out[0]->dtype, ONS_F32); /* nothing low after it */
}

static void test_layer_names_that_only_resemble(void **state)
{
    ons_graph *g = *state;
    net n = make_leaves(g);

    ons_graph_output(g, build_block(g, &n, "my_conv_out.conv_out2"), "y");
    run_precision(g);
    assert_int_equal(find_op(g, ONS_OP_SILU)->out[0]->dtype, ONS_BF16);
}

static void test_arithmetic_outside_networks_stays_f32(void **state)
{
    ons_graph *g = *state;
    net n = make_leaves(g);
    ons_value *x0, *y = build_block(g, &n, "conv_out");

    x0 = ons_sub(g, ons_affine(g, n.x, 14.6, 0), ons_affine(g, y, 14.5, 0));
    n.x = x0; /* into a second network */
    ons_graph_output(g, build_block(g, &n, "conv_out"), "y");
    run_precision(g);
    assert_int_equal(x0->dtype, ONS_F32);
    assert_int_equal(x0->node->in[1]->dtype, ONS_F32);
}

static void test_training(void **state)
{
    ons_graph *g = *state;
    net n = make_leaves(g);
    ons_value *a = param(g, "a", 3, ONS_SHAPE2(8, 8)), *y, *loss, *wrt[4] = {n.w, n.bias, n.c, a}, *d[4];
    ons_node *grad;

    y = build_block(g, &n, "mid");
    y = ons_matmul(g, y, a, false, true, 1, n.bias, NULL);
    y = ons_add(g, y, ons_matmul(g, ons_unary(g, ONS_OP_SILU, y), a, false, true, 1, NULL, NULL));
    loss = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, ons_sub(g, y, n.x)));
    ons_grad(g, &loss, NULL, 1, wrt, 4, d);
    ons_graph_output(g, loss, "loss");
    for (int i = 0; i < 4; i++)
        ons_graph_output(g, d[i], wrt[i]->node->name);
    run_precision(g);
    for (int i = 0; i < 5; i++) {
        const ons_value *v = ons_graph_output_at(g, i)->value;

        assert_int_equal(v->dtype, ONS_F32);
        assert_int_not_equal(v->node->op, ONS_OP_CAST); /* nothing was rounded on the way out */
    }
    grad = find_op(g, ONS_OP_CONV2D_GRAD_W);
    assert_int_equal(grad->in[0]->dtype, ONS_BF16);
    assert_int_equal(grad->in[1]->dtype, ONS_BF16);
    assert_int_equal(grad->out[0]->dtype, ONS_F32);
    grad = find_op(g, ONS_OP_GROUP_NORM_GRAD);
    assert_int_equal(grad->out[0]->dtype, ONS_BF16);
    assert_int_equal(grad->out[1]->dtype, ONS_F32);
    assert_int_equal(grad->in[3]->dtype, ONS_F32);
    grad = ons_graph_output_at(g, 4)->value->node; /* da: two products, accumulated in f32 */
    assert_int_equal(grad->op, ONS_OP_MATMUL);
    assert_int_equal(grad->in[0]->dtype, ONS_BF16);
    assert_int_equal(grad->in[1]->dtype, ONS_BF16);
    assert_int_equal(grad->in[2]->dtype, ONS_F32);
    assert_int_equal(grad->out[0]->dtype, ONS_F32);
    assert_int_equal(find_op(g, ONS_OP_SQUARE)->in[0]->dtype, ONS_F32);
}

static void test_attention(void **state)
{
    ons_graph *g = *state;
    ons_value *x = input3(g, "x", 1, 4, 8), *a = param(g, "a", 0, ONS_SHAPE2(8, 8)), *y, *loss, *da;
    ons_node *n;

    y = ons_matmul(g, x, a, false, true, 1, NULL, NULL);
    y = ons_attention(g, y, y, y, 2, 1, false);
    y = ons_matmul(g, y, a, false, true, 1, NULL, NULL);
    loss = ons_mean_all(g, y);
    ons_grad(g, &loss, NULL, 1, &a, 1, &da);
    ons_graph_output(g, da, "da");
    run_precision(g);
    n = find_op(g, ONS_OP_ATTENTION);
    assert_int_equal(n->out[0]->dtype, ONS_BF16);
    assert_int_equal(n->out[1]->dtype, ONS_F32);
    n = find_op(g, ONS_OP_ATTENTION_GRAD);
    assert_int_equal(n->in[4]->dtype, ONS_F32);
    assert_int_equal(n->in[5]->dtype, ONS_BF16);
    for (int i = 0; i < 3; i++)
        assert_int_equal(n->out[i]->dtype, ONS_BF16);
}

static void test_softmax_reads_f32_scores(void **state)
{
    ons_graph *g = *state;
    ons_value *a = input2(g, "a", 4, 4), *p;

    p = ons_unary(g, ONS_OP_SOFTMAX, ons_matmul(g, a, a, false, true, 0.5, NULL, NULL));
    ons_graph_output(g, ons_matmul(g, p, a, false, false, 1, NULL, NULL), "y");
    run_precision(g);
    assert_int_equal(p->node->in[0]->node->op, ONS_OP_MATMUL);
    assert_int_equal(p->node->in[0]->dtype, ONS_F32);
    assert_int_equal(p->dtype, ONS_F32);
    assert_int_equal(count_op(g, ONS_OP_CAST), 2); /* of a, once, and of p */
}

static void test_views_follow_their_input(void **state)
{
    ons_graph *g = *state;
    net n = make_leaves(g);
    ons_value *a = ons_reshape(g, param(g, "a", 3, ONS_SHAPE4(8, 1, 1, 8)), &ONS_SHAPE2(8, 8)), *y, *view;

    y = ons_conv2d(g, n.x, n.w, NULL, NULL, same3);
    view = ons_reshape(g, y, &ONS_SHAPE3(1, 16, 8));
    ons_graph_output(g, ons_matmul(g, view, a, false, true, 1, NULL, NULL), "y");
    ons_graph_output(g, ons_unary(g, ONS_OP_EXP, ons_reshape(g, y, &ONS_SHAPE1(128))), "e");
    run_precision(g);
    assert_int_equal(view->dtype, ONS_BF16);
    assert_int_equal(a->dtype, ONS_F32); /* a view of a parameter is a parameter */
    assert_ptr_equal(find_op(g, ONS_OP_MATMUL)->in[1], a);
    assert_int_equal(find_op(g, ONS_OP_EXP)->in[0]->dtype, ONS_F32);
}

static void test_f32_leaves_types_alone(void **state)
{
    ons_graph *g = *state;
    net n = make_leaves(g);

    ons_graph_output(g, build_block(g, &n, "last"), "y");
    assert_int_equal(ons_graph_optimise(g, 0, ONS_F32), ONESTEP_OK);
    assert_int_equal(count_op(g, ONS_OP_CAST), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(test_between_products),
        GRAPH_TEST(test_last_convolution_stays_f32),
        GRAPH_TEST(test_layer_names_that_only_resemble),
        GRAPH_TEST(test_arithmetic_outside_networks_stays_f32),
        GRAPH_TEST(test_training),
        GRAPH_TEST(test_attention),
        GRAPH_TEST(test_softmax_reads_f32_scores),
        GRAPH_TEST(test_views_follow_their_input),
        GRAPH_TEST(test_f32_leaves_types_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
