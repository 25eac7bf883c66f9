/* Values in and out of the memory that a plan's backend computes in, and from its type of them to another. */
#include "backend/plan.h"

enum { STAGED = 512 }; /* elements that are converted at a time */

onestep_status ons_plan_copy_in(const ons_plan *p, void *dst, ons_dtype stored, const void *src, ons_dtype type,
                                size_t n)
{
    const ons_memory *m = p->backend->memory;
    double stage[STAGED];
    onestep_status st = ONESTEP_OK;

    if (stored == type)
        return m->copy_in(dst, src, n * ons_dtype_size(type));
    for (size_t at = 0; at < n && st == ONESTEP_OK; at += STAGED) {
        const size_t now = n - at < STAGED ? n - at : STAGED;

        ons_convert(stage, stored, (const char *)src + at * ons_dtype_size(type), type, now);
        st = m->copy_in((char *)dst + at * ons_dtype_size(stored), stage, now * ons_dtype_size(stored));
    }
    return st;
}

onestep_status ons_plan_copy_out(const ons_plan *p, void *dst, ons_dtype type, const void *src,
                                 ons_dtype stored, size_t n)
{
    const ons_memory *m = p->backend->memory;
    double stage[STAGED];
    onestep_status st = ONESTEP_OK;

    if (stored == type)
        return m->copy_out(dst, src, n * ons_dtype_size(type));
    for (size_t at = 0; at < n && st == ONESTEP_OK; at += STAGED) {
        const size_t now = n - at < STAGED ? n - at : STAGED;

        st = m->copy_out(stage, (const char *)src + at * ons_dtype_size(stored), now * ons_dtype_size(stored));
        if (st == ONESTEP_OK)
            ons_convert((char *)dst + at * ons_dtype_size(type), type, stage, stored, now);
    }
    return st;
}
