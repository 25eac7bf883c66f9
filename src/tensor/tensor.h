/* Data types, shapes and their conversions. Images are NHWC; the last dimension is contiguous. */
#ifndef ONS_TENSOR_TENSOR_H
#define ONS_TENSOR_TENSOR_H

#include "base/status.h"

typedef enum ons_dtype {
    ONS_F32,
    ONS_BF16,
    ONS_F16,
    ONS_F64,
    ONS_I32,
    ONS_I64,
    ONS_U8,
    ONS_I8, /* weights in packed copies alone */
    ONS_N_DTYPES
} ons_dtype;

enum { ONS_MAX_DIMS = 4 };

typedef struct ons_shape {
    int n; /* dimensions, 0..ONS_MAX_DIMS; 0 is a scalar */
    int64_t d[ONS_MAX_DIMS];
} ons_shape;

#define ONS_SHAPE0() ((ons_shape){0, {0}})
#define ONS_SHAPE1(a) ((ons_shape){1, {(a)}})
#define ONS_SHAPE2(a, b) ((ons_shape){2, {(a), (b)}})
#define ONS_SHAPE3(a, b, c) ((ons_shape){3, {(a), (b), (c)}})
#define ONS_SHAPE4(a, b, c, d) ((ons_shape){4, {(a), (b), (c), (d)}})

size_t ons_dtype_size(ons_dtype t);
const char *ons_dtype_name(ons_dtype t);     /* "f32" */
int64_t ons_shape_count(const ons_shape *s); /* product; 1 for a scalar */
bool ons_shape_equal(const ons_shape *a, const ons_shape *b);
/* "[2, 8, 8, 64]" into buf (at least 96 bytes); returns buf. */
char *ons_shape_text(const ons_shape *s, char *buf);

/* Element conversions; round to nearest even, NaN stays NaN. Any pair of F32, BF16, F16, F64. */
void ons_convert(void *dst, ons_dtype dst_type, const void *src, ons_dtype src_type, size_t n);
float ons_bf16_to_f32(uint16_t v);
uint16_t ons_f32_to_bf16(float v);
float ons_f16_to_f32(uint16_t v);
uint16_t ons_f32_to_f16(float v);

/* Layout changes of f32 data: NCHW <-> NHWC and, for weights, OIHW <-> OHWI (the same permutation). */
void ons_nchw_to_nhwc(float *dst, const float *src, int64_t n, int64_t c, int64_t h, int64_t w);
void ons_nhwc_to_nchw(float *dst, const float *src, int64_t n, int64_t c, int64_t h, int64_t w);

#endif
