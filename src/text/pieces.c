/*
 * CLIP's split of a prompt into the pieces that merging stays within: contractions, runs of letters, single
 * number characters, runs of anything else that is not space.
 *
 * transformers' pattern names the two special tokens as well, for text that spells them in capitals and so is
 * no special token; such a text then falls apart once more into its three runs. That only differs from ordinary
 * splitting in where the runs of punctuation around it end.
 */
#include "text/parts.h"

#include <string.h>
#include <utf8proc.h>

typedef enum { KIND_SPACE, KIND_LETTER, KIND_NUMBER, KIND_OTHER } char_kind;

static char_kind classify(int32_t c)
{
    if (c == ' ')
        return KIND_SPACE; /* the only one left after normalisation */
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return KIND_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return KIND_NUMBER;
    default:
        return KIND_OTHER;
    }
}

static bool starts_with(const ons_char *text, size_t n, const char *ascii)
{
    size_t i = 0;
    for (; ascii[i]; i++)
        if (i >= n || text[i].code_point != ascii[i])
            return false;
    return true;
}

static size_t match_contraction(const ons_char *text, size_t n)
{
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (starts_with(text, n, endings[i]))
            return strlen(endings[i]);
    return 0;
}

/* Length of the piece that begins at text[0], which is not a space. */
static size_t match_piece(const ons_char *text, size_t n)
{
    const char_kind kind = classify(text[0].code_point);
    size_t length = kind == KIND_OTHER ? match_contraction(text, n) : 0;
    if (length)
        return length;
    for (length = 1; length < n && kind != KIND_NUMBER && classify(text[length].code_point) == kind; length++)
        ;
    return length;
}

bool ons_pieces_next(ons_pieces *p, const ons_char **piece, size_t *n)
{
    static const char *const specials[] = {ONS_START_TOKEN, ONS_END_TOKEN};

    while (p->at < p->n && classify(p->text[p->at].code_point) == KIND_SPACE)
        p->at++;
    if (p->at >= p->n)
        return false;
    for (size_t k = 0; k < 2; k++)
        if (starts_with(p->text + p->at, p->n - p->at, specials[k]))
            p->special_end = p->at + strlen(specials[k]);
    const size_t end = p->at < p->special_end ? p->special_end : p->n;
    *piece = p->text + p->at;
    *n = match_piece(*piece, end - p->at);
    p->at += *n;
    return true;
}
