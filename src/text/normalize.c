/*
 * Prompt clean-up as transformers' CLIPTokenizer does it: NFC, runs of white space become one space, lower
 * case.
 *
 * libutf8proc has the tables. NFC works on clusters (a character and the marks or jamo behind it), because only
 * those can compose; so every code point keeps the place in the prompt that it came from, and a long prompt
 * costs linear time. Rejected: normalising the whole string at once, which loses the places.
 */
#include "text/parts.h"

#include <string.h>
#include <utf8proc.h>

#include "text/utf8.h"

enum {
    FIRST_MARK = 0x300,        /* nothing below composes with what stands before it */
    MAX_CLUSTER = 256,         /* longer ones are cut: the reordering of marks takes quadratic time */
    CAPITAL_I_WITH_DOT = 0x130 /* the one character whose lower case is two: i and U+0307 */
};

onestep_status ons_chars_push(ons_chars *c, int32_t code_point, size_t offset)
{
    if (c->n == c->capacity) {
        const size_t capacity = c->capacity ? 2 * c->capacity : 64;
        ons_char *at = ons_realloc(c->at, capacity * sizeof *at);
        if (!at)
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for a text of %zu characters", capacity);
        c->at = at;
        c->capacity = capacity;
    }
    c->at[c->n++] = (ons_char){code_point, offset};
    return ONESTEP_OK;
}

void ons_chars_fini(ons_chars *c)
{
    ons_free(c->at);
    memset(c, 0, sizeof *c);
}

onestep_status ons_chars_decode(const char *text, ons_chars *out)
{
    const size_t size = strlen(text);
    size_t n_bytes;
    for (size_t i = 0; i < size; i += n_bytes) {
        const int32_t code_point = ons_utf8_next(text + i, size - i, &n_bytes);
        const onestep_status st = ons_chars_push(out, code_point, i);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static bool joins_previous(int32_t c)
{
    if (c < FIRST_MARK)
        return false;
    if (c >= 0x1160 && c <= 0x11ff) /* Hangul vowels and final consonants */
        return true;
    const utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
           category == UTF8PROC_CATEGORY_ME;
}

static bool is_space(int32_t c)
{
    /* White_Space of PropList.txt. */
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

static onestep_status push_clean(ons_chars *out, size_t first, int32_t c, size_t offset)
{
    if (is_space(c)) {
        if (out->n > first && out->at[out->n - 1].code_point == ' ')
            return ONESTEP_OK;
        return ons_chars_push(out, ' ', offset);
    }
    if (c == CAPITAL_I_WITH_DOT) {
        const onestep_status st = ons_chars_push(out, 'i', offset);
        return st != ONESTEP_OK ? st : ons_chars_push(out, 0x307, offset);
    }
    return ons_chars_push(out, utf8proc_tolower(c), offset);
}

/* NFC of one cluster: decompose and order the marks, then compose. */
static onestep_status push_cluster(ons_chars *out, size_t first, const ons_char *in, size_t n)
{
    char utf8[4 * MAX_CLUSTER];
    utf8proc_int32_t composed[4 * MAX_CLUSTER + 8]; /* a canonical decomposition has at most four characters */
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    size_t size = 0;

    for (size_t i = 0; i < n; i++)
        size += (size_t)ons_utf8_put(in[i].code_point, utf8 + size);
    utf8proc_ssize_t count =
        utf8proc_decompose((const utf8proc_uint8_t *)utf8, (utf8proc_ssize_t)size, composed, 4 * MAX_CLUSTER,
                           UTF8PROC_STABLE | UTF8PROC_DECOMPOSE);
    if (count >= 0 && count <= 4 * MAX_CLUSTER)
        count = utf8proc_normalize_utf32(composed, count, options);
    if (count < 0 || count > 4 * MAX_CLUSTER)
        return ons_fail(ONESTEP_INTERNAL, "normalising %zu characters failed (utf8proc %td)", n,
                        (ptrdiff_t)count);
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        const size_t from = (size_t)count == n ? (size_t)i : 0;
        const onestep_status st = push_clean(out, first, composed[i], in[from].offset);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

onestep_status ons_chars_normalize(const ons_char *in, size_t n, ons_chars *out)
{
    const size_t first = out->n;
    onestep_status st = ONESTEP_OK;
    size_t end;
    for (size_t i = 0; i < n && st == ONESTEP_OK; i = end) {
        for (end = i + 1; end < n && end - i < MAX_CLUSTER && joins_previous(in[end].code_point);)
            end++;
        if (end == i + 1 && in[i].code_point < FIRST_MARK)
            st = push_clean(out, first, in[i].code_point, in[i].offset);
        else
            st = push_cluster(out, first, in + i, end - i);
    }
    return st;
}
