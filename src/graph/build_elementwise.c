/* Builders of views and element-wise operators. Those that would change nothing return their input. */
#include <string.h>

#include "graph/graph_private.h"

static ons_value *apply1(ons_graph *g, ons_op op, ons_value *x, const ons_attrs *attrs)
{
    return ons_apply(g, op, &x, 1, attrs, NULL);
}

static ons_value *apply2(ons_graph *g, ons_op op, ons_value *a, ons_value *b)
{
    ons_value *in[2] = {a, b};

    return ons_apply(g, op, in, 2, NULL, NULL);
}

ons_value *ons_reshape(ons_graph *g, ons_value *x, const ons_shape *shape)
{
    ons_attrs a;

    if (x && ons_shape_equal(&x->shape, shape))
        return x;
    memset(&a, 0, sizeof a);
    a.shape = *shape;
    return apply1(g, ONS_OP_RESHAPE, x, &a);
}

ons_value *ons_stop_gradient(ons_graph *g, ons_value *x)
{
    return apply1(g, ONS_OP_STOP_GRADIENT, x, NULL);
}

ons_value *ons_add(ons_graph *g, ons_value *a, ons_value *b)
{
    return apply2(g, ONS_OP_ADD, a, b);
}

ons_value *ons_sub(ons_graph *g, ons_value *a, ons_value *b)
{
    return apply2(g, ONS_OP_SUB, a, b);
}

ons_value *ons_mul(ons_graph *g, ons_value *a, ons_value *b)
{
    return apply2(g, ONS_OP_MUL, a, b);
}

ons_value *ons_affine(ons_graph *g, ons_value *x, double scale, double shift)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.affine.scale = scale;
    a.affine.shift = shift;
    return x && scale == 1 && shift == 0 ? x : apply1(g, ONS_OP_AFFINE, x, &a);
}

ons_value *ons_unary(ons_graph *g, ons_op op, ons_value *x)
{
    if (op < 0 || op >= ONS_N_OPS || ons_op_rows[op].role != ONS_ROLE_UNARY)
        return ons_graph_error(g, "%s is not an operator of one input without attributes", ons_op_name(op));
    return apply1(g, op, x, NULL);
}

ons_value *ons_clamp(ons_graph *g, ons_value *x, double lo, double hi)
{
    ons_attrs a;

    if (!(lo <= hi))
        return ons_graph_error(g, "clamp: lower bound %g is above upper bound %g", lo, hi);
    memset(&a, 0, sizeof a);
    a.clamp.lo = lo;
    a.clamp.hi = hi;
    return apply1(g, ONS_OP_CLAMP, x, &a);
}

ons_value *ons_cast(ons_graph *g, ons_value *x, ons_dtype dtype)
{
    ons_attrs a;

    memset(&a, 0, sizeof a);
    a.dtype = dtype;
    return x && x->dtype == dtype ? x : apply1(g, ONS_OP_CAST, x, &a);
}

ons_value *ons_geglu(ons_graph *g, ons_value *x)
{
    return apply1(g, ONS_OP_GEGLU, x, NULL);
}
