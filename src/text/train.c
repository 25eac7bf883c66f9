/*
 * Learning merges from captions.
 *
 * Words (pieces with their counts) are kept as symbol strings; every pair knows how often it occurs and in
 * which words, and a heap gives the most frequent one. A merge touches only the words that hold the pair, so
 * that 49,000 merges over a large caption file stay a matter of seconds. Heap entries and word lists may be out
 * of date: an entry counts only if its count is still the pair's, and a word is searched again before it is
 * changed.
 */
#include "text/train_parts.h"

#include <string.h>

/* Bytewise order of the pair's two tokens: the tie-break. */
static bool pair_is_smaller(const trainer *tr, const pair *a, const pair *b)
{
    const char *const *tokens = tr->t->vocab.tokens;
    const int order = strcmp(tokens[a->left], tokens[b->left]);
    return order ? order < 0 : strcmp(tokens[a->right], tokens[b->right]) < 0;
}

static bool comes_before(const trainer *tr, const heap_entry *a, const heap_entry *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    return a->pair != b->pair && pair_is_smaller(tr, &tr->pairs[a->pair], &tr->pairs[b->pair]);
}

static onestep_status push_heap(trainer *tr, heap_entry entry)
{
    onestep_status st = ons_trainer_grow((void **)&tr->heap, tr->n_heap, &tr->heap_capacity, sizeof *tr->heap);
    if (st != ONESTEP_OK)
        return st;
    size_t i = tr->n_heap++;
    for (; i > 0 && comes_before(tr, &entry, &tr->heap[(i - 1) / 2]); i = (i - 1) / 2)
        tr->heap[i] = tr->heap[(i - 1) / 2];
    tr->heap[i] = entry;
    return ONESTEP_OK;
}

static heap_entry pop_heap(trainer *tr)
{
    const heap_entry top = tr->heap[0], last = tr->heap[--tr->n_heap];
    size_t i = 0, child;
    for (; (child = 2 * i + 1) < tr->n_heap; i = child) {
        if (child + 1 < tr->n_heap && comes_before(tr, &tr->heap[child + 1], &tr->heap[child]))
            child++;
        if (!comes_before(tr, &tr->heap[child], &last))
            break;
        tr->heap[i] = tr->heap[child];
    }
    tr->heap[i] = last;
    return top;
}

/* Adds `delta` to a pair's count and notes the word when it may be new there. */
static onestep_status change_pair(trainer *tr, int32_t left, int32_t right, int64_t delta, size_t w)
{
    size_t at;
    onestep_status st = ons_trainer_pair(tr, left, right, &at);
    if (st != ONESTEP_OK)
        return st;
    pair *p = &tr->pairs[at];
    p->count += delta;
    if (delta > 0 && (p->n_words == 0 || p->words[p->n_words - 1] != w)) {
        st = ons_trainer_grow((void **)&p->words, p->n_words, &p->capacity, sizeof *p->words);
        if (st == ONESTEP_OK)
            p->words[p->n_words++] = w;
    }
    if (st == ONESTEP_OK && !p->changed) {
        st = ons_trainer_grow((void **)&tr->changed, tr->n_changed, &tr->changed_capacity, sizeof *tr->changed);
        if (st == ONESTEP_OK)
            tr->changed[tr->n_changed++] = at;
        p->changed = st == ONESTEP_OK;
    }
    return st;
}

/* Adds (sign 1) or takes away (sign -1) all pairs of a word. */
static onestep_status count_word(trainer *tr, size_t w, int sign)
{
    const word *s = &tr->words[w];
    for (int i = 0; i + 1 < s->n; i++) {
        const onestep_status st = change_pair(tr, s->symbols[i], s->symbols[i + 1], sign * s->count, w);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static onestep_status push_changed(trainer *tr)
{
    onestep_status st = ONESTEP_OK;
    for (size_t i = 0; i < tr->n_changed && st == ONESTEP_OK; i++) {
        pair *p = &tr->pairs[tr->changed[i]];
        p->changed = false;
        if (p->count >= 2)
            st = push_heap(tr, (heap_entry){p->count, tr->changed[i]});
    }
    tr->n_changed = 0;
    return st;
}

static bool holds_pair(const word *s, int32_t left, int32_t right)
{
    for (int i = 0; i + 1 < s->n; i++)
        if (s->symbols[i] == left && s->symbols[i + 1] == right)
            return true;
    return false;
}

static void join_in_word(word *s, int32_t left, int32_t right, int32_t joined)
{
    int n = 0;
    for (int i = 0; i < s->n; i++) {
        const bool match = s->symbols[i] == left && i + 1 < s->n && s->symbols[i + 1] == right;
        s->symbols[n++] = match ? joined : s->symbols[i];
        i += match;
    }
    s->n = n;
}

static onestep_status add_learned_merge(trainer *tr, const pair *p, int32_t *joined)
{
    ons_tokenizer *t = tr->t;
    onestep_status st = ONESTEP_OK;
    char *token = ons_format("%s%s", t->vocab.tokens[p->left], t->vocab.tokens[p->right]);
    if (!token)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the tokenizer's merges");
    *joined = ons_vocab_find(&t->vocab, token); /* another pair may have given the same token */
    if (*joined < 0) {
        *joined = t->vocab.size;
        st = ons_tokenizer_add_token(t, token, *joined);
    }
    ons_free(token);
    return st == ONESTEP_OK ? ons_merges_add(&t->merges, p->left, p->right, *joined) : st;
}

static onestep_status merge_pair(trainer *tr, size_t at)
{
    onestep_status st;
    const int32_t left = tr->pairs[at].left, right = tr->pairs[at].right;
    const size_t n_words = tr->pairs[at].n_words; /* later ones were added by this very merge */
    int32_t joined = -1;

    ONS_TRY(add_learned_merge(tr, &tr->pairs[at], &joined));
    for (size_t i = 0; i < n_words; i++) {
        const size_t w = tr->pairs[at].words[i];
        if (!holds_pair(&tr->words[w], left, right))
            continue;
        ONS_TRY(count_word(tr, w, -1));
        join_in_word(&tr->words[w], left, right, joined);
        ONS_TRY(count_word(tr, w, 1));
    }
    st = push_changed(tr);
fail:
    return st;
}

static onestep_status learn(trainer *tr, int vocab_size)
{
    onestep_status st = ONESTEP_OK;
    for (size_t w = 0; w < tr->n_words; w++)
        ONS_TRY(count_word(tr, w, 1));
    ONS_TRY(push_changed(tr));
    while (tr->n_heap > 0 && tr->t->vocab.size < vocab_size - 2) {
        const heap_entry top = pop_heap(tr);
        if (top.count == tr->pairs[top.pair].count)
            ONS_TRY(merge_pair(tr, top.pair));
    }
fail:
    return st;
}

static onestep_status add_alphabet(ons_tokenizer *t)
{
    onestep_status st = ONESTEP_OK;
    char symbol[8];
    for (int i = 0; i < 512 && st == ONESTEP_OK; i++) {
        ons_byte_symbol(ons_byte_in_order(i & 255), i >= 256, symbol);
        st = ons_tokenizer_add_token(t, symbol, i);
    }
    ons_tokenizer_index_bytes(t);
    return st;
}

static onestep_status add_ends(ons_tokenizer *t)
{
    onestep_status st;
    t->start_id = t->vocab.size;
    ONS_TRY(ons_tokenizer_add_token(t, ONS_START_TOKEN, t->start_id));
    t->end_id = t->pad_id = t->unknown_id = t->vocab.size;
    ONS_TRY(ons_tokenizer_add_token(t, ONS_END_TOKEN, t->end_id));
    ONS_TRY(ons_tokenizer_add_added(t, ONS_START_TOKEN, false, true));
    st = ons_tokenizer_add_added(t, ONS_END_TOKEN, false, true);
fail:
    return st;
}

onestep_status ons_tokenizer_train(const char *const *captions, size_t n, int vocab_size, int context,
                                   ons_tokenizer **out)
{
    onestep_status st;
    trainer tr = {0};

    *out = NULL;
    if (vocab_size < 514 || vocab_size > ONS_MAX_TOKEN_ID)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "a vocabulary of %d: at least 514 entries (512 bytes, start, end) and at "
                        "most %d are possible",
                        vocab_size, ONS_MAX_TOKEN_ID);
    if (context < 2 || context > ONS_MAX_CONTEXT)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a context of %d tokens: 2 to %d are possible", context,
                        ONS_MAX_CONTEXT);
    ONS_TRY(ons_tokenizer_create(&tr.t));
    tr.t->context = context;
    ONS_TRY(add_alphabet(tr.t));
    ONS_TRY(ons_trainer_collect(&tr, captions, n));
    ONS_TRY(learn(&tr, vocab_size));
    ONS_TRY(add_ends(tr.t));
    *out = tr.t;
    tr.t = NULL;
fail:
    ons_trainer_fini(&tr);
    return st;
}
