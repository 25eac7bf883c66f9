/*
 * Vectors of 16 pairs of bf16, for files that are compiled for AVX-512 with BF16 alone. Intrinsics, unlike
 * vec.h: no operator of the compilers' vectors becomes the product of pairs or the rounding to bf16. A pair is
 * an element of a vector of integers, its first half in the lower bits.
 */
#ifndef ONS_CPU_BF16_H
#define ONS_CPU_BF16_H

#include <immintrin.h>
#include <stdbool.h>

#include "backend/cpu/isa/vec.h"

/* sum + a0 b0 + a1 b1, pair by pair. */
INLINE vf v_dot_pairs(vf sum, vi a, vi b)
{
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

/* Pairs (lower, upper), rounded to nearest even. */
INLINE vi v_make_pairs(vf lower, vf upper)
{
    const vi order = {0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005, 0x160006, 0x170007,
                      0x180008, 0x190009, 0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f};

    return (vi)_mm512_permutexvar_epi16((__m512i)order,
                                        (__m512i)_mm512_cvtne2ps_pbh((__m512)upper, (__m512)lower));
}

/* One instruction, where v_max has a comparison and a choice. b where either is NaN. */
INLINE vf v_larger(vf a, vf b)
{
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
}

INLINE bool v_any_above(vf x, float limit)
{
    return _mm512_cmp_ps_mask((__m512)x, (__m512)v_set(limit), _CMP_GT_OQ);
}

/* Pairs of the first 16 halves of each, and of the last. */
INLINE vi v_first_pairs(vi lower, vi upper)
{
    const vi order = {0x200000, 0x210001, 0x220002, 0x230003, 0x240004, 0x250005, 0x260006, 0x270007,
                      0x280008, 0x290009, 0x2a000a, 0x2b000b, 0x2c000c, 0x2d000d, 0x2e000e, 0x2f000f};

    return (vi)_mm512_permutex2var_epi16((__m512i)lower, (__m512i)order, (__m512i)upper);
}

INLINE vi v_last_pairs(vi lower, vi upper)
{
    const vi order = {0x300010, 0x310011, 0x320012, 0x330013, 0x340014, 0x350015, 0x360016, 0x370017,
                      0x380018, 0x390019, 0x3a001a, 0x3b001b, 0x3c001c, 0x3d001d, 0x3e001e, 0x3f001f};

    return (vi)_mm512_permutex2var_epi16((__m512i)lower, (__m512i)order, (__m512i)upper);
}

/* The same pair in every place. */
INLINE vi v_set_pair(int32_t pair)
{
    return (vi){0} + pair;
}

INLINE __mmask32 v_first_halves(int64_t n)
{
    return n >= 32 ? 0xffffffffu : (1u << n) - 1;
}

/* The first n of 32 halves, zeros behind; and back. 0 < n, which may be more than 32. */
INLINE vi v_load_halves(const uint16_t *p, int64_t n)
{
    return (vi)_mm512_maskz_loadu_epi16(v_first_halves(n), p);
}

INLINE void v_store_halves(uint16_t *p, vi x, int64_t n)
{
    _mm512_mask_storeu_epi16(p, v_first_halves(n), (__m512i)x);
}

/*
 * x[i][j] <- x[j][i]. Four times every row is interleaved with the row 8 behind it, which turns the eight bits
 * of an element's place by one each time.
 */
INLINE void v_transpose(vi x[16])
{
    const vi low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}, high = low + 8;

    for (int turn = 0; turn < 4; turn++) {
        vi y[16];

        for (int i = 0; i < 8; i++) {
            y[2 * i] = (vi)_mm512_permutex2var_epi32((__m512i)x[i], (__m512i)low, (__m512i)x[i + 8]);
            y[2 * i + 1] = (vi)_mm512_permutex2var_epi32((__m512i)x[i], (__m512i)high, (__m512i)x[i + 8]);
        }
        memcpy(x, y, sizeof y);
    }
}

#endif
