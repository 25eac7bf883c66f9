/*
 * Vectors of VW floats through the compilers' vector extensions, so that one source serves SSE2, NEON, AVX2 and
 * AVX-512. Multiply-adds fuse where the instruction set has them (-ffp-contract=fast for these files).
 * Polynomials are our own least-squares fits on Chebyshev nodes. Rejected: intrinsics (one copy of every loop
 * per instruction set), but for conversions that no vector extension reaches.
 */
#ifndef ONS_CPU_VEC_H
#define ONS_CPU_VEC_H

#include <stdint.h>
#include <string.h>
#if defined(__F16C__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "backend/cpu/isa/names.h"

typedef float vf __attribute__((vector_size(VW * 4)));
typedef int32_t vi __attribute__((vector_size(VW * 4)));
typedef float vf_any __attribute__((vector_size(VW * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

INLINE vf v_load(const float *p)
{
    return *(const vf_any *)p;
}

INLINE void v_store(float *p, vf x)
{
    *(vf_any *)p = x;
}

typedef uint16_t vh_any __attribute__((vector_size(VW * 2), aligned(2), may_alias));

/* bf16 is the upper half of a float. */
INLINE vf v_load_bf16(const uint16_t *p)
{
    return (vf)(__builtin_convertvector(*(const vh_any *)p, vi) << 16);
}

/*
 * f16, where the instruction set has no conversion: the exponent moves by 112. A subnormal is put behind the
 * leading one of 2^-14, which is taken away again, so that no subnormal float arises, which would be slow;
 * infinity and NaN keep their meaning.
 */
INLINE vf v_load_f16(const uint16_t *p)
{
#if defined(__F16C__) && VW == 8
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#elif defined(__AVX512F__) && VW == 16
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#else
    const vi h = __builtin_convertvector(*(const vh_any *)p, vi), sign = (h & 0x8000) << 16,
             m = (h & 0x7fff) << 13;
    const vi normal = m + (112 << 23), special = m | 0x7f800000;
    const vf small = (vf)(m + (113 << 23)) - (vf)((vi){0} + (113 << 23));
    const vi few = m < (0x400 << 13), many = m >= (0x7c00 << 13);

    return (vf)(sign | (few & (vi)small) | (many & special) | (~few & ~many & normal));
#endif
}

INLINE vf v_set(float x)
{
    return x - (vf){0};
}

/* First n < VW floats, zeros behind; and back. */
INLINE vf v_load_part(const float *p, int64_t n)
{
    vf x = {0};

    memcpy(&x, p, (size_t)n * 4);
    return x;
}

INLINE void v_store_part(float *p, vf x, int64_t n)
{
    memcpy(p, &x, (size_t)n * 4);
}

/* mask ? a : b, mask of all ones or zeros per lane. */
INLINE vf v_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

/* NaN in x stays. */
INLINE vf v_min(vf x, vf hi)
{
    return v_select(x > hi, hi, x);
}

INLINE vf v_max(vf x, vf lo)
{
    return v_select(x < lo, lo, x);
}

INLINE vf v_abs(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}

INLINE float v_sum(vf x)
{
    float s = 0;

    for (int i = 0; i < VW; i++)
        s += x[i];
    return s;
}

INLINE float v_max_lanes(vf x)
{
    float m = x[0];

    for (int i = 1; i < VW; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

/* e^x to 1 ulp: 2^n e^r with |r| <= ln 2 / 2; 2^n in two factors so that overflow and subnormals come out
 * right. */
INLINE vf v_exp(vf x)
{
    const vf magic = v_set(12582912.f); /* 1.5 * 2^23: adding it rounds to an integer */
    vf t, n, r, p;
    vi k, half;

    x = v_min(v_max(x, v_set(-104.f)), v_set(89.f));
    t = x * v_set(1.44269504089f) + magic;
    n = t - magic;
    k = (vi)t - 0x4b400000;
    r = x - n * v_set(0.693145751953125f);
    r = r - n * v_set(1.42860682030941723e-6f);
    p = r * v_set(0.0013934545f) + v_set(0.0083637765f);
    p = p * r + v_set(0.0416664568f);
    p = p * r + v_set(0.1666657336f);
    p = p * r + v_set(0.5f);
    p = (p * r) * r + r + v_set(1.f);
    half = k >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((k - half + 127) << 23);
}

INLINE vf v_sigmoid(vf x)
{
    return 1.f / (1.f + v_exp(-x));
}

INLINE vf v_tanh(vf x)
{
    vf a = v_abs(x), z = x * x, e = v_exp(-2.f * a), big = (1.f - e) / (1.f + e), p;

    p = z * v_set(-0.0059329802f) + v_set(0.0208813188f);
    p = p * z + v_set(-0.0538258484f);
    p = p * z + v_set(0.1333260155f);
    p = p * z + v_set(-0.3333332726f);
    p = (p * z) * x + x;
    big = (vf)((vi)big | ((vi)x & (vi)v_set(-0.f)));
    return v_select(a < v_set(0.625f), p, big);
}

/*
 * Phi(x) = (1 + erf(x / sqrt 2)) / 2, the normal distribution's integral, to 2e-7: erf(z) = z p(z^2) / q(z^2),
 * constant beyond 3.92 where it is 1 in f32. Against an exponential form it costs half, and loses relative
 * accuracy in the negative tail alone, where x Phi(x) is below 1e-3.
 */
INLINE vf v_normal_cdf(vf x)
{
    vf z = v_min(v_max(x * v_set(0.70710678118654752f), v_set(-3.92f)), v_set(3.92f)), s = z * z, p, q;

    p = s * v_set(2.0487214478e-06f) + v_set(2.8588963124e-04f);
    p = p * s + v_set(3.7954603528e-03f);
    p = p * s + v_set(5.2837424258e-02f);
    p = p * s + v_set(1.9105746246e-01f);
    p = p * s + v_set(1.1283790879e+00f);
    q = s * v_set(3.8131919704e-05f) + v_set(1.1705003131e-03f);
    q = q * s + v_set(1.5026993878e-02f);
    q = q * s + v_set(1.1438120527e-01f);
    q = q * s + v_set(5.0265252036e-01f);
    q = q * s + v_set(1.f);
    return 0.5f + 0.5f * (z * p / q);
}

#endif
