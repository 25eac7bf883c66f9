/* The trainer's tables: words with counts, pairs with counts and words. Only train*.c include this. */
#ifndef ONS_TEXT_TRAIN_PARTS_H
#define ONS_TEXT_TRAIN_PARTS_H

#include "text/parts.h"

typedef struct word {
    int32_t *symbols; /* owned */
    int n;
    uint32_t hash;
    int64_t count;
} word;

typedef struct pair {
    int32_t left, right;
    int64_t count;
    size_t *words; /* may name words that have lost the pair */
    size_t n_words, capacity;
    bool changed; /* count moved since the heap last heard of it */
} pair;

typedef struct heap_entry {
    int64_t count;
    size_t pair;
} heap_entry;

typedef struct trainer {
    ons_tokenizer *t;
    word *words;
    size_t n_words, words_capacity;
    size_t *word_table, word_slots; /* indices + 1; 0 empty */
    pair *pairs;
    size_t n_pairs, pairs_capacity;
    size_t *pair_table, pair_slots; /* likewise */
    heap_entry *heap;
    size_t n_heap, heap_capacity;
    size_t *changed;
    size_t n_changed, changed_capacity;
} trainer;

/* Room for one more element behind n. */
onestep_status ons_trainer_grow(void **list, size_t n, size_t *capacity, size_t element_bytes) ONESTEP_CHECK;
/* The pair's index, made when new. */
onestep_status ons_trainer_pair(trainer *tr, int32_t left, int32_t right, size_t *at) ONESTEP_CHECK;
/* Normalises and splits the captions and counts their words. */
onestep_status ons_trainer_collect(trainer *tr, const char *const *captions, size_t n) ONESTEP_CHECK;
void ons_trainer_fini(trainer *tr);

#endif
