/* Caption texts: trimming, lines, Latin-1, JSON fields. */
#include "data/parts.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "text/utf8.h"

enum { N_WARNINGS = 3 };

static onestep_status report_no_memory(void)
{
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the data set's captions");
}

static onestep_status push_caption(ons_caption_list *list, const char *text)
{
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 8;
        const char **at = ons_realloc(list->at, capacity * sizeof *at);
        if (!at)
            return report_no_memory();
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->n++] = text;
    return ONESTEP_OK;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

/* A trimmed UTF-8 copy in the arena, "" for nothing; NULL: no memory. */
static char *copy_caption(ons_dataset *d, const char *text, size_t size)
{
    while (size && is_blank(text[size - 1]))
        size--;
    for (; size && is_blank(*text); size--)
        text++;
    if (!ons_utf8_valid(text, size)) {
        char *converted = ons_latin1_to_utf8(text, size);
        char *copy = converted ? ons_arena_strdup(d->arena, converted) : NULL;
        ons_free(converted);
        if (copy && d->n_latin1++ < N_WARNINGS)
            ons_warn("a caption is not UTF-8, read as Latin-1: \"%.60s\"", copy);
        return copy;
    }
    char *copy = ons_arena_alloc(d->arena, size + 1); /* zeroed */
    if (copy)
        memcpy(copy, text, size);
    return copy;
}

/* Copies `text` (any bytes; Latin-1 is converted), trimmed; empty ones are left out. */
static onestep_status add_caption(ons_dataset *d, ons_caption_list *list, const char *text, size_t size)
{
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
        text += 3;
        size -= 3;
    }
    const char *copy = copy_caption(d, text, size);
    if (!copy)
        return report_no_memory();
    return *copy ? push_caption(list, copy) : ONESTEP_OK;
}

onestep_status ons_captions_add_lines(ons_dataset *d, ons_caption_list *list, const char *text, size_t size)
{
    onestep_status st = ONESTEP_OK;
    while (size > 0 && st == ONESTEP_OK) {
        const char *newline = memchr(text, '\n', size);
        const size_t length = newline ? (size_t)(newline - text) + 1 : size;
        st = add_caption(d, list, text, length);
        text += length;
        size -= length;
    }
    return st;
}

void ons_captions_fini(ons_caption_list *list)
{
    ons_free(list->at);
    memset(list, 0, sizeof *list);
}

onestep_status ons_captions_add_json(ons_dataset *d, ons_caption_list *list, const void *json_object)
{
    static const char *const names[] = {"text", "caption", "prompt"};
    const json_t *row = json_object;
    json_t *keywords = json_object_get(row, "keywords"), *keyword;
    onestep_status st = ONESTEP_OK;
    size_t i;

    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const json_t *text = json_object_get(row, names[k]);
        if (!json_is_string(text))
            continue;
        st = add_caption(d, list, json_string_value(text), json_string_length(text));
        break;
    }
    json_array_foreach(keywords, i, keyword) if (st == ONESTEP_OK && json_is_string(keyword)) st =
        add_caption(d, list, json_string_value(keyword), json_string_length(keyword));
    return st;
}

onestep_status ons_read_list(ons_dataset *d, const char *folder, const char *name, char ***lines, size_t *n)
{
    onestep_status st = ONESTEP_OK;
    ons_caption_list list = {0};
    char *text = NULL, *path = ons_path_join(folder, name);
    size_t size;

    if (!path)
        return report_no_memory();
    if (ons_path_exists(path)) {
        ONS_TRY(ons_read_file(path, ONS_MAX_METADATA_FILE, &text, &size));
        ONS_TRY(ons_captions_add_lines(d, &list, text, size));
        *lines = ons_arena_alloc(d->arena, (list.n + 1) * sizeof **lines);
        if (!*lines) {
            st = report_no_memory();
            goto fail;
        }
        if (list.n)
            memcpy(*lines, list.at, list.n * sizeof **lines);
        *n = list.n;
    }
fail:
    ons_captions_fini(&list);
    ons_free(text);
    ons_free(path);
    return st;
}
