/*
 * The packed B of a product: a shared copy that hangs on the parameter when B is one, else packed into scratch
 * in each run.
 */
#ifndef ONS_CPU_WEIGHTS_H
#define ONS_CPU_WEIGHTS_H

#include "backend/cpu/isa/gemm.h"

/* Plain data, copied into the parameter store: all that packing needs. */
typedef struct ons_pack_shape {
    int n_threads;
    int64_t k, n, ld; /* B is [k, n] */
    bool transposed;  /* b[n * ld + k] */
    float alpha;
    /* Backward-data of a convolution w [o, kh, kw, c]: B per phase is [(tap, o)][c]. stride 0: not that. */
    int64_t stride, kh, kw, o, c;
    bool winograd;  /* 3x3 weights [o, 3, 3, c] in Winograd's domain; transposed: forward */
    ons_dtype type; /* of the packed copy: F32, or what the weights' file has, which loses nothing
                       (ons_b_prepare decides) */
} ons_pack_shape;

typedef struct ons_b_source {
    const ons_packed *packed; /* NULL: packed in each run, as f32 */
    ons_pack_shape shape;
    int operand;
} ons_b_source;

/* Floats of the packed copy. */
size_t ons_b_floats(const ons_pack_shape *s);
/* For operand `i` of p->node. *scratch_bytes: what run needs for it (0 when shared). Fails with NO_MEMORY. */
onestep_status ons_b_prepare(ons_b_source *b, ons_prep *p, int operand, const ons_pack_shape *shape,
                             size_t *scratch_bytes);
/* Packs the values into `scratch` when the data is not shared, and where the data then is. */
void ons_b_fill(const ons_b_source *b, const float *values, void *scratch);
const void *ons_b_data(const ons_b_source *b, const void *scratch);

/* One panel of NR columns of every point, of weights in Winograd's domain. */
void ons_wino_pack(float *dst, const float *w, const ons_pack_shape *s, int64_t panel);

/* Taps of one axis in a phase: those with r % stride == phase. */
static inline int ons_phase_taps(int64_t size, int64_t stride, int64_t phase)
{
    return phase >= size ? 0 : (int)((size - phase + stride - 1) / stride);
}

#endif
