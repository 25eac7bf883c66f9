/*
 * Whole blocks against finite differences, where gradients of several operators meet: a residual block with a
 * time embedding, a transformer block, values used more than once, and stop_gradient, whose gradient is not the
 * function's.
 */
#include "backend/plan.h"
#include "grad_case.h"

#include <string.h>

#include "backend/backend.h"

static const ons_conv_geometry same3 = {1, 1, 1, 1, 1}, same1 = {1, 0, 0, 0, 0};

static ons_value *vector(grad_case *t, int64_t n)
{
    return grad_variable_add(t, ONS_SHAPE1(n), GRAD_ANY);
}

static ons_value *matrix(grad_case *t, int64_t rows, int64_t columns)
{
    return grad_variable_add(t, ONS_SHAPE2(rows, columns), GRAD_ANY);
}

static ons_value *conv(grad_case *t, ons_value *x, int64_t out, int64_t k, ons_value *residual)
{
    ons_value *w = grad_variable_add(t, ONS_SHAPE4(out, k, k, x->shape.d[3]), GRAD_ANY);

    return ons_conv2d(t->g, x, w, vector(t, out), residual, k == 3 ? same3 : same1);
}

static ons_value *norm_silu(grad_case *t, ons_value *x)
{
    int64_t c = x->shape.d[3];
    ons_value *gamma = vector(t, c);

    return ons_group_norm(t->g, x, gamma, vector(t, c), 2, 1e-3, ONS_ACT_SILU);
}

/* silu(norm) - conv - plus time - silu(norm) - conv - plus 1x1 shortcut, then down and up again */
static ons_value *build_residual_block(grad_case *t)
{
    ons_value *x = grad_variable_add(t, ONS_SHAPE4(2, 4, 4, 4), GRAD_ANY), *time = matrix(t, 2, 5), *h;
    ons_value *projected = ons_matmul(t->g, ons_unary(t->g, ONS_OP_SILU, time), matrix(t, 6, 5), false, true, 1,
                                      vector(t, 6), NULL);

    ons_graph_begin_segment(t->g);
    h = conv(t, norm_silu(t, x), 6, 3, NULL);
    h = ons_add(t->g, h, ons_reshape(t->g, projected, &ONS_SHAPE4(2, 1, 1, 6)));
    ons_graph_end_segment(t->g);
    ons_graph_begin_segment(t->g);
    h = conv(t, norm_silu(t, h), 6, 3, NULL);
    ons_graph_end_segment(t->g);
    h = ons_add(t->g, conv(t, x, 6, 1, NULL), h);
    return ons_upsample2x(t->g, ons_avg_pool2x(t->g, h));
}

static ons_value *linear(grad_case *t, ons_value *x, int64_t out, ons_value *residual)
{
    return ons_matmul(t->g, x, matrix(t, out, x->shape.d[x->shape.n - 1]), false, true, 0.5, NULL, residual);
}

/* layer norm - self attention - plus - cross attention - plus - geglu feed forward - plus */
static ons_value *build_transformer_block(grad_case *t)
{
    ons_value *x = grad_variable_add(t, ONS_SHAPE3(2, 5, 6), GRAD_ANY);
    ons_value *text = grad_variable_add(t, ONS_SHAPE3(2, 3, 4), GRAD_ANY);
    ons_value *gamma = vector(t, 6), *h = ons_layer_norm(t->g, x, gamma, vector(t, 6), 1e-3), *q, *k;

    ons_graph_begin_segment(t->g);
    q = linear(t, h, 6, NULL);
    k = linear(t, h, 6, NULL);
    x = linear(t, ons_attention(t->g, q, k, linear(t, h, 6, NULL), 2, 0.6, true), 6, x);
    q = linear(t, x, 6, NULL);
    k = linear(t, text, 6, NULL);
    x = ons_add(t->g, x, ons_attention(t->g, q, k, linear(t, text, 6, NULL), 3, 0.7, false));
    ons_graph_end_segment(t->g);
    return linear(t, ons_geglu(t->g, linear(t, x, 8, NULL)), 6, x);
}

/* One value through four paths: their gradients add up. */
static ons_value *build_shared_value(grad_case *t)
{
    ons_value *x = matrix(t, 3, 4), *s = ons_unary(t->g, ONS_OP_SILU, x);
    ons_value *parts[2];

    ons_graph_begin_segment(t->g);
    parts[0] = ons_mul(t->g, s, s);
    parts[1] = ons_sub(t->g, s, x);
    ons_graph_end_segment(t->g);
    return ons_matmul(t->g, ons_concat(t->g, 1, parts, 2), ons_concat(t->g, 1, parts, 2), true, false, 1, NULL,
                      NULL);
}

static void check_block(ons_value *(*build)(grad_case *), const char *name)
{
    for (int variant = 0; variant < 4; variant++) {
        grad_case t;

        grad_case_init(&t, 11 + (uint64_t)variant);
        ons_graph_recompute(t.g, variant & 2);
        grad_check(&t, build(&t), variant & 1 ? ~0u : 0, name);
    }
}

static void residual_block(void **state)
{
    (void)state;
    check_block(build_residual_block, "residual block");
}

static void transformer_block(void **state)
{
    (void)state;
    check_block(build_transformer_block, "transformer block");
}

static void shared_value(void **state)
{
    (void)state;
    check_block(build_shared_value, "shared value");
}

/* d(x stop(x)) / dx is x, not 2x. */
static void stop_gradient_holds_its_operand_fixed(void **state)
{
    ons_plan_options options = {.compute = {.backend = &ons_backend_ref64, .n_threads = 1}};
    ons_graph *g;
    ons_plan *p;
    ons_value *x, *y, *dx;

    (void)state;
    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    x = ons_input(g, "x", ONS_F32, &ONS_SHAPE1(3));
    y = ons_mul(g, x, ons_stop_gradient(g, x));
    ons_grad(g, &y, NULL, 1, &x, 1, &dx);
    ons_graph_output(g, y, "y");
    ons_graph_output(g, dx, "dx");
    assert_int_equal(ons_plan_create(&g, &options, &p), ONESTEP_OK);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    memcpy(ons_plan_input(p, "x"), ((double[]){1.5, -2, 3}), 3 * sizeof(double));
    assert_int_equal(ons_plan_run(p), ONESTEP_OK);
    for (int i = 0; i < 3; i++) {
        double v = ((double *)ons_plan_input(p, "x"))[i];

        assert_true(((const double *)ons_plan_result(p, "dx"))[i] == v);
        assert_true(((const double *)ons_plan_result(p, "y"))[i] == v * v);
    }
    ons_plan_destroy(&p);
}

enum { CHAIN_SIZE = 8 * 16 * 16 * 4 };

/* Four segments of two convolutions; the gradient of the first weights, and the memory that it took. */
static size_t run_chain(bool recompute, float *dw)
{
    ons_plan_options options = {.compute = {.backend = &ons_backend_ref, .n_threads = 1}};
    const ons_shape weights = ONS_SHAPE4(4, 3, 3, 4);
    ons_graph *g;
    ons_plan *p;
    ons_value *h, *w, *loss, *d;
    size_t peak;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    ons_graph_recompute(g, recompute);
    h = ons_input(g, "x", ONS_F32, &ONS_SHAPE4(8, 16, 16, 4));
    w = ons_input(g, "w", ONS_F32, &weights);
    for (int i = 0; i < 4; i++) {
        ons_graph_begin_segment(g);
        for (int k = 0; k < 2; k++)
            h = ons_unary(g, ONS_OP_SILU, ons_conv2d(g, h, w, NULL, NULL, same3));
        ons_graph_end_segment(g);
    }
    loss = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, h));
    ons_grad(g, &loss, NULL, 1, &w, 1, &d);
    ons_graph_output(g, d, "dw");
    assert_int_equal(ons_plan_create(&g, &options, &p), ONESTEP_OK);
    peak = ons_plan_peak_bytes(p);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    for (int i = 0; i < CHAIN_SIZE; i++)
        ((float *)ons_plan_input(p, "x"))[i] = (float)(i % 13 - 6) / 6;
    for (int i = 0; i < ons_shape_count(&weights); i++)
        ((float *)ons_plan_input(p, "w"))[i] = (float)(i % 7 - 3) / 9;
    assert_int_equal(ons_plan_run(p), ONESTEP_OK);
    memcpy(dw, ons_plan_result(p, "dw"), (size_t)ons_shape_count(&weights) * sizeof *dw);
    ons_plan_destroy(&p);
    return peak;
}

static void recomputing_takes_less_memory_and_gives_the_same_bits(void **state)
{
    float kept[144], again[144];
    size_t peak = run_chain(false, kept), less = run_chain(true, again);

    (void)state;
    assert_memory_equal(kept, again, sizeof kept);
    assert_true(kept[0] != 0);
    assert_true(less * 10 < peak * 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(residual_block),
        cmocka_unit_test(transformer_block),
        cmocka_unit_test(shared_value),
        cmocka_unit_test(recomputing_takes_less_memory_and_gives_the_same_bits),
        cmocka_unit_test(stop_gradient_holds_its_operand_fixed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
