/* Conversions of stored elements by vectors; the pairs that do not occur in inner loops are left to
 * ons_convert. */
#include "backend/cpu/isa/kernels.h"

/* To nearest even; NaN stays NaN: its upper half with the quiet bit. */
INLINE void store_bf16(uint16_t *p, vf x)
{
    typedef uint32_t vu __attribute__((vector_size(VW * 4)));
    const vu bits = (vu)x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    const vu number = (vu)(x == x);

    *(vh_any *)p = __builtin_convertvector((number & rounded) | (~number & quiet), vh_any);
}

void ons_isa_convert(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n)
{
    size_t i = 0;

    if (from == ONS_F32 && to == ONS_BF16)
        for (; i + VW <= n; i += VW)
            store_bf16((uint16_t *)dst + i, v_load((const float *)src + i));
    else if (from == ONS_BF16 && to == ONS_F32)
        for (; i + VW <= n; i += VW)
            v_store((float *)dst + i, v_load_bf16((const uint16_t *)src + i));
    else if (from == ONS_F16 && to == ONS_F32)
        for (; i + VW <= n; i += VW)
            v_store((float *)dst + i, v_load_f16((const uint16_t *)src + i));
    else if (from == ONS_F16 && to == ONS_BF16)
        for (; i + VW <= n; i += VW)
            store_bf16((uint16_t *)dst + i, v_load_f16((const uint16_t *)src + i));
    ons_convert((char *)dst + i * ons_dtype_size(to), to, (const char *)src + i * ons_dtype_size(from), from,
                n - i);
}
