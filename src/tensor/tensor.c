/* Shapes and dense tensors. */
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
    const char *name;
    size_t size;
} types[ONS_N_DTYPES] = {
    [ONS_F32] = {"f32", 4}, [ONS_BF16] = {"bf16", 2}, [ONS_F16] = {"f16", 2}, [ONS_F64] = {"f64", 8},
    [ONS_I32] = {"i32", 4}, [ONS_I64] = {"i64", 8},   [ONS_U8] = {"u8", 1},   [ONS_I8] = {"int8", 1},
};

size_t ons_dtype_size(ons_dtype t)
{
    return types[t].size;
}

const char *ons_dtype_name(ons_dtype t)
{
    return types[t].name;
}

int64_t ons_shape_count(const ons_shape *s)
{
    int64_t n = 1;

    for (int i = 0; i < s->n; i++)
        n *= s->d[i];
    return n;
}

bool ons_shape_equal(const ons_shape *a, const ons_shape *b)
{
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (a->d[i] != b->d[i])
            return false;
    return true;
}

char *ons_shape_text(const ons_shape *s, char *buf)
{
    int at = sprintf(buf, "[");

    for (int i = 0; i < s->n; i++)
        at += sprintf(buf + at, "%s%" PRId64, i ? ", " : "", s->d[i]);
    sprintf(buf + at, "]");
    return buf;
}

/* dst[j][i] = src[i][j], in tiles so that both sides stay in cache lines. */
static void transpose_matrix(float *restrict dst, const float *restrict src, int64_t rows, int64_t columns)
{
    enum { TILE = 16 };

    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        int64_t i1 = i0 + TILE < rows ? i0 + TILE : rows;
        for (int64_t j = 0; j < columns; j++)
            for (int64_t i = i0; i < i1; i++)
                dst[j * rows + i] = src[i * columns + j];
    }
}

void ons_nchw_to_nhwc(float *dst, const float *src, int64_t n, int64_t c, int64_t h, int64_t w)
{
    for (int64_t i = 0; i < n; i++)
        transpose_matrix(dst + i * c * h * w, src + i * c * h * w, c, h * w);
}

void ons_nhwc_to_nchw(float *dst, const float *src, int64_t n, int64_t c, int64_t h, int64_t w)
{
    for (int64_t i = 0; i < n; i++)
        transpose_matrix(dst + i * c * h * w, src + i * c * h * w, h * w, c);
}
