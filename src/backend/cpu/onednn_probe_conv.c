/*
 * See onednn_probe.h. Operands keep whatever layout the implementation asks for: reordering to and from it is
 * not timed, which is to the roofline's favour.
 */
#include "backend/cpu/onednn_probe.h"

#include <oneapi/dnnl/dnnl.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"
#include "base/random.h"

typedef struct conv {
    ons_probe base;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t hint, pd; /* hint: the forward one, NULL for forward itself */
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3];
    float *data[3];
    dnnl_exec_arg_t args[3];
    bool bf16;
    int n_threads;
} conv;

enum { X, W, Y };

static dnnl_data_type_t type_of(const conv *b, int which, int operand)
{
    return b->bf16 && !(which == 2 && operand == W) ? dnnl_bf16 : dnnl_f32;
}

#if DNNL_VERSION_MAJOR >= 3
static dnnl_memory_desc_t make_desc(const dnnl_dims_t dims, dnnl_data_type_t type)
{
    dnnl_memory_desc_t md = NULL;

    dnnl_memory_desc_create_with_tag(&md, 4, dims, type, dnnl_format_tag_any);
    return md;
}

static void make_primitive_desc(conv *b, int which, dnnl_alg_kind_t alg, const dnnl_dims_t dims[3],
                                dnnl_primitive_desc_t *pd)
{
    const dnnl_dims_t ones = {1, 1}, zeros = {0, 0};
    dnnl_memory_desc_t x = make_desc(dims[X], type_of(b, which, X)),
                       w = make_desc(dims[W], type_of(b, which, W)),
                       y = make_desc(dims[Y], type_of(b, which, Y));

    if (which == 0)
        dnnl_convolution_forward_primitive_desc_create(pd, b->engine, dnnl_forward_training, alg, x, w, NULL, y,
                                                       ones, zeros, ones, ones, NULL);
    else if (which == 1)
        dnnl_convolution_backward_data_primitive_desc_create(pd, b->engine, alg, x, w, y, ones, zeros, ones,
                                                             ones, b->hint, NULL);
    else
        dnnl_convolution_backward_weights_primitive_desc_create(pd, b->engine, alg, x, w, NULL, y, ones, zeros,
                                                                ones, ones, b->hint, NULL);
    dnnl_memory_desc_destroy(x);
    dnnl_memory_desc_destroy(w);
    dnnl_memory_desc_destroy(y);
}
#else
typedef const dnnl_memory_desc_t *const_dnnl_memory_desc_t;

static void make_primitive_desc(conv *b, int which, dnnl_alg_kind_t alg, const dnnl_dims_t dims[3],
                                dnnl_primitive_desc_t *pd)
{
    const dnnl_dims_t ones = {1, 1};
    dnnl_memory_desc_t md[3];
    dnnl_convolution_desc_t d;

    for (int i = 0; i < 3; i++)
        dnnl_memory_desc_init_by_tag(&md[i], 4, dims[i], type_of(b, which, i), dnnl_format_tag_any);
    if (which == 0)
        dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, alg, &md[X], &md[W], NULL, &md[Y], ones,
                                           ones, ones);
    else if (which == 1)
        dnnl_convolution_backward_data_desc_init(&d, alg, &md[X], &md[W], &md[Y], ones, ones, ones);
    else
        dnnl_convolution_backward_weights_desc_init(&d, alg, &md[X], &md[W], NULL, &md[Y], ones, ones, ones);
    dnnl_primitive_desc_create(pd, &d, NULL, b->engine, b->hint);
}
#endif

/* Numbers in [0, 1) in either type: two bf16 lie in the halves of each float, and are made so. */
static bool make_operand(conv *b, int which, int i, dnnl_query_t what, int arg)
{
    const_dnnl_memory_desc_t md = dnnl_primitive_desc_query_md(b->pd, what, 0);
    size_t bytes = dnnl_memory_desc_get_size(md);

    b->data[i] = ons_calloc_aligned(bytes + 64);
    if (!b->data[i] || dnnl_memory_create(&b->memory[i], md, b->engine, b->data[i]) != dnnl_success)
        return false;
    ons_rand_uniform(1, (uint64_t)i + 1, 0, b->data[i], bytes / 4);
    if (type_of(b, which, i) == dnnl_bf16)
        for (size_t k = 0; k < bytes / 4; k++)
            ((uint16_t *)b->data[i])[2 * k] = ((uint16_t *)b->data[i])[2 * k + 1];
    b->args[i] = (dnnl_exec_arg_t){arg, b->memory[i]};
    return true;
}

static bool make_operands(conv *b, int which)
{
    return make_operand(b, which, X, which == 1 ? dnnl_query_diff_src_md : dnnl_query_src_md,
                        which == 1 ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC) &&
           make_operand(b, which, W, which == 2 ? dnnl_query_diff_weights_md : dnnl_query_weights_md,
                        which == 2 ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS) &&
           make_operand(b, which, Y, which == 0 ? dnnl_query_dst_md : dnnl_query_diff_dst_md,
                        which == 0 ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST);
}

static void destroy(ons_probe *p)
{
    conv *b = (conv *)p;

    for (int i = 0; i < 3; i++) {
        if (b->memory[i])
            dnnl_memory_destroy(b->memory[i]);
        ons_free_aligned(b->data[i]);
    }
    if (b->primitive)
        dnnl_primitive_destroy(b->primitive);
    if (b->pd)
        dnnl_primitive_desc_destroy(b->pd);
    if (b->hint)
        dnnl_primitive_desc_destroy(b->hint);
    if (b->stream)
        dnnl_stream_destroy(b->stream);
    if (b->engine)
        dnnl_engine_destroy(b->engine);
    ons_free(b);
}

static void run(ons_probe *p)
{
    conv *b = (conv *)p;
    const int before = ons_cpu_set_threads(b->n_threads);

    dnnl_primitive_execute(b->primitive, b->stream, 3, b->args);
    dnnl_stream_wait(b->stream);
    ons_cpu_set_threads(before);
}

/* which: 0 forward, 1 backward-data, 2 backward-weights. False: this oneDNN has none for it here. */
static bool make_conv(conv *b, int which, const dnnl_dims_t dims[3], bool winograd)
{
    const dnnl_alg_kind_t alg = winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;

    if (dnnl_engine_create(&b->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&b->stream, b->engine, dnnl_stream_default_flags) != dnnl_success)
        return false;
    if (which > 0)
        make_primitive_desc(b, 0, alg, dims, &b->hint);
    if (which == 0 || b->hint)
        make_primitive_desc(b, which, alg, dims, &b->pd);
    if (!b->pd || dnnl_primitive_create(&b->primitive, b->pd) != dnnl_success || !make_operands(b, which))
        return false;
    dnnl_primitive_desc_query(b->pd, dnnl_query_impl_info_str, 0, &b->base.name);
    return true;
}

static bool is_ordinary(const ons_node *n, const ons_shape *x)
{
    return n->attrs.conv.stride == 1 && x->d[1] == x->d[2] && n->attrs.conv.pad_top == 1 &&
           n->attrs.conv.pad_left == 1 && n->attrs.conv.pad_bottom == 1 && n->attrs.conv.pad_right == 1;
}

ons_probe *ons_onednn_probe_conv(const ons_node *n, int n_threads, bool fast)
{
    const int which = n->op == ONS_OP_CONV2D ? 0 : n->op == ONS_OP_CONV2D_GRAD_X ? 1 : 2;
    const ons_shape *x = which == 1 ? &n->out[0]->shape : &n->in[0]->shape,
                    *w = which == 2 ? &n->out[0]->shape : &n->in[1]->shape;
    const dnnl_dims_t dims[3] = {
        {x->d[0], x->d[3], x->d[1], x->d[1]}, {w->d[0], x->d[3], 3, 3}, {x->d[0], w->d[0], x->d[1], x->d[1]}};
    conv *b;

    if (!is_ordinary(n, x) || w->d[1] != 3 || w->d[2] != 3 || !(b = ons_calloc(1, sizeof *b)))
        return NULL;
    *b = (conv){.base = {"oneDNN", "", run, destroy}, .n_threads = n_threads};
    b->bf16 = n->in[0]->dtype == ONS_BF16;
    if (make_conv(b, which, dims, fast))
        return &b->base;
    destroy(&b->base);
    return NULL;
}
