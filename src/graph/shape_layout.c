/* Shape rules of operators that move elements: reshape, transpose, concat, slice, resampling. */
#include "graph/rules.h"

bool shape_reshape(ons_rule *r)
{
    ons_shape *t = &r->attrs->shape;
    int64_t count = ons_shape_count(&r->in[0]->shape), known = 1;
    int open = -1;
    char a[96], b[96];

    if (t->n < 0 || t->n > ONS_MAX_DIMS)
        return ons_rule_fail(r, "target has %d dimensions; 0 to %d are possible", t->n, ONS_MAX_DIMS);
    for (int i = 0; i < t->n; i++)
        if (t->d[i] == -1 && open < 0)
            open = i;
        else if (t->d[i] < 1 || __builtin_mul_overflow(known, t->d[i], &known))
            return ons_rule_fail(r, "target %s; dimensions must be positive, one may be -1",
                                 ons_shape_text(t, a));
    if (open < 0 ? known != count : count % known != 0)
        return ons_rule_fail(r, "%s has %lld elements, which do not fit target %s",
                             ons_shape_text(&r->in[0]->shape, a), (long long)count, ons_shape_text(t, b));
    if (open >= 0)
        t->d[open] = count / known;
    r->shape[0] = *t;
    return true;
}

bool shape_transpose(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape;
    const int *perm = r->attrs->transpose.perm;
    unsigned seen = 0;

    r->shape[0].n = x->n;
    for (int i = 0; i < x->n; i++) {
        if (perm[i] < 0 || perm[i] >= x->n || (seen & 1u << perm[i]))
            return ons_rule_fail(r, "entry %d of the permutation is %d; each of 0 to %d must occur once", i,
                                 perm[i], x->n - 1);
        seen |= 1u << perm[i];
        r->shape[0].d[i] = x->d[perm[i]];
    }
    return true;
}

static bool check_axis(ons_rule *r)
{
    int axis = r->attrs->slice.axis;

    if (axis < 0 || axis >= r->in[0]->shape.n)
        return ons_rule_fail(r, "axis %d of a value with %d dimensions", axis, r->in[0]->shape.n);
    return true;
}

bool shape_concat(ons_rule *r)
{
    int axis = r->attrs->slice.axis;
    char a[96], b[96];

    if (!check_axis(r))
        return false;
    r->shape[0] = r->in[0]->shape;
    for (int i = 1; i < r->n_in; i++) {
        ons_shape expected = r->in[0]->shape;
        const ons_shape *s = &r->in[i]->shape;

        if (s->n == expected.n)
            expected.d[axis] = s->d[axis];
        if (!ons_shape_equal(&expected, s))
            return ons_rule_fail(r, "input %d is %s and input 0 %s; they may differ along axis %d only", i,
                                 ons_shape_text(s, a), ons_shape_text(&r->in[0]->shape, b), axis);
        if (r->in[i]->dtype != r->dtype[0])
            return ons_rule_fail(r, "input %d is %s and input 0 %s; cast one of them", i,
                                 ons_dtype_name(r->in[i]->dtype), ons_dtype_name(r->dtype[0]));
        r->shape[0].d[axis] += s->d[axis];
    }
    return true;
}

bool shape_slice(ons_rule *r)
{
    int64_t start = r->attrs->slice.start, length = r->attrs->slice.length, full;

    if (!check_axis(r))
        return false;
    full = r->in[0]->shape.d[r->attrs->slice.axis];
    if (start < 0 || length < 1 || start > full || length > full - start)
        return ons_rule_fail(r, "%lld elements from %lld of a dimension of %lld", (long long)length,
                             (long long)start, (long long)full);
    r->attrs->slice.full = full;
    r->shape[0] = r->in[0]->shape;
    r->shape[0].d[r->attrs->slice.axis] = length;
    return true;
}

bool shape_pad_zero(ons_rule *r)
{
    int64_t start = r->attrs->slice.start, full = r->attrs->slice.full, length;

    if (!check_axis(r))
        return false;
    length = r->in[0]->shape.d[r->attrs->slice.axis];
    if (start < 0 || start > full || length > full - start)
        return ons_rule_fail(r, "%lld elements at %lld do not fit a dimension of %lld", (long long)length,
                             (long long)start, (long long)full);
    r->attrs->slice.length = length;
    r->shape[0] = r->in[0]->shape;
    r->shape[0].d[r->attrs->slice.axis] = full;
    return true;
}

static bool check_image(ons_rule *r, int64_t least)
{
    const ons_shape *x = &r->in[0]->shape;
    char text[96];

    if (x->n != 4 || x->d[1] < least || x->d[2] < least)
        return ons_rule_fail(r, "needs an image [N, H, W, C] of at least %lldx%lld, found %s", (long long)least,
                             (long long)least, ons_shape_text(x, text));
    return true;
}

bool shape_upsample2x(ons_rule *r)
{
    if (!check_image(r, 1))
        return false;
    r->shape[0] = r->in[0]->shape;
    r->shape[0].d[1] *= 2;
    r->shape[0].d[2] *= 2;
    return true;
}

/* Also the pools, which drop an odd last row or column; the sum has none because doubling made its input. */
bool shape_downsum2x(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape;

    if (!check_image(r, 2))
        return false;
    if (r->op == ONS_OP_DOWNSUM2X && (x->d[1] % 2 || x->d[2] % 2))
        return ons_rule_fail(r, "needs even sides, found %lldx%lld", (long long)x->d[1], (long long)x->d[2]);
    r->shape[0] = *x;
    r->shape[0].d[1] /= 2;
    r->shape[0].d[2] /= 2;
    return true;
}

bool shape_size(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape;
    int64_t h = r->attrs->size.h, w = r->attrs->size.w;

    if (!check_image(r, 1))
        return false;
    if (h < 1 || w < 1)
        return ons_rule_fail(r, "target size %lldx%lld; both sides must be positive", (long long)h,
                             (long long)w);
    if (r->op == ONS_OP_AVG_POOL2X_GRAD && (h / 2 != x->d[1] || w / 2 != x->d[2]))
        return ons_rule_fail(r, "a %lldx%lld gradient cannot come from pooling %lldx%lld", (long long)x->d[1],
                             (long long)x->d[2], (long long)h, (long long)w);
    r->shape[0] = ONS_SHAPE4(x->d[0], h, w, x->d[3]);
    return true;
}
