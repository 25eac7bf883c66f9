/* Arithmetic on sizes that come from files: every overflow is an answer, never a wrap. */
#ifndef ONS_BASE_CHECKED_H
#define ONS_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/* True and the result in *out, or false on overflow. */
static inline bool ons_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

#endif
