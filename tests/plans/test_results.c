/* Results: outputs that are views of leaves, outputs in the caller's memory, cancelling, and the plan as text.
 */
#include "backend/plan.h"
#include "plan_test.h"

#include <math.h>

#include "base/system.h"

static const float x[4] = {1, -2, 3, -4}, w[4] = {5, 6, 7, 8}, doubled[4] = {2, -4, 6, -8};

/* Each output keeps the value of its run, whatever happens to the leaf afterwards. */
static void views_of_leaves_are_copied(void **state)
{
    ons_params *sets[2] = {make_params(w), NULL};
    ons_graph *g = make_graph();
    ons_value *in = input1(g, "x", 4), *p0 = ons_param_leaf(g, "w", 0, 0, &ONS_SHAPE1(4), true);
    ons_plan *p;

    (void)state;
    ons_graph_output(g, in, "itself");
    ons_graph_output(g, ons_reshape(g, in, &ONS_SHAPE2(2, 2)), "square");
    ons_graph_output(g, ons_stop_gradient(g, p0), "weights");
    ons_graph_output(g, ons_constant(g, ONS_F32, &ONS_SHAPE1(4), w), "constant");
    p = make_plan(g, &ons_backend_cpu, sets, 0);
    set_floats(p, "x", x, 4);
    run_plan(p);
    memset(ons_plan_input(p, "x"), 0, sizeof x);
    memset(ons_params_data(sets[0], 0), 0, sizeof w);
    assert_floats(ons_plan_result(p, "itself"), x, 4);
    assert_floats(ons_plan_result(p, "square"), x, 4);
    assert_floats(ons_plan_result(p, "weights"), w, 4);
    assert_floats(ons_plan_result(p, "constant"), w, 4);
    assert_int_equal(ons_plan_find(p, "square")->shape.n, 2);
    ons_plan_destroy(&p);
    ons_params_destroy(&sets[0]);
}

/* y = 2 x under two names and as a view; each bound to memory of its own */
static void check_bound(const ons_backend *backend)
{
    float y[4] = {0}, again[4] = {0}, view[4] = {0}, leaf[4] = {0}, loss = 0;
    ons_graph *g = make_graph();
    ons_value *in = input1(g, "x", 4), *v = ons_affine(g, in, 2, 0);
    ons_plan *p;

    ons_graph_output(g, v, "y");
    ons_graph_output(g, v, "again");
    ons_graph_output(g, ons_reshape(g, v, &ONS_SHAPE2(2, 2)), "view");
    ons_graph_output(g, in, "leaf");
    ons_graph_output(g, ons_sum_to(g, ons_unary(g, ONS_OP_ABS, v), &ONS_SHAPE0()), "loss");
    p = make_plan(g, backend, NULL, 0);
    assert_int_equal(ons_plan_bind_output(p, "y", y), ONESTEP_OK);
    assert_int_equal(ons_plan_bind_output(p, "again", again), ONESTEP_OK);
    assert_int_equal(ons_plan_bind_output(p, "view", view), ONESTEP_OK);
    assert_int_equal(ons_plan_bind_output(p, "leaf", leaf), ONESTEP_OK);
    assert_int_equal(ons_plan_bind_output(p, "loss", &loss), ONESTEP_OK);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    for (int i = 0; i < 4; i++)
        if (backend->real == ONS_F64)
            ((double *)ons_plan_input(p, "x"))[i] = x[i];
        else
            ((float *)ons_plan_input(p, "x"))[i] = x[i];
    assert_floats(leaf, (float[4]){0}, 4); /* the input keeps its own memory */
    run_plan(p);
    assert_floats(y, doubled, 4);
    assert_floats(again, doubled, 4);
    assert_floats(view, doubled, 4);
    assert_floats(leaf, x, 4);
    assert_true(loss == 20);
    if (backend->real == ONS_F32)
        assert_ptr_equal(ons_plan_result(p, "y"), y); /* in place, not copied */
    ons_plan_destroy(&p);
}

static void outputs_can_live_in_the_callers_memory(void **state)
{
    (void)state;
    check_bound(&ons_backend_ref);
    check_bound(&ons_backend_cpu);
    check_bound(&ons_backend_ref64);
}

static void binding_has_rules(void **state)
{
    float y[4];
    ons_graph *g = make_graph();
    ons_plan *p;

    (void)state;
    ons_graph_output(g, ons_affine(g, input1(g, "x", 4), 2, 0), "y");
    p = make_plan(g, &ons_backend_ref, NULL, 0);
    assert_int_equal(ons_plan_bind_output(p, "z", y), ONESTEP_BAD_ARGUMENT);
    assert_string_equal(onestep_error_text(), "under test: the plan has no output z");
    assert_null(ons_plan_result(p, "z"));
    assert_null(ons_plan_input(p, "y"));
    run_plan(p);
    assert_int_equal(ons_plan_bind_output(p, "y", y), ONESTEP_BAD_ARGUMENT);
    assert_contains(onestep_error_text(), "before memory is allocated");
    ons_plan_destroy(&p);
}

static void a_run_stops_when_its_token_says_so(void **state)
{
    ons_graph *g = make_graph();
    ons_plan *p;

    (void)state;
    ons_graph_output(g, ons_affine(g, input1(g, "x", 4), 2, 0), "y");
    p = make_plan(g, &ons_backend_ref, NULL, 0);
    set_floats(p, "x", x, 4);
    ons_request_interrupt();
    run_plan(p);
    ons_plan_set_stop(p, ons_interrupt_stop());
    assert_int_equal(ons_plan_run(p), ONESTEP_INTERRUPTED);
    ons_clear_interrupt();
    run_plan(p);
    assert_floats(ons_plan_result(p, "y"), doubled, 4);
    ons_plan_destroy(&p);
}

static bool breaks;

static onestep_status run_breaking(const ons_prep *p, const ons_args *a)
{
    return breaks ? ons_fail(ONESTEP_INTERNAL, "the device fell off") : run_counted(p, a);
}

static void a_failing_kernel_ends_the_run_and_not_the_plan(void **state)
{
    static const float want[4] = {1, 4, 9, 16};
    ons_graph *g = make_graph();
    ons_plan *p;

    (void)state;
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"breaking", NULL, NULL, run_breaking, NULL});
    ons_graph_output(g, ons_affine(g, ons_unary(g, ONS_OP_SQUARE, input1(g, "x", 4)), 1, 0), "y");
    p = make_plan(g, &test_backend, NULL, 0);
    set_floats(p, "x", (float[]){1, 2, 3, 4}, 4);
    for (int profiled = 0; profiled < 2; profiled++) {
        ons_plan_profile(p, profiled);
        breaks = true;
        assert_int_equal(ons_plan_run(p), ONESTEP_INTERNAL);
        assert_string_equal(onestep_error_text(), "the device fell off");
        breaks = false;
        run_plan(p);
        assert_floats(ons_plan_result(p, "y"), want, 4);
    }
    ons_plan_destroy(&p);
}

/* ref64 has copies of constants, which no weights' change locates again; an output has a place in the caller's
 * memory. */
static void a_lack_of_memory_leaves_the_plan_usable(void **state)
{
    static const float want[4] = {1, 4, 9, 16};
    float bound[4] = {0};

    (void)state;
    for (int real64 = 0; real64 < 2; real64++) {
        const ons_backend *backend = real64 ? &ons_backend_ref64 : &ons_backend_ref;
        ons_graph *g = make_graph();
        int failures = 0;
        onestep_status st;
        ons_plan *p;

        ons_graph_output(
            g, ons_unary(g, ONS_OP_SQUARE, ons_constant(g, ONS_F32, &ONS_SHAPE1(4), (float[]){1, 2, 3, 4})),
            "y");
        p = make_plan(g, backend, NULL, ~0u);
        assert_int_equal(ons_plan_bind_output(p, "y", bound), ONESTEP_OK);
        do {
            ons_memory_fail_after(failures + 1);
            st = ons_plan_run(p);
            ons_memory_fail_after(0);
            assert_true(st == ONESTEP_OK || st == ONESTEP_NO_MEMORY);
            failures += st != ONESTEP_OK;
        } while (st != ONESTEP_OK);
        assert_in_range(failures, 1 + real64, 20);
        assert_floats(bound, want, 4);
        assert_int_equal(p->bindings[0].copied, real64);
        assert_int_equal(ons_plan_result(p, "y") == bound, !real64);
        ons_plan_destroy(&p);
    }
}

static const char *refuse_always(const ons_node *n)
{
    (void)n;
    return "not today";
}

static onestep_status prepare_unsupported(ons_prep *p)
{
    (void)p;
    return ons_fail(ONESTEP_UNSUPPORTED, "the library has no such primitive");
}

/* A refactor must not change this text. */
static void the_plan_prints_the_same_every_time(void **state)
{
    static const char want[] =
        "plan under test: backend test, 1 threads, 3 operators\n"
        "square             frozen                                       [4]                  f32  ref @0 "
        "(once)\n"
        "mul                body                                         [4]                  f32  ref @128"
        "  [fast: not today; late: the library has no such primitive]\n"
        "sum_to             body                                         []                   f32  ref @192\n"
        "peak 0.0 MB (arena 0.0, scratch 0.0), 0.000 GFLOP\n";
    ons_params *sets[2] = {make_params(w), NULL};
    ons_graph *g = make_graph();
    ons_value *v;
    ons_plan *p;
    char *text;
    size_t size;
    FILE *f;

    (void)state;
    test_backend_prefer(ONS_OP_MUL, (ons_kernel){"late", NULL, prepare_unsupported, run_wrong, NULL});
    test_backend_prefer(ONS_OP_MUL, (ons_kernel){"fast", refuse_always, NULL, run_wrong, NULL});
    ons_graph_push(g, "frozen");
    v = ons_unary(g, ONS_OP_SQUARE, ons_param_leaf(g, "w", 0, 0, &ONS_SHAPE1(4), false));
    ons_graph_pop(g);
    ons_graph_push(g, "body");
    ons_graph_output(g, ons_sum_to(g, ons_mul(g, input1(g, "x", 4), v), &ONS_SHAPE0()), "y");
    ons_graph_pop(g);
    p = make_plan(g, &test_backend, sets, 0);
    f = open_memstream(&text, &size);
    ons_plan_print(p, f);
    fclose(f);
    assert_string_equal(text, want);
    free(text);
    ons_plan_destroy(&p);
    ons_params_destroy(&sets[0]);
}

static void every_operator_has_kernels(void **state)
{
    (void)state;
    for (int op = 0; op < ONS_N_OPS; op++) {
        if (ons_op_is_leaf((ons_op)op) || ons_op_is_view((ons_op)op))
            continue;
        if (!ons_backend_ref.kernels((ons_op)op) || !ons_backend_cpu.kernels((ons_op)op))
            fail_msg("%s has no kernel in ref or cpu", ons_op_name((ons_op)op));
    }
}

static void the_profile_counts_runs(void **state)
{
    ons_graph *g = make_graph();
    ons_profile profile;
    ons_plan *p;
    char *text;
    size_t size;
    FILE *f;

    (void)state;
    ons_graph_output(g, ons_affine(g, input1(g, "x", 4), 2, 0), "y");
    p = make_plan(g, &ons_backend_ref, NULL, 0);
    run_plan(p);
    ons_plan_profile(p, true);
    run_plan(p);
    run_plan(p);
    assert_int_equal(p->steps[0].runs, 2);
    f = open_memstream(&text, &size);
    assert_int_equal(ons_plan_profile_read(p, &profile), ONESTEP_OK);
    assert_int_equal(profile.n, 1);
    assert_int_equal(profile.rows[0].operators, 1);
    ons_profile_print(&profile, profile.seconds, f);
    ons_profile_fini(&profile);
    fclose(f);
    assert_contains(text, "affine               ref                       2");
    free(text);
    ons_plan_destroy(&p);
}

static void backends_have_names(void **state)
{
    (void)state;
    assert_ptr_equal(ons_backend_find("cpu"), &ons_backend_cpu);
    assert_ptr_equal(ons_backend_find("auto"), &ons_backend_cpu);
    assert_ptr_equal(ons_backend_find("ref"), &ons_backend_ref);
    assert_ptr_equal(ons_backend_find("ref64"), &ons_backend_ref64);
    assert_null(ons_backend_find("abacus"));
}

enum { SIDE = 48, IN = 3, OUT = 5 };

/* conv(upsample(x)) on ref64, with the pass or without it. */
static double *run_upsampled(ons_params *set, bool fold)
{
    const size_t n_in = 1 * SIDE * SIDE * IN, n_out = 4 * SIDE * SIDE * OUT;
    double *y = ons_malloc(n_out * sizeof *y);
    ons_params *sets[2] = {set, NULL};
    ons_graph *g = make_graph();
    ons_value *in = ons_input(g, "x", ONS_F32, &ONS_SHAPE4(1, SIDE, SIDE, IN)), *weights, *bias;
    ons_plan *p;

    weights = ons_param_leaf(g, "w", 0, 0, &ONS_SHAPE4(OUT, 3, 3, IN), false);
    bias = ons_param_leaf(g, "b", 0, 1, &ONS_SHAPE1(OUT), false);
    ons_graph_output(
        g, ons_conv2d(g, ons_upsample2x(g, in), weights, bias, NULL, (ons_conv_geometry){1, 1, 1, 1, 1}), "y");
    if (fold) /* the pass is for bf16; here its arithmetic is looked at */
        assert_int_equal(ons_graph_optimise(g, ~(unsigned)ONS_PASS_FOLD_UPSAMPLE, ONS_BF16), ONESTEP_OK);
    p = make_plan(g, &ons_backend_ref64, sets, 0);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    for (size_t i = 0; i < n_in; i++)
        ((double *)ons_plan_input(p, "x"))[i] = (double)(i * 7 % 31) / 31 - 0.4;
    run_plan(p);
    memcpy(y, ons_plan_result(p, "y"), n_out * sizeof *y);
    ons_plan_destroy(&p);
    return y;
}

static void folded_upsampling_gives_the_same(void **state)
{
    ons_params *set;
    double *y, *folded;
    int index;

    (void)state;
    assert_int_equal(ons_params_create(&set), ONESTEP_OK);
    assert_int_equal(
        ons_params_require(set, "w", ONS_PARAM_CONV, &ONS_SHAPE4(OUT, 3, 3, IN), ONS_INIT_NORMAL, 1, &index),
        ONESTEP_OK);
    assert_int_equal(
        ons_params_require(set, "b", ONS_PARAM_VECTOR, &ONS_SHAPE1(OUT), ONS_INIT_NORMAL, 1, &index),
        ONESTEP_OK);
    assert_int_equal(ons_params_allocate(set), ONESTEP_OK);
    ons_params_init(set, 5);
    y = run_upsampled(set, false);
    folded = run_upsampled(set, true);
    assert_memory_not_equal(y, folded, sizeof(double) * 4 * SIDE * SIDE * OUT);
    for (int i = 0; i < 4 * SIDE * SIDE * OUT; i++)
        if (!(fabs(y[i] - folded[i]) <= 1e-5)) /* weights are added in f32 */
            fail_msg("element %d: %g, folded %g", i, y[i], folded[i]);
    ons_free(y);
    ons_free(folded);
    ons_params_destroy(&set);
}

int main(void)
{
#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, reset_backend, reset_backend)
    const struct CMUnitTest tests[] = {
        PLAN_TEST(folded_upsampling_gives_the_same),
        PLAN_TEST(views_of_leaves_are_copied),
        PLAN_TEST(outputs_can_live_in_the_callers_memory),
        PLAN_TEST(binding_has_rules),
        PLAN_TEST(a_run_stops_when_its_token_says_so),
        PLAN_TEST(a_failing_kernel_ends_the_run_and_not_the_plan),
        PLAN_TEST(a_lack_of_memory_leaves_the_plan_usable),
        PLAN_TEST(the_plan_prints_the_same_every_time),
        PLAN_TEST(every_operator_has_kernels),
        PLAN_TEST(the_profile_counts_runs),
        PLAN_TEST(backends_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
