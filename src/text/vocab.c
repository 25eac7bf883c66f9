/* Token -> id and pair -> merge, both open addressing with linear probing at a load of at most one half. */
#include "text/parts.h"

#include <string.h>

#include "base/text.h"

enum { FIRST_SLOTS = 1024 };

static uint64_t hash_text(const char *s)
{
    const uint64_t h = ons_hash_text(s);

    return h ^ h >> 32;
}

static uint64_t hash_pair(int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static int32_t *create_table(size_t n_slots)
{
    int32_t *table = ons_malloc(n_slots * sizeof *table);
    if (table)
        memset(table, 0xff, n_slots * sizeof *table);
    return table;
}

static onestep_status report_no_memory(void)
{
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the tokenizer's vocabulary");
}

/* The slot that holds the token, or the empty one where it belongs. */
static size_t find_token_slot(const ons_vocab *v, const char *token)
{
    size_t slot = hash_text(token) & (v->n_slots - 1);
    while (v->table[slot] >= 0 && strcmp(v->tokens[v->table[slot]], token) != 0)
        slot = (slot + 1) & (v->n_slots - 1);
    return slot;
}

int ons_vocab_find(const ons_vocab *v, const char *token)
{
    return v->n_slots ? v->table[find_token_slot(v, token)] : -1;
}

static onestep_status grow_vocab_table(ons_vocab *v)
{
    const size_t n_slots = v->n_slots ? 2 * v->n_slots : FIRST_SLOTS;
    int32_t *table = create_table(n_slots), *old = v->table;
    if (!table)
        return report_no_memory();
    v->table = table;
    v->n_slots = n_slots;
    for (int id = 0; id < v->size; id++)
        if (v->tokens[id])
            table[find_token_slot(v, v->tokens[id])] = id;
    ons_free(old);
    return ONESTEP_OK;
}

static onestep_status grow_token_list(ons_vocab *v, int id)
{
    int capacity = v->capacity ? v->capacity : FIRST_SLOTS;
    while (capacity <= id)
        capacity *= 2;
    const char **tokens = ons_realloc(v->tokens, (size_t)capacity * sizeof *tokens);
    if (!tokens)
        return report_no_memory();
    memset(tokens + v->capacity, 0, (size_t)(capacity - v->capacity) * sizeof *tokens);
    v->tokens = tokens;
    v->capacity = capacity;
    return ONESTEP_OK;
}

onestep_status ons_vocab_set(ons_vocab *v, const char *token, int id)
{
    onestep_status st;

    if (id < 0 || id >= ONS_MAX_TOKEN_ID)
        return ons_fail(ONESTEP_BAD_FILE, "token \"%.60s\" has the id %d; ids from 0 to %d are possible", token,
                        id, ONS_MAX_TOKEN_ID - 1);
    if (2 * (v->n_used + 1) > v->n_slots && (st = grow_vocab_table(v)) != ONESTEP_OK)
        return st;
    if (id >= v->capacity && (st = grow_token_list(v, id)) != ONESTEP_OK)
        return st;
    const size_t slot = find_token_slot(v, token);
    if (v->table[slot] == id)
        return ONESTEP_OK;
    if (v->table[slot] >= 0)
        return ons_fail(ONESTEP_BAD_FILE, "token \"%.60s\" has two ids, %d and %d", token, v->table[slot], id);
    if (v->tokens[id])
        return ons_fail(ONESTEP_BAD_FILE, "id %d stands for two tokens, \"%.60s\" and \"%.60s\"", id,
                        v->tokens[id], token);
    v->table[slot] = id;
    v->tokens[id] = token;
    v->n_used++;
    if (id >= v->size)
        v->size = id + 1;
    return ONESTEP_OK;
}

void ons_vocab_fini(ons_vocab *v)
{
    ons_free(v->tokens);
    ons_free(v->table);
    memset(v, 0, sizeof *v);
}

static size_t find_merge_slot(const ons_merges *m, int32_t left, int32_t right)
{
    size_t slot = hash_pair(left, right) & (m->n_slots - 1);
    while (m->table[slot] >= 0 &&
           (m->list[m->table[slot]].left != left || m->list[m->table[slot]].right != right))
        slot = (slot + 1) & (m->n_slots - 1);
    return slot;
}

const ons_merge *ons_merges_find(const ons_merges *m, int32_t left, int32_t right)
{
    if (!m->n_slots)
        return NULL;
    const int32_t i = m->table[find_merge_slot(m, left, right)];
    return i < 0 ? NULL : &m->list[i];
}

static onestep_status grow_merges(ons_merges *m)
{
    const int capacity = m->capacity ? 2 * m->capacity : FIRST_SLOTS;
    ons_merge *list = ons_realloc(m->list, (size_t)capacity * sizeof *list);
    if (list)
        m->list = list;
    int32_t *table = list ? create_table(2 * (size_t)capacity) : NULL;
    if (!table)
        return report_no_memory();
    ons_free(m->table);
    m->table = table;
    m->n_slots = 2 * (size_t)capacity;
    m->capacity = capacity;
    for (int i = 0; i < m->n; i++) /* in order, so that a pair listed twice ends with its later rank */
        table[find_merge_slot(m, list[i].left, list[i].right)] = i;
    return ONESTEP_OK;
}

onestep_status ons_merges_add(ons_merges *m, int32_t left, int32_t right, int32_t joined)
{
    if (m->n == m->capacity) {
        const onestep_status st = m->n < INT32_MAX / 4 ? grow_merges(m) : report_no_memory();
        if (st != ONESTEP_OK)
            return st;
    }
    const size_t slot = find_merge_slot(m, left, right);
    m->list[m->n] = (ons_merge){left, right, joined, m->n};
    m->table[slot] = m->n++;
    return ONESTEP_OK;
}

void ons_merges_fini(ons_merges *m)
{
    ons_free(m->list);
    ons_free(m->table);
    memset(m, 0, sizeof *m);
}
