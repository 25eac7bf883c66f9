/*
 * Matrix products of oneDNN. Transposed operands are strides. A weight is packed in the layout that oneDNN
 * chooses, as is a matrix of another type than the first factor's; any other second factor is read as it lies.
 */
#include "backend/cpu/onednn.h"

static ons_onednn_tensor matrix(int64_t batch, int64_t rows, int64_t columns, bool transposed, ons_dtype dtype)
{
    int64_t down = transposed ? 1 : columns, right = transposed ? rows : 1;

    if (!batch)
        return (ons_onednn_tensor){.n = 2, .dtype = dtype, .d = {rows, columns}, .stride = {down, right}};
    return (ons_onednn_tensor){
        .n = 3, .dtype = dtype, .d = {batch, rows, columns}, .stride = {rows * columns, down, right}};
}

/* A bias under each row of a product. */
static ons_onednn_tensor row_vector(const ons_value *v, bool batched)
{
    int64_t n = v->shape.d[0];

    if (!batched)
        return (ons_onednn_tensor){.n = 2, .dtype = v->dtype, .d = {1, n}, .stride = {n, 1}};
    return (ons_onednn_tensor){.n = 3, .dtype = v->dtype, .d = {1, 1, n}, .stride = {n, n, 1}};
}

/* The bias is there whether the operator has one or not: the first factor's zero is in it. */
static void describe_8_bits(const ons_node *n, int64_t columns, ons_onednn_desc *d)
{
    d->scale = (float)n->attrs.quantise.scale;
    d->zero = n->attrs.quantise.zero;
    d->at[ONS_ONEDNN_BIAS] = d->at[ONS_ONEDNN_SCALE] =
        (ons_onednn_tensor){.n = 2, .d = {1, columns}, .stride = {columns, 1}};
}

static onestep_status prepare(ons_prep *p)
{
    const ons_node *n = p->node;
    const ons_attrs *at = &n->attrs;
    const ons_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
    bool ta = at->matmul.trans_a, tb = at->matmul.trans_b;
    int64_t k = b->d[b->n - 1 - !tb], columns = b->d[b->n - 1 - tb], batch = 0, rows;
    ons_onednn_desc d = {.kind = ONS_ONEDNN_MATMUL, .type = n->in[0]->dtype, .alpha = (float)at->matmul.alpha};
    int next = 2;

    if (b->n > 2) {
        rows = a->d[a->n - 1 - !ta];
        batch = ons_shape_count(b) / (k * columns);
    } else {
        rows = ons_shape_count(a) / k;
        d.free_weights = ons_onednn_param(n->in[1]) || n->in[1]->dtype != d.type;
    }
    d.at[ONS_ONEDNN_SRC] = matrix(batch, rows, k, ta, n->in[0]->dtype);
    d.at[ONS_ONEDNN_WEIGHTS] = matrix(batch, k, columns, tb, n->in[1]->dtype);
    d.at[ONS_ONEDNN_DST] = matrix(batch, rows, columns, false, n->out[0]->dtype);
    if (at->matmul.bias)
        d.at[ONS_ONEDNN_BIAS] = row_vector(n->in[next++], batch > 0);
    if (at->matmul.residual)
        d.at[ONS_ONEDNN_RESIDUAL] = matrix(batch, rows, columns, false, n->in[next]->dtype);
    if (d.type == ONS_U8) {
        d.free_weights = true;
        describe_8_bits(n, columns, &d);
    }
    return ons_onednn_prepare(p, &d);
}

static onestep_status run(const ons_prep *p, const ons_args *a)
{
    const ons_attrs *at = &p->node->attrs;
    void *data[ONS_ONEDNN_N_ROLES] = {(void *)a->in[0], (void *)a->in[1], NULL, a->out[0]};
    int next = 2;

    if (at->matmul.bias)
        data[ONS_ONEDNN_BIAS] = (void *)a->in[next++];
    if (at->matmul.residual)
        data[ONS_ONEDNN_RESIDUAL] = (void *)a->in[next];
    return ons_onednn_run(p, data, a->scratch);
}

static const ons_kernel u8_rows[] = {
    {"onednn_int8", ons_onednn_refuse_not_u8, prepare, run, ons_onednn_destroy},
    {0},
};
static const ons_kernel bf16_rows[] = {
    {"onednn_bf16", ons_onednn_refuse_not_bf16, prepare, run, ons_onednn_destroy},
    {0},
};
static const ons_kernel f32_rows[] = {
    {"onednn", ons_cpu_refuse_not_f32, prepare, run, ons_onednn_destroy},
    {0},
};

const ons_kernel *ons_onednn_matmul_kernels(ons_onednn_rows which)
{
    if (which == ONS_ONEDNN_U8)
        return u8_rows;
    return which == ONS_ONEDNN_BF16 ? bf16_rows : which == ONS_ONEDNN_F32 ? f32_rows : NULL;
}
