/* What passes share: dropping nodes, replacing values, counting uses. */
#include <string.h>

#include "graph/graph_private.h"

void ons_graph_compact(ons_graph *g, const bool *keep)
{
    int n = 0;

    for (int i = 0; i < g->n_nodes; i++)
        if (!keep || keep[i])
            g->nodes[n++] = g->nodes[i];
    g->n_nodes = n;
    g->n_values = 0;
    for (int i = 0; i < n; i++) {
        ons_node *node = g->nodes[i];

        node->id = i;
        for (int k = 0; k < node->n_out; k++) {
            node->out[k]->id = g->n_values;
            g->values[g->n_values++] = node->out[k];
        }
    }
}

void ons_graph_replace(ons_graph *g, ons_value *const *map)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in; k++) {
            ons_value **in = &g->nodes[i]->in[k];

            *in = map[(*in)->id] ? map[(*in)->id] : *in;
        }
    for (int i = 0; i < g->n_outputs; i++) {
        ons_value **v = &g->outputs[i].value;

        *v = map[(*v)->id] ? map[(*v)->id] : *v;
    }
}

void ons_graph_count_uses(const ons_graph *g, int *n_uses)
{
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            n_uses[g->nodes[i]->in[k]->id]++;
    for (int i = 0; i < g->n_outputs; i++)
        n_uses[g->outputs[i].value->id]++;
}
