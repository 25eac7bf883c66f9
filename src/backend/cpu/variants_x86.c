/* Instruction sets of x86-64: what this machine has, capped by ONEDNN_MAX_CPU_ISA as oneDNN's own kernels are.
 */
#include <stdlib.h>
#include <strings.h>

#include "backend/cpu/cpu.h"

const ons_kernel *ons_cpu_kernels_generic(ons_op op);
void ons_isa_convert_generic(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n);
float ons_isa_probabilities_generic(uint16_t *p, const float *x, float scale, int64_t n, float *max);
const ons_kernel *ons_cpu_kernels_avx2(ons_op op);
void ons_isa_convert_avx2(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n);
float ons_isa_probabilities_avx2(uint16_t *p, const float *x, float scale, int64_t n, float *max);
const ons_kernel *ons_cpu_kernels_avx512(ons_op op);
void ons_isa_convert_avx512(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n);
float ons_isa_probabilities_avx512(uint16_t *p, const float *x, float scale, int64_t n, float *max);

extern const ons_kernel ons_wb_kernels[];
extern const ons_kernel ons_attention_bf16_kernels[];

/* Levels of the cap: 0 below AVX2, 1 AVX2, 2 AVX-512, 3 with bf16. */
static int read_cap(void)
{
    static const struct {
        const char *name;
        int level;
    } names[] = {
        {"SSE41", 0},
        {"AVX", 0},
        {"AVX2", 1},
        {"AVX2_VNNI", 1},
        {"AVX2_VNNI_2", 1},
        {"AVX512_CORE", 2},
        {"AVX512_MIC", 1},
        {"AVX512_MIC_4OPS", 1},
        {"AVX512_CORE_VNNI", 2},
    };
    const char *cap = getenv("ONEDNN_MAX_CPU_ISA");

    if (!cap)
        cap = getenv("DNNL_MAX_CPU_ISA");
    for (size_t i = 0; cap && i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(cap, names[i].name))
            return names[i].level;
    return 3;
}

static bool has_generic(void)
{
    return true;
}

static bool has_avx2(void)
{
    return read_cap() >= 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return read_cap() >= 2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const ons_cpu_variant ons_cpu_variants[] = {
    {"avx512", has_avx512, ons_cpu_kernels_avx512, ons_isa_convert_avx512, ons_isa_probabilities_avx512},
    {"avx2", has_avx2, ons_cpu_kernels_avx2, ons_isa_convert_avx2, ons_isa_probabilities_avx2},
    {"generic", has_generic, ons_cpu_kernels_generic, ons_isa_convert_generic, ons_isa_probabilities_generic},
    {0},
};

const ons_kernel *ons_cpu_bf16_kernels(ons_op op)
{
    if (!has_avx512() || !__builtin_cpu_supports("avx512bf16"))
        return NULL;
    if (op == ONS_OP_ATTENTION)
        return ons_attention_bf16_kernels;
    return op == ONS_OP_CONV2D || op == ONS_OP_CONV2D_UPSAMPLED ? ons_wb_kernels : NULL;
}
