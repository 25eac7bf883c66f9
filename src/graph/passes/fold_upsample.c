/*
 * conv2d(upsample2x(x), W) with a 3x3 kernel and frozen weights -> four 2x2 convolutions of x, one for each
 * parity of the result's row and column: of the nine pixels under the kernel only four are different, and the
 * weights of equal ones can be added once. 4/9 of the work.
 *
 *   even rows see x[y-1], x[y] with W[0], W[1] + W[2];  odd rows see x[y], x[y+1] with W[0] + W[1], W[2];
 * columns likewise
 *
 * The four are put together by concatenating channels (that interleaves columns) and then rows. Sums of weights
 * depend on frozen weights alone, so that the planner computes them once. Small pictures are left alone: there
 * the weights are the larger part. For plans in bf16 whose backend has no kernel of conv2d_upsampled for it; in
 * f32 the kernels save more by Winograd's algorithm.
 */
#include "graph/graph_private.h"

enum { MIN_PIXELS = 2048 };

static bool is_foldable(const ons_node *n)
{
    const ons_shape *y = &n->out[0]->shape;

    return ons_reads_upsampled(n) && y->d[0] * y->d[1] * y->d[2] >= 4 * MIN_PIXELS;
}

/* Three slices along an axis of the weights -> two, for an even or an odd place. */
static ons_value *fold_axis(ons_graph *g, ons_value *w, int axis, int odd)
{
    ons_value *part[3], *pair[2];

    for (int i = 0; i < 3; i++)
        part[i] = ons_slice(g, w, axis, i, 1);
    pair[0] = odd ? ons_add(g, part[0], part[1]) : part[0];
    pair[1] = odd ? part[2] : ons_add(g, part[1], part[2]);
    return ons_concat(g, axis, pair, 2);
}

static ons_value *convolve(ons_graph *g, const ons_node *n, ons_value *x, ons_value *rows, int odd_row,
                           int odd_column)
{
    ons_value *w = fold_axis(g, rows, 2, odd_column), *bias = n->attrs.conv.bias ? n->in[2] : NULL;
    ons_value *y =
        ons_conv2d(g, x, w, bias, NULL, (ons_conv_geometry){1, !odd_row, !odd_column, odd_row, odd_column});

    if (!ons_graph_failed(g))
        y->node->attrs.conv.folded = true;
    return y;
}

static ons_value *fold(ons_graph *g, const ons_node *n)
{
    ons_value *x = n->in[0]->node->in[0], *row[2];
    const ons_shape *out = &n->out[0]->shape;
    const int64_t width = out->d[2] * out->d[3];

    for (int a = 0; a < 2; a++) {
        ons_value *weights = fold_axis(g, n->in[1], 1, a), *column[2];

        for (int b = 0; b < 2; b++)
            column[b] = convolve(g, n, x, weights, a, b);
        row[a] = ons_reshape(g, ons_concat(g, 3, column, 2), &ONS_SHAPE4(out->d[0], out->d[1] / 2, 1, width));
    }
    return ons_reshape(g, ons_concat(g, 2, row, 2), out);
}

/* Builds the node list anew, with foldings in the places of what they replace. */
static bool rebuild(ons_graph *g, ons_node **nodes, int n, ons_value **map)
{
    for (int i = 0; i < n; i++) {
        ons_node *node = nodes[i];

        for (int k = 0; k < node->n_in; k++)
            node->in[k] = map[node->in[k]->id] ? map[node->in[k]->id] : node->in[k];
        if (!is_foldable(node)) {
            if (!ons_graph_append_node(g, node))
                return false;
            continue;
        }
        g->scopes[0] = node->layer;
        g->n_scopes = 1;
        map[node->out[0]->id] = fold(g, node);
        g->n_scopes = 0;
    }
    return !ons_graph_failed(g);
}

/* The graph's results, of which some were replaced; map is by the ids that values had before. */
static void replace_outputs(ons_graph *g, ons_value *const *map)
{
    for (int i = 0; i < g->n_outputs; i++) {
        ons_value **v = &g->outputs[i].value;

        *v = map[(*v)->id] ? map[(*v)->id] : *v;
    }
}

onestep_status ons_pass_fold_upsample(ons_graph *g)
{
    const int n = g->n_nodes;
    ons_value **map = ons_calloc((size_t)g->n_values + 1, sizeof(ons_value *));
    ons_node **nodes = map ? ons_graph_take_nodes(g) : NULL;
    const bool built = nodes && rebuild(g, nodes, n, map);

    if (built) {
        replace_outputs(g, map);
        ons_graph_compact(g, NULL);
    }
    ons_free(map);
    ons_free(nodes);
    return built ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory to fold upsampling into convolutions");
}
