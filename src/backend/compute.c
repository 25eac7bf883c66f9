/* Defaults of what is computed with, and whether this machine can. */
#include "backend/compute.h"

#include "backend/backend.h"
#include "base/system.h"

const ons_backend *ons_compute_backend(const ons_compute *c)
{
    return c->backend ? c->backend : ons_backend_default();
}

int ons_compute_threads(const ons_compute *c)
{
    return c->n_threads > 0 ? c->n_threads : ons_physical_cores();
}

double ons_compute_memory(const ons_compute *c)
{
    return c->memory ? (double)c->memory : (double)ons_available_memory();
}

ons_dtype ons_compute_native_type(const ons_compute *c)
{
    return ons_compute_backend(c)->native_precision();
}

ons_compute ons_compute_in(const ons_compute *c, ons_dtype type)
{
    return (ons_compute){c->backend, c->n_threads, type, c->memory};
}

static onestep_status check_type(const ons_compute *c)
{
    const ons_backend *b = ons_compute_backend(c);

    if (c->type == ONS_F32 || c->type == ONS_BF16)
        return ONESTEP_OK;
    if (c->type != ONS_I8)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "arithmetic in %s: f32, bf16 and int8 are possible",
                        ons_dtype_name(c->type));
    if (b->multiplies_8_bits && b->multiplies_8_bits())
        return ONESTEP_OK;
    return ons_fail(
        ONESTEP_UNSUPPORTED,
        "int8 needs a CPU with products of 8-bit numbers (AVX-512 VNNI or AMX), which this one lacks or "
        "ONEDNN_MAX_CPU_ISA hides; emulated it would be slower than --type auto");
}

onestep_status ons_compute_resolve(const ons_compute *c, ons_compute *out)
{
    onestep_status st;

    if (c->n_threads < 0 || c->n_threads > ONS_MAX_THREADS)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "%d threads: 1 to %d are possible, or 0 for one per physical core", c->n_threads,
                        ONS_MAX_THREADS);
    ONS_TRY(check_type(c));
    *out = (ons_compute){ons_compute_backend(c), ons_compute_threads(c), c->type, c->memory};
fail:
    return st;
}
