/*
 * U = G g G^T of wino_bf16.h from a parameter's values, in f32 and the store's order or in 16 bits and the
 * file's. Vectors run over 16 result channels; 32 source channels are taken together.
 */
#include <immintrin.h>

#include "backend/cpu/isa/wino_bf16.h"

enum { NR = ONS_WB_PANEL, GROUP = ONS_WB_GROUP, TAPS = 9, LANES = 16 };

typedef float taps_block[GROUP][TAPS][LANES];

typedef struct pack_job {
    const ons_wb_weights *w;
    uint16_t *dst;
    const void *src;
    ons_dtype type;
    void (*gather)(const struct pack_job *j, int64_t o, int64_t n, int64_t c,
                   taps_block g); /* n result channels from o */
} pack_job;

size_t ons_wb_packed_bytes(const ons_wb_weights *w)
{
    return (size_t)(ons_cpu_round_up(w->o, NR) * w->c * ons_wb_points(w->upsampled)) * 2;
}

/* [out][row][column][in] */
static void gather_values(const pack_job *j, int64_t o, int64_t n, int64_t c, taps_block g)
{
    for (int64_t i = 0; i < n; i++)
        for (int t = 0; t < TAPS; t++) {
            const float *from = (const float *)j->src + ((o + i) * TAPS + t) * j->w->c + c;

            for (int k = 0; k < GROUP; k++)
                g[k][t][i] = from[k];
        }
}

/* [out][in][row][column] */
static void gather_file(const pack_job *j, int64_t o, int64_t n, int64_t c, taps_block g)
{
    float row[GROUP * TAPS];

    for (int64_t i = 0; i < n; i++) {
        const uint16_t *from = (const uint16_t *)j->src + ((o + i) * j->w->c + c) * TAPS;

        for (int k = 0; k < GROUP * TAPS; k += VW)
            v_store(row + k, j->type == ONS_F16 ? v_load_f16(from + k) : v_load_bf16(from + k));
        for (int k = 0; k < GROUP * TAPS; k++)
            (&g[0][0][0])[k * LANES + i] = row[k];
    }
}

/* o = G g along one axis: from 3 values `from` apart. */
INLINE void transform_axis(const vf *g, const int from, vf *o, const int to, const bool upsampled)
{
    const vf sum = g[0] + g[2 * from];

    o[0] = g[0];
    if (upsampled) {
        o[to] = sum + g[from]; /* twice, since V has half there */
        o[2 * to] = g[2 * from];
        return;
    }
    o[to] = 0.5f * (sum + g[from]);
    o[2 * to] = 0.5f * (sum - g[from]);
    o[3 * to] = g[2 * from];
}

/*
 * Rounding with feedback: of all roundings of a plane U, one near that which moves the results of random pixels
 * least. By the Gram matrix of the transforms, |A^T diag(e) B^T|^2, an error of a value in the middle is halved
 * by half of it at both ends, and a third of it at the other middle: values are rounded in that order, each
 * together with what the errors before it ask for. It takes a third off the variance that rounding U adds to
 * the results.
 */
INLINE vf wanted_error(const vf *e, const int step, int i, const bool upsampled)
{
    if (i == 1)
        return (vf){0};
    if (upsampled)
        return 0.5f * e[step];
    return i == 2 ? e[step] * (1.f / 3) : 0.5f * (e[step] + e[2 * step]);
}

INLINE vf round_bf16(vf x)
{
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x)), 16);
}

INLINE void round_plane(vf *u, const bool upsampled)
{
    static const int order[2][4] = {{1, 2, 0, 3}, {1, 0, 2, 0}};
    const int axis = ons_wb_axis(upsampled);
    vf error[ONS_WB_MAX_POINTS];

    for (int a = 0; a < axis; a++) {
        const int i = order[upsampled][a];
        vf rows[4], beyond[4]; /* what the rows before ask of this one, and what its errors are beyond it */

        for (int j = 0; j < axis; j++)
            rows[j] = wanted_error(error + j, axis, i, upsampled);
        for (int b = 0; b < axis; b++) {
            const int j = order[upsampled][b], at = axis * i + j;
            const vf exact = u[at];

            u[at] = round_bf16(exact + rows[j] + wanted_error(beyond, 1, j, upsampled));
            error[at] = u[at] - exact;
            beyond[j] = error[at] - rows[j];
        }
    }
}

INLINE void transform_taps(float g[TAPS][LANES], vf *u, const bool upsampled)
{
    const int axis = ons_wb_axis(upsampled);
    vf in[TAPS], half[12];

    for (int t = 0; t < TAPS; t++)
        in[t] = v_load(g[t]);
    for (int j = 0; j < 3; j++)
        transform_axis(in + j, 3, half + j, 3, upsampled);
    for (int i = 0; i < axis; i++)
        transform_axis(half + 3 * i, 1, u + axis * i, 1, upsampled);
    round_plane(u, upsampled);
}

/* Two channels of one point side by side, the first below; both are rounded. */
INLINE __m512i pair(vf first, vf second)
{
    return _mm512_or_si512(_mm512_srli_epi32((__m512i)first, 16), (__m512i)second);
}

/* dst: the group's first pair of the first point. V has channels 0, 2 .. 30, 1, 3 .. 31. */
INLINE void pack_group(taps_block g, uint16_t *dst, int64_t step, const bool upsampled)
{
    for (int k = 0; k < GROUP / 2; k++) {
        const int c = k < GROUP / 4 ? 4 * k : 4 * k - GROUP + 1;
        vf first[ONS_WB_MAX_POINTS], second[ONS_WB_MAX_POINTS];

        transform_taps(g[c], first, upsampled);
        transform_taps(g[c + 2], second, upsampled);
        for (int i = 0; i < ons_wb_points(upsampled); i++)
            _mm512_storeu_si512(dst + i * step + k * 2 * NR, pair(first[i], second[i]));
    }
}

static void pack_half_panel(const pack_job *j, int64_t half)
{
    const ons_wb_weights *w = j->w;
    const int64_t o = half * LANES, step = w->c * NR, n = w->o - o < LANES ? w->o - o : LANES;
    uint16_t *dst = j->dst + half / 2 * step * ons_wb_points(w->upsampled) + half % 2 * LANES * 2;
    taps_block g = {{{0}}};

    for (int64_t c = 0; c < w->c; c += GROUP, dst += GROUP * NR) {
        if (n > 0)
            j->gather(j, o, n, c, g);
        if (w->upsampled)
            pack_group(g, dst, step, true);
        else
            pack_group(g, dst, step, false);
    }
}

static void pack_range(void *context, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        pack_half_panel(context, i);
}

static void pack(pack_job *j)
{
    ons_parallel_for(j->w->n_threads, (j->w->o + NR - 1) / NR * 2, 1, pack_range, j);
}

void ons_wb_pack_values(void *dst, const float *src, const ons_param *param, const void *context)
{
    (void)param;
    pack(&(pack_job){.w = context, .dst = dst, .src = src, .type = ONS_F32, .gather = gather_values});
}

void ons_wb_pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param, const void *context)
{
    (void)param;
    pack(&(pack_job){.w = context, .dst = dst, .src = src, .type = type, .gather = gather_file});
}
