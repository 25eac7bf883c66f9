/* A backend whose memory is not the host's: kernels see its addresses alone, and all of it is given back. */
#include "plan_test.h"

enum { MOST_BLOCKS = 32 };

static struct {
    unsigned char *data;
    size_t bytes;
} blocks[MOST_BLOCKS]; /* handed out; data NULL: free */
static int n_foreign, n_in, n_out, n_within;
static bool fails; /* copies do */

static void *allocate(size_t bytes)
{
    for (int i = 0; i < MOST_BLOCKS; i++)
        if (!blocks[i].data) {
            blocks[i].data = ons_calloc_aligned(bytes);
            blocks[i].bytes = bytes;
            return blocks[i].data;
        }
    return NULL;
}

static void release(void *data)
{
    for (int i = 0; i < MOST_BLOCKS && data; i++)
        if (blocks[i].data == data) {
            blocks[i].data = NULL;
            ons_free_aligned(data);
            return;
        }
    assert_null(data);
}

static int count_blocks(void)
{
    int n = 0;

    for (int i = 0; i < MOST_BLOCKS; i++)
        n += blocks[i].data != NULL;
    return n;
}

static bool is_ours(const void *data)
{
    const uintptr_t at = (uintptr_t)data;

    for (int i = 0; i < MOST_BLOCKS; i++) {
        const uintptr_t first = (uintptr_t)blocks[i].data;

        if (first && at >= first && at < first + blocks[i].bytes)
            return true;
    }
    return false;
}

static onestep_status copy(void *dst, const void *src, size_t bytes)
{
    if (fails)
        return ons_fail(ONESTEP_INTERNAL, "the wire is cut");
    memcpy(dst, src, bytes);
    return ONESTEP_OK;
}

static onestep_status copy_in(void *dst, const void *src, size_t bytes)
{
    n_in++;
    n_foreign += !is_ours(dst) || is_ours(src);
    return copy(dst, src, bytes);
}

static onestep_status copy_out(void *dst, const void *src, size_t bytes)
{
    n_out++;
    n_foreign += is_ours(dst) || !is_ours(src);
    return copy(dst, src, bytes);
}

static onestep_status copy_within(void *dst, const void *src, size_t bytes)
{
    n_within++;
    n_foreign += !is_ours(dst) || !is_ours(src);
    return copy(dst, src, bytes);
}

static const ons_memory apart = {allocate, release, copy_in, copy_out, copy_within, false};

static onestep_status run_apart(const ons_prep *p, const ons_args *a)
{
    for (int k = 0; k < p->node->n_in; k++)
        n_foreign += !is_ours(a->in[k]);
    for (int k = 0; k < p->node->n_out; k++)
        n_foreign += a->out[k] && !is_ours(a->out[k]);
    return run_counted(p, a);
}

static void prefer_apart(ons_op op)
{
    ons_kernel k = *ons_backend_ref.kernels(op);

    k.run = run_apart;
    test_backend_prefer(op, k);
}

static ons_backend make_backend(void)
{
    ons_backend b = test_backend;

    b.memory = &apart;
    n_foreign = n_in = n_out = n_within = 0;
    fails = false;
    prefer_apart(ONS_OP_ADD);
    prefer_apart(ONS_OP_MUL);
    return b;
}

/* y = (x + w) * c; "itself" is the weights. */
static ons_graph *build(void)
{
    static const float c[4] = {1, 2, 3, 4};
    ons_graph *g = make_graph();
    ons_value *w = ons_param_leaf(g, "w", 0, 0, &ONS_SHAPE1(4), false);

    ons_graph_output(
        g, ons_mul(g, ons_add(g, input1(g, "x", 4), w), ons_constant(g, ONS_F32, &ONS_SHAPE1(4), c)), "y");
    ons_graph_output(g, w, "itself");
    return g;
}

static void check_run(ons_plan *p, const float *bound, const float *want_y, const float *want_w)
{
    float y[4], w[4];

    run_plan(p);
    assert_int_equal(ons_plan_read(p, "y", 0, y, 4), ONESTEP_OK);
    assert_int_equal(ons_plan_read(p, "itself", 0, w, 4), ONESTEP_OK);
    assert_floats(y, want_y, 4);
    assert_floats(bound, want_y, 4);
    assert_floats(w, want_w, 4);
}

static void kernels_see_its_memory_alone(void **state)
{
    static const float first[4] = {1, 1, 1, 1}, x[4] = {0, 1, 2, 3};
    const ons_backend backend = make_backend();
    ons_params *sets[] = {make_params(first), NULL};
    ons_plan *p = make_plan(build(), &backend, sets, 0);
    float bound[4];

    (void)state;
    assert_int_equal(count_blocks(), 0);
    assert_int_equal(ons_plan_bind_output(p, "y", bound), ONESTEP_OK);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    assert_int_equal(ons_plan_write(p, "x", 0, x, 4), ONESTEP_OK);
    check_run(p, bound, (float[]){1, 4, 9, 16}, first);
    ons_params_data(sets[0], 0)[0] = 5; /* the copy follows */
    ons_params_touch(sets[0]);
    check_run(p, bound, (float[]){5, 4, 9, 16}, (float[]){5, 1, 1, 1});
    assert_int_equal(test_runs, 4);
    assert_int_equal(n_foreign, 0);
    assert_true(n_in > 0 && n_out > 0 && n_within > 0);
    assert_true(count_blocks() > 1);
    ons_plan_destroy(&p);
    assert_int_equal(count_blocks(), 0);
    ons_params_destroy(&sets[0]);
}

static void failing_copies_are_passed_on(void **state)
{
    static const float x[4] = {0, 1, 2, 3};
    const ons_backend backend = make_backend();
    ons_params *sets[] = {make_params(x), NULL};
    ons_plan *p = make_plan(build(), &backend, sets, 0);
    float y[4];

    (void)state;
    fails = true;
    assert_int_equal(ons_plan_allocate(p), ONESTEP_INTERNAL); /* of the weights */
    assert_contains(onestep_error_text(), "the wire is cut");
    fails = false;
    assert_int_equal(ons_plan_write(p, "x", 0, x, 4), ONESTEP_BAD_ARGUMENT);
    run_plan(p);
    fails = true;
    assert_int_equal(ons_plan_write(p, "x", 0, x, 4), ONESTEP_INTERNAL);
    assert_int_equal(ons_plan_run(p), ONESTEP_INTERNAL); /* of the output that is the weights */
    assert_int_equal(ons_plan_read(p, "y", 0, y, 4), ONESTEP_INTERNAL);
    ons_plan_destroy(&p);
    assert_int_equal(count_blocks(), 0);
    ons_params_destroy(&sets[0]);
}

static onestep_status look(void *context, const ons_node *n, const ons_args *args)
{
    (void)context, (void)n, (void)args;
    return ONESTEP_OK;
}

static void looking_at_values_is_refused(void **state)
{
    const ons_backend backend = make_backend();
    ons_params *sets[] = {make_params((float[]){1, 2, 3, 4}), NULL};
    ons_plan *p = make_plan(build(), &backend, sets, 0);
    const ons_plan_options options = {.compute = {.backend = &backend}, .params = {sets[0]}};
    ons_graph *g = build();

    (void)state;
    ons_plan_observe(p, look, NULL);
    assert_int_equal(ons_plan_run(p), ONESTEP_UNSUPPORTED);
    ons_plan_destroy(&p);
    setenv("ONESTEP_POISON", "1", 1);
    assert_int_equal(ons_plan_create(&g, &options, &p), ONESTEP_UNSUPPORTED);
    assert_contains(onestep_error_text(), "ONESTEP_POISON");
    assert_null(p);
    ons_params_destroy(&sets[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(kernels_see_its_memory_alone, reset_backend),
                                       cmocka_unit_test_setup(failing_copies_are_passed_on, reset_backend),
                                       cmocka_unit_test_setup(looking_at_values_is_refused, reset_backend)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
