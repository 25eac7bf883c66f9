/* Builders of reductions, broadcasts and operators that move elements. Negative axes count from the end. */
#include <string.h>

#include "graph/graph_private.h"

static ons_value *apply_shape(ons_graph *g, ons_op op, ons_value *x, const ons_shape *shape)
{
    ons_attrs a;

    if (x && ons_shape_equal(&x->shape, shape))
        return x;
    memset(&a, 0, sizeof a);
    a.shape = *shape;
    return ons_apply(g, op, &x, 1, &a, NULL);
}

ons_value *ons_sum_to(ons_graph *g, ons_value *x, const ons_shape *shape)
{
    return apply_shape(g, ONS_OP_SUM_TO, x, shape);
}

ons_value *ons_broadcast_to(ons_graph *g, ons_value *x, const ons_shape *shape)
{
    return apply_shape(g, ONS_OP_BROADCAST_TO, x, shape);
}

ons_value *ons_mean_all(ons_graph *g, ons_value *x)
{
    ons_shape scalar = ONS_SHAPE0();
    ons_value *sum = ons_sum_to(g, x, &scalar);

    return ons_graph_failed(g) ? sum : ons_affine(g, sum, 1.0 / (double)ons_shape_count(&x->shape), 0);
}

ons_value *ons_transpose(ons_graph *g, ons_value *x, const int *perm)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    for (int i = 0; x && i < x->shape.n; i++)
        a.transpose.perm[i] = perm[i];
    return ons_apply(g, ONS_OP_TRANSPOSE, &x, 1, &a, NULL);
}

ons_value *ons_concat(ons_graph *g, int axis, ons_value *const *x, int n)
{
    ons_attrs a;

    if (n == 1 && x[0])
        return x[0];
    memset(&a, 0, sizeof a);
    a.slice.axis = n > 0 && x[0] && axis < 0 ? axis + x[0]->shape.n : axis;
    return ons_apply(g, ONS_OP_CONCAT, x, n, &a, NULL);
}

ons_value *ons_slice(ons_graph *g, ons_value *x, int axis, int64_t start, int64_t length)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    if (x && axis < 0)
        axis += x->shape.n;
    if (x && axis >= 0 && axis < x->shape.n && start == 0 && length == x->shape.d[axis])
        return x;
    a.slice.axis = axis;
    a.slice.start = start;
    a.slice.length = length;
    return ons_apply(g, ONS_OP_SLICE, &x, 1, &a, NULL);
}

ons_value *ons_upsample2x(ons_graph *g, ons_value *x)
{
    return ons_apply(g, ONS_OP_UPSAMPLE2X, &x, 1, NULL, NULL);
}

ons_value *ons_upsample_to(ons_graph *g, ons_value *x, int64_t h, int64_t w)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.size.h = h;
    a.size.w = w;
    return ons_apply(g, ONS_OP_UPSAMPLE_TO, &x, 1, &a, NULL);
}

ons_value *ons_avg_pool2x(ons_graph *g, ons_value *x)
{
    return ons_apply(g, ONS_OP_AVG_POOL2X, &x, 1, NULL, NULL);
}

ons_value *ons_max_pool2x(ons_graph *g, ons_value *x)
{
    return ons_apply(g, ONS_OP_MAX_POOL2X, &x, 1, NULL, NULL);
}
