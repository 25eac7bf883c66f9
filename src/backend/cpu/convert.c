/*
 * The row that takes 16-bit and mixed storage: operands that are not f32 are converted into scratch, the f32
 * kernel runs, and its results are converted back. Arithmetic in f32 is what such values ask for on a CPU
 * without bf16 products. Rejected: every kernel once more per storage type; where bf16 is native, oneDNN's rows
 * come before this one.
 */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"

enum { MAX_IN = 64 };

typedef struct convert_state {
    ons_node node; /* the operator with f32 operands */
    ons_value in[MAX_IN], out[ONS_MAX_OUTPUTS];
    ons_value *in_at[MAX_IN];
    const ons_kernel *kernel;
    ons_prep prep;
    size_t inner_bytes;
} convert_state;

static bool is_converted(const ons_value *v)
{
    return v->dtype == ONS_BF16 || v->dtype == ONS_F16 || v->dtype == ONS_F64;
}

static size_t f32_bytes(const ons_value *v)
{
    return ons_cpu_align((size_t)ons_shape_count(&v->shape) * 4);
}

static size_t clone_node(convert_state *s, const ons_node *n)
{
    size_t bytes = 0;

    s->node = *n;
    s->node.in = s->in_at;
    for (int i = 0; i < n->n_in; i++) {
        s->in[i] = *n->in[i];
        s->in_at[i] = &s->in[i];
        if (is_converted(n->in[i])) {
            s->in[i].dtype = ONS_F32;
            bytes += f32_bytes(n->in[i]);
        }
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i])
            continue;
        s->out[i] = *n->out[i];
        s->out[i].node = &s->node;
        s->node.out[i] = &s->out[i];
        if (is_converted(n->out[i])) {
            s->out[i].dtype = ONS_F32;
            bytes += f32_bytes(n->out[i]);
        }
    }
    return bytes;
}

static void destroy(ons_prep *p)
{
    convert_state *s = p->state;

    if (s && s->kernel && s->kernel->destroy)
        s->kernel->destroy(&s->prep);
    ons_free(s);
    p->state = NULL;
}

/* The first f32 kernel that takes the node, also when it comes to be prepared. */
static onestep_status prepare_inner(const ons_prep *p, convert_state *s)
{
    while ((s->kernel = ons_cpu_pick_f32(&s->node, s->kernel)) != NULL) {
        onestep_status st = ONESTEP_OK;

        s->prep = (ons_prep){
            .node = &s->node, .n_threads = p->n_threads, .params = p->params, .n_params = p->n_params};
        if (s->kernel->prepare)
            st = s->kernel->prepare(&s->prep);
        if (st != ONESTEP_UNSUPPORTED)
            return st;
    }
    return ons_fail(ONESTEP_INTERNAL, "%s: %s has no f32 kernel", p->node->layer, ons_op_name(p->node->op));
}

static onestep_status prepare(ons_prep *p)
{
    onestep_status st = ONESTEP_OK;
    convert_state *s = ons_calloc(1, sizeof *s);
    size_t bytes;

    p->state = s;
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare %s", p->node->layer,
                        ons_op_name(p->node->op));
    if (p->node->n_in > MAX_IN) {
        st = ons_fail(ONESTEP_UNSUPPORTED, "%s: %s of %d values of mixed type; up to %d work, cast them to f32",
                      p->node->layer, ons_op_name(p->node->op), p->node->n_in, MAX_IN);
        goto fail;
    }
    if (p->node->in[0]->dtype == ONS_U8) {
        st = ons_fail(ONESTEP_UNSUPPORTED, "%s: f32 kernels do not take 8-bit factors", p->node->layer);
        goto fail;
    }
    bytes = clone_node(s, p->node);
    ONS_TRY(prepare_inner(p, s));
    s->inner_bytes = ons_cpu_align(s->prep.scratch_bytes);
    p->scratch_bytes = s->inner_bytes + bytes;
    p->detail = s->kernel->name;
    return ONESTEP_OK;
fail:
    s->kernel = NULL;
    destroy(p);
    return st;
}

typedef struct convert_job {
    char *dst;
    const char *src;
    ons_dtype to, from;
} convert_job;

static void convert_range(void *context, int64_t begin, int64_t end, int thread)
{
    const convert_job *j = context;

    (void)thread;
    ons_cpu_convert(j->dst + (size_t)begin * ons_dtype_size(j->to), j->to,
                    j->src + (size_t)begin * ons_dtype_size(j->from), j->from, (size_t)(end - begin));
}

static void convert(const ons_prep *p, void *dst, ons_dtype to, const void *src, ons_dtype from,
                    const ons_shape *shape)
{
    convert_job job = {dst, src, to, from};

    ons_parallel_for(p->n_threads, ons_shape_count(shape), 8192, convert_range, &job);
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    const convert_state *s = p->state;
    const ons_node *n = p->node;
    const void *in[MAX_IN];
    void *out[ONS_MAX_OUTPUTS] = {NULL};
    ons_args inner = {in, out, args->scratch};
    char *at = (char *)args->scratch + s->inner_bytes;
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < n->n_in; i++) {
        in[i] = args->in[i];
        if (!is_converted(n->in[i]))
            continue;
        convert(p, at, ONS_F32, args->in[i], n->in[i]->dtype, &n->in[i]->shape);
        in[i] = at;
        at += f32_bytes(n->in[i]);
    }
    for (int i = 0; i < n->n_out; i++) {
        out[i] = args->out[i];
        if (!out[i] || !is_converted(n->out[i]))
            continue;
        out[i] = at;
        at += f32_bytes(n->out[i]);
    }
    ONS_TRY(s->kernel->run(&s->prep, &inner));
    for (int i = 0; i < n->n_out; i++)
        if (args->out[i] && out[i] != args->out[i])
            convert(p, args->out[i], n->out[i]->dtype, out[i], ONS_F32, &n->out[i]->shape);
fail:
    return st;
}

const ons_kernel ons_cpu_convert_kernel = {"convert", NULL, prepare, run, destroy};
