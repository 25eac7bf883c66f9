/*
 * Byte-pair merging of one piece.
 *
 * Always the pair of lowest rank, leftmost first, until none is left. The pairs wait in a heap and the symbols
 * in a linked list, so that a hostile word of a megabyte takes n log n steps; looking through all pairs for
 * every merge would take n^2. Heap entries whose symbols have changed since are recognised and dropped.
 */
#include "text/parts.h"

#include <string.h>

#include "text/utf8.h"

typedef struct symbol {
    int32_t id; /* -1: merged into its left neighbour */
    int32_t previous, next;
    size_t offset;
} symbol;

typedef struct candidate {
    int32_t rank, at; /* symbol on the left */
    int32_t left, right;
} candidate;

typedef struct work {
    symbol *symbols;
    candidate *heap;
    size_t n_heap;
} work;

onestep_status ons_ids_push(ons_ids *ids, int32_t id, size_t offset)
{
    if (ids->n == ids->capacity) {
        const size_t capacity = ids->capacity ? 2 * ids->capacity : 64;
        int32_t *id_list = ons_realloc(ids->id, capacity * sizeof *id_list);
        if (id_list)
            ids->id = id_list;
        size_t *offset_list = id_list ? ons_realloc(ids->offset, capacity * sizeof *offset_list) : NULL;
        if (!offset_list)
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for %zu token ids", capacity);
        ids->offset = offset_list;
        ids->capacity = capacity;
    }
    ids->id[ids->n] = id;
    ids->offset[ids->n++] = offset;
    return ONESTEP_OK;
}

void ons_ids_fini(ons_ids *ids)
{
    ons_free(ids->id);
    ons_free(ids->offset);
    memset(ids, 0, sizeof *ids);
}

static bool comes_before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push_candidate(work *w, candidate c)
{
    size_t i = w->n_heap++;
    for (; i > 0 && comes_before(&c, &w->heap[(i - 1) / 2]); i = (i - 1) / 2)
        w->heap[i] = w->heap[(i - 1) / 2];
    w->heap[i] = c;
}

static candidate pop_candidate(work *w)
{
    const candidate top = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0, child;
    for (; (child = 2 * i + 1) < w->n_heap; i = child) {
        if (child + 1 < w->n_heap && comes_before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!comes_before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
    }
    w->heap[i] = last;
    return top;
}

static void offer_pair(const ons_tokenizer *t, work *w, int32_t at)
{
    if (at < 0 || w->symbols[at].next < 0)
        return;
    const int32_t left = w->symbols[at].id, right = w->symbols[w->symbols[at].next].id;
    const ons_merge *merge = ons_merges_find(&t->merges, left, right);
    if (merge)
        push_candidate(w, (candidate){merge->rank, at, left, right});
}

static void apply_merge(const ons_tokenizer *t, work *w, const candidate *c)
{
    symbol *s = w->symbols, *left = &s[c->at];
    const int32_t right = left->next;

    if (left->id != c->left || right < 0 || s[right].id != c->right)
        return;
    left->id = t->merges.list[c->rank].joined;
    left->next = s[right].next;
    if (left->next >= 0)
        s[left->next].previous = c->at;
    s[right].id = -1;
    offer_pair(t, w, left->previous);
    offer_pair(t, w, c->at);
}

/* Bytes of the piece as symbols; unknown ones (a vocabulary without that byte) as the unknown token. */
static int32_t spell(const ons_tokenizer *t, const ons_char *piece, size_t n, symbol *s)
{
    int32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        const int n_bytes = ons_utf8_put(piece[i].code_point, bytes);
        for (int k = 0; k < n_bytes; k++) {
            const bool last = i + 1 == n && k + 1 == n_bytes;
            int32_t id = t->byte_id[last][(unsigned char)bytes[k]];
            if (id < 0)
                id = t->unknown_id;
            s[count] = (symbol){id, count - 1, last ? -1 : count + 1, piece[i].offset};
            count++;
        }
    }
    return count;
}

onestep_status ons_bpe_piece(const ons_tokenizer *t, const ons_char *piece, size_t n, ons_ids *out)
{
    onestep_status st = ONESTEP_OK;
    work w = {0};

    if (n > INT32_MAX / 16)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a word of %zu characters is too long", n);
    w.symbols = ons_malloc(4 * n * sizeof *w.symbols);
    w.heap = ons_malloc(12 * n * sizeof *w.heap); /* one per neighbours, two more per merge */
    if (!w.symbols || !w.heap) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a word of %zu characters", n);
        goto fail;
    }
    const int32_t count = spell(t, piece, n, w.symbols);
    for (int32_t i = 0; i + 1 < count; i++)
        offer_pair(t, &w, i);
    while (w.n_heap > 0) {
        const candidate c = pop_candidate(&w);
        apply_merge(t, &w, &c);
    }
    for (int32_t i = 0; i >= 0 && i < count; i = w.symbols[i].next)
        ONS_TRY(ons_ids_push(out, w.symbols[i].id, w.symbols[i].offset));
fail:
    ons_free(w.symbols);
    ons_free(w.heap);
    return st;
}
