/*
 * Attention of bf16 operands by vectors that multiply pairs of bf16: what the packing (attention_bf16_pack.c)
 * and the products (attention_bf16.c) share. Queries lie across a vector's places, so that both products are
 * one loop: ROWS keys, or channels of the values, whose pairs are spread to all places, by 32 queries.
 */
#ifndef ONS_CPU_ATTENTION_BF16_H
#define ONS_CPU_ATTENTION_BF16_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/bf16.h"

enum {
    ONS_AB_ROWS = 8,         /* keys or channels of the microkernel */
    ONS_AB_QUERIES = 2 * VW, /* of the microkernel */
    ONS_AB_KEYS = 128        /* whose probabilities stay in L1 */
};

typedef struct ons_ab_sizes {
    int64_t batch, heads, tq, tk, c, d;
    int64_t pairs; /* of a head's channels */
    int64_t tiles; /* of ROWS channels */
    float scale;
    bool causal;
} ons_ab_sizes;

/* Of one head: [tk / ROWS][pairs][ROWS] pairs of channels; zeros behind the last key, up to a multiple of 16.
 */
void ons_ab_pack_keys(const ons_ab_sizes *s, int32_t *dst, const uint16_t *src);
/* By blocks of KEYS keys [tiles][keys / 2][ROWS] pairs of keys; zeros behind the last key and channel. */
void ons_ab_pack_values(const ons_ab_sizes *s, int32_t *dst, const uint16_t *src);
/* [pairs][2] pairs of channels of n <= 32 queries; zeros behind. */
void ons_ab_pack_queries(const ons_ab_sizes *s, vi *dst, const uint16_t *src, int64_t n);
/* Rows of n queries from sums [tiles * ROWS][2], each query's times its factor. */
void ons_ab_store_results(const ons_ab_sizes *s, uint16_t *dst, const vf *sums, const vf factor[2], int64_t n);

extern const ons_kernel ons_attention_bf16_kernels[];

#endif
