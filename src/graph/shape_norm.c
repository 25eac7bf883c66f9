/* Shape rules of norms, attention and the timestep embedding. Statistics are f32 whatever the values are stored
 * in. */
#include "graph/rules.h"

static bool check_equal(ons_rule *r, int input, const char *what, const ons_shape *expected)
{
    char a[96], b[96];

    if (!ons_shape_equal(&r->in[input]->shape, expected))
        return ons_rule_fail(r, "%s must be %s, found %s", what, ons_shape_text(expected, a),
                             ons_shape_text(&r->in[input]->shape, b));
    return true;
}

static ons_shape channels_of(const ons_shape *x)
{
    return ONS_SHAPE1(x->d[x->n - 1]);
}

static bool check_group_norm(ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape;
    int groups = r->attrs->norm.n_groups;
    char text[96];

    if (x->n < 2)
        return ons_rule_fail(r, "needs [N, ..., C], found %s", ons_shape_text(x, text));
    if (groups < 1 || x->d[x->n - 1] % groups)
        return ons_rule_fail(r, "%lld channels do not divide into %d groups", (long long)x->d[x->n - 1],
                             groups);
    return true;
}

static bool check_layer_norm(ons_rule *r)
{
    if (r->in[0]->shape.n < 1)
        return ons_rule_fail(r, "needs [..., C], found a scalar");
    return true;
}

static ons_shape stats_shape(const ons_rule *r)
{
    const ons_shape *x = &r->in[0]->shape;

    if (r->op == ONS_OP_GROUP_NORM || r->op == ONS_OP_GROUP_NORM_GRAD)
        return ONS_SHAPE3(x->d[0], r->attrs->norm.n_groups, 2);
    return ONS_SHAPE2(ons_shape_count(x) / x->d[x->n - 1], 2);
}

static bool set_norm(ons_rule *r)
{
    ons_shape c = channels_of(&r->in[0]->shape);

    r->shape[0] = r->in[0]->shape;
    r->shape[1] = stats_shape(r);
    r->dtype[1] = ONS_F32;
    return check_equal(r, 1, "gamma", &c) && check_equal(r, 2, "beta", &c);
}

bool shape_group_norm(ons_rule *r)
{
    return check_group_norm(r) && set_norm(r);
}

bool shape_layer_norm(ons_rule *r)
{
    return check_layer_norm(r) && set_norm(r);
}

bool shape_norm_grad(ons_rule *r)
{
    bool fits = r->op == ONS_OP_GROUP_NORM_GRAD ? check_group_norm(r) : check_layer_norm(r);
    ons_shape c, stats;

    if (!fits)
        return false;
    c = channels_of(&r->in[0]->shape);
    stats = stats_shape(r);
    r->shape[0] = r->in[0]->shape;
    r->shape[1] = r->shape[2] = c;
    r->dtype[1] = r->dtype[2] = ONS_F32;
    return check_equal(r, 1, "gamma", &c) && check_equal(r, 2, "beta", &c) &&
           check_equal(r, 3, "statistics", &stats) && check_equal(r, 4, "gradient", &r->in[0]->shape);
}

static bool check_attention(ons_rule *r)
{
    const ons_shape *q = &r->in[0]->shape, *k = &r->in[1]->shape;
    int heads = r->attrs->attention.n_heads;
    char a[96], b[96];

    if (q->n != 3 || k->n != 3 || q->d[0] != k->d[0] || q->d[2] != k->d[2])
        return ons_rule_fail(r, "q %s and k %s; both must be [B, T, C] with equal B and C",
                             ons_shape_text(q, a), ons_shape_text(k, b));
    if (heads < 1 || q->d[2] % heads)
        return ons_rule_fail(r, "%lld channels do not divide into %d heads", (long long)q->d[2], heads);
    if (r->attrs->attention.causal && q->d[1] != k->d[1])
        return ons_rule_fail(r, "causal attention needs as many keys as queries, found %lld and %lld",
                             (long long)k->d[1], (long long)q->d[1]);
    return check_equal(r, 2, "v", k);
}

bool shape_attention(ons_rule *r)
{
    const ons_shape *q = &r->in[0]->shape;

    if (!check_attention(r))
        return false;
    r->shape[0] = *q;
    r->shape[1] = ONS_SHAPE3(q->d[0], r->attrs->attention.n_heads, q->d[1]);
    r->dtype[1] = ONS_F32;
    return true;
}

bool shape_attention_grad(ons_rule *r)
{
    const ons_shape *q = &r->in[0]->shape;
    ons_shape lse;

    if (!check_attention(r))
        return false;
    lse = ONS_SHAPE3(q->d[0], r->attrs->attention.n_heads, q->d[1]);
    for (int i = 0; i < 3; i++)
        r->shape[i] = r->in[i]->shape;
    return check_equal(r, 3, "o", q) && check_equal(r, 4, "lse", &lse) && check_equal(r, 5, "gradient", q);
}

bool shape_timestep_embedding(ons_rule *r)
{
    int64_t dim = r->attrs->timestep.dim;
    char text[96];

    if (r->in[0]->shape.n != 1)
        return ons_rule_fail(r, "timesteps must be [N], found %s", ons_shape_text(&r->in[0]->shape, text));
    if (dim < 2 || dim % 2)
        return ons_rule_fail(r, "dimension must be even and positive, found %lld", (long long)dim);
    if (!(r->attrs->timestep.max_period > 0) || !((double)dim / 2 - r->attrs->timestep.shift > 0))
        return ons_rule_fail(r, "period %g and shift %g; the period must be positive, the shift below %lld",
                             r->attrs->timestep.max_period, r->attrs->timestep.shift, (long long)dim / 2);
    r->shape[0] = ONS_SHAPE2(r->in[0]->shape.d[0], dim);
    return true;
}
