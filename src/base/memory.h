/* Allocation through one hook, so that a test can make the N-th one fail; arenas for what dies together. */
#ifndef ONS_BASE_MEMORY_H
#define ONS_BASE_MEMORY_H

#include <stddef.h>

/* As malloc/calloc/realloc/strdup, NULL on failure (no message). Release with ons_free. */
void *ons_malloc(size_t size_bytes);
void *ons_calloc(size_t count, size_t size_bytes); /* the product is checked */
void *ons_realloc(void *p, size_t size_bytes);
char *ons_strdup(const char *text);
char *ons_format(const char *format, ...) __attribute__((format(printf, 1, 2))); /* NULL: no memory */
void ons_free(void *p);

/* 64-byte aligned, zeroed; huge sizes are fine (pages are touched on first use). Release with ons_free_aligned.
 */
void *ons_calloc_aligned(size_t size_bytes);
void ons_free_aligned(void *p);
/* Advice about such a block: little of it will ever be touched, here and there (huge pages would hold all of
 * it); false takes that back. */
void ons_expect_sparse(void *p, int sparse);

/* Test hook: the n-th allocation from now fails (1 = next one), 0 switches it off. */
void ons_memory_fail_after(long n);

/* Grows by chunks; everything in it is released together. */
typedef struct ons_arena ons_arena;
ons_arena *ons_arena_create(void);                      /* NULL: no memory */
void *ons_arena_alloc(ons_arena *a, size_t size_bytes); /* zeroed, 16-byte aligned; NULL: no memory */
char *ons_arena_strdup(ons_arena *a, const char *text);
void ons_arena_destroy(ons_arena **a);

#endif
