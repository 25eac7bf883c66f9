/*
 * Convolution forward and backward-data on the row microkernel, straight from the NHWC image.
 *
 * Both are the same walk: a grid of destination pixels, each a sum over taps of a source pixel (or zeros) times
 * a weight matrix. Backward-data with stride s splits the destination by residues mod s, so that every phase is
 * dense. Rejected: im2col (nine times the image), flipping weights in memory for each run (they are packed once
 * per step).
 */
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/weights.h"
#include "backend/cpu/isa/winograd.h"

enum { MR = ONS_MR, NR = ONS_NR };

/* Destination pixel (i, j) of the grid is (i * dst_step + y0, j * dst_step + x0); tap t reads (i * src_step +
 * dy[t], ..). */
typedef struct grid {
    int64_t h, w;
    int64_t dst_step, y0, x0, src_step;
    int n_taps;
    int *dy, *dx; /* [n_taps] */
    int64_t b_offset;
} grid;

typedef struct conv_state {
    int64_t batch, src_h, src_w, src_c, dst_h, dst_w, dst_c;
    int n_grids;
    grid *grids;
    int *offsets;
    float *zeros; /* one source pixel */
    ons_b_source b;
    size_t b_bytes, thread_bytes;
} conv_state;

typedef struct conv_call {
    const conv_state *s;
    const grid *g;
    const float *src;
    float *dst;
} conv_call;

static void locate_pixels(const ons_rows *r, int64_t first, int count, const float **a, float **c)
{
    const conv_call *call = r->context;
    const conv_state *s = call->s;
    const grid *g = call->g;
    int64_t n = first / (g->h * g->w), y = first / g->w % g->h, x = first % g->w;

    for (int i = 0; i < count; i++) {
        const float **to = a + (int64_t)(i / MR) * g->n_taps * MR + i % MR;
        const float *image = call->src + n * s->src_h * s->src_w * s->src_c;

        for (int t = 0; t < g->n_taps; t++, to += MR) {
            int64_t sy = y * g->src_step + g->dy[t], sx = x * g->src_step + g->dx[t];
            bool inside = (uint64_t)sy < (uint64_t)s->src_h && (uint64_t)sx < (uint64_t)s->src_w;

            *to = inside ? image + (sy * s->src_w + sx) * s->src_c : s->zeros;
        }
        c[i] = call->dst +
               ((n * s->dst_h + y * g->dst_step + g->y0) * s->dst_w + x * g->dst_step + g->x0) * s->dst_c;
        if (++x == g->w) {
            x = 0;
            if (++y == g->h) {
                y = 0;
                n++;
            }
        }
    }
}

typedef struct conv_job {
    const conv_state *s;
    const ons_prep *p;
    const ons_args *args;
    const float *bias, *residual;
} conv_job;

static void run_conv_task(void *context, int thread, int n_threads)
{
    const conv_job *job = context;
    const conv_state *s = job->s;
    char *scratch = job->args->scratch;
    const void *b = ons_b_data(&s->b, scratch);

    for (int i = 0; i < s->n_grids; i++) {
        conv_call call = {s, &s->grids[i], job->args->in[0], job->args->out[0]};
        ons_rows r = {.n_rows = s->batch * call.g->h * call.g->w,
                      .depth = s->src_c,
                      .n_cols = s->dst_c,
                      .n_taps = call.g->n_taps,
                      .b =
                          (const char *)b + (size_t)call.g->b_offset * sizeof(float), /* 0 where B is not f32 */
                      .b_type = s->b.shape.type,
                      .bias = job->bias,
                      .residual = job->residual,
                      .c_base = call.dst,
                      .locate = locate_pixels,
                      .context = &call,
                      .scratch = scratch + s->b_bytes,
                      .thread_bytes = s->thread_bytes};

        ons_rows_run(&r, thread, n_threads);
    }
}

static onestep_status run_conv(const ons_prep *p, const ons_args *args)
{
    const ons_attrs *at = &p->node->attrs;
    conv_job job = {p->state, p, args, NULL, NULL};
    int next = 2;

    if (p->node->op == ONS_OP_CONV2D) {
        job.bias = at->conv.bias ? args->in[next++] : NULL;
        job.residual = at->conv.residual ? args->in[next] : NULL;
    }
    ons_b_fill(&job.s->b, args->in[1], args->scratch);
    ons_parallel(p->n_threads, run_conv_task, &job);
    return ONESTEP_OK;
}

static void destroy_conv(ons_prep *p)
{
    conv_state *s = p->state;

    if (!s)
        return;
    ons_free(s->grids);
    ons_free(s->offsets);
    ons_free(s->zeros);
    ons_free(s);
    p->state = NULL;
}

/* State with room for the grids of stride^2 phases and their taps. */
static conv_state *create_state(int64_t src_c, int64_t n_grids, int64_t n_taps)
{
    conv_state *s = ons_calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->grids = ons_calloc((size_t)n_grids, sizeof *s->grids);
    s->offsets = ons_calloc((size_t)n_taps * 2, sizeof *s->offsets);
    s->zeros = ons_calloc((size_t)src_c, sizeof *s->zeros);
    return s;
}

static onestep_status finish_prepare(ons_prep *p, const ons_pack_shape *shape)
{
    conv_state *s = p->state;
    int most = 0;
    onestep_status st;

    st = ons_b_prepare(&s->b, p, 1, shape, &s->b_bytes);
    for (int i = 0; i < s->n_grids; i++)
        most = s->grids[i].n_taps > most ? s->grids[i].n_taps : most;
    s->thread_bytes = ons_rows_scratch(most, s->dst_c, s->b.shape.type);
    p->scratch_bytes = s->b_bytes + s->thread_bytes * (size_t)p->n_threads;
    if (st != ONESTEP_OK)
        destroy_conv(p);
    return st;
}

static onestep_status check_state(ons_prep *p, conv_state *s)
{
    p->state = s;
    if (s && s->grids && s->offsets && s->zeros)
        return ONESTEP_OK;
    destroy_conv(p);
    return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare a convolution", p->node->layer);
}

static void set_shapes(conv_state *s, const ons_shape *src, const ons_shape *dst)
{
    s->batch = src->d[0];
    s->src_h = src->d[1];
    s->src_w = src->d[2];
    s->src_c = src->d[3];
    s->dst_h = dst->d[1];
    s->dst_w = dst->d[2];
    s->dst_c = dst->d[3];
}

static onestep_status prepare_forward(ons_prep *p)
{
    const ons_node *n = p->node;
    const ons_shape *w = &n->in[1]->shape;
    int64_t taps = w->d[1] * w->d[2], k = taps * w->d[3];
    conv_state *s = create_state(w->d[3], 1, taps);
    onestep_status st = check_state(p, s);
    grid *g;

    if (st != ONESTEP_OK)
        return st;
    set_shapes(s, &n->in[0]->shape, &n->out[0]->shape);
    s->n_grids = 1;
    g = s->grids;
    *g = (grid){
        .h = s->dst_h, .w = s->dst_w, .dst_step = 1, .src_step = n->attrs.conv.stride, .n_taps = (int)taps};
    g->dy = s->offsets;
    g->dx = s->offsets + taps;
    for (int t = 0; t < g->n_taps; t++) {
        g->dy[t] = (int)(t / w->d[2]) - n->attrs.conv.pad_top;
        g->dx[t] = (int)(t % w->d[2]) - n->attrs.conv.pad_left;
    }
    return finish_prepare(
        p, &(ons_pack_shape){
               .n_threads = p->n_threads, .k = k, .n = w->d[0], .ld = k, .transposed = true, .alpha = 1.f});
}

/* Smallest y >= 0 with (y + pad) % stride == phase. */
static int64_t first_of_phase(int64_t pad, int64_t stride, int64_t phase)
{
    return ((phase - pad) % stride + stride) % stride;
}

static void set_phase(conv_state *s, grid *g, const ons_node *n, int64_t py, int64_t px, int *offsets)
{
    const ons_shape *w = &n->in[1]->shape;
    int64_t stride = n->attrs.conv.stride, pt = n->attrs.conv.pad_top, pl = n->attrs.conv.pad_left;
    int ny = ons_phase_taps(w->d[1], stride, py), nx = ons_phase_taps(w->d[2], stride, px), t = 0;

    g->y0 = first_of_phase(pt, stride, py);
    g->x0 = first_of_phase(pl, stride, px);
    g->h = g->y0 < s->dst_h ? (s->dst_h - g->y0 + stride - 1) / stride : 0;
    g->w = g->x0 < s->dst_w ? (s->dst_w - g->x0 + stride - 1) / stride : 0;
    g->dst_step = stride;
    g->src_step = 1;
    g->n_taps = ny * nx;
    g->dy = offsets;
    g->dx = offsets + g->n_taps;
    for (int64_t r = py; r < w->d[1]; r += stride)
        for (int64_t q = px; q < w->d[2]; q += stride, t++) {
            g->dy[t] = (int)((g->y0 + pt - r) / stride);
            g->dx[t] = (int)((g->x0 + pl - q) / stride);
        }
}

static onestep_status prepare_grad_x(ons_prep *p)
{
    const ons_node *n = p->node;
    const ons_shape *w = &n->in[1]->shape;
    int64_t stride = n->attrs.conv.stride, panels = (w->d[3] + NR - 1) / NR, at = 0;
    conv_state *s = create_state(w->d[0], stride * stride, w->d[1] * w->d[2]);
    onestep_status st = check_state(p, s);
    int *offsets;

    if (st != ONESTEP_OK)
        return st;
    set_shapes(s, &n->in[0]->shape, &n->out[0]->shape);
    offsets = s->offsets;
    for (int64_t py = 0; py < stride; py++)
        for (int64_t px = 0; px < stride; px++) {
            grid *g = &s->grids[s->n_grids++];

            set_phase(s, g, n, py, px, offsets);
            offsets += 2 * g->n_taps;
            g->b_offset = at;
            at += panels * g->n_taps * s->src_c * NR;
        }
    return finish_prepare(p, &(ons_pack_shape){.n_threads = p->n_threads,
                                               .alpha = 1.f,
                                               .stride = stride,
                                               .kh = w->d[1],
                                               .kw = w->d[2],
                                               .o = w->d[0],
                                               .c = w->d[3]});
}

const ons_kernel ons_conv_kernels[] = {
    {"winograd", ons_wino_refuse, ons_wino_prepare, ons_wino_run, ons_wino_destroy},
    {"tiles", ons_cpu_refuse_not_f32, prepare_forward, run_conv, destroy_conv},
    {0},
};

const ons_kernel ons_conv_grad_x_kernels[] = {
    {"winograd", ons_wino_refuse, ons_wino_prepare, ons_wino_run, ons_wino_destroy},
    {"tiles", ons_cpu_refuse_not_f32, prepare_grad_x, run_conv, destroy_conv},
    {0},
};
