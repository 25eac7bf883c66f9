/* Packed copies: one per (parameter, layout), shared by every plan that binds the set. */
#include <string.h>

#include "base/memory.h"
#include "weights/private.h"

static void destroy_packed(ons_packed *k)
{
    ons_free_aligned(k->data);
    ons_free(k->context);
    ons_free(k->layout);
    ons_free(k);
}

void ons_packed_destroy_all(ons_params *p)
{
    while (p->packed) {
        ons_packed *next = p->packed->next;

        destroy_packed(p->packed);
        p->packed = next;
    }
}

/* A parameter that is still in a file is in memory for the time of packing alone. */
static onestep_status pack_now(ons_params *p, ons_packed *k)
{
    const bool mapped = ons_params_is_mapped(p, k->index);

    if (!k->data && !(k->data = ons_calloc_aligned(k->size_bytes ? k->size_bytes : 1)))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a packed copy (%zu bytes) of %s", k->size_bytes,
                        p->rows[k->index].name);
    if (mapped)
        ons_params_borrow(p, k->index);
    k->pack(k->data, p->region + p->rows[k->index].offset, ons_params_at(p, k->index), k->context);
    if (mapped)
        ons_params_give_back(p, k->index);
    k->version = p->version;
    return ONESTEP_OK;
}

static ons_packed *create_packed(int index, const char *layout, size_t size_bytes, ons_pack_fn pack, const void *context,
                                 size_t context_bytes)
{
    ons_packed *k = ons_calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->index = index;
    k->pack = pack;
    k->layout = ons_strdup(layout);
    k->size_bytes = size_bytes;
    k->context = ons_malloc(context_bytes ? context_bytes : 1);
    if (!k->layout || !k->context) {
        destroy_packed(k);
        return NULL;
    }
    if (context_bytes)
        memcpy(k->context, context, context_bytes);
    return k;
}

ons_packed *ons_params_packed(ons_params *p, int index, const char *layout, size_t size_bytes, ons_pack_fn pack,
                              const void *context, size_t context_bytes)
{
    ons_packed *k;

    for (k = p->packed; k; k = k->next)
        if (k->index == index && !strcmp(k->layout, layout))
            return k;
    k = create_packed(index, layout, size_bytes, pack, context, context_bytes);
    if (!k)
        return NULL;
    k->next = p->packed;
    p->packed = k;
    return k;
}

const void *ons_packed_data(const ons_packed *k)
{
    return k->data;
}

onestep_status ons_params_refresh(ons_params *p)
{
    for (ons_packed *k = p->packed; k; k = k->next) {
        const bool stale = !k->data || k->version != p->version;
        const onestep_status st = stale ? pack_now(p, k) : ONESTEP_OK;

        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

size_t ons_params_packed_bytes(const ons_params *p)
{
    size_t bytes = 0;

    for (const ons_packed *k = p->packed; k; k = k->next)
        bytes += k->size_bytes;
    return bytes;
}
