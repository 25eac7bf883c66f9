/* The trainer's tables: growing lists, and hash tables over words and pairs with linear probing. */
#include "text/train_parts.h"

#include <string.h>

#include "text/utf8.h"

enum { FIRST_SLOTS = 1024 };

static onestep_status report_no_memory(void)
{
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for learning a vocabulary");
}

onestep_status ons_trainer_grow(void **list, size_t n, size_t *capacity, size_t element_bytes)
{
    if (n < *capacity)
        return ONESTEP_OK;
    const size_t wanted = *capacity ? 2 * *capacity : 4;
    void *p = ons_realloc(*list, wanted * element_bytes);
    if (!p)
        return report_no_memory();
    *list = p;
    *capacity = wanted;
    return ONESTEP_OK;
}

static uint32_t hash_pair(int32_t left, int32_t right)
{
    const uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

static uint32_t hash_symbols(const int32_t *symbols, int n)
{
    uint32_t h = 2166136261u; /* FNV-1a over the byte symbols */
    for (int i = 0; i < n; i++)
        h = (h ^ (uint32_t)symbols[i]) * 16777619u;
    return h;
}

/* Puts entry `index` with `hash` into a table known to have room. */
static void insert_slot(size_t *table, size_t n_slots, uint32_t hash, size_t index)
{
    size_t slot = hash & (n_slots - 1);
    while (table[slot])
        slot = (slot + 1) & (n_slots - 1);
    table[slot] = index + 1;
}

static onestep_status grow_pair_table(trainer *tr)
{
    const size_t n_slots = tr->pair_slots ? 2 * tr->pair_slots : FIRST_SLOTS;
    size_t *table = ons_calloc(n_slots, sizeof *table);
    if (!table)
        return report_no_memory();
    for (size_t i = 0; i < tr->n_pairs; i++)
        insert_slot(table, n_slots, hash_pair(tr->pairs[i].left, tr->pairs[i].right), i);
    ons_free(tr->pair_table);
    tr->pair_table = table;
    tr->pair_slots = n_slots;
    return ONESTEP_OK;
}

onestep_status ons_trainer_pair(trainer *tr, int32_t left, int32_t right, size_t *at)
{
    onestep_status st;
    if (2 * (tr->n_pairs + 1) > tr->pair_slots && (st = grow_pair_table(tr)) != ONESTEP_OK)
        return st;
    const uint32_t hash = hash_pair(left, right);
    for (size_t slot = hash & (tr->pair_slots - 1); tr->pair_table[slot];
         slot = (slot + 1) & (tr->pair_slots - 1)) {
        *at = tr->pair_table[slot] - 1;
        if (tr->pairs[*at].left == left && tr->pairs[*at].right == right)
            return ONESTEP_OK;
    }
    st = ons_trainer_grow((void **)&tr->pairs, tr->n_pairs, &tr->pairs_capacity, sizeof *tr->pairs);
    if (st != ONESTEP_OK)
        return st;
    *at = tr->n_pairs++;
    tr->pairs[*at] = (pair){.left = left, .right = right};
    insert_slot(tr->pair_table, tr->pair_slots, hash, *at);
    return ONESTEP_OK;
}

static onestep_status grow_word_table(trainer *tr)
{
    const size_t n_slots = tr->word_slots ? 2 * tr->word_slots : FIRST_SLOTS;
    size_t *table = ons_calloc(n_slots, sizeof *table);
    if (!table)
        return report_no_memory();
    for (size_t i = 0; i < tr->n_words; i++)
        insert_slot(table, n_slots, tr->words[i].hash, i);
    ons_free(tr->word_table);
    tr->word_table = table;
    tr->word_slots = n_slots;
    return ONESTEP_OK;
}

/* Counts one word; takes over `symbols` (freed when the word is known). */
static onestep_status count_symbols(trainer *tr, int32_t *symbols, int n)
{
    onestep_status st;
    const uint32_t hash = hash_symbols(symbols, n);

    if (2 * (tr->n_words + 1) > tr->word_slots)
        ONS_TRY(grow_word_table(tr));
    for (size_t slot = hash & (tr->word_slots - 1); tr->word_table[slot];
         slot = (slot + 1) & (tr->word_slots - 1)) {
        word *w = &tr->words[tr->word_table[slot] - 1];
        if (w->n == n && memcmp(w->symbols, symbols, (size_t)n * sizeof *symbols) == 0) {
            w->count++;
            ons_free(symbols);
            return ONESTEP_OK;
        }
    }
    ONS_TRY(ons_trainer_grow((void **)&tr->words, tr->n_words, &tr->words_capacity, sizeof *tr->words));
    tr->words[tr->n_words] = (word){symbols, n, hash, 1};
    insert_slot(tr->word_table, tr->word_slots, hash, tr->n_words++);
    return ONESTEP_OK;
fail:
    ons_free(symbols);
    return st;
}

static onestep_status count_piece(trainer *tr, const ons_char *piece, size_t n)
{
    int count = 0;
    if (n > INT32_MAX / 16)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a word of %zu characters is too long to learn from", n);
    int32_t *symbols = ons_malloc(4 * n * sizeof *symbols);
    if (!symbols)
        return report_no_memory();
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        const int n_bytes = ons_utf8_put(piece[i].code_point, bytes);
        for (int k = 0; k < n_bytes; k++)
            symbols[count++] = tr->t->byte_id[i + 1 == n && k + 1 == n_bytes][(unsigned char)bytes[k]];
    }
    return count_symbols(tr, symbols, count);
}

onestep_status ons_trainer_collect(trainer *tr, const char *const *captions, size_t n)
{
    onestep_status st = ONESTEP_OK;
    ons_chars raw = {0}, clean = {0};
    for (size_t i = 0; i < n; i++) {
        const ons_char *piece;
        size_t length;
        raw.n = clean.n = 0;
        ONS_TRY(ons_chars_decode(captions[i], &raw));
        ONS_TRY(ons_chars_normalize(raw.at, raw.n, &clean));
        ons_pieces pieces = {clean.at, clean.n, 0, 0};
        while (ons_pieces_next(&pieces, &piece, &length))
            ONS_TRY(count_piece(tr, piece, length));
    }
fail:
    ons_chars_fini(&raw);
    ons_chars_fini(&clean);
    return st;
}

void ons_trainer_fini(trainer *tr)
{
    for (size_t i = 0; i < tr->n_words; i++)
        ons_free(tr->words[i].symbols);
    for (size_t i = 0; i < tr->n_pairs; i++)
        ons_free(tr->pairs[i].words);
    ons_free(tr->words);
    ons_free(tr->word_table);
    ons_free(tr->pairs);
    ons_free(tr->pair_table);
    ons_free(tr->heap);
    ons_free(tr->changed);
    ons_tokenizer_close(&tr->t);
    memset(tr, 0, sizeof *tr);
}
