/* The host's memory, for backends whose kernels read and write it as it stands. */
#include <string.h>

#include "backend/backend.h"
#include "base/memory.h"

static onestep_status copy(void *dst, const void *src, size_t bytes)
{
    memcpy(dst, src, bytes);
    return ONESTEP_OK;
}

const ons_memory ons_host_memory = {.allocate = ons_calloc_aligned,
                                    .release = ons_free_aligned,
                                    .copy_in = copy,
                                    .copy_out = copy,
                                    .copy_within = copy,
                                    .on_host = true};
