/*
 * conv2d(upsample2x(x), W) with a frozen 3x3 kernel -> conv2d_upsampled(x, W), where the backend has a kernel
 * for it. The upsampled picture, four times as large, is never made, and the kernel can make use of its equal
 * pixels.
 */
#include "graph/graph_private.h"

bool ons_reads_upsampled(const ons_node *n)
{
    const ons_value *x, *w;

    if (n->op != ONS_OP_CONV2D || n->attrs.conv.residual)
        return false;
    x = n->in[0];
    w = n->in[1];
    return x->node->op == ONS_OP_UPSAMPLE2X && w->node->op == ONS_OP_PARAM && !w->node->attrs.param.trainable &&
           w->shape.d[1] == 3 && w->shape.d[2] == 3 && n->attrs.conv.stride == 1 &&
           n->attrs.conv.pad_top == 1 && n->attrs.conv.pad_left == 1 && n->attrs.conv.pad_bottom == 1 &&
           n->attrs.conv.pad_right == 1;
}

void ons_graph_fuse_upsample(ons_graph *g, bool (*takes)(const ons_node *conv))
{
    for (int i = 0; i < g->n_nodes; i++) {
        ons_node *n = g->nodes[i];

        if (!ons_reads_upsampled(n) || !takes(n))
            continue;
        n->op = ONS_OP_CONV2D_UPSAMPLED;
        n->in[0] = n->in[0]->node->in[0];
    }
}
