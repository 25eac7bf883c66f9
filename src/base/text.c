#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

uint64_t ons_hash_bytes(uint64_t h, const void *data, size_t size_bytes)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < size_bytes; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

uint64_t ons_hash_text(const char *text)
{
    return ons_hash_bytes(ONS_HASH_START, text, strlen(text));
}

void ons_list_name(char *list, size_t size, const char *name)
{
    const size_t used = strlen(list);

    snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

/* NULL: too short to be something with such an ending. */
static const char *last_bytes(const char *text, size_t count)
{
    const size_t n = strlen(text);

    return n > count ? text + n - count : NULL;
}

bool ons_ends_with(const char *text, const char *ending)
{
    const char *last = last_bytes(text, strlen(ending));

    return last && strcmp(last, ending) == 0;
}

bool ons_ends_with_any_case(const char *text, const char *ending)
{
    const char *last = last_bytes(text, strlen(ending));

    return last && strcasecmp(last, ending) == 0;
}

size_t ons_length_without(const char *text, const char *ending)
{
    return strlen(text) - (ons_ends_with(text, ending) ? strlen(ending) : 0);
}
