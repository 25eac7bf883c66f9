/* What the files of the cpu backend share: threads, the variants per instruction set, and helpers for
 * preparing. */
#ifndef ONS_CPU_CPU_H
#define ONS_CPU_CPU_H

#include "backend/backend.h"

/* Width of the regions that libraries on OpenMP open from this thread; returns what it was, to be put back. */
int ons_cpu_set_threads(int n);

/* The backend's `machine`. */
const char *ons_cpu_machine(void);

/* One build of the kernels for an instruction set. */
typedef struct ons_cpu_variant {
    const char *name;                        /* "generic", "avx2", "avx512" */
    bool (*supported)(void);                 /* by this machine and ONEDNN_MAX_CPU_ISA */
    const ons_kernel *(*kernels)(ons_op op); /* f32 rows; NULL: none. Ended by a row without a name */
    void (*convert)(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n);
    float (*probabilities)(uint16_t *p, const float *x, float scale, int64_t n, float *max);
} ons_cpu_variant;
extern const ons_cpu_variant ons_cpu_variants[]; /* best first, ended by a row without a name */
const ons_cpu_variant *ons_cpu_variant_best(void);

/* ons_convert by the best instruction set, on this thread. */
void ons_cpu_convert(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n);

/* p <- e^(scale x - max) in bf16, max the largest of scale x, scale > 0; returns the sum of what was stored. */
float ons_cpu_probabilities(uint16_t *p, const float *x, float scale, int64_t n, float *max);

/* oneDNN's rows, by where they stand in an operator's list. */
typedef enum ons_onednn_rows {
    ONS_ONEDNN_U8,     /* 8-bit factors */
    ONS_ONEDNN_BF16,   /* bf16 factors */
    ONS_ONEDNN_BETTER, /* f32 shapes that it computes faster than our kernels */
    ONS_ONEDNN_F32     /* all of f32 */
} ons_onednn_rows;
const ons_kernel *ons_cpu_onednn_kernels(ons_op op, ons_onednn_rows which); /* NULL: none */
/* Does this CPU multiply bf16 (AVX-512 BF16, AMX)? By what oneDNN sees, which ONEDNN_MAX_CPU_ISA caps. */
bool ons_cpu_has_bf16(void);
bool ons_cpu_has_amx(void);
/* Our own rows of bf16 products, which stand before oneDNN's: on CPUs whose vectors multiply bf16, and that
 * have no AMX. NULL: none. */
const ons_kernel *ons_cpu_bf16_kernels(ons_op op);
bool ons_cpu_has_int8(void); /* the same for products of 8-bit numbers (AVX-512 VNNI, AMX) */
/* Rows that move elements of any type. */
const ons_kernel *ons_cpu_move_kernels(ons_op op);
/* Embedding from a table in 16 bits, as its file has it. */
extern const ons_kernel ons_cpu_rows_kernels[];
/* The row that takes mixed and 16-bit storage by converting around the f32 kernel, and the one that does so
 * sample by sample (NULL: not for this operator). */
extern const ons_kernel ons_cpu_convert_kernel;
const ons_kernel *ons_cpu_slices_kernels(ons_op op);
/* conv2d_upsampled by making the upsampled picture. */
extern const ons_kernel ons_cpu_conv_upsampled_kernel;
/* The first f32 kernel of the list, after one that was tried (NULL: none yet), for a node whose floats are all
 * f32. */
const ons_kernel *ons_cpu_pick_f32(const ons_node *n, const ons_kernel *tried);

/* Reason to refuse unless every float operand is f32 (outputs too), else NULL. */
const char *ons_cpu_refuse_not_f32(const ons_node *n);

static inline size_t ons_cpu_align(size_t bytes)
{
    return (bytes + 63) & ~(size_t)63;
}

static inline int64_t ons_cpu_round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

#endif
