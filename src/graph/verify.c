/*
 * Checks that a graph is what every other file assumes: topological order, dense ids, values that belong to it,
 * and shapes and types that the shape rules give again. A failure is a bug in a pass, hence INTERNAL.
 */
#include "graph/graph_private.h"

static onestep_status fail_node(const ons_node *n, const char *what)
{
    return ons_fail(ONESTEP_INTERNAL, "graph is broken at node %d (%s, layer '%s'): %s", n->id,
                    ons_op_name(n->op), n->layer, what);
}

static bool belongs(const ons_graph *g, const ons_value *v)
{
    return v && v->id >= 0 && v->id < g->n_values && g->values[v->id] == v;
}

static onestep_status check_links(const ons_graph *g, int i)
{
    const ons_node *n = g->nodes[i];

    if (n->id != i)
        return fail_node(n, "its id is not its position");
    for (int k = 0; k < n->n_in; k++) {
        if (!belongs(g, n->in[k]))
            return fail_node(n, "an input is not a value of the graph");
        if (n->in[k]->node->id >= i || g->nodes[n->in[k]->node->id] != n->in[k]->node)
            return fail_node(n, "an input is computed later or by a dropped node");
    }
    if (n->n_out != ons_op_rows[n->op].n_out)
        return fail_node(n, "it has another number of outputs than its operator");
    for (int k = 0; k < n->n_out; k++)
        if (!belongs(g, n->out[k]) || n->out[k]->node != n || n->out[k]->index != k)
            return fail_node(n, "an output does not point back to it");
    return ONESTEP_OK;
}

/* A matrix product of bf16 values may keep its f32 sums (weight gradients, see passes/precision.c). */
static bool dtype_fits(const ons_node *n, ons_dtype rule, ons_dtype found)
{
    return found == rule || (n->op == ONS_OP_MATMUL && rule == ONS_BF16 && found == ONS_F32);
}

static onestep_status check_rule(const ons_node *n)
{
    ons_attrs attrs = n->attrs;
    ons_rule r = {.op = n->op, .in = n->in, .n_in = n->n_in, .attrs = &attrs};

    if (!ons_op_rows[n->op].shape) {
        if (n->n_in)
            return fail_node(n, "a leaf has inputs");
        if (n->op == ONS_OP_CONSTANT ? !n->attrs.constant : !n->name)
            return fail_node(n, "a leaf lacks its name or data");
        return ONESTEP_OK;
    }
    if (!ons_rule_run(&r))
        return fail_node(n, r.message);
    for (int k = 0; k < n->n_out; k++) {
        if (!ons_shape_equal(&r.shape[k], &n->out[k]->shape))
            return fail_node(n, "an output's shape is not what its rule gives");
        if (!dtype_fits(n, r.dtype[k], n->out[k]->dtype))
            return fail_node(n, "an output's type is not what its rule gives");
    }
    return ONESTEP_OK;
}

onestep_status ons_graph_verify(const ons_graph *g)
{
    onestep_status st = ONESTEP_OK;
    int n_values = 0;

    for (int i = 0; i < g->n_nodes; i++) {
        ONS_TRY(check_links(g, i));
        ONS_TRY(check_rule(g->nodes[i]));
        n_values += g->nodes[i]->n_out;
    }
    if (n_values != g->n_values)
        return ons_fail(ONESTEP_INTERNAL, "graph counts %d values, its nodes have %d", g->n_values, n_values);
    for (int i = 0; i < g->n_outputs; i++)
        if (!belongs(g, g->outputs[i].value))
            return ons_fail(ONESTEP_INTERNAL, "graph output '%s' is not a value of the graph",
                            g->outputs[i].name);
fail:
    return st;
}
