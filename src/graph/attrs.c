/*
 * The attributes that matter for each operator, as named numbers: what dumps print and what makes two nodes
 * equal. One list for both, so that a new attribute cannot be visible in one and forgotten in the other. Target
 * shapes and types are not listed: the outputs carry them.
 */
#include "graph/graph_private.h"

typedef struct list {
    ons_attr *items;
    int n;
} list;

static void put(list *l, const char *key, double value)
{
    l->items[l->n++] = (ons_attr){key, value};
}

static void put_conv(list *l, const ons_attrs *a)
{
    put(l, "stride", a->conv.stride);
    put(l, "pad_top", a->conv.pad_top);
    put(l, "pad_left", a->conv.pad_left);
    put(l, "pad_bottom", a->conv.pad_bottom);
    put(l, "pad_right", a->conv.pad_right);
    put(l, "bias", a->conv.bias);
    put(l, "residual", a->conv.residual);
    if (a->conv.folded)
        put(l, "folded", 1);
}

static void put_matmul(list *l, const ons_attrs *a)
{
    put(l, "trans_a", a->matmul.trans_a);
    put(l, "trans_b", a->matmul.trans_b);
    put(l, "alpha", a->matmul.alpha);
    put(l, "bias", a->matmul.bias);
    put(l, "residual", a->matmul.residual);
}

/* Of the operator itself, and of a product that reads its result. */
static void put_quantise(list *l, const ons_attrs *a)
{
    put(l, "scale", a->quantise.scale);
    put(l, "zero", a->quantise.zero);
}

static void put_norm(list *l, const ons_attrs *a, bool grouped)
{
    if (grouped) {
        put(l, "groups", a->norm.n_groups);
        put(l, "silu", a->norm.act == ONS_ACT_SILU);
    }
    put(l, "eps", a->norm.eps);
}

static void put_attention(list *l, const ons_attrs *a)
{
    put(l, "heads", a->attention.n_heads);
    put(l, "scale", a->attention.scale);
    put(l, "causal", a->attention.causal);
}

static void put_param(list *l, const ons_attrs *a)
{
    put(l, "slot", a->param.slot);
    put(l, "index", a->param.index);
    put(l, "trainable", a->param.trainable);
}

static void put_slice(list *l, const ons_attrs *a)
{
    put(l, "axis", a->slice.axis);
    put(l, "start", (double)a->slice.start);
}

static void put_transpose(list *l, const ons_node *n)
{
    static const char *const keys[ONS_MAX_DIMS] = {"from0", "from1", "from2", "from3"};

    for (int i = 0; i < n->in[0]->shape.n; i++)
        put(l, keys[i], n->attrs.transpose.perm[i]);
}

static void put_timestep(list *l, const ons_attrs *a)
{
    put(l, "flip", a->timestep.flip_sin_to_cos);
    put(l, "shift", a->timestep.shift);
    put(l, "max_period", a->timestep.max_period);
}

int ons_node_attrs(const ons_node *n, ons_attr *items)
{
    const ons_attrs *a = &n->attrs;
    list l = {items, 0};

    switch (n->op) {
    case ONS_OP_PARAM:
        put_param(&l, a);
        break;
    case ONS_OP_AFFINE:
        put(&l, "scale", a->affine.scale);
        put(&l, "shift", a->affine.shift);
        break;
    case ONS_OP_CLAMP:
    case ONS_OP_CLAMP_GRAD:
        put(&l, "lo", a->clamp.lo);
        put(&l, "hi", a->clamp.hi);
        break;
    case ONS_OP_TRANSPOSE:
        put_transpose(&l, n);
        break;
    case ONS_OP_CONCAT:
        put(&l, "axis", a->slice.axis);
        break;
    case ONS_OP_SLICE:
    case ONS_OP_PAD_ZERO:
        put_slice(&l, a);
        break;
    case ONS_OP_QUANTISE:
        put_quantise(&l, a);
        put(&l, "pad_top", a->quantise.pad_top);
        put(&l, "pad_left", a->quantise.pad_left);
        put(&l, "pad_bottom", a->quantise.pad_bottom);
        put(&l, "pad_right", a->quantise.pad_right);
        break;
    case ONS_OP_CONV2D:
    case ONS_OP_CONV2D_UPSAMPLED:
    case ONS_OP_CONV2D_GRAD_X:
    case ONS_OP_CONV2D_GRAD_W:
        put_conv(&l, a);
        if (n->in[0]->dtype == ONS_U8)
            put_quantise(&l, a);
        break;
    case ONS_OP_MATMUL:
        put_matmul(&l, a);
        if (n->in[0]->dtype == ONS_U8)
            put_quantise(&l, a);
        break;
    case ONS_OP_GROUP_NORM:
    case ONS_OP_GROUP_NORM_GRAD:
        put_norm(&l, a, true);
        break;
    case ONS_OP_LAYER_NORM:
    case ONS_OP_LAYER_NORM_GRAD:
        put_norm(&l, a, false);
        break;
    case ONS_OP_ATTENTION:
    case ONS_OP_ATTENTION_GRAD:
        put_attention(&l, a);
        break;
    case ONS_OP_TIMESTEP_EMBEDDING:
        put_timestep(&l, a);
        break;
    default:
        break;
    }
    return l.n;
}
