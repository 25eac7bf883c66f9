/*
 * Conversions between floating-point storage types, in integer arithmetic so that they do not depend on the
 * machine.
 *
 * Every pair goes through f32, which holds all bf16 and f16 values exactly. From f64 to a half type that
 * would round twice; there the first step rounds to odd, which keeps the sticky bit and makes the second exact
 * (Boldo and Melquiond, 2008).
 */
#include "tensor/tensor.h"

#include <assert.h>
#include <string.h>

enum { CHUNK = 512 };

static inline uint32_t bits_of(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

float ons_bf16_to_f32(uint16_t v)
{
    return float_of((uint32_t)v << 16);
}

/* NaN: cut and made quiet, since rounding could carry its fraction away. */
uint16_t ons_f32_to_bf16(float v)
{
    uint32_t bits = bits_of(v), rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;

    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? bits >> 16 | 0x40u : rounded);
}

/* All three cases are computed and one is chosen, so that compilers turn loops of it into vectors. */
float ons_f16_to_f32(uint16_t v)
{
    uint32_t sign = (uint32_t)(v & 0x8000u) << 16, magnitude = (uint32_t)(v & 0x7FFFu) << 13;
    uint32_t normal = magnitude + (112u << 23), special = magnitude | 0x7F800000u; /* infinity, NaN */
    uint32_t subnormal = bits_of(float_of(magnitude + (113u << 23)) - 0x1p-14f);
    uint32_t is_subnormal = (uint32_t)((int32_t)magnitude - (1 << 23)) >> 31 ? ~0u : 0;
    uint32_t is_special = (uint32_t)((31 << 23) - 1 - (int32_t)magnitude) >> 31 ? ~0u : 0;

    return float_of((subnormal & is_subnormal) | (normal & ~is_subnormal & ~is_special) |
                    (special & is_special) | sign);
}

uint16_t ons_f32_to_f16(float v)
{
    uint32_t bits = bits_of(v), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
    uint32_t half;

    if (magnitude > 0x7F800000u)
        half = 0x7E00u | (magnitude >> 13 & 0x3FFu);
    else if (magnitude >= 0x477FF000u) /* 65520 and above round to infinity */
        half = 0x7C00u;
    else if (magnitude < 0x38800000u) /* below 2^-14: adding 1/2 rounds to a multiple of 2^-24 */
        half = bits_of(float_of(magnitude) + 0.5f) - 0x3F000000u;
    else
        half = (magnitude - (112u << 23) + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
    return (uint16_t)(half | sign);
}

/* Towards zero, with the last bit set when that was inexact. */
static float round_to_odd(double v)
{
    float f = (float)v;
    double back = (double)f;

    if (back == v || v != v)
        return f;
    uint32_t bits = bits_of(f);
    if ((back > v) == (v > 0)) /* rounded away from zero: one step back */
        bits--;
    return float_of(bits | 1u);
}

static void load_chunk(float *out, const void *src, ons_dtype type, bool to_half, size_t first, size_t n)
{
    if (type == ONS_F32) {
        memcpy(out, (const float *)src + first, n * sizeof *out);
    } else if (type == ONS_BF16) {
        for (size_t i = 0; i < n; i++)
            out[i] = ons_bf16_to_f32(((const uint16_t *)src)[first + i]);
    } else if (type == ONS_F16) {
        for (size_t i = 0; i < n; i++)
            out[i] = ons_f16_to_f32(((const uint16_t *)src)[first + i]);
    } else {
        const double *from = (const double *)src + first;
        for (size_t i = 0; i < n; i++)
            out[i] = to_half ? round_to_odd(from[i]) : (float)from[i];
    }
}

static void store_chunk(void *dst, ons_dtype type, const float *in, size_t first, size_t n)
{
    if (type == ONS_F32) {
        memcpy((float *)dst + first, in, n * sizeof *in);
    } else if (type == ONS_BF16) {
        for (size_t i = 0; i < n; i++)
            ((uint16_t *)dst)[first + i] = ons_f32_to_bf16(in[i]);
    } else if (type == ONS_F16) {
        for (size_t i = 0; i < n; i++)
            ((uint16_t *)dst)[first + i] = ons_f32_to_f16(in[i]);
    } else {
        for (size_t i = 0; i < n; i++)
            ((double *)dst)[first + i] = (double)in[i];
    }
}

void ons_convert(void *dst, ons_dtype dst_type, const void *src, ons_dtype src_type, size_t n)
{
    float chunk[CHUNK];
    bool to_half = dst_type == ONS_BF16 || dst_type == ONS_F16;

    if (dst_type == src_type) {
        if (n)
            memmove(dst, src, n * ons_dtype_size(dst_type));
        return;
    }
    assert(dst_type <= ONS_F64 && src_type <= ONS_F64);
    if (dst_type == ONS_F32) {
        load_chunk(dst, src, src_type, to_half, 0, n);
        return;
    }
    if (src_type == ONS_F32) {
        store_chunk(dst, dst_type, src, 0, n);
        return;
    }
    for (size_t first = 0; first < n; first += CHUNK) {
        size_t count = n - first < CHUNK ? n - first : CHUNK;
        load_chunk(chunk, src, src_type, to_half, first, count);
        store_chunk(dst, dst_type, chunk, first, count);
    }
}
