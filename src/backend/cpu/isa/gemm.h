/*
 * Register-blocked products in f32: one microkernel serves convolution (all three directions), matrix products
 * and attention.
 *
 * Two forms. "Rows": A is read in place through row pointers (a pixel's channels, or the zero row for padding),
 * once per tap, so an image is never unfolded; B lies packed in panels of NR columns. "Outer": both operands
 * run over a long common dimension (pixels) and are packed, A as [k][MR], B as [k][NR].
 */
#ifndef ONS_CPU_GEMM_H
#define ONS_CPU_GEMM_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/vec.h"

enum { ONS_MR = VW == 16 ? 8 : 6, ONS_NR = 2 * VW, ONS_KC = 384, ONS_KC_OUTER = 256 };

/*
 * A product whose rows are found by pointers: c[row][0..n) = init + sum over taps, k of a[row][tap][k] *
 * b[(tap, k)][..]. `locate` fills pointers of `count` rows from row `first`: a[(i / MR * n_taps + tap) * MR + i
 * % MR] for row i and tap, and the destination c[i]. Every row pointer must have `depth` readable floats.
 */
typedef struct ons_rows {
    int64_t n_rows, depth, n_cols; /* depth: channels per tap */
    int n_taps;
    const void *b;         /* packed [ceil(n_cols / NR)][n_taps * depth][NR] */
    ons_dtype b_type;      /* F32, or F16 or BF16, which is unpacked slice by slice while B is walked over */
    const float *bias;     /* [n_cols] or NULL */
    const float *residual; /* like c, or NULL */
    const float *c_base;   /* to find the residual's row: residual + (c - c_base) */
    void (*locate)(const struct ons_rows *r, int64_t first, int count, const float **a, float **c);
    const void *context;
    char *scratch;       /* thread_bytes for each thread */
    size_t thread_bytes; /* ons_rows_scratch() of the most taps that this scratch serves */
} ons_rows;

enum { ONS_ROW_TILES = 48 }; /* tiles of MR rows that share one walk over B */

size_t ons_rows_scratch(int n_taps, int64_t n_cols, ons_dtype b_type); /* bytes for one thread */
void ons_rows_run(const ons_rows *r, int thread, int n_threads);

/* Packing B. `strided`: b[n * ld + k] (transposed); else b[k * ld + n]. Panels [from, to) of ceil(n / NR). */
size_t ons_pack_b_floats(int64_t k, int64_t n);
void ons_pack_b(float *dst, const float *b, int64_t ld, int64_t k, int64_t n, bool transposed, float alpha,
                int64_t from, int64_t to);

/* c[M, N] = sum over k of a[k][m] * b[k][n]. */
typedef struct ons_outer {
    int64_t m, n, k;
    const float *a;
    int64_t lda;
    float *c;
    int64_t ldc;
    float alpha;
    bool add; /* to what c holds */
    /* Packs b[k0 .. k0 + kc)[n0 .. n0 + NR) to dst [kc][NR], zeros beyond n. */
    void (*pack_b)(const struct ons_outer *o, int64_t k0, int64_t kc, int64_t n0, float *dst);
    const void *context;
    const float *b; /* for the plain packer */
    int64_t ldb;
    float *scratch; /* ons_outer_scratch() bytes */
} ons_outer;

size_t ons_outer_scratch(int64_t m, int n_threads);
void ons_outer_run(const ons_outer *o, int thread, int n_threads);
void ons_outer_pack_plain(const ons_outer *o, int64_t k0, int64_t kc, int64_t n0, float *dst);

/*
 * One panel without packing A: c[i][0 .. cols) = (or += unless first) sum over k < kc of a[k * lda + i] b[k *
 * NR + ..], i < m. The last row of `a` must be readable up to a multiple of MR.
 */
void ons_outer_tiles(int64_t kc, const float *a, int64_t lda, const float *b, float *c, int64_t ldc, int64_t m,
                     int64_t cols, bool first);

#endif
