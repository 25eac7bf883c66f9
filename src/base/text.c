#include "base/text.h"

#include <stdio.h>
#include <string.h>

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
