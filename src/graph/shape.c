/*
 * Running shape rules, and the rules of element-wise operators and reductions.
 *
 * Messages name the operator, what was found and what was expected; the graph puts the layer path before them.
 */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "graph/rules.h"

bool ons_rule_fail(ons_rule *r, const char *format, ...)
{
    va_list args;
    int used = snprintf(r->message, sizeof r->message, "%s: ", ons_op_name(r->op));

    va_start(args, format);
    vsnprintf(r->message + used, sizeof r->message - (size_t)used, format, args);
    va_end(args);
    return false;
}

bool ons_dtype_is_float(ons_dtype t)
{
    return t == ONS_F32 || t == ONS_BF16 || t == ONS_F16 || t == ONS_F64;
}

/* Right-aligned, each dimension equal or 1. */
static bool broadcasts(const ons_shape *small, const ons_shape *big)
{
    int shift = big->n - small->n;

    if (shift < 0)
        return false;
    for (int i = 0; i < small->n; i++)
        if (small->d[i] != 1 && small->d[i] != big->d[i + shift])
            return false;
    return true;
}

/* Which input holds token numbers; -1: none. */
static int find_ids_input(ons_op op)
{
    return op == ONS_OP_EMBEDDING ? 1 : op == ONS_OP_EMBEDDING_GRAD ? 0 : -1;
}

static bool check_types(ons_rule *r)
{
    int ids = find_ids_input(r->op);
    bool is_view = ons_op_is_view(r->op);

    for (int i = 0; i < r->n_in; i++) {
        ons_dtype t = r->in[i]->dtype;

        if (i == ids && t != ONS_I32)
            return ons_rule_fail(r, "input %d must hold i32 token numbers, found %s", i, ons_dtype_name(t));
        if (i == 0 && t == ONS_U8 && (r->op == ONS_OP_CONV2D || r->op == ONS_OP_MATMUL))
            continue;
        if (i != ids && !is_view && !ons_dtype_is_float(t))
            return ons_rule_fail(r, "input %d must be of a floating-point type, found %s", i,
                                 ons_dtype_name(t));
    }
    return true;
}

bool ons_rule_run(ons_rule *r)
{
    const ons_op_row *row = &ons_op_rows[r->op];

    r->message[0] = 0;
    if (!row->shape)
        return ons_rule_fail(r, "leaves have builders of their own");
    if (row->n_in >= 0 && r->n_in != row->n_in)
        return ons_rule_fail(r, "takes %d inputs, found %d", row->n_in, r->n_in);
    if (r->n_in < 1)
        return ons_rule_fail(r, "needs at least one input");
    if (!check_types(r))
        return false;
    for (int i = 0; i < row->n_out; i++)
        r->dtype[i] = r->in[0]->dtype;
    return row->shape(r);
}

bool ons_quantisation_fits(double scale, int zero)
{
    return isfinite(scale) && scale >= FLT_MIN && scale <= FLT_MAX && zero >= 0 && zero <= 255;
}

static bool fail_pair(ons_rule *r, const char *expected)
{
    char a[96], b[96];

    return ons_rule_fail(r, "shapes %s and %s; %s", ons_shape_text(&r->in[0]->shape, a),
                         ons_shape_text(&r->in[1]->shape, b), expected);
}

static bool check_geglu_grad(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape, *dy = &r->in[1]->shape;
    ons_shape half = *x;

    if (x->n < 1 || x->d[x->n - 1] % 2)
        return fail_pair(r, "the last dimension of x must be even");
    half.d[half.n - 1] /= 2;
    return ons_shape_equal(&half, dy) || fail_pair(r, "dy must have half the channels of x");
}

static bool check_max_pool_grad(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape, *dy = &r->in[1]->shape;

    if (x->n == 4 && dy->n == 4 && dy->d[0] == x->d[0] && dy->d[1] == x->d[1] / 2 && dy->d[2] == x->d[2] / 2 &&
        dy->d[3] == x->d[3])
        return true;
    return fail_pair(r, "dy must have the shape of the pooled x");
}

bool shape_like_first(ons_rule *r)
{
    r->shape[0] = r->in[0]->shape;
    if (r->op == ONS_OP_GEGLU_GRAD)
        return check_geglu_grad(r);
    if (r->op == ONS_OP_MAX_POOL2X_GRAD)
        return check_max_pool_grad(r);
    if ((r->op == ONS_OP_SOFTMAX || r->op == ONS_OP_LOG_SOFTMAX) && r->shape[0].n < 1)
        return ons_rule_fail(r, "a scalar has no last dimension to normalise over");
    if (r->n_in == 2 && !ons_shape_equal(&r->in[0]->shape, &r->in[1]->shape))
        return fail_pair(r, "both inputs must have the same shape");
    return true;
}

bool shape_binary(ons_rule *r)
{
    r->shape[0] = r->in[0]->shape;
    if (r->in[0]->dtype != r->in[1]->dtype)
        return ons_rule_fail(r, "operands are %s and %s; cast one of them", ons_dtype_name(r->in[0]->dtype),
                             ons_dtype_name(r->in[1]->dtype));
    if (!broadcasts(&r->in[1]->shape, &r->in[0]->shape))
        return fail_pair(r, "the second must equal the first or broadcast to it (right-aligned, each dimension "
                            "equal or 1)");
    return true;
}

bool shape_cast(ons_rule *r)
{
    r->shape[0] = r->in[0]->shape;
    r->dtype[0] = r->attrs->dtype;
    if (!ons_dtype_is_float(r->attrs->dtype))
        return ons_rule_fail(r, "target type must be a floating-point type, found %s",
                             ons_dtype_name(r->attrs->dtype));
    return true;
}

bool shape_quantise(ons_rule *r)
{
    const ons_attrs *a = r->attrs;
    const int rows = a->quantise.pad_top + a->quantise.pad_bottom,
              columns = a->quantise.pad_left + a->quantise.pad_right;

    if (!ons_quantisation_fits(a->quantise.scale, a->quantise.zero))
        return ons_rule_fail(r, "scale %g and zero %d; the scale must be positive, the zero 0 to 255",
                             a->quantise.scale, a->quantise.zero);
    r->shape[0] = r->in[0]->shape;
    r->dtype[0] = ONS_U8;
    if (!rows && !columns)
        return true;
    if (r->shape[0].n != 4)
        return ons_rule_fail(r, "a border around a value of %d dimensions; only images have one",
                             r->shape[0].n);
    r->shape[0].d[1] += rows;
    r->shape[0].d[2] += columns;
    return true;
}

bool shape_geglu(ons_rule *r)
{
    char text[96];

    r->shape[0] = r->in[0]->shape;
    if (r->shape[0].n < 1 || r->shape[0].d[r->shape[0].n - 1] % 2)
        return ons_rule_fail(r, "the last dimension must hold two halves, found shape %s",
                             ons_shape_text(&r->shape[0], text));
    r->shape[0].d[r->shape[0].n - 1] /= 2;
    return true;
}

static bool check_target(ons_rule *r)
{
    const ons_shape *t = &r->attrs->shape;

    if (t->n < 0 || t->n > ONS_MAX_DIMS)
        return ons_rule_fail(r, "target has %d dimensions; 0 to %d are possible", t->n, ONS_MAX_DIMS);
    for (int i = 0; i < t->n; i++)
        if (t->d[i] < 1)
            return ons_rule_fail(r, "dimension %d of the target is %lld; it must be positive", i,
                                 (long long)t->d[i]);
    return true;
}

static bool set_embedding_grad(ons_rule *r)
{
    const ons_shape *ids = &r->in[0]->shape, *dy = &r->in[1]->shape;

    if (dy->n != ids->n + 1 || !broadcasts(ids, &(ons_shape){ids->n, {dy->d[0], dy->d[1], dy->d[2]}}))
        return fail_pair(r, "dy must be the ids' shape followed by the channels");
    if (r->attrs->shape.d[0] < 1)
        return ons_rule_fail(r, "the table needs at least one row, found %lld",
                             (long long)r->attrs->shape.d[0]);
    r->shape[0] = ONS_SHAPE2(r->attrs->shape.d[0], dy->d[dy->n - 1]);
    r->attrs->shape = r->shape[0];
    r->dtype[0] = ONS_F32;
    return true;
}

bool shape_from_attrs(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape, *t = &r->attrs->shape;
    char a[96], b[96];

    if (r->op == ONS_OP_EMBEDDING_GRAD)
        return set_embedding_grad(r);
    if (!check_target(r))
        return false;
    r->shape[0] = *t;
    if (r->op == ONS_OP_SUM_TO ? broadcasts(t, x) : broadcasts(x, t))
        return true;
    return ons_rule_fail(r, "%s and target %s; the %s must broadcast to the %s", ons_shape_text(x, a),
                         ons_shape_text(t, b), r->op == ONS_OP_SUM_TO ? "target" : "input",
                         r->op == ONS_OP_SUM_TO ? "input" : "target");
}
