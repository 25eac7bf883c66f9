/*
 * Keywords from CLDR's annotations: <annotation cp="SEQUENCE">one | two | three</annotation>, sequences without
 * variation selectors. A sequence with skin tones also gets the keywords of the one without: the derived file
 * leaves some out and has none for the newest. Keywords equal to the name are left out, since the name is a
 * caption already.
 */
#include "data/emoji_parts.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/utf8.h"

enum { MAX_KEY = 96, MAX_TEXT = 4096, MAX_XML = 64 << 20 };

typedef struct annotation {
    const char *key, *text; /* UTF-8 sequence; "one | two" */
    size_t order;
} annotation;

typedef struct reader {
    ons_arena *arena;
    annotation *at;
    size_t n, capacity;
    char key[MAX_KEY], text[MAX_TEXT];
    size_t n_text;
    bool inside, no_memory;
} reader;

static void XMLCALL begin_element(void *user, const XML_Char *name, const XML_Char **attributes)
{
    reader *r = user;
    const char *key = NULL;
    bool keywords = strcmp(name, "annotation") == 0;
    for (; *attributes; attributes += 2) {
        if (strcmp(attributes[0], "cp") == 0)
            key = attributes[1];
        if (strcmp(attributes[0], "type") == 0)
            keywords = false; /* the spoken name */
    }
    r->inside = keywords && key && strlen(key) < sizeof r->key;
    r->n_text = 0;
    if (r->inside)
        strcpy(r->key, key);
}

static void XMLCALL take_text(void *user, const XML_Char *text, int n)
{
    reader *r = user;
    if (!r->inside || n < 0 || r->n_text + (size_t)n >= sizeof r->text)
        return;
    memcpy(r->text + r->n_text, text, (size_t)n);
    r->n_text += (size_t)n;
}

static void XMLCALL end_element(void *user, const XML_Char *name)
{
    reader *r = user;
    (void)name;
    if (!r->inside)
        return;
    r->inside = false;
    r->text[r->n_text] = '\0';
    if (r->n == r->capacity) {
        const size_t capacity = r->capacity ? 2 * r->capacity : 4096;
        annotation *at = ons_realloc(r->at, capacity * sizeof *at);
        if (!at) {
            r->no_memory = true;
            return;
        }
        r->at = at;
        r->capacity = capacity;
    }
    const annotation a = {ons_arena_strdup(r->arena, r->key), ons_arena_strdup(r->arena, r->text), r->n};
    r->no_memory |= !a.key || !a.text;
    if (!r->no_memory)
        r->at[r->n++] = a;
}

static onestep_status read_annotations(reader *r, const char *path)
{
    onestep_status st;
    char *text = NULL;
    size_t size;
    XML_Parser parser = XML_ParserCreate(NULL);

    if (!parser)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory", path);
    ONS_TRY(ons_read_file(path, MAX_XML, &text, &size));
    XML_SetUserData(parser, r);
    XML_SetElementHandler(parser, begin_element, end_element);
    XML_SetCharacterDataHandler(parser, take_text);
    if (XML_Parse(parser, text, (int)size, 1) != XML_STATUS_OK)
        st = ons_fail(ONESTEP_BAD_FILE, "%s, line %lu: %s", path,
                      (unsigned long)XML_GetCurrentLineNumber(parser),
                      XML_ErrorString(XML_GetErrorCode(parser)));
    else if (r->no_memory)
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its keywords", path);
fail:
    XML_ParserFree(parser);
    ons_free(text);
    return st;
}

static int compare_annotations(const void *a, const void *b)
{
    const annotation *x = a, *y = b;
    const int order = strcmp(x->key, y->key);
    return order ? order : (x->order > y->order) - (x->order < y->order);
}

static const annotation *find_annotation(const reader *r, const char *key)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (strcmp(r->at[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->n && strcmp(r->at[low].key, key) == 0 ? &r->at[low] : NULL;
}

/* The sequence as CLDR writes it. */
static void spell_sequence(const ons_emoji *e, bool with_tones, char out[MAX_KEY])
{
    int n = 0;
    for (int i = 0; i < e->n_points; i++)
        if (e->points[i] != 0xfe0f && (with_tones || !ons_emoji_is_tone(e->points[i])))
            n += ons_utf8_put(e->points[i], out + n);
    out[n] = '\0';
}

static bool is_known(const ons_emoji *e, const char *keyword)
{
    if (strcmp(e->name, keyword) == 0)
        return true;
    for (int i = 0; i < e->n_keywords; i++)
        if (strcmp(e->keywords[i], keyword) == 0)
            return true;
    return false;
}

static onestep_status add_keywords(ons_arena *arena, ons_emoji *e, const annotation *a)
{
    if (!a)
        return ONESTEP_OK;
    char *rest, *list = ons_arena_strdup(arena, a->text);
    if (!list)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the keywords of emoji");
    for (char *k = strtok_r(list, "|", &rest); k; k = strtok_r(NULL, "|", &rest)) {
        k += strspn(k, " \t\r\n");
        for (size_t n = strlen(k); n > 0 && strchr(" \t\r\n", k[n - 1]); n--)
            k[n - 1] = '\0';
        if (*k && e->n_keywords < ONS_EMOJI_MAX_KEYWORDS && !is_known(e, k))
            e->keywords[e->n_keywords++] = k;
    }
    return ONESTEP_OK;
}

static onestep_status annotate(ons_emoji_list *list, const reader *r)
{
    onestep_status st = ONESTEP_OK;
    char exact[MAX_KEY], toneless[MAX_KEY];
    for (size_t i = 0; i < list->n; i++) {
        ons_emoji *e = &list->at[i];
        spell_sequence(e, true, exact);
        spell_sequence(e, false, toneless);
        e->n_keywords = 0;
        ONS_TRY(add_keywords(list->arena, e, find_annotation(r, exact)));
        if (strcmp(exact, toneless) != 0)
            ONS_TRY(add_keywords(list->arena, e, find_annotation(r, toneless)));
    }
fail:
    return st;
}

onestep_status ons_emoji_annotate(ons_emoji_list *list, const char *plain, const char *derived)
{
    onestep_status st;
    reader *r = ons_calloc(1, sizeof *r);
    if (!r || !(r->arena = ons_arena_create())) {
        ons_free(r);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the keywords of emoji");
    }
    ONS_TRY(read_annotations(r, plain));
    ONS_TRY(read_annotations(r, derived));
    if (r->n)
        qsort(r->at, r->n, sizeof *r->at, compare_annotations);
    st = annotate(list, r);
fail:
    ons_arena_destroy(&r->arena);
    ons_free(r->at);
    ons_free(r);
    return st;
}
