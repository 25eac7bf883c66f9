/*
 * Memory of plans. The overlap test does not trust the planner's own lifetimes: it walks the steps with their
 * final pointers and checks that no step writes over anything that is read later.
 */
#include "backend/plan.h"
#include "plan_test.h"

#include "base/random.h"

static const ons_conv_geometry same3 = {1, 1, 1, 1, 1};

typedef struct range {
    const char *begin, *end;
    int last;      /* last step that reads it */
    bool known;    /* has been written, or is always there */
    bool for_good; /* input, result, or hoisted and read by other steps */
} range;

/* A small network with its gradients: forward values live long, branches cross, shapes differ. */
static ons_graph *build_network(void)
{
    ons_graph *g = make_graph();
    ons_value *x = ons_input(g, "x", ONS_F32, &ONS_SHAPE4(2, 6, 6, 4)), *h, *loss, *dw[5];
    ons_value *w[5] = {ons_input(g, "w0", ONS_F32, &ONS_SHAPE4(8, 3, 3, 4)),
                       ons_input(g, "w1", ONS_F32, &ONS_SHAPE1(8)), ons_input(g, "w2", ONS_F32, &ONS_SHAPE1(8)),
                       ons_input(g, "w3", ONS_F32, &ONS_SHAPE4(8, 3, 3, 8)),
                       ons_input(g, "w4", ONS_F32, &ONS_SHAPE2(5, 8))};

    h = ons_conv2d(g, x, w[0], NULL, NULL, same3);
    h = ons_add(
        g, h, ons_conv2d(g, ons_group_norm(g, h, w[1], w[2], 2, 1e-5, ONS_ACT_SILU), w[3], w[1], NULL, same3));
    h = ons_upsample2x(g, ons_max_pool2x(g, h));
    h = ons_unary(g, ONS_OP_TANH, ons_matmul(g, h, w[4], false, true, 1, NULL, NULL));
    loss = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, ons_unary(g, ONS_OP_SILU, h)));
    ons_grad(g, &loss, NULL, 1, w, 5, dw);
    ons_graph_output(g, loss, "loss");
    for (int i = 0; i < 5; i++) {
        char name[8];

        snprintf(name, sizeof name, "dw%d", i);
        ons_graph_output(g, dw[i], name);
    }
    return g;
}

static void fill_inputs(ons_plan *p)
{
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        if (n->op == ONS_OP_INPUT)
            ons_randn(1, (uint64_t)i, 0, ons_plan_input(p, n->name),
                      (size_t)ons_shape_count(&n->out[0]->shape));
    }
}

static const ons_value *find_root(const ons_value *v)
{
    while (ons_op_is_view(v->node->op))
        v = v->node->in[0];
    return v;
}

static range *find_ranges(const ons_plan *p)
{
    range *r = calloc((size_t)p->n_values, sizeof *r);

    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);
        range *leaf = &r[n->out[0]->id];

        if (n->op != ONS_OP_INPUT)
            continue;
        *leaf = (range){ons_plan_address(p, n->out[0]), NULL, -1, true, true};
        leaf->end = leaf->begin + ons_plan_value_bytes(p, n->out[0]);
    }
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].node->n_in; k++) {
            const ons_value *v = find_root(p->steps[i].node->in[k]);
            bool made_once = v->node->op != ONS_OP_INPUT && ons_plan_buffer(p, v)->hoisted;

            r[v->id].last = i;
            if (made_once && !p->steps[i].hoisted) {
                r[v->id].known = r[v->id].for_good = true;
                r[v->id].begin = ons_plan_address(p, v);
                r[v->id].end = r[v->id].begin + ons_plan_value_bytes(p, v);
            }
        }
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++)
        r[find_root(ons_graph_output_at(p->graph, i)->value)->id].for_good = true;
    return r;
}

/* Step i writes [begin, end): nothing that is still to be read may lie there. */
static void check_write(const ons_plan *p, const range *r, int i, const ons_value *v, bool first)
{
    const ons_step *s = &p->steps[i];
    const char *begin = s->out[v->index], *end = begin + ons_plan_value_bytes(p, v);

    for (int k = 0; k < p->n_values; k++) {
        bool in_place =
            first && s->prep.in_place && k == find_root(s->node->in[0])->id && r[k].last == i && !r[k].for_good;

        if (k == v->id || !r[k].known || (!r[k].for_good && r[k].last < i) || in_place)
            continue;
        if (r[k].begin < end && begin < r[k].end)
            fail_msg("step %d (%s) writes over value %d, which step %d reads", i, ons_op_name(s->node->op), k,
                     r[k].last);
    }
}

static void check_no_overlap(ons_plan *p)
{
    range *r = find_ranges(p);

    for (int i = 0; i < p->n_steps; i++) {
        const ons_step *s = &p->steps[i];

        for (int k = 0; k < s->node->n_out; k++) {
            range *own = &r[s->node->out[k]->id];

            if (!s->out[k])
                continue;
            check_write(p, r, i, s->node->out[k], k == 0);
            own->begin = s->out[k];
            own->end = own->begin + ons_plan_value_bytes(p, s->node->out[k]);
            own->known = true;
            assert_int_equal((uintptr_t)s->out[k] % 64, 0);
        }
    }
    free(r);
}

static void nothing_that_is_read_later_is_written_over(void **state)
{
    static const ons_op movable[] = {ONS_OP_TANH, ONS_OP_SILU,      ONS_OP_SQUARE, ONS_OP_ADD,
                                     ONS_OP_MUL,  ONS_OP_SILU_GRAD, ONS_OP_AFFINE};
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        ons_plan *p;

        for (size_t i = 0; variant == 2 && i < sizeof movable / sizeof movable[0]; i++)
            test_backend_prefer(movable[i],
                                (ons_kernel){"in place", NULL, prepare_in_place, run_counted, NULL});
        p = make_plan(build_network(), variant ? &test_backend : &ons_backend_cpu, NULL,
                      variant == 1 ? ~(unsigned)ONS_PASS_HOIST : 0);
        fill_inputs(p);
        check_no_overlap(p);
        ons_plan_destroy(&p);
    }
}

static void poison_changes_no_result(void **state)
{
    static const char *const names[] = {"loss", "dw0", "dw1", "dw2", "dw3", "dw4"};
    ons_plan *plain = make_plan(build_network(), &ons_backend_cpu, NULL, 0), *poisoned;

    (void)state;
    setenv("ONESTEP_POISON", "1", 1);
    setenv("ONESTEP_CHECK_NAN", "1", 1);
    poisoned = make_plan(build_network(), &ons_backend_cpu, NULL, 0);
    fill_inputs(plain);
    fill_inputs(poisoned);
    for (int run = 0; run < 2; run++) {
        run_plan(plain);
        run_plan(poisoned);
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
            assert_memory_equal(ons_plan_result(plain, names[i]), ons_plan_result(poisoned, names[i]),
                                ons_plan_value_bytes(plain, ons_plan_find(plain, names[i])));
    }
    ons_plan_destroy(&plain);
    ons_plan_destroy(&poisoned);
}

static void a_run_allocates_nothing(void **state)
{
    ons_plan *p = make_plan(build_network(), &ons_backend_cpu, NULL, 0);

    (void)state;
    fill_inputs(p);
    run_plan(p);
    ons_memory_fail_after(1);
    run_plan(p);
    ons_memory_fail_after(0);
    ons_plan_destroy(&p);
}

static ons_graph *build_chain(int length, int64_t n)
{
    ons_graph *g = make_graph();
    ons_value *x = input1(g, "x", n);

    for (int i = 0; i < length; i++)
        x = ons_unary(g, i % 2 ? ONS_OP_SILU : ONS_OP_TANH, x);
    ons_graph_output(g, x, "y");
    return g;
}

/* Input and two buffers in turns; with kernels that work in place, the input and one (the result is kept apart
 * from it). */
static void memory_is_reused(void **state)
{
    enum { N = 4096 };
    ons_plan *p = make_plan(build_chain(20, N), &test_backend, NULL, 0);

    (void)state;
    assert_null(p->arena);
    assert_in_range(ons_plan_peak_bytes(p), 3 * N * 4, 3 * N * 4 + 256);
    ons_plan_destroy(&p);
}

static void in_place_results_spare_input_and_live_operands(void **state)
{
    static const float x[4] = {1, -2, 3, -4}, want[4] = {1 + 1, 4 + 16, 9 + 81, 16 + 256};
    ons_graph *g = make_graph();
    ons_value *s, *q;
    ons_plan *p;

    (void)state;
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"in place", NULL, prepare_in_place, run_counted, NULL});
    s = ons_unary(g, ONS_OP_SQUARE, input1(g, "x", 4)); /* not over the input */
    q = ons_unary(g, ONS_OP_SQUARE, s);                 /* not over s, which the sum reads */
    ons_graph_output(g, ons_unary(g, ONS_OP_ABS, ons_add(g, s, q)), "y");
    p = make_plan(g, &test_backend, NULL, 0);
    for (int run = 0; run < 2; run++) {
        if (!run)
            set_floats(p, "x", x, 4);
        run_plan(p);
        assert_floats(ons_plan_result(p, "y"), want, 4);
        assert_floats(ons_plan_input(p, "x"), x, 4);
    }
    assert_int_equal(test_runs, 4);
    ons_plan_destroy(&p);
}

static void a_dying_operand_gives_its_buffer(void **state)
{
    ons_graph *g = make_graph();
    ons_value *t;
    ons_plan *p;

    (void)state;
    test_backend_prefer(ONS_OP_SQUARE, (ons_kernel){"in place", NULL, prepare_in_place, run_counted, NULL});
    t = ons_unary(g, ONS_OP_SQUARE, ons_unary(g, ONS_OP_TANH, input1(g, "x", 4)));
    ons_graph_output(g, ons_unary(g, ONS_OP_ABS, t), "y");
    p = make_plan(g, &test_backend, NULL, 0);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    assert_ptr_equal(p->steps[1].out[0], p->steps[1].in[0]);
    ons_plan_destroy(&p);
}

static void memory_that_is_not_there_is_an_error(void **state)
{
    ons_graph *g = make_graph();
    ons_value *x = ons_input(g, "x", ONS_F32, &ONS_SHAPE2(1 << 30, 1 << 26));
    ons_plan *p;

    (void)state;
    ons_graph_output(g, ons_unary(g, ONS_OP_SILU, x), "y");
    p = make_plan(g, &ons_backend_ref, NULL, 0);
    assert_true(ons_plan_peak_bytes(p) > (size_t)1 << 58);
    assert_int_equal(ons_plan_run(p), ONESTEP_NO_MEMORY);
    assert_contains(onestep_error_text(), "under test needs ");
    ons_plan_destroy(&p);
}

int main(void)
{
#define PLAN_TEST(f) cmocka_unit_test_setup_teardown(f, reset_backend, reset_backend)
    const struct CMUnitTest tests[] = {
        PLAN_TEST(nothing_that_is_read_later_is_written_over),
        PLAN_TEST(poison_changes_no_result),
        PLAN_TEST(a_run_allocates_nothing),
        PLAN_TEST(memory_is_reused),
        PLAN_TEST(in_place_results_spare_input_and_live_operands),
        PLAN_TEST(a_dying_operand_gives_its_buffer),
        PLAN_TEST(memory_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
