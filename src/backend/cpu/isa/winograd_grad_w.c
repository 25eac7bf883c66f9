/*
 * Backward-weights of 3x3 convolutions with stride 1 in Winograd's domain: 36 products over tiles instead of 9
 * over pixels, with a fourth of the multiply-adds. Two walks:
 *
 * By tiles, while 36 matrices [o, c] stay near a core: each piece sums its range of tiles into its own; the
 * pieces' sums are added in order while they are transformed back, so the bits depend on the number of
 * pieces and on nothing else.
 *
 * By points, for wide layers, whose 36 matrices would be read and written again for every block of tiles: all
 * tiles are transformed first, then each piece takes panels of the 36 products over all tiles.
 */
#include "backend/cpu/isa/gemm.h"
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/winograd.h"

enum {
    MR = ONS_MR,
    NR = ONS_NR,
    POINTS = ONS_WINO_POINTS,
    MIN_BLOCK = 24,
    MAX_BLOCK = 96,
    BLOCK_BYTES = 3 << 19,
    NEAR_BYTES = 1 << 20, /* sums of a piece that stay in a core's L2 */
    DEPTH = 256           /* tiles per pass over a matrix, by points */
};

typedef struct dw_state {
    ons_wino_grid g; /* src is x, dst is dy */
    bool by_points;  /* block is all tiles then, and one region serves all pieces */
    int64_t block, panels, v_step, y_step, u_step;
    size_t piece_bytes;
    float *zeros;
} dw_state;

typedef struct dw_job {
    const dw_state *s;
    const ons_args *args;
    int n_sums; /* regions that hold sums */
} dw_job;

/* Inputs of a block as panels [point][panel][tile][NR]. */
static void transform_inputs(const dw_job *j, int64_t first, int64_t count, float *v)
{
    const dw_state *s = j->s;
    const float *d[POINTS];

    for (int64_t t = 0; t < count; t++) {
        wino_locate(&s->g, first + t, j->args->in[0], s->zeros, d);
        for (int64_t c = 0; c < s->g.src_c; c += VW)
            wino_transform_input(d, c, v + (c / NR * s->block + t) * NR + c % NR, s->v_step);
    }
}

/* Gradients of a block, A dy A^T, as [point][tile][o]. */
static void transform_gradients(const dw_job *j, int64_t first, int64_t count, float *to)
{
    const dw_state *s = j->s;
    const float *dy = j->args->in[1];
    int64_t at[16];

    for (int64_t t = 0; t < count; t++) {
        wino_targets(&s->g, first + t, at);
        for (int64_t c = 0; c < s->g.dst_c; c += VW) {
            vf y[16], half[24], out[36];

            for (int i = 0; i < 16; i++)
                y[i] = at[i] < 0 ? (vf){0} : v_load(dy + at[i] + c);
            for (int i = 0; i < 4; i++)
                wino_gradient(y + i, 4, half + i, 4);
            for (int i = 0; i < 6; i++)
                wino_gradient(half + 4 * i, 1, out + 6 * i, 1);
            for (int i = 0; i < POINTS; i++)
                v_store(to + i * s->y_step + t * s->g.dst_c + c, out[i]);
        }
    }
}

static void multiply_block(const dw_state *s, const float *v, const float *y, int64_t count, float *u,
                           bool first)
{
    for (int64_t i = 0; i < POINTS; i++)
        for (int64_t p = 0; p < s->panels; p++) {
            int64_t cols = s->g.src_c - p * NR < NR ? s->g.src_c - p * NR : NR;

            ons_outer_tiles(count, y + i * s->y_step, s->g.dst_c, v + i * s->v_step + p * s->block * NR,
                            u + i * s->u_step + p * NR, s->g.src_c, s->g.dst_c, cols, first);
        }
}

static float *piece_base(const dw_job *j, int piece)
{
    return (float *)((char *)j->args->scratch + j->s->piece_bytes * (size_t)piece);
}

/* dw of one output channel: the pieces' sums in order, then G^T u G. */
static void transform_back(const dw_job *j, int64_t o)
{
    const dw_state *s = j->s;
    float *dw = (float *)j->args->out[0] + o * 9 * s->g.src_c;

    for (int64_t c = 0; c < s->g.src_c; c += VW) {
        vf u[36], half[18], g[9];

        for (int i = 0; i < POINTS; i++) {
            u[i] = v_load(piece_base(j, 0) + i * s->u_step + o * s->g.src_c + c);
            for (int t = 1; t < j->n_sums; t++)
                u[i] += v_load(piece_base(j, t) + i * s->u_step + o * s->g.src_c + c);
        }
        for (int i = 0; i < 6; i++)
            wino_weight_back(u + i, 6, half + i, 6);
        for (int i = 0; i < 3; i++)
            wino_weight_back(half + 6 * i, 1, g + 3 * i, 1);
        for (int i = 0; i < 9; i++)
            v_store(dw + i * s->g.src_c + c, g[i]);
    }
}

/* Once all sums are there. */
static void finish(void *context, int piece, int n_pieces)
{
    const dw_job *j = context;
    const dw_state *s = j->s;
    int64_t from, to;

    ons_partition(s->g.dst_c, n_pieces, piece, &from, &to);
    for (int64_t o = from; o < to && j->args->out[0]; o++)
        transform_back(j, o);
    ons_partition((s->g.dst_c + VW - 1) / VW, n_pieces, piece, &from, &to);
    if (j->args->out[1])
        ons_column_sum(j->args->in[1], s->g.batch * s->g.dst_h * s->g.dst_w, s->g.dst_c, from * VW, to * VW,
                       j->args->out[1]);
}

static void sum_tiles(void *context, int piece, int n_pieces)
{
    const dw_job *j = context;
    const dw_state *s = j->s;
    float *u = piece_base(j, piece), *v = u + POINTS * s->u_step, *y = v + POINTS * s->v_step;
    int64_t from, to;

    ons_partition(wino_tiles(&s->g), n_pieces, piece, &from, &to);
    if (from == to)
        memset(u, 0, (size_t)(POINTS * s->u_step) * 4);
    for (int64_t t = from; t < to; t += s->block) {
        int64_t count = to - t < s->block ? to - t : s->block;

        transform_inputs(j, t, count, v);
        transform_gradients(j, t, count, y);
        multiply_block(s, v, y, count, u, t == from);
    }
}

/* One panel of one point over all tiles. */
static void multiply_panel(const dw_state *s, const float *v, const float *y, float *u, int64_t panel)
{
    int64_t cols = s->g.src_c - panel * NR < NR ? s->g.src_c - panel * NR : NR;

    v += panel * s->block * NR;
    for (int64_t t = 0; t < s->block; t += DEPTH)
        ons_outer_tiles(s->block - t < DEPTH ? s->block - t : DEPTH, y + t * s->g.dst_c, s->g.dst_c, v + t * NR,
                        u + panel * NR, s->g.src_c, s->g.dst_c, cols, t == 0);
}

static void transform_all(void *context, int piece, int n_pieces)
{
    const dw_job *j = context;
    const dw_state *s = j->s;
    float *v = piece_base(j, 0) + POINTS * s->u_step, *y = v + POINTS * s->v_step;
    int64_t from, to;

    ons_partition(wino_tiles(&s->g), n_pieces, piece, &from, &to);
    transform_inputs(j, from, to - from, v + from * NR);
    transform_gradients(j, from, to - from, y + from * s->g.dst_c);
}

static void multiply_panels(void *context, int piece, int n_pieces)
{
    const dw_job *j = context;
    const dw_state *s = j->s;
    float *u = piece_base(j, 0), *v = u + POINTS * s->u_step, *y = v + POINTS * s->v_step;
    int64_t from, to;

    ons_partition(POINTS * s->panels, n_pieces, piece, &from, &to);
    for (int64_t i = from; i < to; i++) {
        int64_t point = i / s->panels;

        multiply_panel(s, v + point * s->v_step, y + point * s->y_step, u + point * s->u_step, i % s->panels);
    }
}

onestep_status ons_wino_grad_w_run(const ons_prep *p, const ons_args *args)
{
    dw_job j = {p->state, args, 1};

    if (j.s->by_points) {
        ons_parallel(p->n_threads, transform_all, &j);
        ons_parallel(p->n_threads, multiply_panels, &j);
    } else {
        j.n_sums = p->n_threads;
        ons_parallel(p->n_threads, sum_tiles, &j);
    }
    ons_parallel(p->n_threads, finish, &j);
    return ONESTEP_OK;
}

void ons_wino_grad_w_destroy(ons_prep *p)
{
    dw_state *s = p->state;

    if (s)
        ons_free_aligned(s->zeros);
    ons_free(s);
    p->state = NULL;
}

/* Bytes that each walk moves past a core's own cache, roughly: whichever moves fewer. */
static bool prefer_points(const dw_state *s, int64_t each, int n_threads)
{
    double sums = (double)(POINTS * s->u_step) * 4, tiles = (double)wino_tiles(&s->g);
    double operands = POINTS * 4 * tiles * (double)(s->g.src_c + s->g.dst_c);
    double blocks = (double)((each + s->block - 1) / s->block);

    return sums > NEAR_BYTES && 3 * operands + 3 * sums < n_threads * (2 * blocks + 1) * sums;
}

static void choose_block(dw_state *s, int n_threads)
{
    int64_t each = (wino_tiles(&s->g) + n_threads - 1) / n_threads;

    s->panels = (s->g.src_c + NR - 1) / NR;
    s->u_step = s->g.dst_c * s->g.src_c + ONS_WINO_PAD;
    s->block = BLOCK_BYTES / (POINTS * 4 * (s->panels * NR + s->g.dst_c));
    s->block = s->block < MIN_BLOCK ? MIN_BLOCK : s->block > MAX_BLOCK ? MAX_BLOCK : s->block;
    s->block = s->block > each ? each : s->block;
    s->by_points = prefer_points(s, each, n_threads);
    if (s->by_points)
        s->block = wino_tiles(&s->g);
    s->v_step = s->block * s->panels * NR + ONS_WINO_PAD;
    s->y_step = s->block * s->g.dst_c + ONS_WINO_PAD;
    s->piece_bytes = ons_cpu_align((size_t)(POINTS * (s->v_step + s->y_step + s->u_step)) * 4);
}

onestep_status ons_wino_grad_w_prepare(ons_prep *p)
{
    const ons_node *n = p->node;
    const ons_shape *x = &n->in[0]->shape, *dy = &n->in[1]->shape;
    dw_state *s = ons_calloc(1, sizeof *s);

    p->state = s;
    if (s)
        s->zeros = ons_calloc_aligned((size_t)x->d[3] * 4);
    if (!s || !s->zeros) {
        ons_wino_grad_w_destroy(p);
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare a convolution", n->layer);
    }
    s->g = (ons_wino_grid){.batch = x->d[0],
                           .src_h = x->d[1],
                           .src_w = x->d[2],
                           .src_c = x->d[3],
                           .dst_h = dy->d[1],
                           .dst_w = dy->d[2],
                           .dst_c = dy->d[3],
                           .tiles_y = (dy->d[1] + 3) / 4,
                           .tiles_x = (dy->d[2] + 3) / 4,
                           .pad_y = n->attrs.conv.pad_top,
                           .pad_x = n->attrs.conv.pad_left};
    choose_block(s, p->n_threads);
    p->scratch_bytes = s->piece_bytes * (size_t)(s->by_points ? 1 : p->n_threads);
    return ONESTEP_OK;
}
