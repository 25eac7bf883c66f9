/*
 * Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, 2016): 4x4 results from 6x6 inputs with 36 products
 * per channel pair where the direct sum takes 144. With points 0, +-1, +-2 and infinity y = A^T [(G g G^T) .
 * (B^T d B)] A,   and for the weights   dg = G^T [(A dy A^T) . (B^T d B)] G. The transforms below are
 * one-dimensional, on vectors of channels, `step` apart; f32 keeps about five digits of the largest result.
 */
#ifndef ONS_CPU_WINOGRAD_H
#define ONS_CPU_WINOGRAD_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/vec.h"

enum { ONS_WINO_OUT = 4, ONS_WINO_IN = 6, ONS_WINO_POINTS = 36, ONS_WINO_PAD = 16 };

/* o = B^T d */
INLINE void wino_input(const vf *d, int ds, vf *o, int os)
{
    vf a = d[4 * ds] - 4.f * d[2 * ds], b = d[3 * ds] - 4.f * d[ds];
    vf c = d[4 * ds] - d[2 * ds], e = 2.f * (d[3 * ds] - d[ds]);

    o[0] = 4.f * d[0] - 5.f * d[2 * ds] + d[4 * ds];
    o[os] = a + b;
    o[2 * os] = a - b;
    o[3 * os] = c + e;
    o[4 * os] = c - e;
    o[5 * os] = 4.f * d[ds] - 5.f * d[3 * ds] + d[5 * ds];
}

/* y = A^T m */
INLINE void wino_output(const vf *m, int ms, vf *y, int ys)
{
    vf a = m[ms] + m[2 * ms], b = m[ms] - m[2 * ms], c = m[3 * ms] + m[4 * ms], d = m[3 * ms] - m[4 * ms];

    y[0] = m[0] + a + c;
    y[ys] = b + 2.f * d;
    y[2 * ys] = a + 4.f * c;
    y[3 * ys] = b + 8.f * d + m[5 * ms];
}

/* o = A y */
INLINE void wino_gradient(const vf *y, int ys, vf *o, int os)
{
    vf even = y[0] + y[2 * ys], odd = y[ys] + y[3 * ys];
    vf even2 = y[0] + 4.f * y[2 * ys], odd2 = 2.f * y[ys] + 8.f * y[3 * ys];

    o[0] = y[0];
    o[os] = even + odd;
    o[2 * os] = even - odd;
    o[3 * os] = even2 + odd2;
    o[4 * os] = even2 - odd2;
    o[5 * os] = y[3 * ys];
}

/* o = G g */
INLINE void wino_weight(const vf *g, int gs, vf *o, int os)
{
    vf sum = (g[0] + g[2 * gs]) * (1.f / 6), wide = g[0] * (1.f / 24) + g[2 * gs] * (1.f / 6);

    o[0] = g[0] * 0.25f;
    o[os] = -sum - g[gs] * (1.f / 6);
    o[2 * os] = g[gs] * (1.f / 6) - sum;
    o[3 * os] = wide + g[gs] * (1.f / 12);
    o[4 * os] = wide - g[gs] * (1.f / 12);
    o[5 * os] = g[2 * gs];
}

/* g = G^T u */
INLINE void wino_weight_back(const vf *u, int us, vf *g, int gs)
{
    vf a = (u[us] + u[2 * us]) * (1.f / 6), b = (u[2 * us] - u[us]) * (1.f / 6);
    vf c = u[3 * us] + u[4 * us], d = u[3 * us] - u[4 * us];

    g[0] = u[0] * 0.25f - a + c * (1.f / 24);
    g[gs] = b + d * (1.f / 12);
    g[2 * gs] = c * (1.f / 6) - a + u[5 * us];
}

/* The walk over tiles of a convolution 3x3 with stride 1: result pixel (y, x) reads source (y - pad_y + r, x -
 * pad_x + q). */
typedef struct ons_wino_grid {
    int64_t batch, src_h, src_w, src_c, dst_h, dst_w, dst_c, tiles_y, tiles_x;
    int64_t pad_y, pad_x;
} ons_wino_grid;

INLINE int64_t wino_tiles(const ons_wino_grid *g)
{
    return g->batch * g->tiles_y * g->tiles_x;
}

/* Pixels of the source under a tile; `zeros` outside. */
INLINE void wino_locate(const ons_wino_grid *g, int64_t tile, const float *src, const float *zeros,
                        const float **d)
{
    int64_t n = tile / (g->tiles_y * g->tiles_x), y0 = tile / g->tiles_x % g->tiles_y * ONS_WINO_OUT - g->pad_y;
    int64_t x0 = tile % g->tiles_x * ONS_WINO_OUT - g->pad_x;

    for (int64_t i = 0; i < ONS_WINO_IN; i++)
        for (int64_t j = 0; j < ONS_WINO_IN; j++) {
            int64_t y = y0 + i, x = x0 + j;
            bool inside = (uint64_t)y < (uint64_t)g->src_h && (uint64_t)x < (uint64_t)g->src_w;

            *d++ = inside ? src + ((n * g->src_h + y) * g->src_w + x) * g->src_c : zeros;
        }
}

/* v[point * step] = B^T d B for one vector of channels at c. */
INLINE void wino_transform_input(const float *const *d, int64_t c, float *v, int64_t step)
{
    vf in[36], half[36], out[36];

    for (int i = 0; i < 36; i++)
        in[i] = v_load(d[i] + c);
    for (int j = 0; j < 6; j++)
        wino_input(in + j, 6, half + j, 6);
    for (int i = 0; i < 6; i++)
        wino_input(half + 6 * i, 1, out + 6 * i, 1);
    for (int i = 0; i < 36; i++)
        v_store(v + i * step, out[i]);
}

/* Result pixels of a tile as offsets in floats; -1 outside. */
INLINE void wino_targets(const ons_wino_grid *g, int64_t tile, int64_t *at)
{
    int64_t n = tile / (g->tiles_y * g->tiles_x), y0 = tile / g->tiles_x % g->tiles_y * ONS_WINO_OUT;
    int64_t x0 = tile % g->tiles_x * ONS_WINO_OUT;

    for (int64_t i = 0; i < ONS_WINO_OUT; i++)
        for (int64_t j = 0; j < ONS_WINO_OUT; j++) {
            int64_t y = y0 + i, x = x0 + j;

            *at++ = y < g->dst_h && x < g->dst_w ? ((n * g->dst_h + y) * g->dst_w + x) * g->dst_c : -1;
        }
}

/* Why the node is left to the direct kernels; NULL: worth it. */
const char *ons_wino_refuse(const ons_node *n);

/* Kernels for the lists: conv2d and conv2d_grad_x, and conv2d_grad_w. */
onestep_status ons_wino_prepare(ons_prep *p);
onestep_status ons_wino_run(const ons_prep *p, const ons_args *args);
void ons_wino_destroy(ons_prep *p);
onestep_status ons_wino_grad_w_prepare(ons_prep *p);
onestep_status ons_wino_grad_w_run(const ons_prep *p, const ons_args *args);
void ons_wino_grad_w_destroy(ons_prep *p);

#endif
