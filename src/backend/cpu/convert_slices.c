/*
 * The row for 16-bit and mixed storage where samples do not depend on each other: every thread takes whole
 * samples, a slice that fits its cache (or one sample) at a time, converts them, runs the f32 kernel on them
 * alone and converts the results, so that f32 copies never travel to memory. Gradients of per-channel
 * parameters are summed over the slices of a thread, then over the threads in order. Rejected: converting whole
 * operands (convert.c, which remains for the rest): three times the traffic, in operators that do little else.
 */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/failure.h"
#include "base/memory.h"

enum { SLICE_BYTES = 768 << 10, MOST_BYTES = 8 << 20, LEAST_BYTES = 8 << 10, MAX_IN = 8 };

/* How the slices see an operand. */
typedef enum sharing {
    SPLIT, /* a part of the first dimension each */
    WHOLE, /* input: all of it for everyone */
    SUMMED /* result: the sum of theirs */
} sharing;

typedef struct operand {
    ons_value value; /* as the f32 kernel sees it */
    sharing how;
    bool converted;
    ons_dtype stored;
    size_t count; /* elements of a slice */
    size_t at;    /* f32 copy or sum in a thread's scratch */
} operand;

typedef struct slices_state {
    const ons_node *source;
    ons_node node; /* of a slice, in f32 */
    operand in[MAX_IN], out[ONS_MAX_OUTPUTS];
    ons_value *in_at[MAX_IN];
    int64_t n_slices;
    const ons_kernel *kernel;
    ons_prep prep;
    size_t thread_bytes;
} slices_state;

static bool has(const ons_node *n, unsigned slices)
{
    return ons_op_slices(n->op) & slices;
}

/* Is every row (last dimension) a sample of its own? */
static bool is_by_rows(const ons_node *n)
{
    if (has(n, ONS_SLICES_BROADCAST))
        return n->in[1]->shape.n == 1 || ons_shape_equal(&n->in[0]->shape, &n->in[1]->shape);
    return has(n, ONS_SLICES_ROWS);
}

/* The operand's dimensions with the samples in front. */
static ons_shape view(const ons_node *n, const ons_shape *s)
{
    return is_by_rows(n) && s->n > 1 ? ONS_SHAPE2(ons_shape_count(s) / s->d[s->n - 1], s->d[s->n - 1]) : *s;
}

static sharing share_input(const ons_node *n, int i)
{
    const ons_shape *x = &n->in[0]->shape, *s = &n->in[i]->shape;

    if (has(n, ONS_SLICES_PARAMS) && (i == 1 || i == 2))
        return WHOLE; /* gamma, beta */
    return has(n, ONS_SLICES_BROADCAST) && (s->n < x->n || s->d[0] != x->d[0]) ? WHOLE : SPLIT;
}

static size_t split_f32_bytes(const ons_node *n)
{
    size_t bytes = 0;

    for (int i = 0; i < n->n_in; i++)
        if (share_input(n, i) == SPLIT)
            bytes += (size_t)ons_shape_count(&n->in[i]->shape) * 4;
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && !(has(n, ONS_SLICES_SUMS) && i > 0))
            bytes += (size_t)ons_shape_count(&n->out[i]->shape) * 4;
    return bytes;
}

/* The fewest slices that fit, else one for every sample, as many for every thread; 0: there are none. */
static int64_t count_slices(const ons_node *n, int n_threads)
{
    const ons_shape x = view(n, &n->in[0]->shape);
    size_t bytes = split_f32_bytes(n);

    if (n->n_in > MAX_IN || x.n < 2)
        return 0;
    for (int64_t d = n_threads; d <= x.d[0]; d += n_threads)
        if (x.d[0] % d == 0 && bytes / (size_t)d <= SLICE_BYTES)
            return bytes / (size_t)d >= LEAST_BYTES ? d : 0;
    return x.d[0] % n_threads == 0 && bytes / (size_t)x.d[0] <= MOST_BYTES ? x.d[0] : 0;
}

static const char *refuse(const ons_node *n)
{
    bool all_f32 = true;

    for (int i = 0; i < n->n_in; i++)
        all_f32 = all_f32 && n->in[i]->dtype == ONS_F32;
    for (int i = 0; i < n->n_out; i++)
        all_f32 = all_f32 && (!n->out[i] || n->out[i]->dtype == ONS_F32);
    return all_f32 ? "nothing to convert" : NULL;
}

/* Returns the end of what the operand takes of a thread's scratch. */
static size_t describe(const slices_state *s, operand *o, const ons_value *v, sharing how, size_t at)
{
    *o = (operand){*v, how, v->dtype != ONS_F32, v->dtype, 0, at};
    o->value.dtype = ONS_F32;
    if (how == SPLIT) {
        o->value.shape = view(s->source, &v->shape);
        o->value.shape.d[0] /= s->n_slices;
    }
    o->count = (size_t)ons_shape_count(&o->value.shape);
    if (how == SUMMED)
        return at + 2 * ons_cpu_align(o->count * 4); /* a slice's, and the sum behind it */
    return o->converted ? at + ons_cpu_align(o->count * 4) : at;
}

static size_t describe_all(slices_state *s, const ons_node *n)
{
    size_t at = 0;

    s->source = n;
    s->node = *n;
    s->node.in = s->in_at;
    for (int i = 0; i < n->n_in; i++) {
        at = describe(s, &s->in[i], n->in[i], share_input(n, i), at);
        s->in_at[i] = &s->in[i].value;
    }
    for (int i = 0; i < n->n_out; i++) {
        if (!n->out[i])
            continue;
        at = describe(s, &s->out[i], n->out[i], has(n, ONS_SLICES_SUMS) && i > 0 ? SUMMED : SPLIT, at);
        s->out[i].value.node = &s->node;
        s->node.out[i] = &s->out[i].value;
    }
    return at;
}

static void destroy(ons_prep *p)
{
    slices_state *s = p->state;

    if (s && s->kernel && s->kernel->destroy)
        s->kernel->destroy(&s->prep);
    ons_free(s);
    p->state = NULL;
}

static onestep_status prepare(ons_prep *p)
{
    onestep_status st = ONESTEP_OK;
    int64_t n_slices = count_slices(p->node, p->n_threads);
    slices_state *s;
    size_t bytes;

    if (!n_slices)
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: no slices of %s fit", p->node->layer,
                        ons_op_name(p->node->op));
    s = ons_calloc(1, sizeof *s);
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare %s", p->node->layer,
                        ons_op_name(p->node->op));
    s->n_slices = n_slices;
    bytes = describe_all(s, p->node);
    s->prep = (ons_prep){.node = &s->node, .n_threads = 1, .params = p->params, .n_params = p->n_params};
    s->kernel = ons_cpu_pick_f32(&s->node, NULL);
    if (!s->kernel)
        st =
            ons_fail(ONESTEP_UNSUPPORTED, "%s: no f32 kernel for %s", p->node->layer, ons_op_name(p->node->op));
    else if (s->kernel->prepare)
        st = s->kernel->prepare(&s->prep);
    p->state = s;
    if (st != ONESTEP_OK) {
        s->kernel = NULL;
        destroy(p);
        return st;
    }
    s->thread_bytes = bytes + ons_cpu_align(s->prep.scratch_bytes);
    p->scratch_bytes = s->thread_bytes * (size_t)p->n_threads;
    p->detail = s->kernel->name;
    return ONESTEP_OK;
}

typedef struct slices_job {
    const ons_prep *prep;
    const ons_args *args;
    ons_failure failure;
} slices_job;

static char *scratch_of(const slices_job *j, int thread)
{
    const slices_state *s = j->prep->state;

    return (char *)j->args->scratch + s->thread_bytes * (size_t)thread;
}

static char *offset(const operand *o, const void *base, int64_t slice)
{
    return (char *)base + (o->how == SPLIT ? (size_t)slice * o->count * ons_dtype_size(o->stored) : 0);
}

static float *sum_of(const operand *o, char *scratch)
{
    return (float *)(scratch + o->at + ons_cpu_align(o->count * 4));
}

static void add_to_sum(const operand *o, char *scratch)
{
    const float *x = (const float *)(scratch + o->at);
    float *sum = sum_of(o, scratch);

    for (size_t i = 0; i < o->count; i++)
        sum[i] += x[i];
}

static void load_inputs(const slices_job *j, const void **in, char *scratch, int64_t slice, bool first)
{
    const slices_state *s = j->prep->state;

    for (int i = 0; i < s->node.n_in; i++) {
        const operand *o = &s->in[i];
        const char *stored = offset(o, j->args->in[i], slice);

        in[i] = o->converted ? scratch + o->at : stored;
        if (o->converted && (first || o->how == SPLIT))
            ons_cpu_convert(scratch + o->at, ONS_F32, stored, o->stored, o->count);
    }
}

static onestep_status run_slice(const slices_job *j, char *scratch, int64_t slice, bool first)
{
    const slices_state *s = j->prep->state;
    const void *in[MAX_IN];
    void *out[ONS_MAX_OUTPUTS] = {NULL};
    const ons_args inner = {in, out, scratch + s->thread_bytes - ons_cpu_align(s->prep.scratch_bytes)};
    onestep_status st = ONESTEP_OK;

    load_inputs(j, in, scratch, slice, first);
    for (int i = 0; i < s->node.n_out; i++) {
        const operand *o = &s->out[i];

        if (j->args->out[i])
            out[i] = o->converted || o->how == SUMMED ? scratch + o->at : offset(o, j->args->out[i], slice);
    }
    ONS_TRY(s->kernel->run(&s->prep, &inner));
    for (int i = 0; i < s->node.n_out; i++) {
        const operand *o = &s->out[i];

        if (out[i] && o->how == SUMMED)
            add_to_sum(o, scratch);
        else if (out[i] && o->converted)
            ons_cpu_convert(offset(o, j->args->out[i], slice), o->stored, out[i], ONS_F32, o->count);
    }
fail:
    return st;
}

static void run_thread(void *context, int thread, int n_threads)
{
    slices_job *j = context;
    const slices_state *s = j->prep->state;
    char *scratch = scratch_of(j, thread);
    int64_t from, to;

    for (int i = 0; i < s->node.n_out; i++)
        if (j->args->out[i] && s->out[i].how == SUMMED)
            memset(sum_of(&s->out[i], scratch), 0, s->out[i].count * 4);
    ons_partition(s->n_slices, n_threads, thread, &from, &to);
    for (int64_t slice = from; slice < to; slice++)
        ons_failure_note(&j->failure, run_slice(j, scratch, slice, slice == from));
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    const slices_state *s = p->state;
    slices_job j = {.prep = p, .args = args};

    ons_parallel(p->n_threads, run_thread, &j);
    for (int i = 0; i < s->node.n_out; i++) {
        const operand *o = &s->out[i];
        float *total = sum_of(o, scratch_of(&j, 0));

        if (!args->out[i] || o->how != SUMMED)
            continue;
        for (int t = 1; t < p->n_threads; t++)
            for (size_t k = 0; k < o->count; k++)
                total[k] += sum_of(o, scratch_of(&j, t))[k];
        ons_cpu_convert(args->out[i], o->stored, total, ONS_F32, o->count);
    }
    return ons_failure_take(&j.failure);
}

const ons_kernel *ons_cpu_slices_kernels(ons_op op)
{
    static const ons_kernel rows[] = {{"slices", refuse, prepare, run, destroy}, {0}};

    return ons_op_slices(op) ? rows : NULL;
}
