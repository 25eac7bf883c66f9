/* The tokenizer object: the alphabet of byte symbols, tokens, merges, added tokens, and what others may ask of
 * it. */
#include "text/parts.h"

#include <string.h>

#include "text/utf8.h"

/* Bytes that are printable in Latin-1 stand for themselves, in this order; the others follow as U+0100, U+0101,
 * ... */
static bool is_printable(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

int ons_byte_in_order(int i)
{
    for (int wanted = 1; wanted >= 0; wanted--)
        for (int byte = 0; byte < 256; byte++)
            if (is_printable(byte) == (wanted == 1) && i-- == 0)
                return byte;
    return -1;
}

void ons_byte_symbol(int byte, bool last, char out[8])
{
    int32_t code_point = byte;
    if (!is_printable(byte)) {
        code_point = 0x100;
        for (int b = 0; b < byte; b++)
            code_point += !is_printable(b);
    }
    const int n = ons_utf8_put(code_point, out);
    memcpy(out + n, ONS_END_OF_WORD, last ? sizeof ONS_END_OF_WORD : 0);
    if (!last)
        out[n] = '\0';
}

onestep_status ons_tokenizer_create(ons_tokenizer **out)
{
    ons_tokenizer *t = ons_calloc(1, sizeof *t);
    *out = NULL;
    if (t)
        t->arena = ons_arena_create();
    if (!t || !t->arena) {
        ons_free(t);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a tokenizer");
    }
    t->context = ONS_DEFAULT_CONTEXT;
    t->start_id = t->end_id = t->pad_id = t->unknown_id = -1;
    *out = t;
    return ONESTEP_OK;
}

void ons_tokenizer_close(ons_tokenizer **tokenizer)
{
    ons_tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t)
        return;
    for (int i = 0; i < t->n_added; i++)
        ons_chars_fini(&t->added[i].pattern);
    ons_free(t->added);
    ons_vocab_fini(&t->vocab);
    ons_merges_fini(&t->merges);
    ons_arena_destroy(&t->arena);
    ons_free(t);
    *tokenizer = NULL;
}

onestep_status ons_tokenizer_add_token(ons_tokenizer *t, const char *token, int id)
{
    const char *copy = ons_arena_strdup(t->arena, token);
    if (!copy)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the tokenizer's vocabulary");
    return ons_vocab_set(&t->vocab, copy, id);
}

onestep_status ons_tokenizer_add_merge(ons_tokenizer *t, const char *left, const char *right, const char *where)
{
    const int left_id = ons_vocab_find(&t->vocab, left), right_id = ons_vocab_find(&t->vocab, right);
    char *joined = ons_format("%s%s", left, right);
    if (!joined)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the tokenizer's merges");
    const int joined_id = ons_vocab_find(&t->vocab, joined);
    ons_free(joined);
    if (left_id < 0 || right_id < 0 || joined_id < 0)
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: merge %d of \"%.60s\" and \"%.60s\": %s is not in the vocabulary; the files "
                        "do not belong together",
                        where, t->merges.n + 1, left, right,
                        left_id < 0    ? "the first"
                        : right_id < 0 ? "the second"
                                       : "the result");
    return ons_merges_add(&t->merges, left_id, right_id, joined_id);
}

const ons_added *ons_tokenizer_find_added(const ons_tokenizer *t, const char *content)
{
    for (int i = 0; i < t->n_added; i++)
        if (strcmp(t->added[i].content, content) == 0)
            return &t->added[i];
    return NULL;
}

static onestep_status reserve_added(ons_tokenizer *t)
{
    if (t->n_added < t->added_capacity)
        return ONESTEP_OK;
    const int capacity = t->added_capacity ? 2 * t->added_capacity : 8;
    ons_added *added = ons_realloc(t->added, (size_t)capacity * sizeof *added);
    if (!added)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the tokenizer's added tokens");
    t->added = added;
    t->added_capacity = capacity;
    return ONESTEP_OK;
}

static onestep_status set_pattern(ons_added *a)
{
    ons_chars raw = {0};
    onestep_status st = ons_chars_decode(a->content, &raw);
    a->pattern.n = 0;
    if (st == ONESTEP_OK && a->normalized)
        st = ons_chars_normalize(raw.at, raw.n, &a->pattern);
    for (size_t i = 0; i < raw.n && st == ONESTEP_OK && !a->normalized; i++)
        st = ons_chars_push(&a->pattern, raw.at[i].code_point, 0);
    ons_chars_fini(&raw);
    return st;
}

onestep_status ons_tokenizer_add_added(ons_tokenizer *t, const char *content, bool normalized, bool special)
{
    onestep_status st;
    const int id = ons_vocab_find(&t->vocab, content);
    ons_added *a = (ons_added *)ons_tokenizer_find_added(t, content);

    if (id < 0)
        return ons_fail(ONESTEP_BAD_FILE, "token \"%.60s\" is not in the tokenizer's vocabulary", content);
    if (!a) {
        if ((st = reserve_added(t)) != ONESTEP_OK)
            return st;
        a = &t->added[t->n_added++];
        memset(a, 0, sizeof *a);
        a->content = t->vocab.tokens[id];
        a->id = id;
    }
    a->normalized = normalized;
    a->special = special;
    return set_pattern(a);
}

void ons_tokenizer_index_bytes(ons_tokenizer *t)
{
    char symbol[8];
    for (int last = 0; last < 2; last++)
        for (int byte = 0; byte < 256; byte++) {
            ons_byte_symbol(byte, last, symbol);
            t->byte_id[last][byte] = ons_vocab_find(&t->vocab, symbol);
        }
}

int ons_tokenizer_vocab_size(const ons_tokenizer *t)
{
    return t->vocab.size;
}

int ons_tokenizer_context(const ons_tokenizer *t)
{
    return t->context;
}

int ons_tokenizer_start_id(const ons_tokenizer *t)
{
    return t->start_id;
}

int ons_tokenizer_end_id(const ons_tokenizer *t)
{
    return t->end_id;
}

void ons_tokenizer_set_pad_id(ons_tokenizer *t, int id)
{
    t->pad_id = id;
}

int ons_tokenizer_pad_id(const ons_tokenizer *t)
{
    return t->pad_id;
}

const char *ons_tokenizer_token(const ons_tokenizer *t, int id)
{
    return id >= 0 && id < t->vocab.size ? t->vocab.tokens[id] : NULL;
}
