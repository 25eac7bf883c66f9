/*
 * 3x3 convolutions with stride 1 by Winograd's F(4x4, 3x3), forward and backward-data (the same with turned
 * weights).
 *
 * Each thread takes a range of tiles in blocks: transforms the block's inputs, multiplies 36 matrices [tiles,
 * c] [c, o] on the row microkernel, transforms back and adds bias and residual. A block's data stays in L2.
 * Rejected: F(2x2, 3x3), with half the gain; larger tiles, which lose too many digits in f32.
 */
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/weights.h"
#include "backend/cpu/isa/winograd.h"

enum {
    MR = ONS_MR,
    NR = ONS_NR,
    POINTS = ONS_WINO_POINTS,
    MIN_BLOCK = 24,
    MAX_BLOCK = 96,
    BLOCK_BYTES = 3 << 19
};

/* Weights in Winograd's domain that one tile may bring along: beyond that reading them takes as long as the
 * direct sum. */
static const int64_t BYTES_PER_TILE = 6 << 20;

typedef struct wino_state {
    ons_wino_grid g;
    int64_t block, padded;  /* tiles per block; result channels rounded up to panels */
    int64_t v_step, m_step; /* floats between points */
    ons_b_source b;
    size_t b_bytes, thread_bytes;
    float *zeros;
} wino_state;

const char *ons_wino_refuse(const ons_node *n)
{
    const ons_shape *a = &n->in[0]->shape,
                    *b = n->op == ONS_OP_CONV2D_GRAD_W ? &n->in[1]->shape : &n->out[0]->shape;
    const ons_shape *y = n->op == ONS_OP_CONV2D_GRAD_X ? &n->in[0]->shape
                         : n->op == ONS_OP_CONV2D      ? &n->out[0]->shape
                                                       : b;
    int64_t tiles = (y->d[1] + 3) / 4 * ((y->d[2] + 3) / 4);

    if (n->attrs.conv.kh != 3 || n->attrs.conv.kw != 3 || n->attrs.conv.stride != 1)
        return "not 3x3 with stride 1";
    if (n->attrs.conv.pad_top > 2 || n->attrs.conv.pad_left > 2)
        return "wide padding";
    if (a->d[3] % VW || b->d[3] % VW || a->d[3] < 16 || b->d[3] < 16)
        return "few channels, or not whole vectors of them";
    if (tiles * 16 * 3 > y->d[1] * y->d[2] * 5)
        return "tiles of 4x4 would be too empty";
    if (y->d[0] * tiles < 16 || y->d[0] * tiles * BYTES_PER_TILE < a->d[3] * b->d[3] * POINTS * 4)
        return "few tiles: reading four times the weights costs more";
    return ons_cpu_refuse_not_f32(n);
}

typedef struct wino_job {
    const wino_state *s;
    const ons_args *args;
    const float *bias, *residual;
} wino_job;

static void transform_inputs(const wino_job *j, int64_t first, int64_t count, float *v)
{
    const wino_state *s = j->s;
    const float *d[POINTS];

    for (int64_t t = 0; t < count; t++) {
        wino_locate(&s->g, first + t, j->args->in[0], s->zeros, d);
        for (int64_t c = 0; c < s->g.src_c; c += VW)
            wino_transform_input(d, c, v + t * s->g.src_c + c, s->v_step);
    }
}

INLINE void transform_output(const float *m, int64_t step, vf *y)
{
    vf in[36], half[24];

    for (int i = 0; i < 36; i++)
        in[i] = v_load(m + i * step);
    for (int j = 0; j < 6; j++)
        wino_output(in + j, 6, half + j, 6);
    for (int i = 0; i < 4; i++)
        wino_output(half + 6 * i, 1, y + 4 * i, 1);
}

static void transform_outputs(const wino_job *j, int64_t first, int64_t count, const float *m)
{
    const wino_state *s = j->s;
    float *dst = j->args->out[0];
    int64_t at[16];

    for (int64_t t = 0; t < count; t++) {
        wino_targets(&s->g, first + t, at);
        for (int64_t c = 0; c < s->g.dst_c; c += VW) {
            vf y[16], bias = j->bias ? v_load(j->bias + c) : (vf){0};

            transform_output(m + t * s->padded + c, s->m_step, y);
            for (int i = 0; i < 16; i++) {
                if (at[i] < 0)
                    continue;
                y[i] += bias;
                if (j->residual)
                    y[i] += v_load(j->residual + at[i] + c);
                v_store(dst + at[i] + c, y[i]);
            }
        }
    }
}

typedef struct point_rows {
    const float *a;
    float *c;
    int64_t lda, ldc;
} point_rows;

static void locate_point(const ons_rows *r, int64_t first, int count, const float **a, float **c)
{
    const point_rows *p = r->context;

    for (int i = 0; i < count; i++) {
        a[i] = p->a + (first + i) * p->lda;
        c[i] = p->c + (first + i) * p->ldc;
    }
}

static void multiply_points(const wino_state *s, const float *v, const float *u, float *m, int64_t count,
                            char *scratch)
{
    for (int64_t i = 0; i < POINTS; i++) {
        point_rows p = {v + i * s->v_step, m + i * s->m_step, s->g.src_c, s->padded};
        ons_rows r = {.n_rows = count,
                      .depth = s->g.src_c,
                      .n_cols = s->padded,
                      .n_taps = 1,
                      .b = u + i * s->g.src_c * s->padded,
                      .b_type = ONS_F32,
                      .locate = locate_point,
                      .context = &p,
                      .scratch = scratch};

        ons_rows_run(&r, 0, 1);
    }
}

static void run_task(void *context, int thread, int n_threads)
{
    const wino_job *j = context;
    const wino_state *s = j->s;
    char *scratch = j->args->scratch, *own = scratch + s->b_bytes + s->thread_bytes * (size_t)thread;
    const float *u = ons_b_data(&s->b, scratch);
    float *v = (float *)own, *m = v + POINTS * s->v_step;
    int64_t from, to;

    ons_partition(wino_tiles(&s->g), n_threads, thread, &from, &to);
    for (int64_t t = from; t < to; t += s->block) {
        int64_t count = to - t < s->block ? to - t : s->block;

        transform_inputs(j, t, count, v);
        multiply_points(s, v, u, m, count, (char *)(m + POINTS * s->m_step));
        transform_outputs(j, t, count, m);
    }
}

onestep_status ons_wino_run(const ons_prep *p, const ons_args *args)
{
    const ons_attrs *at = &p->node->attrs;
    wino_job j = {p->state, args, NULL, NULL};
    int next = 2;

    if (p->node->op == ONS_OP_CONV2D) {
        j.bias = at->conv.bias ? args->in[next++] : NULL;
        j.residual = at->conv.residual ? args->in[next] : NULL;
    }
    ons_b_fill(&j.s->b, args->in[1], args->scratch);
    ons_parallel(p->n_threads, run_task, &j);
    return ONESTEP_OK;
}

void ons_wino_destroy(ons_prep *p)
{
    wino_state *s = p->state;

    if (s)
        ons_free_aligned(s->zeros);
    ons_free(s);
    p->state = NULL;
}

static ons_wino_grid find_grid(const ons_node *n)
{
    const ons_shape *src = &n->in[0]->shape, *dst = &n->out[0]->shape;
    bool turned = n->op == ONS_OP_CONV2D_GRAD_X;

    return (ons_wino_grid){.batch = src->d[0],
                           .src_h = src->d[1],
                           .src_w = src->d[2],
                           .src_c = src->d[3],
                           .dst_h = dst->d[1],
                           .dst_w = dst->d[2],
                           .dst_c = dst->d[3],
                           .tiles_y = (dst->d[1] + 3) / 4,
                           .tiles_x = (dst->d[2] + 3) / 4,
                           .pad_y = turned ? 2 - n->attrs.conv.pad_top : n->attrs.conv.pad_top,
                           .pad_x = turned ? 2 - n->attrs.conv.pad_left : n->attrs.conv.pad_left};
}

static void choose_block(wino_state *s, int n_threads)
{
    int64_t each = (wino_tiles(&s->g) + n_threads - 1) / n_threads;

    s->padded = ons_cpu_round_up(s->g.dst_c, NR);
    s->block = BLOCK_BYTES / (POINTS * 4 * (s->g.src_c + s->padded));
    s->block = s->block < MIN_BLOCK ? MIN_BLOCK : s->block > MAX_BLOCK ? MAX_BLOCK : s->block;
    s->block = s->block / MR * MR;
    if (s->block > each)
        s->block = each;
    s->v_step = s->block * s->g.src_c + ONS_WINO_PAD;
    s->m_step = s->block * s->padded + ONS_WINO_PAD;
    s->thread_bytes =
        ons_cpu_align((size_t)(POINTS * (s->v_step + s->m_step)) * 4) + ons_rows_scratch(1, s->padded, ONS_F32);
}

onestep_status ons_wino_prepare(ons_prep *p)
{
    const ons_shape *w = &p->node->in[1]->shape;
    wino_state *s = ons_calloc(1, sizeof *s);
    onestep_status st = ONESTEP_OK;

    p->state = s;
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare a convolution", p->node->layer);
    s->g = find_grid(p->node);
    choose_block(s, p->n_threads);
    s->zeros = ons_calloc_aligned((size_t)s->g.src_c * 4);
    if (!s->zeros) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare a convolution", p->node->layer);
        goto fail;
    }
    ONS_TRY(ons_b_prepare(&s->b, p, 1,
                          &(ons_pack_shape){.n_threads = p->n_threads,
                                            .k = s->g.src_c,
                                            .n = s->g.dst_c,
                                            .alpha = 1.f,
                                            .winograd = true,
                                            .transposed = p->node->op == ONS_OP_CONV2D,
                                            .o = w->d[0],
                                            .c = w->d[3]},
                          &s->b_bytes));
    p->scratch_bytes = s->b_bytes + s->thread_bytes * (size_t)p->n_threads;
    return ONESTEP_OK;
fail:
    ons_wino_destroy(p);
    return st;
}
