/* Gradient rules of operators that move or sum elements: each is linear, so its gradient is its transpose. */
#include <string.h>

#include "graph/rules.h"

static ons_value *apply_slice(ons_graph *g, ons_op op, ons_value *x, int axis, int64_t start, int64_t length,
                              int64_t full)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.slice.axis = axis;
    a.slice.start = start;
    a.slice.length = length;
    a.slice.full = full;
    return ons_apply(g, op, &x, 1, &a, NULL);
}

/* An operator that brings dy back to the size of x. */
static ons_value *apply_size(ons_graph *g, ons_op op, ons_value *dy, const ons_value *x)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.size.h = x->shape.d[1];
    a.size.w = x->shape.d[2];
    return ons_apply(g, op, &dy, 1, &a, NULL);
}

ONS_GRAD_RULE(grad_reshape)
{
    if (need[0])
        dx[0] = ons_reshape(g, dy[0], &n->in[0]->shape);
}

ONS_GRAD_RULE(grad_sum_to)
{
    if (need[0])
        dx[0] = ons_broadcast_to(g, dy[0], &n->in[0]->shape);
}

ONS_GRAD_RULE(grad_broadcast_to)
{
    if (need[0])
        dx[0] = ons_sum_to(g, dy[0], &n->in[0]->shape);
}

ONS_GRAD_RULE(grad_transpose)
{
    int inverse[ONS_MAX_DIMS] = {0};

    for (int i = 0; i < n->in[0]->shape.n; i++)
        inverse[n->attrs.transpose.perm[i]] = i;
    if (need[0])
        dx[0] = ons_transpose(g, dy[0], inverse);
}

ONS_GRAD_RULE(grad_concat)
{
    int axis = n->attrs.slice.axis;
    int64_t start = 0;

    for (int i = 0; i < n->n_in; i++) {
        int64_t length = n->in[i]->shape.d[axis];

        if (need[i])
            dx[i] = ons_slice(g, dy[0], axis, start, length);
        start += length;
    }
}

ONS_GRAD_RULE(grad_slice)
{
    if (need[0])
        dx[0] = apply_slice(g, ONS_OP_PAD_ZERO, dy[0], n->attrs.slice.axis, n->attrs.slice.start,
                            n->attrs.slice.length, n->attrs.slice.full);
}

ONS_GRAD_RULE(grad_pad_zero)
{
    if (need[0])
        dx[0] = ons_slice(g, dy[0], n->attrs.slice.axis, n->attrs.slice.start, n->attrs.slice.length);
}

ONS_GRAD_RULE(grad_upsample2x)
{
    (void)n;
    if (need[0])
        dx[0] = ons_apply(g, ONS_OP_DOWNSUM2X, dy, 1, NULL, NULL);
}

ONS_GRAD_RULE(grad_downsum2x)
{
    (void)n;
    if (need[0])
        dx[0] = ons_upsample2x(g, dy[0]);
}

ONS_GRAD_RULE(grad_upsample_to)
{
    if (need[0])
        dx[0] = apply_size(g, ONS_OP_UPSAMPLE_TO_GRAD, dy[0], n->in[0]);
}

ONS_GRAD_RULE(grad_avg_pool2x)
{
    if (need[0])
        dx[0] = apply_size(g, ONS_OP_AVG_POOL2X_GRAD, dy[0], n->in[0]);
}

ONS_GRAD_RULE(grad_max_pool2x)
{
    ons_value *in[2] = {n->in[0], dy[0]};

    if (need[0])
        dx[0] = ons_apply(g, ONS_OP_MAX_POOL2X_GRAD, in, 2, NULL, NULL);
}
