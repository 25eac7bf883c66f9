/* Packed copies: one per (parameter, layout), shared by every plan that binds the set. */
#include <string.h>

#include "base/memory.h"
#include "io/safetensors.h"
#include "weights/private.h"

static void destroy_packed(ons_packed *k)
{
    ons_free(k->context);
    ons_free(k->layout);
    ons_free(k);
}

static void free_blocks(ons_params *p)
{
    while (p->blocks) {
        ons_packed_block *next = p->blocks->next;

        ons_free_aligned(p->blocks->data);
        ons_free(p->blocks);
        p->blocks = next;
    }
}

void ons_packed_destroy_all(ons_params *p)
{
    while (p->packed) {
        ons_packed *next = p->packed->next;

        destroy_packed(p->packed);
        p->packed = next;
    }
    free_blocks(p);
}

/* Each copy begins on a cache line. */
static size_t room_of(const ons_packed *k)
{
    return k->size_bytes ? (k->size_bytes + 63) / 64 * 64 : 64;
}

/* Memory for the copies that have none yet. */
static onestep_status allocate(ons_params *p)
{
    ons_packed_block *block;
    size_t bytes = 0, at = 0;

    for (const ons_packed *k = p->packed; k; k = k->next)
        if (!k->data && !k->stocked)
            bytes += room_of(k);
    if (!bytes)
        return ONESTEP_OK;
    block = ons_calloc(1, sizeof *block);
    if (block)
        block->data = ons_calloc_aligned(bytes);
    if (!block || !block->data) {
        ons_free(block);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for packed copies (%zu bytes) of %s and others", bytes,
                        p->rows[p->packed->index].name);
    }
    block->next = p->blocks;
    p->blocks = block;
    for (ons_packed *k = p->packed; k; k = k->next)
        if (!k->data && !k->stocked) {
            k->data = (char *)block->data + at;
            at += room_of(k);
        }
    return ONESTEP_OK;
}

/* A parameter that is still in a file is in memory for the time of packing alone. */
void ons_packed_fill(ons_params *p, const ons_packed *k, void *dst)
{
    if (k->packer.from_file && ons_params_value_type(p, k->index) != ONS_F32) {
        k->packer.from_file(dst, ons_params_file_values(p, k->index), ons_params_value_type(p, k->index),
                            &p->rows[k->index], k->context);
        ons_params_forget_pages(p, k->index);
    } else {
        k->packer.from_values(dst, ons_params_borrow(p, k->index), &p->rows[k->index], k->context);
    }
}

static ons_packed *create_packed(int index, const char *layout, size_t size_bytes, ons_packer packer,
                                 const void *context, size_t context_bytes)
{
    ons_packed *k = ons_calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->index = index;
    k->packer = packer;
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

ons_packed *ons_params_packed(ons_params *p, int index, const char *layout, size_t size_bytes,
                              ons_packer packer, const void *context, size_t context_bytes)
{
    ons_packed **k;

    for (k = &p->packed; *k; k = &(*k)->next)
        if ((*k)->index == index && !strcmp((*k)->layout, layout))
            return *k;
    *k = create_packed(index, layout, size_bytes, packer, context, context_bytes);
    return *k;
}

const void *ons_packed_data(const ons_packed *k)
{
    return k->stocked ? k->stocked->data : k->data;
}

static bool is_stale(const ons_params *p, const ons_packed *k)
{
    return !k->filled || k->version != p->version;
}

onestep_status ons_params_refresh(ons_params *p)
{
    onestep_status st;

    for (ons_packed *k = p->packed; k; k = k->next)
        if (is_stale(p, k))
            k->stocked = ons_packed_stocked(p, k);
    st = allocate(p);
    for (ons_packed *k = p->packed; k && st == ONESTEP_OK; k = k->next) {
        if (is_stale(p, k) && !k->stocked)
            ons_packed_fill(p, k, k->data);
        k->version = p->version;
        k->filled = true;
    }
    ons_params_end_borrowing(p);
    return st;
}

/* Plans learn of it by the version; the values are what they were, so what follows from that stays. */
void ons_params_release_packed(ons_params *p)
{
    const uint64_t before = p->version;

    for (ons_packed *k = p->packed; k; k = k->next) {
        if (k->stocked)
            ons_safetensors_forget(p->stock, k->stocked);
        k->stocked = NULL;
        k->data = NULL;
        k->filled = false;
    }
    free_blocks(p);
    ons_params_touch(p);
    if (p->mapped_version == before)
        p->mapped_version = p->version;
    if (p->stock_version == before)
        p->stock_version = p->version;
}

size_t ons_params_packed_bytes(const ons_params *p)
{
    size_t bytes = 0;

    for (const ons_packed *k = p->packed; k; k = k->next)
        bytes += k->size_bytes;
    return bytes;
}
