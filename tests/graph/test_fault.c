/* The N-th allocation fails, for every N until all succeed: an error each time, never a crash or a leak. */
#include "base/memory.h"
#include "graph_test.h"

/* A small training graph that goes through every pass but folding. */
static onestep_status build_and_optimise(ons_graph *g)
{
    ons_value *x = input4(g, "x", 1, 4, 4, 8), *w = param(g, "w", 0, ONS_SHAPE4(8, 3, 3, 8)), *c, *y, *loss,
              *dw;
    onestep_status st;

    ons_graph_push(g, "mid");
    c = param(g, "c", 1, ONS_SHAPE1(8));
    y = ons_group_norm(g, ons_conv2d(g, x, w, c, NULL, same3), c, c, 2, 1e-5, ONS_ACT_SILU);
    y = ons_add(g, ons_conv2d(g, y, w, c, NULL, same3), x);
    loss = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, y));
    ons_graph_pop(g);
    ons_grad(g, &loss, NULL, 1, &w, 1, &dw);
    ons_graph_output(g, loss, "loss");
    ons_graph_output(g, dw, "dw");
    ONS_TRY(ons_graph_finish(g));
    ONS_TRY(ons_graph_optimise(g, 0, ONS_BF16));
    ONS_TRY(ons_graph_verify(g));
fail:
    return st;
}

static void test_every_allocation(void **state)
{
    onestep_status st = ONESTEP_NO_MEMORY;
    long n;

    (void)state;
    for (n = 1; n < 10000 && st != ONESTEP_OK; n++) {
        ons_graph *g = NULL;

        ons_memory_fail_after(n);
        st = ons_graph_create(&g);
        if (st == ONESTEP_OK)
            st = build_and_optimise(g);
        ons_memory_fail_after(0);
        if (st != ONESTEP_OK) {
            assert_int_equal(st, ONESTEP_NO_MEMORY);
            assert_non_null(strstr(onestep_error_text(), "no memory"));
        }
        ons_graph_destroy(&g);
        assert_null(g);
    }
    assert_int_equal(st, ONESTEP_OK);
    assert_true(n > 10); /* the hook did fire */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
