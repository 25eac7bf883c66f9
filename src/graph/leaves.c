/* Values that no node computes: inputs, parameters, constants. */
#include <string.h>

#include "graph/graph_private.h"

static bool check_shape(ons_graph *g, const char *what, const char *name, const ons_shape *shape)
{
    int64_t count = 1;
    char text[96];

    if (shape->n < 0 || shape->n > ONS_MAX_DIMS) {
        ons_graph_error(g, "%s '%s' has %d dimensions; 0 to %d are possible", what, name, shape->n,
                        ONS_MAX_DIMS);
        return false;
    }
    for (int i = 0; i < shape->n; i++)
        if (shape->d[i] < 1 || __builtin_mul_overflow(count, shape->d[i], &count) || count > INT64_MAX / 16) {
            ons_graph_error(g, "%s '%s' has shape %s; dimensions must be positive and fit into memory", what,
                            name, ons_shape_text(shape, text));
            return false;
        }
    return true;
}

static ons_value *append_leaf(ons_graph *g, ons_op op, const char *name, const ons_attrs *attrs)
{
    char *copy = name ? ons_arena_strdup(g->arena, name) : NULL;
    ons_node *n;

    if (name && !copy)
        return ons_graph_no_memory(g);
    n = ons_node_append(g, op, NULL, 0, attrs, &attrs->shape, &attrs->dtype);
    if (!n)
        return &g->dummy;
    n->name = copy;
    return n->out[0];
}

static void init_attrs(ons_attrs *a, ons_dtype dtype, const ons_shape *shape)
{
    memset(a, 0, sizeof *a);
    a->dtype = dtype;
    a->shape = *shape;
}

ons_value *ons_input(ons_graph *g, const char *name, ons_dtype dtype, const ons_shape *shape)
{
    ons_attrs a;

    if (ons_graph_failed(g) || !check_shape(g, "input", name, shape))
        return &g->dummy;
    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->op == ONS_OP_INPUT && !strcmp(g->nodes[i]->name, name))
            return ons_graph_error(g, "two inputs are named '%s'; names must differ", name);
    init_attrs(&a, dtype, shape);
    return append_leaf(g, ONS_OP_INPUT, name, &a);
}

ons_value *ons_param_leaf(ons_graph *g, const char *name, int slot, int index, const ons_shape *shape,
                          bool trainable)
{
    ons_attrs a;

    if (ons_graph_failed(g) || !check_shape(g, "parameter", name, shape))
        return &g->dummy;
    init_attrs(&a, ONS_F32, shape);
    a.param.slot = slot;
    a.param.index = index;
    a.param.trainable = trainable;
    return append_leaf(g, ONS_OP_PARAM, name, &a);
}

ons_value *ons_constant(ons_graph *g, ons_dtype dtype, const ons_shape *shape, const void *data)
{
    ons_attrs a;

    if (ons_graph_failed(g) || !check_shape(g, "constant", "", shape))
        return &g->dummy;
    init_attrs(&a, dtype, shape);
    a.constant = ons_graph_store(g, data, (size_t)ons_shape_count(shape) * ons_dtype_size(dtype));
    if (!a.constant)
        return ons_graph_no_memory(g);
    return append_leaf(g, ONS_OP_CONSTANT, NULL, &a);
}

ons_value *ons_scalar(ons_graph *g, double v)
{
    ons_shape scalar = ONS_SHAPE0();
    float f = (float)v;

    return ons_constant(g, ONS_F32, &scalar, &f);
}
