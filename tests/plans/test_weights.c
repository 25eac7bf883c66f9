/* Weights in plans: hoisting, other weight sets in a slot, and slots that are empty while only sizes are
 * wanted. */
#include "backend/plan.h"
#include "plan_test.h"

static const float one[4] = {1, 2, 3, 4}, two[4] = {-1, 5, 0.5f, 2}, x[4] = {1, 1, 2, 2};

/* y = x * square(w) + v, w frozen in slot 0, v trainable in slot 1 */
static ons_graph *build(bool frozen)
{
    ons_graph *g = make_graph();
    ons_value *w = ons_param_leaf(g, "w", 0, 0, &ONS_SHAPE1(4), !frozen);
    ons_value *v = ons_param_leaf(g, "w", 1, 0, &ONS_SHAPE1(4), true);

    ons_graph_output(g, ons_add(g, ons_mul(g, input1(g, "x", 4), ons_unary(g, ONS_OP_SQUARE, w)), v), "y");
    return g;
}

static void assert_result(ons_plan *p, const float *w, const float *v)
{
    float want[4];

    for (int i = 0; i < 4; i++)
        want[i] = x[i] * (w[i] * w[i]) + v[i];
    run_plan(p);
    assert_floats(ons_plan_result(p, "y"), want, 4);
}

static void count_squares(void)
{
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"counted", NULL, NULL, run_counted, NULL});
}

static void write_params(ons_params *p, const float *values)
{
    memcpy(ons_params_data(p, 0), values, 4 * sizeof *values);
    ons_params_touch(p);
}

static void frozen_work_is_done_once_per_version(void **state)
{
    ons_params *sets[3] = {make_params(one), make_params(two), NULL};
    ons_plan *p;

    (void)state;
    count_squares();
    p = make_plan(build(true), &test_backend, sets, 0);
    set_floats(p, "x", x, 4);
    for (int i = 0; i < 3; i++)
        assert_result(p, one, two);
    assert_int_equal(test_runs, 1);
    write_params(sets[1], one); /* nothing hoisted depends on this set */
    assert_result(p, one, one);
    assert_int_equal(test_runs, 1);
    write_params(sets[0], two);
    assert_result(p, two, one);
    assert_result(p, two, one);
    assert_int_equal(test_runs, 2);
    ons_plan_destroy(&p);
    ons_params_destroy(&sets[0]);
    ons_params_destroy(&sets[1]);
}

static void hoisting_needs_frozen_weights_and_its_pass(void **state)
{
    ons_params *sets[3] = {make_params(one), make_params(two), NULL};

    (void)state;
    for (int variant = 0; variant < 2; variant++) {
        ons_plan *p;

        test_backend_reset();
        count_squares();
        p = make_plan(build(variant), &test_backend, sets, variant ? ONS_PASS_HOIST : 0);
        set_floats(p, "x", x, 4);
        for (int i = 0; i < 3; i++)
            assert_result(p, one, two);
        assert_int_equal(test_runs, 3);
        ons_plan_destroy(&p);
    }
    ons_params_destroy(&sets[0]);
    ons_params_destroy(&sets[1]);
}

static void another_set_takes_effect(void **state)
{
    static const ons_backend *const backends[] = {&test_backend, &ons_backend_cpu};
    ons_params *sets[3] = {make_params(one), make_params(two), NULL};

    (void)state;
    for (int i = 0; i < 2; i++) {
        ons_plan *p = make_plan(build(true), backends[i], sets, 0);

        set_floats(p, "x", x, 4);
        assert_result(p, one, two);
        ons_plan_bind_params(p, 0, sets[1]);
        assert_result(p, two, two);
        ons_plan_bind_params(p, 0, sets[0]);
        ons_plan_bind_params(p, 1, sets[0]);
        assert_result(p, one, one);
        ons_plan_destroy(&p);
    }
    ons_params_destroy(&sets[0]);
    ons_params_destroy(&sets[1]);
}

static ons_params *make_matrix(float first)
{
    ons_params *p;
    int index;

    assert_int_equal(ons_params_create(&p), ONESTEP_OK);
    assert_int_equal(ons_params_require(p, "m", ONS_PARAM_MATRIX, &ONS_SHAPE2(3, 4), ONS_INIT_ZERO, 0, &index),
                     ONESTEP_OK);
    assert_int_equal(ons_params_allocate(p), ONESTEP_OK);
    for (int i = 0; i < 12; i++)
        ons_params_data(p, 0)[i] = first + (float)i;
    ons_params_touch(p);
    return p;
}

/* Kernels keep packed copies of weights: they must follow the values and the binding. */
static void packed_weights_follow(void **state)
{
    ons_params *a = make_matrix(0), *b = make_matrix(1), *sets[2] = {a, NULL};
    static const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    ons_graph *g = make_graph();
    ons_value *m = ons_param_leaf(g, "m", 0, 0, &ONS_SHAPE2(3, 4), false);
    ons_plan *p;

    (void)state;
    ons_graph_output(
        g, ons_matmul(g, ons_input(g, "x", ONS_F32, &ONS_SHAPE2(2, 4)), m, false, true, 1, NULL, NULL), "y");
    p = make_plan(g, &ons_backend_cpu, sets, 0);
    set_floats(p, "x", ones, 8);
    run_plan(p);
    assert_floats(ons_plan_result(p, "y"), (float[]){6, 22, 38, 6, 22, 38}, 6);
    ons_params_data(a, 0)[0] = 100;
    ons_params_touch(a);
    run_plan(p);
    assert_floats(ons_plan_result(p, "y"), (float[]){106, 22, 38, 106, 22, 38}, 6);
    ons_plan_bind_params(p, 0, b);
    run_plan(p);
    assert_floats(ons_plan_result(p, "y"), (float[]){10, 26, 42, 10, 26, 42}, 6);
    ons_plan_destroy(&p);
    ons_params_destroy(&a);
    ons_params_destroy(&b);
}

/* y = x m^T, m packed, and z = x + v, v read where it lies: whatever fails on the way to another set, the run
 * after it has that set's numbers. */
static void another_set_survives_a_lack_of_memory(void **state)
{
    static const float ones[4] = {1, 1, 1, 1};
    onestep_status st = ONESTEP_NO_MEMORY;
    int n = 0;

    (void)state;
    while (st != ONESTEP_OK) {
        ons_params *m[2] = {make_matrix(0), make_matrix(1)}, *v[2] = {make_params(one), make_params(two)};
        ons_params *sets[3] = {m[0], v[0], NULL};
        ons_graph *g = make_graph();
        ons_value *in = ons_input(g, "x", ONS_F32, &ONS_SHAPE2(1, 4));
        ons_value *w = ons_param_leaf(g, "m", 0, 0, &ONS_SHAPE2(3, 4), false);
        ons_plan *p;

        ons_graph_output(g, ons_matmul(g, in, w, false, true, 1, NULL, NULL), "y");
        ons_graph_output(g, ons_add(g, in, ons_param_leaf(g, "w", 1, 0, &ONS_SHAPE1(4), true)), "z");
        p = make_plan(g, &ons_backend_cpu, sets, 0);
        set_floats(p, "x", ones, 4);
        run_plan(p);
        ons_plan_bind_params(p, 0, m[1]);
        ons_plan_bind_params(p, 1, v[1]);
        ons_memory_fail_after(++n);
        st = ons_plan_run(p);
        ons_memory_fail_after(0);
        assert_true(st == ONESTEP_OK || st == ONESTEP_NO_MEMORY);
        run_plan(p);
        assert_floats(ons_plan_result(p, "y"), (float[]){10, 26, 42}, 3);
        assert_floats(ons_plan_result(p, "z"), (float[]){0, 6, 1.5f, 3}, 4);
        ons_plan_destroy(&p);
        for (int i = 0; i < 2; i++) {
            ons_params_destroy(&m[i]);
            ons_params_destroy(&v[i]);
        }
    }
    assert_true(n > 1);
}

static void sizes_are_known_without_weights(void **state)
{
    ons_params *w = make_params(one), *v = make_params(two);
    ons_plan *p = make_plan(build(true), &ons_backend_cpu, NULL, 0);

    (void)state;
    assert_true(ons_plan_peak_bytes(p) > 0);
    assert_int_equal(ons_plan_run(p), ONESTEP_BAD_ARGUMENT);
    assert_string_equal(onestep_error_text(),
                        "under test: no weight set in slot 0; bind one before the first run");
    ons_plan_bind_params(p, 0, w);
    ons_plan_bind_params(p, 1, v);
    set_floats(p, "x", x, 4);
    assert_result(p, one, two);
    ons_plan_destroy(&p);
    ons_params_destroy(&w);
    ons_params_destroy(&v);
}

static void a_set_of_another_shape_is_refused(void **state)
{
    ons_params *m = make_matrix(0), *v = make_params(two);
    ons_plan_options options = {.compute.backend = &ons_backend_ref, .params = {m, v}};
    ons_graph *g = build(true);
    ons_plan *p;

    (void)state;
    assert_int_equal(ons_plan_create(&g, &options, &p), ONESTEP_BAD_ARGUMENT);
    assert_string_equal(onestep_error_text(), "w: the graph expects [4], the weight set has m [3, 4]");
    assert_null(g);
    assert_null(p);
    ons_params_destroy(&m);
    ons_params_destroy(&v);
}

int main(void)
{
#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, reset_backend, reset_backend)
    const struct CMUnitTest tests[] = {
        PLAN_TEST(frozen_work_is_done_once_per_version),
        PLAN_TEST(hoisting_needs_frozen_weights_and_its_pass),
        PLAN_TEST(another_set_takes_effect),
        PLAN_TEST(packed_weights_follow),
        PLAN_TEST(another_set_survives_a_lack_of_memory),
        PLAN_TEST(sizes_are_known_without_weights),
        PLAN_TEST(a_set_of_another_shape_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
