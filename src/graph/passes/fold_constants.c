/*
 * Evaluates nodes that depend on constants only, once, while the graph is built.
 *
 * The arithmetic is the backend's (ons_graph_set_evaluator), so that a folded graph and an unfolded one agree.
 * Results larger than both their inputs and 64 KiB stay nodes: a broadcast costs less to compute than to read
 * from memory.
 */
#include <stdatomic.h>
#include <string.h>

#include "graph/graph_private.h"

enum { ALWAYS_FOLD_BYTES = 64 * 1024, MAX_FOLD_INPUTS = 16 };

typedef onestep_status (*evaluator)(const ons_node *n, const void *const *in, void *const *out);

static _Atomic(evaluator) current_evaluator;

void ons_graph_set_evaluator(evaluator evaluate)
{
    atomic_store(&current_evaluator, evaluate);
}

static bool is_foldable(const ons_node *n)
{
    size_t in_bytes = 0, out_bytes = ons_value_bytes(n->out[0]);

    if (n->n_in < 1 || n->n_in > MAX_FOLD_INPUTS || n->n_out != 1)
        return false;
    for (int i = 0; i < n->n_in; i++) {
        if (n->in[i]->node->op != ONS_OP_CONSTANT)
            return false;
        in_bytes += ons_value_bytes(n->in[i]);
    }
    return out_bytes <= ALWAYS_FOLD_BYTES || out_bytes <= in_bytes;
}

static onestep_status fold_node(ons_graph *g, ons_node *n, evaluator evaluate)
{
    const void *in[MAX_FOLD_INPUTS];
    const void *data = n->in[0]->node->attrs.constant;
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < n->n_in; i++)
        in[i] = n->in[i]->node->attrs.constant;
    if (!ons_op_is_view(n->op)) { /* views share their input's data */
        void *out[ONS_MAX_OUTPUTS] = {ons_graph_store(g, NULL, ons_value_bytes(n->out[0]))};

        if (!out[0])
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for a folded constant");
        ONS_TRY(evaluate(n, in, out));
        data = out[0];
    }
    n->op = ONS_OP_CONSTANT;
    n->n_in = 0;
    memset(&n->attrs, 0, sizeof n->attrs);
    n->attrs.shape = n->out[0]->shape;
    n->attrs.dtype = n->out[0]->dtype;
    n->attrs.constant = data;
fail:
    return st;
}

/* Constants that only folded nodes read. */
static onestep_status drop_unused(ons_graph *g)
{
    int *n_uses = ons_calloc((size_t)g->n_values + 1, sizeof *n_uses);
    bool *keep = ons_calloc((size_t)g->n_nodes + 1, sizeof *keep);
    bool fits = n_uses && keep;

    if (fits) {
        ons_graph_count_uses(g, n_uses);
        for (int i = 0; i < g->n_nodes; i++)
            keep[i] = g->nodes[i]->op != ONS_OP_CONSTANT || n_uses[g->nodes[i]->out[0]->id];
        ons_graph_compact(g, keep);
    }
    ons_free(n_uses);
    ons_free(keep);
    return fits ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory to drop folded constants");
}

onestep_status ons_pass_fold_constants(ons_graph *g)
{
    evaluator evaluate = atomic_load(&current_evaluator);
    onestep_status st = ONESTEP_OK;
    bool folded = false;

    for (int i = 0; i < g->n_nodes && evaluate; i++)
        if (is_foldable(g->nodes[i])) {
            ONS_TRY(fold_node(g, g->nodes[i], evaluate));
            folded = true;
        }
    if (folded)
        ONS_TRY(drop_unused(g));
fail:
    return st;
}
