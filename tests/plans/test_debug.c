/* The debug switches name the operator that is to blame: kernels with known faults are put into a plan, one at
 * a time. */
#include "backend/plan.h"
#include "plan_test.h"

#include <jansson.h>
#include <unistd.h>

static const float x[4] = {1, -2, 3, -4};

/* abs at "fine", then an operator at "blame", then abs at "after" */
static ons_plan *make_faulty(ons_op op, const char *value)
{
    ons_graph *g = make_graph();
    ons_value *v;
    ons_plan *p;

    ons_graph_push(g, "fine");
    v = ons_unary(g, ONS_OP_ABS, input1(g, "x", 4));
    ons_graph_pop(g);
    ons_graph_push(g, "blame");
    v = ons_unary(g, op, value ? ons_affine(g, v, 1, -2) : v);
    ons_graph_pop(g);
    ons_graph_push(g, "after");
    ons_graph_output(g, ons_unary(g, ONS_OP_ABS, v), "y");
    ons_graph_pop(g);
    p = make_plan(g, &test_backend, NULL, 0);
    set_floats(p, "x", x, 4);
    return p;
}

static void expect_failure(ons_plan *p, const char *message)
{
    assert_int_equal(ons_plan_run(p), ONESTEP_INTERNAL);
    assert_contains(onestep_error_text(), message);
    ons_plan_destroy(&p);
}

/* log(|x| - 2) is NaN at 1 and -inf at 2. */
static void a_non_finite_result_is_named(void **state)
{
    ons_plan *p;

    (void)state;
    p = make_faulty(ONS_OP_LOG, "shifted");
    run_plan(p); /* nobody looks */
    ons_plan_destroy(&p);
    setenv("ONESTEP_CHECK_NAN", "1", 1);
    expect_failure(make_faulty(ONS_OP_LOG, "shifted"), "log at blame (kernel ref) gave");
}

static void a_wrong_kernel_is_named(void **state)
{
    ons_plan *p;

    (void)state;
    setenv("ONESTEP_COMPARE", "1", 1);
    p = make_faulty(ONS_OP_SQUARE, NULL);
    run_plan(p);
    ons_plan_destroy(&p);
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"broken", NULL, NULL, run_wrong, NULL});
    expect_failure(make_faulty(ONS_OP_SQUARE, NULL),
                   "square at blame (kernel broken) differs from ref by 0.062");
}

/* The operand is gone when the kernel has run. */
static void a_wrong_kernel_that_works_in_place_is_named(void **state)
{
    (void)state;
    setenv("ONESTEP_COMPARE", "1", 1);
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"broken", NULL, prepare_in_place, run_wrong, NULL});
    expect_failure(make_faulty(ONS_OP_SQUARE, NULL), "square at blame (kernel broken) differs from ref by");
}

static void writing_past_the_end_is_named(void **state)
{
    (void)state;
    setenv("ONESTEP_POISON", "1", 1);
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"broken", NULL, NULL, run_overrun, NULL});
    expect_failure(make_faulty(ONS_OP_SQUARE, NULL),
                   "square at blame (kernel broken) wrote outside its output");
}

static void a_forgotten_element_shows(void **state)
{
    (void)state;
    setenv("ONESTEP_POISON", "1", 1);
    setenv("ONESTEP_CHECK_NAN", "1", 1);
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"broken", NULL, NULL, run_lazy, NULL});
    expect_failure(make_faulty(ONS_OP_SQUARE, NULL), "square at blame (kernel broken) gave NaN at element 3");
}

/* The cpu kernels pass the comparison on a network's worth of operators. */
static void compare_accepts_the_cpu_kernels(void **state)
{
    ons_graph *g = make_graph();
    ons_value *v = ons_input(g, "x", ONS_F32, &ONS_SHAPE3(2, 9, 32)), *y, *dx;
    ons_plan *p;

    (void)state;
    setenv("ONESTEP_COMPARE", "1", 1);
    y = ons_attention(g, v, ons_unary(g, ONS_OP_SILU, v), v, 2, 0.25, false);
    y = ons_matmul(g, ons_geglu(g, y), y, true, false, 1, NULL, NULL);
    y = ons_unary(g, ONS_OP_SOFTMAX, y);
    ons_grad(g, &y, &y, 1, &v, 1, &dx);
    ons_graph_output(g, dx, "dx");
    p = make_plan(g, &ons_backend_cpu, NULL, 0);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    for (int i = 0; i < 2 * 9 * 32; i++)
        ((float *)ons_plan_input(p, "x"))[i] = (float)(i * 37 % 101) / 50 - 1;
    run_plan(p);
    ons_plan_destroy(&p);
}

static void check_event(const json_t *e, const char *name, const char *layer)
{
    assert_string_equal(json_string_value(json_object_get(e, "name")), name);
    assert_string_equal(json_string_value(json_object_get(e, "ph")), "X");
    assert_true(json_number_value(json_object_get(e, "dur")) >= 0);
    assert_string_equal(json_string_value(json_object_get(json_object_get(e, "args"), "layer")), layer);
    assert_true(json_is_number(json_object_get(json_object_get(e, "args"), "flops")));
    assert_true(json_number_value(json_object_get(json_object_get(e, "args"), "bytes")) > 0);
}

/* Two plans, three runs, a layer name that needs escaping: one valid file with an event per operator and run.
 */
static void the_trace_is_json(void **state)
{
    char path[] = "/tmp/onestep-trace-XXXXXX";
    int file = mkstemp(path);
    ons_graph *g = make_graph();
    ons_plan *a, *b;
    json_t *trace;

    (void)state;
    assert_true(file >= 0);
    close(file);
    setenv("ONESTEP_TRACE", path, 1);
    ons_graph_push(g, "a \"quoted\" \\ layer");
    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, input1(g, "x", 4)), "y");
    ons_graph_pop(g);
    a = make_plan(g, &test_backend, NULL, 0);
    b = make_faulty(ONS_OP_SQUARE, NULL);
    run_plan(a);
    run_plan(b);
    run_plan(a);
    trace = json_load_file(path, 0, NULL);
    assert_non_null(trace);
    assert_int_equal(json_array_size(trace), 1 + 3 + 1);
    check_event(json_array_get(trace, 0), "silu", "a \"quoted\" \\ layer");
    check_event(json_array_get(trace, 2), "square", "blame");
    assert_true(json_integer_value(json_object_get(json_array_get(trace, 0), "tid")) !=
                json_integer_value(json_object_get(json_array_get(trace, 1), "tid")));
    json_decref(trace);
    ons_plan_destroy(&a);
    ons_plan_destroy(&b);
    unlink(path);
}

int main(void)
{
#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, reset_backend, reset_backend)
    const struct CMUnitTest tests[] = {
        PLAN_TEST(a_non_finite_result_is_named),
        PLAN_TEST(a_wrong_kernel_is_named),
        PLAN_TEST(a_wrong_kernel_that_works_in_place_is_named),
        PLAN_TEST(writing_past_the_end_is_named),
        PLAN_TEST(a_forgotten_element_shows),
        PLAN_TEST(compare_accepts_the_cpu_kernels),
        PLAN_TEST(the_trace_is_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
