/*
 * Drops nodes that no output needs. Inputs stay, used or not: callers fill them by name, and a missing one
 * would turn a harmless unused input into an error that depends on which losses are switched on.
 */
#include "graph/graph_private.h"

onestep_status ons_pass_dead_code(ons_graph *g)
{
    bool *keep = ons_calloc((size_t)g->n_nodes + 1, sizeof *keep);

    if (!keep)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to clean a graph of %d nodes", g->n_nodes);
    for (int i = 0; i < g->n_outputs; i++)
        keep[g->outputs[i].value->node->id] = true;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        keep[i] |= g->nodes[i]->op == ONS_OP_INPUT;
        for (int k = 0; keep[i] && k < g->nodes[i]->n_in; k++)
            keep[g->nodes[i]->in[k]->node->id] = true;
    }
    ons_graph_compact(g, keep);
    ons_free(keep);
    return ONESTEP_OK;
}
