/* Small things with text and bytes. */
#ifndef ONS_BASE_TEXT_H
#define ONS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* FNV-1a of 64 bits; start with ONS_HASH_START, or with the hash of what comes before. */
#define ONS_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t ons_hash_bytes(uint64_t h, const void *data, size_t size_bytes);
uint64_t ons_hash_text(const char *text);

/* Appends a name to a list with ", " between; what does not fit into `size` is cut. */
void ons_list_name(char *list, size_t size, const char *name);

/* Whether a text is something with `ending` after it; the second, where "A" is "a". */
bool ons_ends_with(const char *text, const char *ending);
bool ons_ends_with_any_case(const char *text, const char *ending);

/* The length of a text without `ending`; all of it where it ends otherwise. */
size_t ons_length_without(const char *text, const char *ending);

#endif
