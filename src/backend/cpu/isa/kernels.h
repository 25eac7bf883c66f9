/* Kernel lists of one instruction set's build, and the few loops they share. */
#ifndef ONS_CPU_KERNELS_H
#define ONS_CPU_KERNELS_H

#include "backend/cpu/cpu.h"
#include "backend/cpu/isa/vec.h"
#include "base/memory.h"

extern const ons_kernel ons_conv_kernels[], ons_conv_grad_x_kernels[], ons_conv_grad_w_kernels[],
    ons_matmul_kernels[], ons_unary_kernels[], ons_unary_grad_kernels[], ons_binary_kernels[],
    ons_geglu_kernels[], ons_sum_to_kernels[], ons_broadcast_kernels[], ons_group_norm_kernels[],
    ons_group_norm_grad_kernels[], ons_layer_norm_kernels[], ons_layer_norm_grad_kernels[],
    ons_attention_kernels[], ons_attention_grad_kernels[], ons_softmax_kernels[], ons_resample_kernels[],
    ons_embedding_grad_kernels[], ons_timestep_kernels[], ons_quantise_kernels[];

/* ons_convert by vectors. */
void ons_isa_convert(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n);

/* Elements below which a thread is not worth waking. */
enum { ONS_GRAIN = 8192 };

/* Adds to sums[c] the sum over rows of x[row * ld + c], for c in [c0, c1); ons_column_sum begins at 0. */
void ons_column_add(const float *x, int64_t n_rows, int64_t ld, int64_t c0, int64_t c1, float *sums);
/* sums[c] = sum over rows of x[row * ld + c] for c in [c0, c1); blocks of rows in f32, their sums in order. */
void ons_column_sum(const float *x, int64_t n_rows, int64_t ld, int64_t c0, int64_t c1, float *sums);

#endif
