/* Conversions between float types, round to nearest even; and between channel orders. */
#include <string.h>

#include "tensor/tensor.h"

static float from_bits(uint32_t u)
{
    float f;

    memcpy(&f, &u, sizeof f);
    return f;
}

static uint32_t to_bits(float f)
{
    uint32_t u;

    memcpy(&u, &f, sizeof u);
    return u;
}

float ons_bf16_to_f32(uint16_t v)
{
    return from_bits((uint32_t)v << 16);
}

uint16_t ons_f32_to_bf16(float v)
{
    uint32_t u = to_bits(v);

    if ((u & 0x7FFFFFFFu) > 0x7F800000u) /* rounding could carry a NaN into infinity: keep it quiet instead */
        return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

float ons_f16_to_f32(uint16_t v)
{
    uint32_t sign = (uint32_t)(v & 0x8000) << 16, exponent = v >> 10 & 31, fraction = v & 0x3FF;

    if (exponent == 31)
        return from_bits(sign | 0x7F800000u | fraction << 13);
    if (exponent)
        return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
}

uint16_t ons_f32_to_f16(float v)
{
    uint32_t u = to_bits(v), sign = u >> 16 & 0x8000, magnitude = u & 0x7FFFFFFFu;

    if (magnitude > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00);
    if (magnitude >= 0x477FF000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000u) /* subnormal: adding 1/2 aligns the result's last bit with the float's */
        return (uint16_t)(sign | (to_bits(from_bits(magnitude) + 0.5f) - 0x3F000000u));
    return (uint16_t)(sign | (magnitude - 0x38000000u + 0xFFF + (magnitude >> 13 & 1)) >> 13);
}

static double load(const void *src, ons_dtype t, size_t i)
{
    switch (t) {
    case ONS_F32:
        return ((const float *)src)[i];
    case ONS_F64:
        return ((const double *)src)[i];
    case ONS_BF16:
        return ons_bf16_to_f32(((const uint16_t *)src)[i]);
    default:
        return ons_f16_to_f32(((const uint16_t *)src)[i]);
    }
}

static void store(void *dst, ons_dtype t, size_t i, double v)
{
    switch (t) {
    case ONS_F32:
        ((float *)dst)[i] = (float)v;
        break;
    case ONS_F64:
        ((double *)dst)[i] = v;
        break;
    case ONS_BF16:
        ((uint16_t *)dst)[i] = ons_f32_to_bf16((float)v);
        break;
    default:
        ((uint16_t *)dst)[i] = ons_f32_to_f16((float)v);
    }
}

void ons_convert(void *dst, ons_dtype dst_type, const void *src, ons_dtype src_type, size_t n)
{
    if (dst_type == src_type) {
        memcpy(dst, src, n * ons_dtype_size(src_type));
        return;
    }
    for (size_t i = 0; i < n; i++)
        store(dst, dst_type, i, load(src, src_type, i));
}

void ons_nchw_to_nhwc(float *dst, const float *src, int64_t n, int64_t c, int64_t h, int64_t w)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t p = 0; p < h * w; p++)
                dst[(i * h * w + p) * c + k] = src[(i * c + k) * h * w + p];
}

void ons_nhwc_to_nchw(float *dst, const float *src, int64_t n, int64_t c, int64_t h, int64_t w)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t p = 0; p < h * w; p++)
                dst[(i * c + k) * h * w + p] = src[(i * h * w + p) * c + k];
}
