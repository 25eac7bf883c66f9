/*
 * Allocation behind one hook, and arenas.
 *
 * Everything goes to malloc; the only addition is a countdown that lets a test fail the N-th request. The
 * countdown is atomic since workers allocate too. Large aligned blocks come from mmap: the kernel hands out
 * zero pages on first touch, so a planned buffer that is never used costs nothing, where calloc and
 * aligned_alloc + memset would touch all of it.
 */
#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static atomic_long fail_countdown;

/* True once, for the allocation that the countdown names. */
static int should_fail(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) <= 0)
        return 0;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

void ons_memory_fail_after(long n)
{
    atomic_store(&fail_countdown, n);
}

void *ons_malloc(size_t size_bytes)
{
    return should_fail() ? NULL : malloc(size_bytes ? size_bytes : 1);
}

void *ons_calloc(size_t count, size_t size_bytes)
{
    size_t product;

    if (should_fail() || __builtin_mul_overflow(count, size_bytes, &product))
        return NULL;
    return product ? calloc(count, size_bytes) : calloc(1, 1);
}

void *ons_realloc(void *p, size_t size_bytes)
{
    return should_fail() ? NULL : realloc(p, size_bytes ? size_bytes : 1);
}

char *ons_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ons_malloc(size);

    return copy ? memcpy(copy, text, size) : NULL;
}

char *ons_format(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = size < 0 ? NULL : ons_malloc((size_t)size + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)size + 1, format, args);
    va_end(args);
    return text;
}

void ons_free(void *p)
{
    free(p);
}

/* In front of an aligned block: one cache line that remembers how it was made. */
typedef struct aligned_head {
    size_t total_bytes; /* with this head */
    int mapped;
} aligned_head;

enum { HEAD_BYTES = 64 };
static const size_t MAP_FROM_BYTES = (size_t)1 << 20, HUGE_PAGE = (size_t)2 << 20;

/* Pages of the system, from a boundary of huge ones where there is room for one: a block that began elsewhere
 * would have small pages at both ends. */
static unsigned char *map_pages(size_t total)
{
    const size_t spare = total >= HUGE_PAGE ? HUGE_PAGE : 0;
    unsigned char *block =
        mmap(NULL, total + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (block == MAP_FAILED)
        return NULL;
    if (spare) {
        const size_t page = (size_t)sysconf(_SC_PAGESIZE), end = (total + page - 1) / page * page;
        const size_t before = (size_t)(-(uintptr_t)block & (HUGE_PAGE - 1));

        if (before)
            munmap(block, before);
        block += before;
        if (total + spare - before > end)
            munmap(block + end, total + spare - before - end);
    }
    madvise(block, total, MADV_HUGEPAGE); /* advice: a refusal changes nothing */
    return block;
}

void *ons_calloc_aligned(size_t size_bytes)
{
    if (should_fail() || size_bytes > SIZE_MAX / 2)
        return NULL;
    size_t total = (size_bytes + HEAD_BYTES + 63) & ~(size_t)63;
    int mapped = total >= MAP_FROM_BYTES;
    unsigned char *block = mapped ? map_pages(total) : aligned_alloc(64, total);

    if (!block)
        return NULL;
    if (!mapped)
        memset(block, 0, total);
    *(aligned_head *)block = (aligned_head){total, mapped};
    return block + HEAD_BYTES;
}

void ons_free_aligned(void *p)
{
    if (!p)
        return;
    aligned_head *head = (aligned_head *)((unsigned char *)p - HEAD_BYTES);
    if (head->mapped)
        munmap(head, head->total_bytes);
    else
        free(head);
}

void ons_expect_sparse(void *p, int sparse)
{
    aligned_head *head = p ? (aligned_head *)((unsigned char *)p - HEAD_BYTES) : NULL;

    if (head && head->mapped)
        madvise(head, head->total_bytes, sparse ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
}

typedef struct chunk {
    struct chunk *next;
    size_t used, size_bytes; /* of data */
    _Alignas(16) unsigned char data[];
} chunk;

struct ons_arena {
    chunk *chunks; /* newest first */
};

enum { CHUNK_BYTES = 16384 };

ons_arena *ons_arena_create(void)
{
    return ons_calloc(1, sizeof(ons_arena));
}

static chunk *grow_arena(ons_arena *a, size_t size_bytes)
{
    size_t wanted = size_bytes > CHUNK_BYTES ? size_bytes : CHUNK_BYTES;

    if (wanted > SIZE_MAX - sizeof(chunk))
        return NULL;
    chunk *c = ons_calloc(1, sizeof *c + wanted);
    if (!c)
        return NULL;
    c->size_bytes = wanted;
    c->next = a->chunks;
    a->chunks = c;
    return c;
}

void *ons_arena_alloc(ons_arena *a, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - 15)
        return NULL;
    size_t rounded = (size_bytes + 15) & ~(size_t)15;
    chunk *c = a->chunks;
    if (!c || rounded > c->size_bytes - c->used)
        c = grow_arena(a, rounded);
    if (!c)
        return NULL;
    void *p = c->data + c->used;
    c->used += rounded;
    return p;
}

char *ons_arena_strdup(ons_arena *a, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = ons_arena_alloc(a, size);

    return copy ? memcpy(copy, text, size) : NULL;
}

void ons_arena_destroy(ons_arena **a)
{
    if (!a || !*a)
        return;
    for (chunk *c = (*a)->chunks, *next; c; c = next) {
        next = c->next;
        ons_free(c);
    }
    ons_free(*a);
    *a = NULL;
}
