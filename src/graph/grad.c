/*
 * Automatic differentiation, graph -> graph: reverse mode, one rule per operator (ops.def names them).
 *
 * Two sweeps keep the result free of needless nodes: forward from wrt marks the values that depend on it,
 * backward from the outputs visits only nodes at which a gradient has arrived. Rules get a `need` flag per
 * input, so that frozen weights cost nothing. The appended nodes are ordinary nodes: they can be differentiated
 * again where their rows have rules.
 *
 * With ons_graph_recompute, the rules of a segment's nodes see copies of them, appended when the backward sweep
 * enters the segment: the originals' results then live only as long as the forward sweep needs them.
 */
#include <string.h>

#include "graph/graph_private.h"

typedef struct sweep {
    ons_graph *g;
    int n_nodes;      /* those that were there before */
    bool *active;     /* [n_values] depends on some wrt */
    ons_value **grad; /* [n_values] sum of what has arrived */
    bool *need;       /* [most inputs of a node] */
    ons_value **dx;   /* the same */
    ons_node **again; /* [n_nodes] the copy that is computed for the gradients, where there is one */
    int segment;      /* the latest one copied */
} sweep;

/* Operators through which nothing flows; the derivative of sign is zero almost everywhere. */
static bool blocks_gradient(ons_op op)
{
    return op == ONS_OP_STOP_GRADIENT || op == ONS_OP_SIGN;
}

static void mark_active(sweep *s, ons_value *const *wrt, int n_wrt)
{
    for (int i = 0; i < n_wrt; i++)
        s->active[wrt[i]->id] = true;
    for (int i = 0; i < s->g->n_nodes; i++) {
        const ons_node *n = s->g->nodes[i];
        bool reached = false;

        for (int k = 0; k < n->n_in && !blocks_gradient(n->op); k++)
            reached |= s->active[n->in[k]->id];
        for (int k = 0; k < n->n_out && reached; k++)
            s->active[n->out[k]->id] |= ons_dtype_is_float(n->out[k]->dtype);
    }
}

static void accumulate(sweep *s, const ons_value *v, ons_value *dv)
{
    ons_value **sum = &s->grad[v->id];
    char a[96], b[96];

    if (ons_graph_failed(s->g))
        return;
    if (!ons_shape_equal(&v->shape, &dv->shape) || v->dtype != dv->dtype) {
        ons_graph_error(s->g, "%s: gradient is %s %s, its value %s %s", ons_op_name(v->node->op),
                        ons_dtype_name(dv->dtype), ons_shape_text(&dv->shape, a), ons_dtype_name(v->dtype),
                        ons_shape_text(&v->shape, b));
        return;
    }
    *sum = *sum ? ons_add(s->g, *sum, dv) : dv;
}

static ons_value *make_filled(ons_graph *g, const ons_value *like, double fill)
{
    return ons_broadcast_to(g, ons_cast(g, ons_scalar(g, fill), like->dtype), &like->shape);
}

static void seed_outputs(sweep *s, ons_value *const *outputs, ons_value *const *seeds, int n_outputs)
{
    for (int i = 0; i < n_outputs; i++)
        if (s->active[outputs[i]->id])
            accumulate(s, outputs[i], seeds && seeds[i] ? seeds[i] : make_filled(s->g, outputs[i], 1));
}

/* The value as its segment's copy computes it; from outside the segment: the value itself. */
static ons_value *again_value(const sweep *s, const ons_node *user, ons_value *v)
{
    const ons_node *copy = v->node->segment == user->segment ? s->again[v->node->id] : NULL;

    return copy ? copy->out[v->index] : v;
}

static void copy_node(sweep *s, const ons_node *n)
{
    ons_shape shapes[ONS_MAX_OUTPUTS];
    ons_dtype dtypes[ONS_MAX_OUTPUTS];
    ons_node *copy;

    for (int i = 0; i < n->n_out; i++) {
        shapes[i] = n->out[i]->shape;
        dtypes[i] = n->out[i]->dtype;
    }
    copy = ons_node_append(s->g, n->op, n->in, n->n_in, &n->attrs, shapes, dtypes);
    if (!copy)
        return;
    for (int i = 0; i < n->n_in; i++)
        copy->in[i] = again_value(s, n, n->in[i]);
    copy->layer = n->layer;
    copy->again = true;
    s->again[n->id] = copy;
}

/* What depends on no wrt keeps its one evaluation: it is small (embeddings of time and text) or not there. */
static const ons_node *recomputed(sweep *s, const ons_node *n)
{
    ons_graph *g = s->g;

    if (!g->recompute || !n->segment)
        return n;
    for (int i = 0, end = s->n_nodes; i < end && n->segment != s->segment && !ons_graph_failed(g); i++)
        if (g->nodes[i]->segment == n->segment && g->nodes[i]->n_in && s->active[g->nodes[i]->out[0]->id])
            copy_node(s, g->nodes[i]);
    s->segment = n->segment;
    return s->again[n->id] ? s->again[n->id] : n;
}

/* Passes the gradients at a node's outputs on to its inputs. */
static void visit_node(sweep *s, const ons_node *n)
{
    ons_value *dy[ONS_MAX_OUTPUTS] = {NULL};
    bool arrived = false, wanted = false;

    for (int i = 0; i < n->n_out; i++) {
        dy[i] = s->grad[n->out[i]->id];
        arrived |= dy[i] != NULL;
    }
    for (int i = 0; i < n->n_in; i++) {
        s->need[i] = s->active[n->in[i]->id];
        s->dx[i] = NULL;
        wanted |= s->need[i];
    }
    if (!arrived || !wanted || blocks_gradient(n->op))
        return;
    if (!ons_op_rows[n->op].grad) {
        ons_graph_error(s->g,
                        "%s has no gradient rule; put ons_stop_gradient before it or leave it out of the loss",
                        ons_op_name(n->op));
        return;
    }
    ons_op_rows[n->op].grad(s->g, recomputed(s, n), dy, s->need, s->dx);
    for (int i = 0; i < n->n_in; i++)
        if (s->need[i] && s->dx[i])
            accumulate(s, n->in[i], s->dx[i]);
}

/* Gradient nodes carry the layer of the node that they differentiate. */
static void sweep_back(sweep *s)
{
    ons_graph *g = s->g;
    bool full = g->n_scopes == ONS_MAX_SCOPES;
    int slot = full ? ONS_MAX_SCOPES - 1 : g->n_scopes;
    const char *kept = g->scopes[slot];
    int n_scopes = g->n_scopes;

    g->n_scopes = slot + 1;
    for (int i = s->n_nodes - 1; i >= 0 && !ons_graph_failed(g); i--) {
        g->scopes[slot] = g->nodes[i]->layer;
        visit_node(s, g->nodes[i]);
    }
    g->scopes[slot] = kept;
    g->n_scopes = n_scopes;
}

static bool check_arguments(ons_graph *g, const char *what, ons_value *const *values, int n)
{
    for (int i = 0; i < n && !ons_graph_failed(g); i++)
        if (!values[i] || values[i]->id < 0 || values[i]->id >= g->n_values ||
            g->values[values[i]->id] != values[i])
            ons_graph_error(g, "ons_grad: %s %d is not a value of this graph", what, i);
        else if (!ons_dtype_is_float(values[i]->dtype))
            ons_graph_error(g, "ons_grad: %s %d is of type %s; only floating-point values have gradients", what,
                            i, ons_dtype_name(values[i]->dtype));
    return !ons_graph_failed(g);
}

static bool init_sweep(sweep *s, ons_graph *g)
{
    int most = 1;

    for (int i = 0; i < g->n_nodes; i++)
        if (g->nodes[i]->n_in > most)
            most = g->nodes[i]->n_in;
    s->g = g;
    s->n_nodes = g->n_nodes;
    s->again = ons_calloc((size_t)g->n_nodes + 1, sizeof(ons_node *));
    s->active = ons_calloc((size_t)g->n_values + 1, sizeof *s->active);
    s->grad = ons_calloc((size_t)g->n_values + 1, sizeof *s->grad);
    s->need = ons_calloc((size_t)most, sizeof *s->need);
    s->dx = ons_calloc((size_t)most, sizeof *s->dx);
    if (s->active && s->grad && s->need && s->dx && s->again)
        return true;
    ons_graph_no_memory(g);
    return false;
}

static void fini_sweep(sweep *s)
{
    ons_free(s->active);
    ons_free(s->grad);
    ons_free(s->need);
    ons_free(s->dx);
    ons_free(s->again);
}

void ons_grad(ons_graph *g, ons_value *const *outputs, ons_value *const *seeds, int n_outputs,
              ons_value *const *wrt, int n_wrt, ons_value **grads)
{
    sweep s = {0};

    for (int i = 0; i < n_wrt; i++)
        grads[i] = &g->dummy;
    if (!check_arguments(g, "output", outputs, n_outputs) || !check_arguments(g, "wrt", wrt, n_wrt))
        return;
    if (init_sweep(&s, g)) {
        mark_active(&s, wrt, n_wrt);
        seed_outputs(&s, outputs, seeds, n_outputs);
        sweep_back(&s);
    }
    for (int i = 0; i < n_wrt && !ons_graph_failed(g); i++)
        grads[i] = s.grad[wrt[i]->id] ? s.grad[wrt[i]->id] : make_filled(g, wrt[i], 0);
    if (ons_graph_failed(g))
        for (int i = 0; i < n_wrt; i++)
            grads[i] = &g->dummy;
    fini_sweep(&s);
}
