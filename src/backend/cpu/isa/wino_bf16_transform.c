/* The transforms of wino_bf16.h: of pixels to V, and of products to results with bias and residual. */
#include <immintrin.h>

#include "backend/cpu/isa/wino_bf16.h"

enum { NR = ONS_WB_PANEL };

/* Pixels under a tile; `zeros` outside. */
INLINE void locate(const ons_wb_grid *g, int64_t tile, const uint16_t *src, const uint16_t *zeros,
                   const bool upsampled, const uint16_t **d)
{
    const int axis = ons_wb_axis(upsampled);
    const int64_t step = upsampled ? 1 : 2, n = tile / (g->tiles_y * g->tiles_x);
    const int64_t y0 = tile / g->tiles_x % g->tiles_y * step - g->pad_y,
                  x0 = tile % g->tiles_x * step - g->pad_x;

    for (int i = 0; i < axis; i++)
        for (int j = 0; j < axis; j++) {
            const int64_t y = y0 + i, x = x0 + j;
            const bool inside = (uint64_t)y < (uint64_t)g->src_h && (uint64_t)x < (uint64_t)g->src_w;

            *d++ = inside ? src + ((n * g->src_h + y) * g->src_w + x) * g->src_c : zeros;
        }
}

/* o = B^T d along one axis, elements `step` apart. */
INLINE void transform_axis(const vf *d, const int step, vf *o, const bool upsampled)
{
    if (upsampled) {
        o[0] = d[0] - d[step];
        o[step] = d[step];
        o[2 * step] = d[step] - d[2 * step];
        return;
    }
    o[0] = d[0] - d[2 * step];
    o[step] = d[step] + d[2 * step];
    o[2 * step] = d[2 * step] - d[step];
    o[3 * step] = d[step] - d[3 * step];
}

INLINE void transform_plane(vf *d, const bool upsampled)
{
    const int axis = ons_wb_axis(upsampled);
    vf half[ONS_WB_MAX_POINTS];

    for (int j = 0; j < axis; j++)
        transform_axis(d + j, axis, half + j, upsampled);
    for (int i = 0; i < axis; i++)
        transform_axis(half + axis * i, 1, d + axis * i, upsampled);
}

/* A word holds two channels: the even one below. */
INLINE void transform_group(const uint16_t *const *d, int64_t c, uint16_t *v, int64_t step,
                            const bool upsampled)
{
    const int points = ons_wb_points(upsampled);
    vf even[ONS_WB_MAX_POINTS], odd[ONS_WB_MAX_POINTS];

    for (int i = 0; i < points; i++)
        even[i] = (vf)_mm512_slli_epi32(_mm512_loadu_si512(d[i] + c), 16);
    transform_plane(even, upsampled);
    for (int i = 0; i < points; i++)
        odd[i] = (vf)_mm512_and_si512(_mm512_loadu_si512(d[i] + c), _mm512_set1_epi32((int)0xffff0000));
    transform_plane(odd, upsampled);
    for (int i = 0; i < points; i++)
        _mm512_storeu_si512(v + i * step, (__m512i)_mm512_cvtne2ps_pbh((__m512)odd[i], (__m512)even[i]));
}

INLINE void transform_tiles(const ons_wb_grid *g, const uint16_t *src, const uint16_t *zeros, int64_t first,
                            int64_t count, uint16_t *v, int64_t v_step, int64_t ldv, const bool upsampled)
{
    const uint16_t *d[ONS_WB_MAX_POINTS];

    for (int64_t t = 0; t < count; t++) {
        locate(g, first + t, src, zeros, upsampled, d);
        for (int64_t c = 0; c < g->src_c; c += ONS_WB_GROUP)
            transform_group(d, c, v + t * ldv + c, v_step, upsampled);
    }
}

void ons_wb_transform_input(const ons_wb_grid *g, const uint16_t *src, const uint16_t *zeros, int64_t first,
                            int64_t count, uint16_t *v, int64_t v_step, int64_t ldv)
{
    if (g->upsampled)
        transform_tiles(g, src, zeros, first, count, v, v_step, ldv, true);
    else
        transform_tiles(g, src, zeros, first, count, v, v_step, ldv, false);
}

/* y = A^T m along one axis: 2 results from values `from` apart. */
INLINE void combine_axis(const vf *m, const int from, vf *y, const int to, const bool upsampled)
{
    if (upsampled) {
        y[0] = m[0] + m[from];
        y[to] = m[from] - m[2 * from];
        return;
    }
    y[0] = m[0] + m[from] + m[2 * from];
    y[to] = m[from] - m[2 * from] - m[3 * from];
}

INLINE void combine_plane(const float *m, int64_t step, vf *y, const bool upsampled)
{
    const int axis = ons_wb_axis(upsampled);
    vf in[ONS_WB_MAX_POINTS], half[8];

    for (int i = 0; i < axis * axis; i++)
        in[i] = v_load(m + i * step);
    for (int j = 0; j < axis; j++)
        combine_axis(in + j, axis, half + j, axis, upsampled);
    for (int i = 0; i < 2; i++)
        combine_axis(half + axis * i, 1, y + 2 * i, 1, upsampled);
}

/* A pixel's channels of a panel; `mask` has those that there are. */
INLINE void store_pixel(const ons_wb_results *r, int64_t at, __mmask32 mask, vf low, vf high)
{
    if (r->residual) {
        const __m512i words = _mm512_maskz_loadu_epi16(mask, r->residual + at);

        low += (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(words)), 16);
        high += (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(words, 1)), 16);
    }
    _mm512_mask_storeu_epi16(r->dst + at, mask, (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low));
}

INLINE void combine_tiles(const ons_wb_grid *g, const ons_wb_results *r, int64_t first, int64_t count,
                          int64_t panel, const float *m, int64_t m_step, const bool upsampled)
{
    const int64_t c = panel * NR, left = g->dst_c - c;
    const __mmask32 mask = left >= NR ? 0xffffffff : 0xffff;
    const vf low_bias = r->bias ? v_load(r->bias + c) : (vf){0};
    const vf high_bias = r->bias && left >= NR ? v_load(r->bias + c + 16) : (vf){0};

    for (int64_t t = 0; t < count; t++, m += NR) {
        const int64_t tile = first + t, n = tile / (g->tiles_y * g->tiles_x);
        const int64_t y0 = tile / g->tiles_x % g->tiles_y * 2, x0 = tile % g->tiles_x * 2;
        vf low[4], high[4];

        combine_plane(m, m_step, low, upsampled);
        combine_plane(m + 16, m_step, high, upsampled);
        for (int i = 0; i < 4; i++)
            if (y0 + i / 2 < g->dst_h && x0 + i % 2 < g->dst_w)
                store_pixel(r, ((n * g->dst_h + y0 + i / 2) * g->dst_w + x0 + i % 2) * g->dst_c + c, mask,
                            low[i] + low_bias, high[i] + high_bias);
    }
}

void ons_wb_transform_output(const ons_wb_grid *g, const ons_wb_results *r, int64_t first, int64_t count,
                             int64_t panel, const float *m, int64_t m_step)
{
    if (g->upsampled)
        combine_tiles(g, r, first, count, panel, m, m_step, true);
    else
        combine_tiles(g, r, first, count, panel, m, m_step, false);
}
