/* Convolutions of oneDNN, all three directions, on NHWC images as they lie. */
#include "backend/cpu/onednn.h"

/* oneDNN names the dimensions of an image N, C, H, W and of weights O, C, kh, kw, whatever their order in
 * memory. */
static ons_onednn_tensor channels_last(const ons_shape *s, ons_dtype dtype)
{
    int64_t a = s->d[0], h = s->d[1], w = s->d[2], c = s->d[3];

    return (ons_onednn_tensor){.n = 4, .dtype = dtype, .d = {a, c, h, w}, .stride = {h * w * c, 1, w * c, c}};
}

static ons_onednn_tensor value_at(const ons_value *v)
{
    if (v->shape.n == 1)
        return (ons_onednn_tensor){.n = 1, .dtype = v->dtype, .d = {v->shape.d[0]}, .stride = {1}};
    return channels_last(&v->shape, v->dtype);
}

/* Which operand plays which part; the result's place is NULL among the operands. */
static void place_values(const ons_node *n, const ons_value *at[ONS_ONEDNN_N_ROLES])
{
    int next = 2;

    switch (n->op) {
    case ONS_OP_CONV2D_GRAD_X:
        at[ONS_ONEDNN_SRC] = n->out[0];
        at[ONS_ONEDNN_WEIGHTS] = n->in[1];
        at[ONS_ONEDNN_DST] = n->in[0];
        break;
    case ONS_OP_CONV2D_GRAD_W:
        at[ONS_ONEDNN_SRC] = n->in[0];
        at[ONS_ONEDNN_WEIGHTS] = n->out[0];
        at[ONS_ONEDNN_BIAS] = n->out[1];
        at[ONS_ONEDNN_DST] = n->in[1];
        break;
    default:
        at[ONS_ONEDNN_SRC] = n->in[0];
        at[ONS_ONEDNN_WEIGHTS] = n->in[1];
        at[ONS_ONEDNN_BIAS] = n->attrs.conv.bias ? n->in[next++] : NULL;
        at[ONS_ONEDNN_RESIDUAL] = n->attrs.conv.residual ? n->in[next] : NULL;
        at[ONS_ONEDNN_DST] = n->out[0];
    }
}

/* The bias is there whether the operator has one or not: the first factor's zero is in it. */
static void describe_8_bits(const ons_node *n, ons_onednn_desc *d)
{
    const int64_t o = n->in[1]->shape.d[0];

    d->scale = (float)n->attrs.quantise.scale;
    d->zero = n->attrs.quantise.zero;
    d->at[ONS_ONEDNN_BIAS] = (ons_onednn_tensor){.n = 1, .d = {o}, .stride = {1}};
    d->at[ONS_ONEDNN_SCALE] = (ons_onednn_tensor){.n = 4, .d = {1, o, 1, 1}, .stride = {o, 1, o, o}};
}

static onestep_status prepare(ons_prep *p)
{
    const ons_attrs *a = &p->node->attrs;
    const ons_value *at[ONS_ONEDNN_N_ROLES] = {NULL};
    ons_onednn_desc d = {.type = p->node->in[0]->dtype,
                         .free_weights = true,
                         .stride = a->conv.stride,
                         .pad_before = {a->conv.pad_top, a->conv.pad_left},
                         .pad_after = {a->conv.pad_bottom, a->conv.pad_right},
                         .alpha = 1.f};

    d.kind = p->node->op == ONS_OP_CONV2D          ? ONS_ONEDNN_CONV
             : p->node->op == ONS_OP_CONV2D_GRAD_X ? ONS_ONEDNN_CONV_GRAD_X
                                                   : ONS_ONEDNN_CONV_GRAD_W;
    place_values(p->node, at);
    for (int i = 0; i < ONS_ONEDNN_N_ROLES; i++)
        if (at[i])
            d.at[i] = value_at(at[i]);
    if (d.type == ONS_U8)
        describe_8_bits(p->node, &d);
    return ons_onednn_prepare(p, &d);
}

static onestep_status run_forward(const ons_prep *p, const ons_args *a)
{
    const ons_attrs *at = &p->node->attrs;
    void *data[ONS_ONEDNN_N_ROLES] = {(void *)a->in[0], (void *)a->in[1], NULL, a->out[0]};
    int next = 2;

    if (at->conv.bias)
        data[ONS_ONEDNN_BIAS] = (void *)a->in[next++];
    if (at->conv.residual)
        data[ONS_ONEDNN_RESIDUAL] = (void *)a->in[next];
    return ons_onednn_run(p, data, a->scratch);
}

static onestep_status run_grad_x(const ons_prep *p, const ons_args *a)
{
    return ons_onednn_run(p, (void *[ONS_ONEDNN_N_ROLES]){a->out[0], (void *)a->in[1], NULL, (void *)a->in[0]},
                          a->scratch);
}

static onestep_status run_grad_w(const ons_prep *p, const ons_args *a)
{
    return ons_onednn_run(
        p, (void *[ONS_ONEDNN_N_ROLES]){(void *)a->in[0], a->out[0], a->out[1], (void *)a->in[1]}, a->scratch);
}

/*
 * With few channels on either side our tiles are mostly padding: from 4 to 64 channels, from 3 to 32 and back,
 * oneDNN took 0.3 to 0.85 of their time with AVX-512, 0.4 to 1 with AVX2, over all directions (bench_kernels).
 */
static const char *refuse_not_narrow(const ons_node *n)
{
    const ons_value *other = n->op == ONS_OP_CONV2D_GRAD_W ? n->in[1] : n->out[0];
    const char *why = ons_cpu_refuse_not_f32(n);

    if (why)
        return why;
    return n->in[0]->shape.d[3] < 16 || other->shape.d[3] < 16 ? NULL : "16 channels or more";
}

/* By direction and ons_onednn_rows. */
static const ons_kernel rows[3][3][2] = {
    {{{"onednn_bf16", ons_onednn_refuse_not_bf16, prepare, run_forward, ons_onednn_destroy}},
     {{"onednn_narrow", refuse_not_narrow, prepare, run_forward, ons_onednn_destroy}},
     {{"onednn", ons_cpu_refuse_not_f32, prepare, run_forward, ons_onednn_destroy}}},
    {{{"onednn_bf16", ons_onednn_refuse_not_bf16, prepare, run_grad_x, ons_onednn_destroy}},
     {{"onednn_narrow", refuse_not_narrow, prepare, run_grad_x, ons_onednn_destroy}},
     {{"onednn", ons_cpu_refuse_not_f32, prepare, run_grad_x, ons_onednn_destroy}}},
    {{{"onednn_bf16", ons_onednn_refuse_not_bf16, prepare, run_grad_w, ons_onednn_destroy}},
     {{"onednn_narrow", refuse_not_narrow, prepare, run_grad_w, ons_onednn_destroy}},
     {{"onednn", ons_cpu_refuse_not_f32, prepare, run_grad_w, ons_onednn_destroy}}},
};

const ons_kernel *ons_onednn_conv_kernels(ons_op op, ons_onednn_rows which)
{
    static const ons_kernel u8_rows[] = {
        {"onednn_int8", ons_onednn_refuse_not_u8, prepare, run_forward, ons_onednn_destroy}, {0}};
    int direction = op == ONS_OP_CONV2D ? 0 : op == ONS_OP_CONV2D_GRAD_X ? 1 : 2;

    if (which == ONS_ONEDNN_U8)
        return direction == 0 ? u8_rows : NULL;
    return rows[direction][which - ONS_ONEDNN_BF16];
}
