/*
 * The microkernel of bf16 products: 12 rows of V against a panel of 32 columns of U, with all sums in
 * registers. A row is read where it lies, a pair of channels at a time.
 */
#include <immintrin.h>

#include "backend/cpu/isa/wino_bf16.h"

enum { NR = ONS_WB_PANEL };

INLINE __m512bh broadcast_pair(const uint16_t *p)
{
    int32_t pair;

    memcpy(&pair, p, 4);
    return (__m512bh)_mm512_set1_epi32(pair);
}

INLINE void multiply_rows(const int rows, const uint16_t *v, int64_t ldv, const uint16_t *u, int64_t depth,
                          float *m)
{
    __m512 sum[ONS_WB_ROWS][2];

    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += 2, u += 2 * NR) {
        const __m512bh u0 = (__m512bh)_mm512_loadu_si512(u), u1 = (__m512bh)_mm512_loadu_si512(u + NR);

#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            const __m512bh a = broadcast_pair(v + i * ldv + k);

            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], a, u0);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], a, u1);
        }
    }
    for (int i = 0; i < rows; i++) {
        _mm512_storeu_ps(m + i * NR, sum[i][0]);
        _mm512_storeu_ps(m + i * NR + 16, sum[i][1]);
    }
}

void ons_wb_multiply(const uint16_t *v, int64_t ldv, const uint16_t *u, int64_t depth, float *m, int64_t rows)
{
    for (; rows >= 12; rows -= 12, v += 12 * ldv, m += 12 * NR)
        multiply_rows(12, v, ldv, u, depth, m);
    if (rows > 8)
        multiply_rows(12, v, ldv, u, depth, m);
    else if (rows > 4)
        multiply_rows(8, v, ldv, u, depth, m);
    else if (rows > 0)
        multiply_rows(4, v, ldv, u, depth, m);
}
