/* What the graph tests share: a graph per test, short builders, and assertions on structure and messages. */
#ifndef TESTS_GRAPH_GRAPH_TEST_H
#define TESTS_GRAPH_GRAPH_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"

static const ons_conv_geometry same3 = {1, 1, 1, 1, 1};

static inline int setup_graph(void **state)
{
    ons_graph *g;

    if (ons_graph_create(&g) != ONESTEP_OK)
        return -1;
    *state = g;
    return 0;
}

static inline int teardown_graph(void **state)
{
    ons_graph *g = *state;

    ons_graph_destroy(&g);
    return g == NULL ? 0 : -1;
}

#define GRAPH_TEST(f) cmocka_unit_test_setup_teardown(f, setup_graph, teardown_graph)

static inline ons_value *input4(ons_graph *g, const char *name, int64_t n, int64_t h, int64_t w, int64_t c)
{
    return ons_input(g, name, ONS_F32, &ONS_SHAPE4(n, h, w, c));
}

static inline ons_value *input3(ons_graph *g, const char *name, int64_t a, int64_t b, int64_t c)
{
    return ons_input(g, name, ONS_F32, &ONS_SHAPE3(a, b, c));
}

static inline ons_value *input2(ons_graph *g, const char *name, int64_t a, int64_t b)
{
    return ons_input(g, name, ONS_F32, &ONS_SHAPE2(a, b));
}

static inline ons_value *input1(ons_graph *g, const char *name, int64_t a)
{
    return ons_input(g, name, ONS_F32, &ONS_SHAPE1(a));
}

static inline ons_value *param(ons_graph *g, const char *name, int index, ons_shape shape)
{
    return ons_param_leaf(g, name, 0, index, &shape, true);
}

static inline void assert_shape(const ons_value *v, ons_shape expected)
{
    char found[96], wanted[96];

    assert_string_equal(ons_shape_text(&v->shape, found), ons_shape_text(&expected, wanted));
}

static inline int count_op(const ons_graph *g, ons_op op)
{
    int n = 0;

    for (int i = 0; i < ons_graph_n_nodes(g); i++)
        n += ons_graph_node(g, i)->op == op;
    return n;
}

/* The first node of an operator; fails the test when there is none. */
static inline ons_node *find_op(const ons_graph *g, ons_op op)
{
    for (int i = 0; i < ons_graph_n_nodes(g); i++)
        if (ons_graph_node(g, i)->op == op)
            return ons_graph_node(g, i);
    fail_msg("no %s in the graph", ons_op_name(op));
    return NULL;
}

static inline void assert_sound(ons_graph *g)
{
    if (ons_graph_finish(g) != ONESTEP_OK || ons_graph_verify(g) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

/* The graph failed with exactly this message. */
static inline void assert_error(ons_graph *g, const char *message)
{
    assert_true(ons_graph_failed(g));
    assert_int_equal(ons_graph_finish(g), ONESTEP_BAD_ARGUMENT);
    assert_string_equal(onestep_error_text(), message);
}

#endif
