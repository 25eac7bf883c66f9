/*
 * Encoding: added tokens are cut out of the prompt, what lies between is normalised, split and merged.
 *
 * The order is that of transformers' CLIPTokenizer: first the added tokens that are looked for in the prompt as
 * it stands, then normalisation, then the added tokens that are looked for in normalised text, then pieces. The
 * longest token wins where several begin at one place. Encoding stops when the context is full.
 */
#include "text/parts.h"

#include <string.h>

typedef struct encoder {
    const ons_tokenizer *t;
    ons_ids ids;
    size_t limit; /* enough ids to see what does not fit */
} encoder;

typedef onestep_status (*encode_stretch)(encoder *e, const ons_char *text, size_t n);

/* The longest added token of the kind asked for that begins at text[0]. */
static const ons_added *match_added(const ons_tokenizer *t, bool normalized, const ons_char *text, size_t n)
{
    const ons_added *best = NULL;
    for (int i = 0; i < t->n_added; i++) {
        const ons_added *a = &t->added[i];
        const ons_chars *p = &a->pattern;
        size_t k = 0;
        if (a->normalized != normalized || p->n == 0 || p->n > n || (best && p->n <= best->pattern.n))
            continue;
        while (k < p->n && p->at[k].code_point == text[k].code_point)
            k++;
        if (k == p->n)
            best = a;
    }
    return best;
}

/* Emits the added tokens of one kind and hands the stretches between them on. */
static onestep_status cut_added(encoder *e, bool normalized, const ons_char *text, size_t n,
                                encode_stretch inner)
{
    onestep_status st = ONESTEP_OK;
    size_t begin = 0;
    for (size_t i = 0; i < n && st == ONESTEP_OK && e->ids.n < e->limit;) {
        const ons_added *a = match_added(e->t, normalized, text + i, n - i);
        if (!a) {
            i++;
            continue;
        }
        st = inner(e, text + begin, i - begin);
        if (st == ONESTEP_OK)
            st = ons_ids_push(&e->ids, a->id, text[i].offset);
        begin = i += a->pattern.n;
    }
    if (st == ONESTEP_OK && begin < n && e->ids.n < e->limit)
        st = inner(e, text + begin, n - begin);
    return st;
}

static onestep_status encode_pieces(encoder *e, const ons_char *text, size_t n)
{
    ons_pieces pieces = {text, n, 0, 0};
    const ons_char *piece;
    size_t length;
    while (e->ids.n < e->limit && ons_pieces_next(&pieces, &piece, &length)) {
        const onestep_status st = ons_bpe_piece(e->t, piece, length, &e->ids);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static onestep_status encode_raw(encoder *e, const ons_char *text, size_t n)
{
    ons_chars clean = {0};
    onestep_status st = ons_chars_normalize(text, n, &clean);
    if (st == ONESTEP_OK)
        st = cut_added(e, true, clean.at, clean.n, encode_pieces);
    ons_chars_fini(&clean);
    return st;
}

onestep_status ons_tokenizer_encode(const ons_tokenizer *t, const char *prompt, int32_t *ids, int *used,
                                    size_t *rest)
{
    onestep_status st;
    ons_chars raw = {0};
    const size_t room = (size_t)t->context - 2;
    encoder e = {.t = t, .limit = room + 1};

    ONS_TRY(ons_chars_decode(prompt, &raw));
    ONS_TRY(cut_added(&e, false, raw.at, raw.n, encode_raw));
    const size_t n = e.ids.n < room ? e.ids.n : room;
    ids[0] = t->start_id;
    for (size_t i = 0; i < n; i++)
        ids[1 + i] = e.ids.id[i];
    ids[1 + n] = t->end_id;
    for (int i = (int)n + 2; i < t->context; i++)
        ids[i] = t->pad_id;
    if (used)
        *used = (int)n + 2;
    if (rest)
        *rest = e.ids.n > room ? e.ids.offset[room] : strlen(prompt);
fail:
    ons_ids_fini(&e.ids);
    ons_chars_fini(&raw);
    return st;
}
