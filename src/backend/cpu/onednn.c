/*
 * The one place that makes oneDNN's primitives, and that knows its versions apart: 2.x describes memory by
 * value and a primitive by an operation descriptor, 3.x by handles and by one call. Scratchpads are the
 * caller's, so that running allocates nothing but what oneDNN's own argument list takes. Activations are read
 * where they lie (NHWC, rows of matrices); weights and their gradients have the layout that oneDNN chooses, and
 * are packed by our own code. A product is cut into pieces that run on one thread each (onednn_cut.c): oneDNN's
 * own threads are OpenMP's, which spin where they wait. Refused: oneDNN's reference implementations, and
 * convolutions that unfold the image for a matrix product.
 */
#include <dnnl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/onednn.h"
#include "base/memory.h"

enum { SUM_GRAIN = 1 << 14 }; /* floats that are worth a thread */

enum { SRC = ONS_ONEDNN_SRC, WEIGHTS, BIAS, DST, RESIDUAL, SCALE, SCRATCHPAD, N_MEMORIES };

typedef struct geometry {
    dnnl_dims_t stride, dilation, before, after;
} geometry;

#if DNNL_VERSION_MAJOR >= 3

typedef dnnl_memory_desc_t md; /* a handle */
typedef const_dnnl_memory_desc_t md_ref;

static md_ref refer(const md *m)
{
    return *m;
}

static void free_md(md *m)
{
    if (*m)
        dnnl_memory_desc_destroy(*m);
}

static dnnl_status_t copy_md(md *m, md_ref from)
{
    return dnnl_memory_desc_clone(m, from);
}

static dnnl_status_t init_plain(md *m, const ons_onednn_tensor *t, dnnl_data_type_t type)
{
    return dnnl_memory_desc_create_with_strides(m, t->n, t->d, type, t->stride);
}

static dnnl_status_t init_any(md *m, const ons_onednn_tensor *t, dnnl_data_type_t type)
{
    return dnnl_memory_desc_create_with_tag(m, t->n, t->d, type, dnnl_format_tag_any);
}

static bool read_blocks(md_ref m, ons_onednn_layout *l)
{
    dnnl_format_kind_t kind = dnnl_format_kind_undef;
    const dnnl_dims_t *strides, *blocks, *dims;

    if (dnnl_memory_desc_query(m, dnnl_query_format_kind, &kind) || kind != dnnl_blocked ||
        dnnl_memory_desc_query(m, dnnl_query_strides, &strides) ||
        dnnl_memory_desc_query(m, dnnl_query_inner_nblks_s32, &l->n_blocks) ||
        dnnl_memory_desc_query(m, dnnl_query_inner_blks, &blocks) ||
        dnnl_memory_desc_query(m, dnnl_query_inner_idxs, &dims))
        return false;
    memcpy(l->stride, *strides, sizeof l->stride);
    memcpy(l->block, *blocks, sizeof l->block);
    memcpy(l->block_dim, *dims, sizeof l->block_dim);
    return true;
}

static dnnl_status_t append_linear(dnnl_post_ops_t ops, float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_linear, alpha, 0.f);
}

static dnnl_status_t describe_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, dnnl_prop_kind_t prop,
                                      const md_ref *at, const geometry *g, const_dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_forward_primitive_desc_create(pd, e, prop, dnnl_convolution_direct, at[SRC],
                                                          at[WEIGHTS], at[BIAS], at[DST], g->stride,
                                                          g->dilation, g->before, g->after, attr);
}

static dnnl_status_t describe_grad_x(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const md_ref *at,
                                     const geometry *g, const_dnnl_primitive_desc_t hint,
                                     const_dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_backward_data_primitive_desc_create(pd, e, dnnl_convolution_direct, at[SRC],
                                                                at[WEIGHTS], at[DST], g->stride, g->dilation,
                                                                g->before, g->after, hint, attr);
}

static dnnl_status_t describe_grad_w(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const md_ref *at,
                                     const geometry *g, const_dnnl_primitive_desc_t hint,
                                     const_dnnl_primitive_attr_t attr)
{
    return dnnl_convolution_backward_weights_primitive_desc_create(
        pd, e, dnnl_convolution_direct, at[SRC], at[WEIGHTS], at[BIAS], at[DST], g->stride, g->dilation,
        g->before, g->after, hint, attr);
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const md_ref *at,
                                     const_dnnl_primitive_attr_t attr)
{
    return dnnl_matmul_primitive_desc_create(pd, e, at[SRC], at[WEIGHTS], at[BIAS], at[DST], attr);
}

#else

typedef dnnl_memory_desc_t md;
typedef const dnnl_memory_desc_t *md_ref;

static md_ref refer(const md *m)
{
    return m->ndims ? m : NULL;
}

static void free_md(md *m)
{
    (void)m;
}

static dnnl_status_t copy_md(md *m, md_ref from)
{
    *m = *from;
    return dnnl_success;
}

static dnnl_status_t init_plain(md *m, const ons_onednn_tensor *t, dnnl_data_type_t type)
{
    return dnnl_memory_desc_init_by_strides(m, t->n, t->d, type, t->stride);
}

static dnnl_status_t init_any(md *m, const ons_onednn_tensor *t, dnnl_data_type_t type)
{
    return dnnl_memory_desc_init_by_tag(m, t->n, t->d, type, dnnl_format_tag_any);
}

static bool read_blocks(md_ref m, ons_onednn_layout *l)
{
    const dnnl_blocking_desc_t *b = &m->format_desc.blocking;

    if (m->format_kind != dnnl_blocked || m->extra.flags != dnnl_memory_extra_flag_none)
        return false;
    l->n_blocks = b->inner_nblks;
    memcpy(l->stride, b->strides, sizeof l->stride);
    memcpy(l->block, b->inner_blks, sizeof l->block);
    memcpy(l->block_dim, b->inner_idxs, sizeof l->block_dim);
    return true;
}

static dnnl_status_t append_linear(dnnl_post_ops_t ops, float alpha)
{
    return dnnl_post_ops_append_eltwise(ops, 1.f, dnnl_eltwise_linear, alpha, 0.f);
}

static dnnl_status_t describe_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t e, dnnl_prop_kind_t prop,
                                      const md_ref *at, const geometry *g, const_dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t d;
    dnnl_status_t st =
        dnnl_convolution_forward_desc_init(&d, prop, dnnl_convolution_direct, at[SRC], at[WEIGHTS], at[BIAS],
                                           at[DST], g->stride, g->before, g->after);

    return st ? st : dnnl_primitive_desc_create(pd, &d, attr, e, NULL);
}

static dnnl_status_t describe_grad_x(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const md_ref *at,
                                     const geometry *g, const_dnnl_primitive_desc_t hint,
                                     const_dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t d;
    dnnl_status_t st = dnnl_convolution_backward_data_desc_init(
        &d, dnnl_convolution_direct, at[SRC], at[WEIGHTS], at[DST], g->stride, g->before, g->after);

    return st ? st : dnnl_primitive_desc_create(pd, &d, attr, e, hint);
}

static dnnl_status_t describe_grad_w(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const md_ref *at,
                                     const geometry *g, const_dnnl_primitive_desc_t hint,
                                     const_dnnl_primitive_attr_t attr)
{
    dnnl_convolution_desc_t d;
    dnnl_status_t st = dnnl_convolution_backward_weights_desc_init(
        &d, dnnl_convolution_direct, at[SRC], at[WEIGHTS], at[BIAS], at[DST], g->stride, g->before, g->after);

    return st ? st : dnnl_primitive_desc_create(pd, &d, attr, e, hint);
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *pd, dnnl_engine_t e, const md_ref *at,
                                     const_dnnl_primitive_attr_t attr)
{
    dnnl_matmul_desc_t d;
    dnnl_status_t st = dnnl_matmul_desc_init(&d, at[SRC], at[WEIGHTS], at[BIAS], at[DST]);

    return st ? st : dnnl_primitive_desc_create(pd, &d, attr, e, NULL);
}

#endif

/* Engine and stream serve the whole process; they hold no state of a computation. */
static dnnl_engine_t engine;
static dnnl_stream_t stream;
static dnnl_status_t started;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
    started = dnnl_engine_create(&engine, dnnl_cpu, 0);
    if (started == dnnl_success)
        started = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
}

/* An instruction set has the bits of those that it includes; processors other than x86-64 have none of these.
 */
static bool has_isa(unsigned bits)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & bits) == bits;
}

bool ons_cpu_has_bf16(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core_bf16);
}

bool ons_cpu_has_amx(void)
{
    return has_isa(dnnl_cpu_isa_avx512_core_amx);
}

bool ons_cpu_has_int8(void)
{
    const unsigned vnni = dnnl_cpu_isa_avx512_core_vnni;

    return ((unsigned)dnnl_get_effective_cpu_isa() & vnni) == vnni;
}

/* A primitive with its memories, which one thread runs. */
typedef struct piece {
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[N_MEMORIES];
    void *handle[N_MEMORIES]; /* what the memories point to now */
    dnnl_exec_arg_t args[N_MEMORIES];
    int n_args;
    size_t offset[ONS_ONEDNN_N_ROLES]; /* of its operands within the whole ones */
} piece;

/* A product. */
typedef struct state {
    ons_onednn_kind kind;
    piece *pieces; /* [n_pieces] */
    int n_pieces;
    bool free_weights, packed_weights;
    ons_onednn_layout layout;
    const ons_packed *packed; /* NULL: weights are packed in each run */
    float scale;              /* 8-bit products: of the first factor, and its zero */
    int zero;
    size_t scratchpad_bytes;    /* of a piece */
    size_t weights_at, bias_at; /* in scratch, after oneDNN's own */
    size_t scale_at;
    size_t weights_bytes, bias_bytes; /* between the pieces' gradients there */
    size_t bias_data_bytes;           /* of one, without what aligns them */
    char name[64];
} state;

/* What creating a primitive needs, and the state does not keep. */
typedef struct recipe {
    const ons_onednn_desc *d;
    md_ref weights; /* the layout that the first piece has; NULL: this is the first */
    md mds[N_MEMORIES], hint_mds[N_MEMORIES];
    md_ref at[N_MEMORIES];
    geometry g;
    dnnl_primitive_attr_t attr;
    dnnl_post_ops_t ops;
    dnnl_primitive_desc_t pd, hint;
    int arg[N_MEMORIES];
} recipe;

static const int arg_names[][RESIDUAL] = {
    [ONS_ONEDNN_CONV] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
    [ONS_ONEDNN_CONV_GRAD_X] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DIFF_DST},
    [ONS_ONEDNN_CONV_GRAD_W] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS, DNNL_ARG_DIFF_DST},
    [ONS_ONEDNN_MATMUL] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST},
};

static dnnl_data_type_t find_type(ons_dtype t)
{
    return t == ONS_BF16 ? dnnl_bf16 : t == ONS_U8 ? dnnl_u8 : t == ONS_I8 ? dnnl_s8 : dnnl_f32;
}

static ons_dtype weight_type(ons_dtype factors)
{
    return factors == ONS_U8 ? ONS_I8 : factors;
}

/* In a hint, the forward product that a gradient belongs to, all factors are of one type. */
static dnnl_status_t init_tensor(md *m, const ons_onednn_desc *d, int i, bool hint)
{
    const ons_onednn_tensor *t = &d->at[i];
    bool free = i == WEIGHTS && d->free_weights, packed = free && d->kind != ONS_ONEDNN_CONV_GRAD_W;
    dnnl_data_type_t type = find_type(packed ? weight_type(d->type) : hint ? d->type : t->dtype);

    return free ? init_any(m, t, type) : init_plain(m, t, type);
}

static dnnl_status_t init_tensors(const ons_onednn_desc *d, md_ref weights, md *mds, md_ref *at, bool hint)
{
    for (int i = 0; i < ONS_ONEDNN_N_ROLES; i++) {
        dnnl_status_t st;

        if (!d->at[i].n || (hint && i == BIAS))
            continue;
        st = i == WEIGHTS && weights ? copy_md(&mds[i], weights) : init_tensor(&mds[i], d, i, hint);
        if (st != dnnl_success)
            return st;
        at[i] = refer(&mds[i]);
    }
    return dnnl_success;
}

/* Adds operand i to the sums, or multiplies them by it, after what is already done to them. */
static dnnl_status_t append_operand(recipe *r, int i, dnnl_alg_kind_t how)
{
    r->arg[i] = DNNL_ARG_ATTR_MULTIPLE_POST_OP(dnnl_post_ops_len(r->ops)) | DNNL_ARG_SRC_1;
    return dnnl_post_ops_append_binary(r->ops, how, r->at[i]);
}

/* The bias that oneDNN knows comes before all this, so that with a factor it must come after. */
static dnnl_status_t init_attributes(recipe *r)
{
    dnnl_status_t st = dnnl_primitive_attr_create(&r->attr);

    if (st == dnnl_success)
        st = dnnl_post_ops_create(&r->ops);
    if (st == dnnl_success && r->d->kind == ONS_ONEDNN_MATMUL && r->d->alpha != 1.f) {
        st = append_linear(r->ops, r->d->alpha);
        if (st == dnnl_success && r->at[BIAS])
            st = append_operand(r, BIAS, dnnl_binary_add);
        r->at[BIAS] = NULL;
    }
    if (st == dnnl_success && r->at[SCALE])
        st = append_operand(r, SCALE, dnnl_binary_mul);
    if (st == dnnl_success && r->at[RESIDUAL])
        st = append_operand(r, RESIDUAL, dnnl_binary_add);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_post_ops(r->attr, r->ops);
    if (st == dnnl_success)
        st = dnnl_primitive_attr_set_scratchpad_mode(r->attr, dnnl_scratchpad_mode_user);
    return st;
}

static dnnl_status_t describe_hint(recipe *r)
{
    md_ref at[N_MEMORIES] = {NULL};
    dnnl_status_t st = init_tensors(r->d, NULL, r->hint_mds, at, true);

    return st ? st : describe_forward(&r->hint, engine, dnnl_forward_training, at, &r->g, NULL);
}

static dnnl_status_t describe(recipe *r)
{
    dnnl_status_t st;

    for (int i = 0; i < 2; i++) {
        r->g.stride[i] = r->d->stride;
        r->g.before[i] = r->d->pad_before[i];
        r->g.after[i] = r->d->pad_after[i];
    }
    if (r->d->kind == ONS_ONEDNN_MATMUL)
        return describe_matmul(&r->pd, engine, r->at, r->attr);
    if (r->d->kind == ONS_ONEDNN_CONV)
        return describe_forward(&r->pd, engine, dnnl_forward_inference, r->at, &r->g, r->attr);
    if ((st = describe_hint(r)) != dnnl_success)
        return st;
    return r->d->kind == ONS_ONEDNN_CONV_GRAD_X
               ? describe_grad_x(&r->pd, engine, r->at, &r->g, r->hint, r->attr)
               : describe_grad_w(&r->pd, engine, r->at, &r->g, r->hint, r->attr);
}

static void fini_recipe(recipe *r)
{
    if (r->pd)
        dnnl_primitive_desc_destroy(r->pd);
    if (r->hint)
        dnnl_primitive_desc_destroy(r->hint);
    if (r->ops)
        dnnl_post_ops_destroy(r->ops);
    if (r->attr)
        dnnl_primitive_attr_destroy(r->attr);
    for (int i = 0; i < N_MEMORIES; i++) {
        free_md(&r->mds[i]);
        free_md(&r->hint_mds[i]);
    }
}

/* Why an implementation is not to be run; NULL: it is. */
static const char *find_flaw(ons_onednn_kind kind, const char *name)
{
    if (!strncmp(name, "ref", 3) || strstr(name, ":ref"))
        return "a reference implementation";
    if (kind != ONS_ONEDNN_MATMUL && !strncmp(name, "gemm", 4))
        return "one that unfolds the image";
    return NULL;
}

/* The first piece's implementation names the product, and its layout is everyone's. */
static onestep_status check_implementation(const ons_prep *p, state *s, const recipe *r)
{
    const char *name = NULL, *flaw;

    if (dnnl_primitive_desc_query(r->pd, dnnl_query_impl_info_str, 0, &name) != dnnl_success || !name)
        name = "unnamed";
    flaw = find_flaw(s->kind, name);
    if (flaw)
        return ons_fail(ONESTEP_UNSUPPORTED, "oneDNN has only %s (%s)", flaw, name);
    if (r->weights)
        return ONESTEP_OK;
    snprintf(s->name, sizeof s->name, "%s", name);
    if (!s->free_weights)
        return ONESTEP_OK;
    s->layout.plain = r->d->at[WEIGHTS];
    s->layout.dtype = s->kind == ONS_ONEDNN_CONV_GRAD_W ? ONS_F32 : weight_type(r->d->type);
    s->layout.n_threads = p->n_threads;
    s->layout.bytes = dnnl_memory_desc_get_size(r->at[WEIGHTS]);
    if (!read_blocks(r->at[WEIGHTS], &s->layout))
        return ons_fail(ONESTEP_UNSUPPORTED, "oneDNN wants weights in a layout of its own (%s)", name);
    return ONESTEP_OK;
}

/* The descriptors that oneDNN chose, in place of those that left it free. */
static void read_choices(recipe *r)
{
    bool grad = r->d->kind == ONS_ONEDNN_CONV_GRAD_W;

    r->at[WEIGHTS] =
        dnnl_primitive_desc_query_md(r->pd, grad ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    r->at[SCRATCHPAD] = dnnl_primitive_desc_query_md(r->pd, dnnl_query_scratchpad_md, 0);
    r->arg[SCRATCHPAD] = DNNL_ARG_SCRATCHPAD;
    for (int i = 0; i < RESIDUAL; i++)
        if (!r->arg[i])
            r->arg[i] = arg_names[r->d->kind][i];
    r->at[BIAS] = refer(&r->mds[BIAS]);
}

static dnnl_status_t create_memories(piece *x, const recipe *r)
{
    dnnl_status_t st = dnnl_primitive_create(&x->primitive, r->pd);

    for (int i = 0; i < N_MEMORIES && st == dnnl_success; i++) {
        if (!r->at[i] || !dnnl_memory_desc_get_size(r->at[i]))
            continue;
        st = dnnl_memory_create(&x->memory[i], r->at[i], engine, DNNL_MEMORY_NONE);
        x->args[x->n_args++] = (dnnl_exec_arg_t){r->arg[i], x->memory[i]};
    }
    return st;
}

static onestep_status judge(const ons_prep *p, dnnl_status_t st)
{
    switch (st) {
    case dnnl_success:
        return ONESTEP_OK;
    case dnnl_out_of_memory:
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a primitive of oneDNN", p->node->layer);
    case dnnl_unimplemented:
        return ons_fail(ONESTEP_UNSUPPORTED, "oneDNN has no implementation");
    case dnnl_invalid_arguments:
        return ons_fail(ONESTEP_UNSUPPORTED, "oneDNN does not take such operands");
    default:
        return ons_fail(ONESTEP_INTERNAL, "%s: oneDNN failed with status %d", p->node->layer, (int)st);
    }
}

static onestep_status create_piece(const ons_prep *p, state *s, piece *x, recipe *r)
{
    onestep_status st;

    ONS_TRY(judge(p, init_tensors(r->d, r->weights, r->mds, r->at, false)));
    ONS_TRY(judge(p, init_attributes(r)));
    ONS_TRY(judge(p, describe(r)));
    read_choices(r);
    ONS_TRY(check_implementation(p, s, r));
    ONS_TRY(judge(p, create_memories(x, r)));
fail:
    return st;
}

/* In each run. */
static bool packs_weights(const state *s)
{
    return s->free_weights && !s->packed && !s->packed_weights;
}

static size_t packed_bytes(const state *s)
{
    return s->layout.dtype == ONS_I8 ? ons_onednn_i8_bytes(&s->layout) : s->layout.bytes;
}

/* Of a vector of floats; 0: there is none. */
static size_t vector_bytes(const ons_onednn_tensor *v)
{
    size_t n = v->n ? sizeof(float) : 0;

    for (int i = 0; i < v->n; i++)
        n *= (size_t)v->d[i];
    return n;
}

/*
 * The pieces' scratchpads; then weights that are packed in each run, or by piece the gradient of weights as
 * oneDNN has it; then by piece a bias gradient, or an 8-bit product's own bias and its scales.
 */
static void book_scratch(ons_prep *p, state *s, const ons_onednn_desc *d)
{
    const bool grad_w = s->kind == ONS_ONEDNN_CONV_GRAD_W, scaled = d->at[SCALE].n > 0;
    const size_t n = (size_t)s->n_pieces;

    s->weights_at = s->scratchpad_bytes * n;
    s->weights_bytes = packs_weights(s) ? ons_cpu_align(packed_bytes(s)) : 0;
    s->bias_at = s->weights_at + s->weights_bytes * (grad_w ? n : 1);
    s->bias_data_bytes = vector_bytes(&d->at[BIAS]);
    s->bias_bytes = grad_w || scaled ? ons_cpu_align(s->bias_data_bytes) : 0;
    s->scale_at = s->bias_at + s->bias_bytes * (grad_w ? n : 1);
    p->scratch_bytes = s->scale_at + ons_cpu_align(vector_bytes(&d->at[SCALE]));
}

/* The first piece gets the layout of weights that oneDNN likes best, the others the same. */
static onestep_status create_pieces(const ons_prep *p, state *s, const ons_onednn_desc *d,
                                    const ons_onednn_cut *c)
{
    md weights;
    onestep_status st = ONESTEP_OK;

    memset(&weights, 0, sizeof weights);
    for (int i = 0; i < c->n && st == ONESTEP_OK; i++) {
        ons_onednn_desc cut;
        recipe r = {.d = &cut, .weights = i && s->free_weights ? refer(&weights) : NULL};
        size_t bytes;

        ons_onednn_cut_piece(d, c, i, &cut, s->pieces[i].offset);
        st = create_piece(p, s, &s->pieces[i], &r);
        bytes = st == ONESTEP_OK && r.at[SCRATCHPAD] ? dnnl_memory_desc_get_size(r.at[SCRATCHPAD]) : 0;
        if (ons_cpu_align(bytes) > s->scratchpad_bytes)
            s->scratchpad_bytes = ons_cpu_align(bytes);
        if (i == 0 && st == ONESTEP_OK)
            st = judge(p, copy_md(&weights, r.at[WEIGHTS]));
        fini_recipe(&r);
    }
    free_md(&weights);
    return st;
}

static state *create_state(const ons_onednn_desc *d, int n_pieces)
{
    state *s = ons_calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->pieces = ons_calloc((size_t)n_pieces, sizeof *s->pieces);
    if (!s->pieces) {
        ons_free(s);
        return NULL;
    }
    s->n_pieces = n_pieces;
    s->kind = d->kind;
    s->free_weights = d->free_weights;
    s->packed_weights = d->packed_weights;
    s->scale = d->scale;
    s->zero = d->zero;
    return s;
}

static onestep_status prepare_cut(ons_prep *p, const ons_onednn_desc *d, const ons_onednn_cut *c)
{
    const int threads = ons_cpu_set_threads(1);
    state *s = p->state = create_state(d, c->n);
    onestep_status st;

    if (!s) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare %s", p->node->layer,
                      ons_op_name(p->node->op));
        goto fail;
    }
    pthread_once(&once, start);
    ONS_TRY(judge(p, started));
    ONS_TRY(create_pieces(p, s, d, c));
    if (s->free_weights && !s->packed_weights && s->kind != ONS_ONEDNN_CONV_GRAD_W)
        ONS_TRY(ons_onednn_share(p, &s->layout, &s->packed));
    book_scratch(p, s, d);
    p->detail = s->name;
fail:
    ons_cpu_set_threads(threads);
    if (st != ONESTEP_OK)
        ons_onednn_destroy(p);
    return st;
}

/* Where oneDNN computes the whole but not the pieces, or not with the same weights, one thread does it all. */
onestep_status ons_onednn_prepare(ons_prep *p, const ons_onednn_desc *d)
{
    const ons_onednn_cut cut = ons_onednn_choose_cut(d, p->n_threads), whole = {1, 1};
    onestep_status st = prepare_cut(p, d, &cut);

    return st == ONESTEP_UNSUPPORTED && cut.n > 1 ? prepare_cut(p, d, &whole) : st;
}

static void destroy_piece(piece *x)
{
    for (int i = 0; i < N_MEMORIES; i++)
        if (x->memory[i])
            dnnl_memory_destroy(x->memory[i]);
    if (x->primitive)
        dnnl_primitive_destroy(x->primitive);
}

void ons_onednn_destroy(ons_prep *p)
{
    state *s = p->state;

    if (!s)
        return;
    for (int i = 0; i < s->n_pieces; i++)
        destroy_piece(&s->pieces[i]);
    ons_free(s->pieces);
    ons_free(s);
    p->state = NULL;
}

static void point(piece *x, int i, void *data)
{
    if (!x->memory[i] || x->handle[i] == data)
        return;
    dnnl_memory_set_data_handle(x->memory[i], data);
    x->handle[i] = data;
}

static void pack_weights(const state *s, void *packed, const void *plain)
{
    if (s->layout.dtype == ONS_I8)
        ons_onednn_i8_pack(&s->layout, packed, plain);
    else
        ons_onednn_pack(&s->layout, packed, plain);
}

/*
 * What turns exact sums into results: a factor, and before it, since oneDNN 2.x adds a bias to the sums
 * themselves and 3.x without scales of its own does so too, the bias in units of sums, less what the first
 * factor's zero put into them.
 */
static void scale_sums(const state *s, const void *packed, const float *bias, float *own_bias, float *scale)
{
    const ons_onednn_i8 w = ons_onednn_i8_at(&s->layout, packed);

    for (int64_t i = 0; i < w.n; i++) {
        scale[i] = s->scale * w.scale[i];
        own_bias[i] = (bias ? bias[i] / scale[i] : 0) - (float)s->zero * (float)w.sum[i];
    }
}

typedef struct run_job {
    state *s;
    void *const *data;
    char *scratch;
    char *weights;           /* of gradients, the first piece's */
    char *bias;              /* the same; NULL: there is none */
    atomic_int next, failed; /* failed: what oneDNN said, success so long as all went well */
} run_job;

static void point_piece(const run_job *j, piece *x, int i)
{
    const state *s = j->s;
    const bool grad_w = s->kind == ONS_ONEDNN_CONV_GRAD_W;

    for (int k = 0; k < ONS_ONEDNN_N_ROLES; k++)
        if (k != WEIGHTS && k != BIAS && k != SCALE)
            point(x, k, j->data[k] ? (char *)j->data[k] + x->offset[k] : NULL);
    point(x, WEIGHTS, j->weights + (grad_w ? s->weights_bytes * (size_t)i : x->offset[WEIGHTS]));
    point(x, BIAS, j->bias ? j->bias + (grad_w ? s->bias_bytes * (size_t)i : 0) : NULL);
    point(x, SCALE, j->scratch + s->scale_at);
    point(x, SCRATCHPAD, j->scratch + s->scratchpad_bytes * (size_t)i);
}

/* There may be more pieces than threads: whoever is free takes one. */
static void run_pieces(void *context, int thread, int n_threads)
{
    run_job *j = context;
    const int threads = ons_cpu_set_threads(1);

    (void)thread;
    (void)n_threads;
    for (int i; (i = atomic_fetch_add(&j->next, 1)) < j->s->n_pieces;) {
        piece *x = &j->s->pieces[i];
        dnnl_status_t st;

        point_piece(j, x, i);
        st = dnnl_primitive_execute(x->primitive, stream, x->n_args, x->args);
        if (st != dnnl_success)
            atomic_store(&j->failed, (int)st);
    }
    ons_cpu_set_threads(threads);
}

typedef struct sum_job {
    char *first;
    size_t step; /* bytes */
    int n;
} sum_job;

/* Onto the first piece's, the others in their order. */
static void add_pieces(void *context, int64_t begin, int64_t end, int thread)
{
    const sum_job *j = context;
    float *sum = (float *)j->first;

    (void)thread;
    for (int i = 1; i < j->n; i++) {
        const float *x = (const float *)(j->first + j->step * (size_t)i);

        for (int64_t k = begin; k < end; k++)
            sum[k] += x[k];
    }
}

static void finish_gradients(const ons_prep *p, const run_job *j)
{
    const state *s = j->s;
    sum_job weights = {j->weights, s->weights_bytes, s->n_pieces}, bias = {j->bias, s->bias_bytes, s->n_pieces};

    if (s->n_pieces > 1)
        ons_parallel_for(p->n_threads, (int64_t)(s->layout.bytes / sizeof(float)), SUM_GRAIN, add_pieces,
                         &weights);
    ons_onednn_unpack(&s->layout, j->data[WEIGHTS], (const float *)j->weights);
    if (s->n_pieces == 1 || !j->data[BIAS])
        return;
    add_pieces(&bias, 0, (int64_t)(s->bias_bytes / sizeof(float)), 0);
    memcpy(j->data[BIAS], j->bias, s->bias_data_bytes);
}

onestep_status ons_onednn_run(const ons_prep *p, void *const data[ONS_ONEDNN_N_ROLES], void *scratch)
{
    state *s = p->state;
    const bool grad_w = s->kind == ONS_ONEDNN_CONV_GRAD_W;
    run_job j = {.s = s, .data = data, .scratch = scratch, .weights = data[WEIGHTS], .bias = data[BIAS]};

    if (s->packed)
        j.weights = (char *)ons_packed_data(s->packed);
    else if (packs_weights(s))
        j.weights = (char *)scratch + s->weights_at;
    if (packs_weights(s) && !grad_w)
        pack_weights(s, j.weights, data[WEIGHTS]);
    if (grad_w && (s->n_pieces > 1 || !data[BIAS]))
        j.bias = (char *)scratch + s->bias_at;
    if (s->layout.dtype == ONS_I8) {
        j.bias = (char *)scratch + s->bias_at;
        scale_sums(s, j.weights, data[BIAS], (float *)j.bias, (float *)((char *)scratch + s->scale_at));
    }
    ons_parallel(s->n_pieces < p->n_threads ? s->n_pieces : p->n_threads, run_pieces, &j);
    if (j.failed != dnnl_success)
        return ons_fail(
            ONESTEP_INTERNAL,
            "%s: oneDNN could not run %s (%s, its status %d); ONEDNN_MAX_CPU_ISA=SSE41 does without it",
            p->node->layer, ons_op_name(p->node->op), s->name, (int)j.failed);
    if (grad_w)
        finish_gradients(p, &j);
    return ONESTEP_OK;
}

const ons_onednn_layout *ons_onednn_layout_of(const ons_prep *p)
{
    return &((const state *)p->state)->layout;
}

const char *ons_onednn_refuse_not_bf16(const ons_node *n)
{
    bool two = n->op == ONS_OP_CONV2D_GRAD_W || (n->op == ONS_OP_MATMUL && n->in[1]->shape.n > 2);

    if (n->in[0]->dtype != ONS_BF16 || (two && n->in[1]->dtype != ONS_BF16))
        return "a factor is not bf16";
    for (int i = 1; i < n->n_in; i++)
        if (n->in[i]->dtype != ONS_BF16 && n->in[i]->dtype != ONS_F32)
            return "an operand is neither bf16 nor f32";
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->dtype != ONS_BF16 && n->out[i]->dtype != ONS_F32)
            return "a result is neither bf16 nor f32";
    return NULL;
}

const char *ons_onednn_refuse_not_u8(const ons_node *n)
{
    if (n->in[0]->dtype != ONS_U8)
        return "the first factor is not 8-bit";
    if (!ons_cpu_has_int8())
        return "the CPU has no fast products of 8-bit numbers (AVX-512 VNNI or AMX)";
    return NULL;
}

const ons_kernel *ons_cpu_onednn_kernels(ons_op op, ons_onednn_rows which)
{
    switch (op) {
    case ONS_OP_CONV2D:
    case ONS_OP_CONV2D_GRAD_X:
    case ONS_OP_CONV2D_GRAD_W:
        return ons_onednn_conv_kernels(op, which);
    case ONS_OP_MATMUL:
        return ons_onednn_matmul_kernels(which);
    case ONS_OP_ATTENTION:
        return ons_onednn_attention_kernels(which);
    default:
        return NULL;
    }
}
