/*
 * 8-bit products: a convolution or linear layer with frozen weights, whose layer has a scale, reads its first
 * operand through a quantise.
 *
 * Activations are unsigned with a zero of their own, so that the range after SiLU, from -0.28 to far up, takes
 * all 256 numbers. A convolution's padding moves into the quantise, which writes a border of `zero`: the
 * product then needs no padding that means something else than 0, and what `zero` adds to its sums is one
 * number per output. Products that read one value by one scale share its quantise (q, k and v).
 *
 * Rejected: signed activations around 0, for which CPUs with VNNI need the same correction and lose a bit.
 */
#include <string.h>

#include "graph/graph_private.h"

enum { MIN_CHANNELS = 32 }; /* below, a product is too small to gain */

const ons_layer_scale *ons_scales_find(const ons_scales *s, const char *layer)
{
    int low = 0, high = s->n;

    while (low < high) {
        const int middle = (low + high) / 2, order = strcmp(s->rows[middle].layer, layer);

        if (order == 0)
            return &s->rows[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void ons_graph_set_scales(ons_graph *g, const ons_scales *scales, bool (*keeps)(const ons_node *n))
{
    g->scales = scales;
    g->keeps = keeps;
}

/* A frozen parameter, or computed from one: a convolution into which upsampling was folded adds parts of it. */
static bool is_frozen(const ons_value *v)
{
    const ons_node *n = v->node;

    switch (n->op) {
    case ONS_OP_PARAM:
        return !n->attrs.param.trainable;
    case ONS_OP_RESHAPE:
    case ONS_OP_STOP_GRADIENT:
    case ONS_OP_SLICE:
    case ONS_OP_CAST:
        return is_frozen(n->in[0]);
    case ONS_OP_ADD:
    case ONS_OP_CONCAT:
        return is_frozen(n->in[0]) && is_frozen(n->in[1]);
    default:
        return false;
    }
}

bool ons_node_takes_8_bits(const ons_node *n)
{
    const bool conv = n->op == ONS_OP_CONV2D;
    const ons_value *x, *w;

    if (!conv && n->op != ONS_OP_MATMUL)
        return false;
    x = n->in[0];
    w = n->in[1];
    if (x->dtype != ONS_BF16 || n->out[0]->dtype != ONS_BF16 || !is_frozen(w))
        return false;
    /* a matrix of one row per picture (time embeddings) has nothing to gain */
    if (!conv && (x->shape.n < 3 || w->shape.n != 2 || n->attrs.matmul.trans_a || !n->attrs.matmul.trans_b ||
                  n->attrs.matmul.alpha != 1))
        return false;
    return x->shape.d[x->shape.n - 1] >= MIN_CHANNELS && w->shape.d[0] >= MIN_CHANNELS;
}

static bool same_quantise(const ons_attrs *a, const ons_attrs *b)
{
    return a->quantise.scale == b->quantise.scale && a->quantise.zero == b->quantise.zero &&
           a->quantise.pad_top == b->quantise.pad_top && a->quantise.pad_left == b->quantise.pad_left &&
           a->quantise.pad_bottom == b->quantise.pad_bottom && a->quantise.pad_right == b->quantise.pad_right;
}

/* The quantise of x with these attributes, among those made since node `from`; NULL: none. */
static ons_value *find_quantise(const ons_graph *g, const ons_value *x, const ons_attrs *a)
{
    for (int i = g->n_nodes - 1; i >= 0 && g->nodes[i] != x->node; i--)
        if (g->nodes[i]->op == ONS_OP_QUANTISE && g->nodes[i]->in[0] == x &&
            same_quantise(&g->nodes[i]->attrs, a))
            return g->nodes[i]->out[0];
    return NULL;
}

static ons_value *quantise(ons_graph *g, const ons_node *n, const ons_attrs *a)
{
    ons_value *x = n->in[0], *known = find_quantise(g, x, a);
    const ons_dtype type = ONS_U8;
    ons_shape shape = x->shape;
    ons_node *q;

    if (known)
        return known;
    if (n->op == ONS_OP_CONV2D) {
        shape.d[1] += a->quantise.pad_top + a->quantise.pad_bottom;
        shape.d[2] += a->quantise.pad_left + a->quantise.pad_right;
    }
    q = ons_node_append(g, ONS_OP_QUANTISE, &x, 1, a, &shape, &type);
    if (!q)
        return NULL;
    q->layer = n->layer;
    return q->out[0];
}

/* False: no memory. */
static bool convert(ons_graph *g, ons_node *n, const ons_layer_scale *s)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.quantise.scale = n->attrs.quantise.scale = s->scale;
    a.quantise.zero = n->attrs.quantise.zero = s->zero;
    if (n->op == ONS_OP_CONV2D) {
        a.quantise.pad_top = n->attrs.conv.pad_top;
        a.quantise.pad_left = n->attrs.conv.pad_left;
        a.quantise.pad_bottom = n->attrs.conv.pad_bottom;
        a.quantise.pad_right = n->attrs.conv.pad_right;
        n->attrs.conv.in_h += n->attrs.conv.pad_top + n->attrs.conv.pad_bottom;
        n->attrs.conv.in_w += n->attrs.conv.pad_left + n->attrs.conv.pad_right;
        n->attrs.conv.pad_top = n->attrs.conv.pad_left = n->attrs.conv.pad_bottom = n->attrs.conv.pad_right = 0;
    }
    n->in[0] = quantise(g, n, &a);
    return n->in[0] != NULL;
}

static onestep_status rebuild(ons_graph *g, ons_node *const *nodes, int n_nodes)
{
    for (int i = 0; i < n_nodes; i++) {
        ons_node *n = nodes[i];
        const bool possible = ons_node_takes_8_bits(n);
        const ons_layer_scale *s = possible ? ons_scales_find(g->scales, n->layer) : NULL;

        if (possible && !s)
            return ons_fail(ONESTEP_BAD_FILE,
                            "%s: no scale for layer %s: made for another model, or by another version; make it "
                            "again with onestep calibrate",
                            g->scales->source, n->layer);
        if ((s && s->scale > 0 && !(g->keeps && g->keeps(n)) && !convert(g, n, s)) ||
            !ons_graph_append_node(g, n))
            return ons_fail(ONESTEP_NO_MEMORY, "no memory to choose 8-bit products");
    }
    return ONESTEP_OK;
}

onestep_status ons_pass_quantise(ons_graph *g)
{
    const int n_nodes = g->n_nodes;
    ons_node **nodes;
    onestep_status st;

    if (!g->scales)
        return ONESTEP_OK;
    nodes = ons_graph_take_nodes(g);
    st = rebuild(g, nodes, n_nodes);
    if (st == ONESTEP_OK)
        ons_graph_compact(g, NULL);
    ons_free(nodes);
    return st;
}
