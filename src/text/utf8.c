/*
 * UTF-8 decoding with replacement.
 *
 * A damaged sequence becomes one U+FFFD per maximal valid prefix, as the Unicode standard recommends
 * (chapter 3.9) and as Python decodes with errors="replace", so that ids agree with transformers on broken
 * prompts too.
 */
#include "text/utf8.h"

#include <string.h>

#include "base/memory.h"

enum { REPLACEMENT = 0xfffd };

/* Continuation bytes that the lead byte announces, and the allowed range of the first of them; -1: not a lead
 * byte. */
static int classify_lead(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0)
            *low = 0xa0; /* shorter forms exist */
        if (lead == 0xed)
            *high = 0x9f; /* surrogates */
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0)
            *low = 0x90;
        if (lead == 0xf4)
            *high = 0x8f; /* beyond U+10FFFF */
        return 3;
    }
    return -1;
}

int32_t ons_utf8_next(const char *text, size_t size, size_t *n_bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned char low, high;

    *n_bytes = 1;
    if (s[0] < 0x80)
        return s[0];
    const int more = classify_lead(s[0], &low, &high);
    if (more < 0)
        return REPLACEMENT;
    int32_t code_point = s[0] & (0x3f >> more);
    for (int i = 1; i <= more; i++) {
        if ((size_t)i >= size || s[i] < low || s[i] > high)
            return REPLACEMENT;
        code_point = code_point << 6 | (s[i] & 0x3f);
        *n_bytes = (size_t)i + 1;
        low = 0x80;
        high = 0xbf;
    }
    return code_point;
}

int ons_utf8_put(int32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

bool ons_utf8_valid(const char *text, size_t size)
{
    size_t n_bytes;
    for (size_t i = 0; i < size; i += n_bytes) {
        /* A replacement character that stands in the text itself is three bytes EF BF BD. */
        if (ons_utf8_next(text + i, size - i, &n_bytes) == REPLACEMENT &&
            (n_bytes != 3 || memcmp(text + i, "\xef\xbf\xbd", 3) != 0))
            return false;
    }
    return true;
}

char *ons_latin1_to_utf8(const char *text, size_t size)
{
    char *out = size < SIZE_MAX / 2 ? ons_malloc(2 * size + 1) : NULL;
    size_t n = 0;
    if (!out)
        return NULL;
    for (size_t i = 0; i < size; i++)
        n += (size_t)ons_utf8_put((unsigned char)text[i], out + n);
    out[n] = '\0';
    return out;
}
