/*
 * add(product, r) -> product with a residual input, where the product is a conv2d or matmul without one that
 * nobody else uses and r has its shape and type.
 *
 * The product moves to the place of the addition: every input is available there, the order stays topological
 * without sorting, and the result's users keep their value.
 */
#include "graph/graph_private.h"

static bool has_residual(const ons_node *n)
{
    return n->op == ONS_OP_CONV2D ? n->attrs.conv.residual : n->attrs.matmul.residual;
}

static bool is_fusable(const ons_value *v, const ons_value *other, const int *n_uses)
{
    const ons_node *n = v->node;

    return (n->op == ONS_OP_CONV2D || n->op == ONS_OP_MATMUL) && !has_residual(n) && n_uses[v->id] == 1 &&
           v->dtype == other->dtype && ons_shape_equal(&v->shape, &other->shape);
}

/* Which operand of an addition can take the other one; the later of two products, -1: neither. */
static int choose_product(const ons_node *add, const int *n_uses)
{
    bool first = is_fusable(add->in[0], add->in[1], n_uses),
         second = is_fusable(add->in[1], add->in[0], n_uses);

    if (first && second)
        return add->in[0]->node->id > add->in[1]->node->id ? 0 : 1;
    return first ? 0 : second ? 1 : -1;
}

/* Turns the addition into the product; false: no memory. */
static bool fuse(ons_graph *g, ons_node *add, int which)
{
    const ons_node *product = add->in[which]->node;
    ons_value *residual = add->in[!which];
    ons_value **in = ons_arena_alloc(g->arena, (size_t)(product->n_in + 1) * sizeof(ons_value *));

    if (!in)
        return false;
    for (int i = 0; i < product->n_in; i++)
        in[i] = product->in[i];
    in[product->n_in] = residual;
    add->op = product->op;
    add->n_in = product->n_in + 1;
    add->in = in;
    add->attrs = product->attrs;
    add->layer = product->layer;
    if (add->op == ONS_OP_CONV2D)
        add->attrs.conv.residual = true;
    else
        add->attrs.matmul.residual = true;
    return true;
}

onestep_status ons_pass_fuse_residual(ons_graph *g)
{
    int *n_uses = ons_calloc((size_t)g->n_values + 1, sizeof *n_uses);
    bool *keep = ons_calloc((size_t)g->n_nodes + 1, sizeof *keep);
    bool fits = n_uses && keep;

    if (fits)
        ons_graph_count_uses(g, n_uses);
    for (int i = 0; i < g->n_nodes && fits; i++) {
        ons_node *n = g->nodes[i];
        int which = n->op == ONS_OP_ADD ? choose_product(n, n_uses) : -1;

        keep[i] = true;
        if (which >= 0) {
            keep[n->in[which]->node->id] = false;
            fits = fuse(g, n, which);
        }
    }
    if (fits)
        ons_graph_compact(g, keep);
    ons_free(n_uses);
    ons_free(keep);
    return fits ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory to fuse additions into products");
}
