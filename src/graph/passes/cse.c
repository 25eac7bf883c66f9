/*
 * Common subexpressions: nodes with the same operator, attributes and inputs become one.
 *
 * One walk in topological order with a hash table of the nodes kept so far; inputs are renamed before a node is
 * looked up, so that whole equal chains collapse at once. Operands of add and mul are not sorted: builders emit
 * equal expressions in equal order, and sorting would change which operand may be broadcast.
 */
#include <string.h>

#include "base/text.h"
#include "graph/graph_private.h"

typedef struct table {
    ons_node **slot; /* [size], open addressing */
    size_t size;     /* a power of two */
} table;

static uint64_t hash_node(const ons_node *n)
{
    ons_attr attrs[ONS_MAX_ATTRS];
    int n_attrs = ons_node_attrs(n, attrs);
    uint64_t h = ons_hash_bytes(ONS_HASH_START, &n->op, sizeof n->op);

    for (int i = 0; i < n->n_in; i++)
        h = ons_hash_bytes(h, &n->in[i]->id, sizeof n->in[i]->id);
    for (int i = 0; i < n_attrs; i++)
        h = ons_hash_bytes(h, &attrs[i].value, sizeof attrs[i].value);
    for (int i = 0; i < n->out[0]->shape.n; i++)
        h = ons_hash_bytes(h, &n->out[0]->shape.d[i], sizeof n->out[0]->shape.d[i]);
    if (n->op == ONS_OP_CONSTANT)
        h = ons_hash_bytes(h, n->attrs.constant, ons_value_bytes(n->out[0]));
    return h;
}

static bool same_attrs(const ons_node *a, const ons_node *b)
{
    ons_attr la[ONS_MAX_ATTRS], lb[ONS_MAX_ATTRS];
    int na = ons_node_attrs(a, la), nb = ons_node_attrs(b, lb);

    for (int i = 0; i < na && na == nb; i++)
        if (memcmp(&la[i].value, &lb[i].value, sizeof la[i].value))
            return false;
    return na == nb;
}

static bool same_node(const ons_node *a, const ons_node *b)
{
    if (a->again != b->again) /* computing it twice is the point */
        return false;
    if (a->op != b->op || a->n_in != b->n_in || !same_attrs(a, b))
        return false;
    for (int i = 0; i < a->n_in; i++)
        if (a->in[i] != b->in[i])
            return false;
    for (int i = 0; i < a->n_out; i++)
        if (a->out[i]->dtype != b->out[i]->dtype || !ons_shape_equal(&a->out[i]->shape, &b->out[i]->shape))
            return false;
    return a->op != ONS_OP_CONSTANT ||
           !memcmp(a->attrs.constant, b->attrs.constant, ons_value_bytes(a->out[0]));
}

/* The node equal to n that is already in the table, or n itself, entered. */
static ons_node *find_or_enter(table *t, ons_node *n)
{
    size_t i = (size_t)hash_node(n) & (t->size - 1);

    while (t->slot[i] && !same_node(t->slot[i], n))
        i = (i + 1) & (t->size - 1);
    if (!t->slot[i])
        t->slot[i] = n;
    return t->slot[i];
}

static void merge_nodes(ons_graph *g, table *t, ons_value **map, bool *keep)
{
    for (int i = 0; i < g->n_nodes; i++) {
        ons_node *n = g->nodes[i], *first;

        for (int k = 0; k < n->n_in; k++)
            n->in[k] = map[n->in[k]->id] ? map[n->in[k]->id] : n->in[k];
        first = n->op == ONS_OP_INPUT ? n : find_or_enter(t, n);
        keep[i] = first == n;
        for (int k = 0; k < n->n_out && first != n; k++)
            map[n->out[k]->id] = first->out[k];
    }
}

onestep_status ons_pass_cse(ons_graph *g)
{
    table t = {NULL, 64};
    ons_value **map = ons_calloc((size_t)g->n_values + 1, sizeof(ons_value *));
    bool *keep = ons_calloc((size_t)g->n_nodes + 1, sizeof *keep);
    onestep_status st = ONESTEP_OK;

    while (t.size < 2 * (size_t)g->n_nodes)
        t.size *= 2;
    t.slot = ons_calloc(t.size, sizeof(ons_node *));
    if (t.slot && map && keep) {
        merge_nodes(g, &t, map, keep);
        ons_graph_replace(g, map);
        ons_graph_compact(g, keep);
    } else
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to compare %d graph nodes", g->n_nodes);
    ons_free(t.slot);
    ons_free(map);
    ons_free(keep);
    return st;
}
