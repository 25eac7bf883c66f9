/*
 * The row of wino_bf16.h. Each thread takes a range of tiles in blocks: transforms the block's pixels, and
 * then, a panel of result channels after the other, multiplies the points and transforms back with bias and
 * residual. V stays in L2 where it can; a block has enough tiles in any case that reading U does not count.
 */
#include <stdio.h>

#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/wino_bf16.h"

enum { NR = ONS_WB_PANEL, MR = ONS_WB_ROWS, MIN_BLOCK = 48, BLOCK_BYTES = 512 << 10 };

/* Smaller pictures have the widest layers: U, 16/9 of the direct weights, would take hundreds of megabytes more
 * in Stable Diffusion's UNet. */
enum { MIN_TILES = 256 };

typedef struct wb_state {
    ons_wb_grid g;
    int64_t block, ldv, v_step, m_step; /* tiles per block; elements of V and M between rows and points */
    size_t m_at, thread_bytes;
    const ons_packed *packed; /* NULL: measured only */
    uint16_t *zeros;
} wb_state;

static ons_wb_grid find_grid(const ons_node *n)
{
    const ons_shape *src = &n->in[0]->shape, *dst = &n->out[0]->shape;

    return (ons_wb_grid){.batch = src->d[0],
                         .src_h = src->d[1],
                         .src_w = src->d[2],
                         .src_c = src->d[3],
                         .dst_h = dst->d[1],
                         .dst_w = dst->d[2],
                         .dst_c = dst->d[3],
                         .tiles_y = (dst->d[1] + 1) / 2,
                         .tiles_x = (dst->d[2] + 1) / 2,
                         .pad_y = n->attrs.conv.pad_top,
                         .pad_x = n->attrs.conv.pad_left,
                         .upsampled = n->op == ONS_OP_CONV2D_UPSAMPLED};
}

static const char *refuse_types(const ons_node *n)
{
    const int bias = n->attrs.conv.bias ? 2 : -1, residual = n->attrs.conv.residual ? n->n_in - 1 : -1;

    if (n->in[0]->dtype != ONS_BF16 || n->out[0]->dtype != ONS_BF16)
        return "picture or result is not bf16";
    if (bias >= 0 && n->in[bias]->dtype != ONS_F32)
        return "the bias is not f32";
    return residual >= 0 && n->in[residual]->dtype != ONS_BF16 ? "the residual is not bf16" : NULL;
}

static const char *refuse(const ons_node *n)
{
    const ons_wb_grid g = find_grid(n);
    const ons_node *leaf = n->in[1]->node;

    if (n->attrs.conv.kh != 3 || n->attrs.conv.kw != 3 || n->attrs.conv.stride != 1)
        return "not 3x3 with stride 1";
    if (leaf->op != ONS_OP_PARAM || leaf->attrs.param.trainable)
        return "the weights are not a frozen parameter";
    if (g.src_c % ONS_WB_GROUP || g.dst_c % 16)
        return "channels are not whole vectors";
    if (g.batch * g.tiles_y * g.tiles_x < MIN_TILES)
        return "few tiles for 16/9 of the weights";
    return refuse_types(n);
}

typedef struct wb_job {
    const wb_state *s;
    const ons_args *args;
    ons_wb_results results;
} wb_job;

static void run_block(const wb_job *j, int64_t first, int64_t count, uint16_t *v, float *m)
{
    const wb_state *s = j->s;
    const int points = ons_wb_points(s->g.upsampled);
    const uint16_t *u = ons_packed_data(s->packed);

    ons_wb_transform_input(&s->g, j->args->in[0], s->zeros, first, count, v, s->v_step, s->ldv);
    for (int64_t panel = 0; panel * NR < s->g.dst_c; panel++) {
        for (int i = 0; i < points; i++, u += s->g.src_c * NR)
            ons_wb_multiply(v + i * s->v_step, s->ldv, u, s->g.src_c, m + i * s->m_step, count);
        ons_wb_transform_output(&s->g, &j->results, first, count, panel, m, s->m_step);
    }
}

static void run_range(void *context, int64_t begin, int64_t end, int thread)
{
    const wb_job *j = context;
    char *own = (char *)j->args->scratch + j->s->thread_bytes * (size_t)thread;

    for (int64_t t = begin; t < end; t += j->s->block)
        run_block(j, t, end - t < j->s->block ? end - t : j->s->block, (uint16_t *)own,
                  (float *)(own + j->s->m_at));
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    const wb_state *s = p->state;
    const ons_attrs *at = &p->node->attrs;
    wb_job j = {s, args, {NULL, NULL, args->out[0]}};
    int next = 2;

    j.results.bias = at->conv.bias ? args->in[next++] : NULL;
    j.results.residual = at->conv.residual ? args->in[next] : NULL;
    ons_parallel_for(p->n_threads, s->g.batch * s->g.tiles_y * s->g.tiles_x, MR, run_range, &j);
    return ONESTEP_OK;
}

static void destroy(ons_prep *p)
{
    wb_state *s = p->state;

    if (s)
        ons_free_aligned(s->zeros);
    ons_free(s);
    p->state = NULL;
}

static void choose_block(wb_state *s, int n_threads)
{
    const int64_t tiles = s->g.batch * s->g.tiles_y * s->g.tiles_x, each = (tiles + n_threads - 1) / n_threads;
    const int points = ons_wb_points(s->g.upsampled);
    int64_t rows;

    s->ldv = s->g.src_c + ONS_WB_PAD;
    s->block = BLOCK_BYTES / (2 * points * s->ldv) / MR * MR;
    if (s->block < MIN_BLOCK)
        s->block = MIN_BLOCK;
    if (s->block > each)
        s->block = each;
    rows = ons_cpu_round_up(s->block, 4);
    s->v_step = rows * s->ldv + ONS_WB_PAD;
    s->m_step = rows * NR + ONS_WB_PAD;
    s->m_at = ons_cpu_align((size_t)(points * s->v_step) * 2);
    s->thread_bytes = s->m_at + ons_cpu_align((size_t)(points * s->m_step) * 4);
}

static onestep_status share_weights(ons_prep *p, wb_state *s)
{
    const ons_attrs *leaf = &p->node->in[1]->node->attrs;
    const ons_wb_weights w = {s->g.src_c, s->g.dst_c, s->g.upsampled, p->n_threads};
    ons_params *set = leaf->param.slot < p->n_params ? p->params[leaf->param.slot] : NULL;
    char layout[96];

    if (!set)
        return ONESTEP_OK;
    snprintf(layout, sizeof layout, "winograd bf16 %d", ons_wb_points(s->g.upsampled));
    s->packed = ons_params_packed(set, leaf->param.index, layout, ons_wb_packed_bytes(&w),
                                  (ons_packer){ons_wb_pack_values, ons_wb_pack_file}, &w, sizeof w);
    if (!s->packed)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a packed copy (%zu bytes) of its weight",
                        p->node->layer, ons_wb_packed_bytes(&w));
    p->packed_in |= 1u << 1;
    return ONESTEP_OK;
}

static onestep_status prepare(ons_prep *p)
{
    wb_state *s = ons_calloc(1, sizeof *s);
    onestep_status st = ONESTEP_OK;

    p->state = s;
    if (s) {
        s->g = find_grid(p->node);
        s->zeros = ons_calloc_aligned((size_t)s->g.src_c * 2);
    }
    if (!s || !s->zeros) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare a convolution", p->node->layer);
        goto fail;
    }
    choose_block(s, p->n_threads);
    ONS_TRY(share_weights(p, s));
    p->scratch_bytes = s->thread_bytes * (size_t)p->n_threads;
fail:
    if (st != ONESTEP_OK)
        destroy(p);
    return st;
}

const ons_kernel ons_wb_kernels[] = {{"winograd_bf16", refuse, prepare, run, destroy}, {0}};
