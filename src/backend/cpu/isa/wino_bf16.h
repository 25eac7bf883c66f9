/*
 * Convolutions 3x3 with stride 1 in bf16 by Winograd's F(2x2, 3x3) (Lavin and Gray, 2016): 2x2 results from 4x4
 * inputs with 16 products per channel pair where the direct sum takes 36. y = A^T [(G g G^T) . (B^T d B)] A
 * with points 0, +-1 and infinity. Transforms are in f32; V = B^T d B and U = G g G^T are stored in bf16, their
 * products summed in f32.
 *
 * Under an upsampled picture (each pixel twice in both directions) the third of the four values along an axis
 * is always 0, and the second twice the pixel in the middle: 3 values of 3 pixels remain, 9 products where the
 * direct sum takes 36.
 *
 * These files are compiled for AVX-512 with BF16 alone.
 */
#ifndef ONS_CPU_WINO_BF16_H
#define ONS_CPU_WINO_BF16_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/vec.h"

enum {
    ONS_WB_ROWS = 12,  /* tiles of the microkernel */
    ONS_WB_PANEL = 32, /* result channels of the microkernel */
    ONS_WB_GROUP = 32, /* source channels that the transforms take together */
    ONS_WB_PAD = 32,   /* elements between points, so that they do not fall into the same lines of a cache */
    ONS_WB_MAX_POINTS = 16
};

typedef struct ons_wb_grid {
    int64_t batch, src_h, src_w, src_c, dst_h, dst_w, dst_c, tiles_y, tiles_x;
    int64_t pad_y, pad_x;
    bool upsampled; /* the source is the picture before upsampling: one tile for each of its pixels */
} ons_wb_grid;

INLINE int ons_wb_axis(bool upsampled)
{
    return upsampled ? 3 : 4;
}

INLINE int ons_wb_points(bool upsampled)
{
    return upsampled ? 9 : 16;
}

/*
 * V of tiles [first, first + count): v[point * v_step + tile * ldv + c]. Channels of a group of 32 stand in the
 * order that splitting pairs of bf16 leaves: 0, 2 .. 30, 1, 3 .. 31. `zeros`: a pixel outside the picture.
 */
void ons_wb_transform_input(const ons_wb_grid *g, const uint16_t *src, const uint16_t *zeros, int64_t first,
                            int64_t count, uint16_t *v, int64_t v_step, int64_t ldv);

/* m[row][0 .. 32) = sum over k of v[row][k] u[k / 2][column][k % 2]; rows up to a multiple of 4 are read and
 * written. */
void ons_wb_multiply(const uint16_t *v, int64_t ldv, const uint16_t *u, int64_t depth, float *m, int64_t rows);

/* What the results' epilogue reads and writes; bias and residual may be NULL. */
typedef struct ons_wb_results {
    const float *bias;
    const uint16_t *residual;
    uint16_t *dst;
} ons_wb_results;

/* Results of tiles [first, first + count) and channels [32 panel, ..) from m[point * m_step + tile * 32 +
 * column]. */
void ons_wb_transform_output(const ons_wb_grid *g, const ons_wb_results *r, int64_t first, int64_t count,
                             int64_t panel, const float *m, int64_t m_step);

/* Plain data, copied into the weight store: what packing needs. */
typedef struct ons_wb_weights {
    int64_t c, o;
    bool upsampled;
    int n_threads;
} ons_wb_weights;

/* U as [panel][point][c / 2][32][2], c in the order of V; zeros where the last panel has no channels. */
size_t ons_wb_packed_bytes(const ons_wb_weights *w);
void ons_wb_pack_values(void *dst, const float *src, const ons_param *param, const void *context);
void ons_wb_pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param, const void *context);

extern const ons_kernel ons_wb_kernels[];

#endif
