/* See plan_test.h. */
#include "backend/plan.h"
#include "plan_test.h"

enum { MAX_ROWS = 5 };

static ons_kernel lists[ONS_N_OPS][MAX_ROWS];
int test_runs;

static const ons_kernel *find_kernels(ons_op op)
{
    return lists[op][0].name ? lists[op] : NULL;
}

static ons_dtype native_precision(void)
{
    return ONS_F32;
}

const ons_backend test_backend = {.name = "test",
                                  .memory = &ons_host_memory,
                                  .kernels = find_kernels,
                                  .real = ONS_F32,
                                  .native_precision = native_precision};

void test_backend_reset(void)
{
    memset(lists, 0, sizeof lists);
    for (int op = 0; op < ONS_N_OPS; op++)
        if (ons_backend_ref.kernels((ons_op)op))
            lists[op][0] = *ons_backend_ref.kernels((ons_op)op);
    test_runs = 0;
}

void test_backend_prefer(ons_op op, ons_kernel k)
{
    memmove(&lists[op][1], &lists[op][0], (MAX_ROWS - 2) * sizeof k);
    lists[op][0] = k;
}

static onestep_status run_ref(const ons_prep *p, const ons_args *a)
{
    return ons_backend_ref.kernels(p->node->op)->run(p, a);
}

onestep_status run_counted(const ons_prep *p, const ons_args *a)
{
    test_runs++;
    return run_ref(p, a);
}

onestep_status run_wrong(const ons_prep *p, const ons_args *a)
{
    onestep_status st = run_ref(p, a);

    ((float *)a->out[0])[0] += 1;
    return st;
}

onestep_status run_overrun(const ons_prep *p, const ons_args *a)
{
    onestep_status st = run_ref(p, a);

    ((float *)a->out[0])[ons_shape_count(&p->node->out[0]->shape)] = 0;
    return st;
}

onestep_status run_lazy(const ons_prep *p, const ons_args *a)
{
    float *last = (float *)a->out[0] + ons_shape_count(&p->node->out[0]->shape) - 1, kept = *last;
    onestep_status st = run_ref(p, a);

    *last = kept;
    return st;
}

onestep_status prepare_in_place(ons_prep *p)
{
    p->in_place = true;
    return ONESTEP_OK;
}

int reset_backend(void **state)
{
    (void)state;
    unsetenv("ONESTEP_CHECK_NAN");
    unsetenv("ONESTEP_COMPARE");
    unsetenv("ONESTEP_POISON");
    unsetenv("ONESTEP_TRACE");
    test_backend_reset();
    return 0;
}

ons_plan *make_plan(ons_graph *g, const ons_backend *backend, ons_params *const *params, unsigned passes_off)
{
    ons_plan_options options = {
        .compute = {.backend = backend, .n_threads = 1}, .passes_off = passes_off, .label = "under test"};
    ons_plan *p;

    for (int i = 0; params && params[i]; i++)
        options.params[i] = params[i];
    if (ons_plan_create(&g, &options, &p) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    assert_null(g);
    return p;
}

ons_graph *make_graph(void)
{
    ons_graph *g;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    return g;
}

ons_value *input1(ons_graph *g, const char *name, int64_t n)
{
    return ons_input(g, name, ONS_F32, &ONS_SHAPE1(n));
}

void run_plan(ons_plan *p)
{
    if (ons_plan_run(p) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

void set_floats(ons_plan *p, const char *name, const float *values, int n)
{
    if (ons_plan_allocate(p) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    assert_non_null(ons_plan_input(p, name));
    memcpy(ons_plan_input(p, name), values, (size_t)n * sizeof *values);
}

void assert_floats(const float *got, const float *want, int n)
{
    assert_non_null(got);
    for (int i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_msg("element %d is %g, not %g", i, got[i], want[i]);
}

void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

ons_params *make_params(const float *values)
{
    ons_params *p;
    int index;

    assert_int_equal(ons_params_create(&p), ONESTEP_OK);
    assert_int_equal(ons_params_require(p, "w", ONS_PARAM_VECTOR, &ONS_SHAPE1(4), ONS_INIT_ZERO, 0, &index),
                     ONESTEP_OK);
    assert_int_equal(ons_params_allocate(p), ONESTEP_OK);
    memcpy(ons_params_data(p, index), values, 4 * sizeof *values);
    ons_params_touch(p);
    return p;
}
