/*
 * conv2d_upsampled by its definition: the upsampled picture in scratch, then a kernel of conv2d. For what the
 * kernels that make use of equal pixels refuse; the planner asks them before it makes such an operator, so that
 * this row is for types and machines that differ from what was asked.
 */
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"

typedef struct upsampled_state {
    ons_node node; /* the convolution of the upsampled picture */
    ons_value x, y, *in[3];
    const ons_kernel *kernel;
    ons_prep prep;
    size_t inner_bytes;
} upsampled_state;

static void destroy(ons_prep *p)
{
    upsampled_state *s = p->state;

    if (s && s->kernel && s->kernel->destroy)
        s->kernel->destroy(&s->prep);
    ons_free(s);
    p->state = NULL;
}

static void make_node(upsampled_state *s, const ons_node *n)
{
    s->node = *n;
    s->node.op = ONS_OP_CONV2D;
    s->node.in = s->in;
    for (int i = 0; i < n->n_in; i++)
        s->in[i] = n->in[i];
    s->in[0] = &s->x;
    s->x = *n->in[0];
    s->x.shape.d[1] *= 2;
    s->x.shape.d[2] *= 2;
    s->y = *n->out[0];
    s->y.node = &s->node;
    s->node.out[0] = &s->y;
}

/* The first kernel that takes the node, also when it comes to be prepared. */
static onestep_status prepare_inner(const ons_prep *p, upsampled_state *s)
{
    for (const ons_kernel *k = ons_backend_cpu.kernels(ONS_OP_CONV2D); k->name; k++) {
        onestep_status st = ONESTEP_OK;

        if (k->refuse && k->refuse(&s->node))
            continue;
        s->prep = (ons_prep){
            .node = &s->node, .n_threads = p->n_threads, .params = p->params, .n_params = p->n_params};
        s->kernel = k;
        if (k->prepare)
            st = k->prepare(&s->prep);
        if (st != ONESTEP_UNSUPPORTED)
            return st;
    }
    s->kernel = NULL;
    return ons_fail(ONESTEP_INTERNAL, "%s: conv2d has no kernel", p->node->layer);
}

static onestep_status prepare(ons_prep *p)
{
    upsampled_state *s = ons_calloc(1, sizeof *s);
    onestep_status st;

    p->state = s;
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare a convolution", p->node->layer);
    make_node(s, p->node);
    ONS_TRY(prepare_inner(p, s));
    s->inner_bytes = ons_cpu_align(s->prep.scratch_bytes);
    p->scratch_bytes = s->inner_bytes + (size_t)ons_shape_count(&s->x.shape) * ons_dtype_size(s->x.dtype);
    p->packed_in = s->prep.packed_in;
    p->detail = s->kernel->name;
fail:
    if (st != ONESTEP_OK)
        destroy(p);
    return st;
}

typedef struct zoom_job {
    char *dst;
    const char *src;
    size_t row, pixel; /* bytes of the source */
} zoom_job;

/* Rows of the source. */
static void zoom_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const zoom_job *j = context;

    (void)thread;
    for (int64_t y = begin; y < end; y++) {
        char *to = j->dst + (size_t)y * j->row * 4;

        for (size_t x = 0; x < j->row; x += j->pixel) {
            memcpy(to + 2 * x, j->src + (size_t)y * j->row + x, j->pixel);
            memcpy(to + 2 * x + j->pixel, j->src + (size_t)y * j->row + x, j->pixel);
        }
        memcpy(to + 2 * j->row, to, 2 * j->row);
    }
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    const upsampled_state *s = p->state;
    const ons_shape *x = &p->node->in[0]->shape;
    const size_t pixel = (size_t)x->d[3] * ons_dtype_size(p->node->in[0]->dtype);
    zoom_job job = {(char *)args->scratch + s->inner_bytes, args->in[0], (size_t)x->d[2] * pixel, pixel};
    const void *in[3] = {job.dst};

    for (int i = 1; i < p->node->n_in; i++)
        in[i] = args->in[i];
    ons_parallel_for(p->n_threads, x->d[0] * x->d[1], 1, zoom_rows, &job);
    return s->kernel->run(&s->prep, &(ons_args){in, args->out, args->scratch});
}

const ons_kernel ons_cpu_conv_upsampled_kernel = {"upsampled", NULL, prepare, run, destroy};
