/* What the tokenizer's files share; nothing outside src/text includes this. */
#ifndef ONS_TEXT_PARTS_H
#define ONS_TEXT_PARTS_H

#include "base/memory.h"
#include "text/tokenizer.h"

#define ONS_START_TOKEN "<|startoftext|>"
#define ONS_END_TOKEN "<|endoftext|>"
#define ONS_END_OF_WORD "</w>"
enum { ONS_MAX_TOKEN_ID = 1 << 22, ONS_DEFAULT_CONTEXT = 77, ONS_MAX_CONTEXT = 1 << 16 };

/* Text as code points, each with the byte offset in the prompt where it (or what it was composed from) began.
 */
typedef struct ons_char {
    int32_t code_point;
    size_t offset;
} ons_char;
typedef struct ons_chars {
    ons_char *at;
    size_t n, capacity;
} ons_chars;

onestep_status ons_chars_push(ons_chars *c, int32_t code_point, size_t offset) ONESTEP_CHECK;
onestep_status ons_chars_decode(const char *text,
                                ons_chars *out) ONESTEP_CHECK; /* appends; replacement as in utf8.h */
void ons_chars_fini(ons_chars *c);                             /* accepts a zeroed struct */

/* Appends NFC of in[0, n), white space runs made one space, lower case. */
onestep_status ons_chars_normalize(const ons_char *in, size_t n, ons_chars *out) ONESTEP_CHECK;

/* Walks over the pieces of normalised text. Start with {text, n, 0, 0}; false at the end. */
typedef struct ons_pieces {
    const ons_char *text;
    size_t n, at;
    size_t special_end; /* end of a special token spelt out at a piece's beginning */
} ons_pieces;
bool ons_pieces_next(ons_pieces *p, const ons_char **piece, size_t *n);

/* Tokens by id and ids by token. Ids may have holes (NULL). */
typedef struct ons_vocab {
    const char **tokens; /* [size]; owned by the tokenizer's arena */
    int size, capacity;
    int32_t *table; /* open addressing, -1 empty */
    size_t n_slots, n_used;
} ons_vocab;
int ons_vocab_find(const ons_vocab *v, const char *token);                           /* -1: absent */
onestep_status ons_vocab_set(ons_vocab *v, const char *token, int id) ONESTEP_CHECK; /* token outlives v */
void ons_vocab_fini(ons_vocab *v);

/* Merges by pair of ids. */
typedef struct ons_merge {
    int32_t left, right, joined, rank;
} ons_merge;
typedef struct ons_merges {
    ons_merge *list; /* in rank order */
    int n, capacity;
    int32_t *table; /* indices into list, -1 empty */
    size_t n_slots;
} ons_merges;
const ons_merge *ons_merges_find(const ons_merges *m, int32_t left, int32_t right); /* NULL: none */
onestep_status ons_merges_add(ons_merges *m, int32_t left, int32_t right, int32_t joined) ONESTEP_CHECK;
void ons_merges_fini(ons_merges *m);

/* A token that is looked for in the text itself, before any splitting. */
typedef struct ons_added {
    const char *content;
    int32_t id;
    bool normalized; /* looked for in the normalised text, itself normalised; else in the prompt as it stands */
    bool special;
    ons_chars pattern;
} ons_added;

struct ons_tokenizer {
    ons_arena *arena; /* token strings */
    ons_vocab vocab;
    ons_merges merges;
    ons_added *added;
    int n_added, added_capacity;
    int32_t byte_id[2][256]; /* [1]: the last byte of a word; -1 where the vocabulary has none */
    int context, start_id, end_id, pad_id, unknown_id;
};

onestep_status ons_tokenizer_create(ons_tokenizer **out) ONESTEP_CHECK; /* empty */
/* The printable stand-in of a byte, as UTF-8 with NUL, followed by the end-of-word mark when `last`. */
void ons_byte_symbol(int byte, bool last, char out[8]);
int ons_byte_in_order(int i); /* the i-th byte in the order of CLIP's vocabulary */
onestep_status ons_tokenizer_add_token(ons_tokenizer *t, const char *token, int id) ONESTEP_CHECK;
/* Adds the merge; BAD_FILE (naming `where`) when a part or the joined token is not in the vocabulary. */
onestep_status ons_tokenizer_add_merge(ons_tokenizer *t, const char *left, const char *right,
                                       const char *where) ONESTEP_CHECK;
/* Registers or redefines an added token; its id is looked up in the vocabulary. */
onestep_status ons_tokenizer_add_added(ons_tokenizer *t, const char *content, bool normalized,
                                       bool special) ONESTEP_CHECK;
const ons_added *ons_tokenizer_find_added(const ons_tokenizer *t, const char *content);
void ons_tokenizer_index_bytes(ons_tokenizer *t); /* fills byte_id from the vocabulary */

/* Ids of one piece appended to a list; offsets[i] is where token i begins in the prompt. */
typedef struct ons_ids {
    int32_t *id;
    size_t *offset;
    size_t n, capacity;
} ons_ids;
onestep_status ons_ids_push(ons_ids *ids, int32_t id, size_t offset) ONESTEP_CHECK;
void ons_ids_fini(ons_ids *ids);
onestep_status ons_bpe_piece(const ons_tokenizer *t, const ons_char *piece, size_t n,
                             ons_ids *out) ONESTEP_CHECK;

#endif
