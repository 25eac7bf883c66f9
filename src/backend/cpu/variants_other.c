/* Processors other than x86-64: the generic build, whose vectors the compiler maps to NEON and the like. */
#include "backend/cpu/cpu.h"

const ons_kernel *ons_cpu_kernels_generic(ons_op op);
void ons_isa_convert_generic(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n);
float ons_isa_probabilities_generic(uint16_t *p, const float *x, float scale, int64_t n, float *max);

static bool has_generic(void)
{
    return true;
}

const ons_cpu_variant ons_cpu_variants[] = {
    {"generic", has_generic, ons_cpu_kernels_generic, ons_isa_convert_generic, ons_isa_probabilities_generic},
    {0},
};

const ons_kernel *ons_cpu_bf16_kernels(ons_op op)
{
    (void)op;
    return NULL;
}
