/*
 * metadata.jsonl, the imagefolder convention: one object a line with file_name and text. Ours adds keywords (a
 * list), split ("heldout" or "train") and repeats (visits per epoch of training); other keys are ignored.
 */
#include "data/parts.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "text/utf8.h"

static onestep_status add_row(ons_dataset *d, const char *folder, const char *where, int line,
                              const json_t *row)
{
    onestep_status st;
    ons_caption_list captions = {0};
    const char *name = json_string_value(json_object_get(row, "file_name"));
    const char *split = json_string_value(json_object_get(row, "split"));
    const json_t *repeats = json_object_get(row, "repeats");
    ons_traits traits = {.heldout = split && strcmp(split, "heldout") == 0};
    char *path = NULL;

    if (!name)
        return ons_fail(ONESTEP_BAD_FILE, "%s, line %d: no \"file_name\"", where, line);
    if (repeats && (!json_is_integer(repeats) || json_integer_value(repeats) < 1 ||
                    json_integer_value(repeats) > ONS_MAX_REPEATS))
        return ons_fail(ONESTEP_BAD_FILE, "%s, line %d: \"repeats\" must be a whole number from 1 to %d", where,
                        line, ONS_MAX_REPEATS);
    traits.repeats = (int)json_integer_value(repeats);
    path = ons_path_join(folder, name);
    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the data set");
    ONS_TRY(ons_captions_add_json(d, &captions, row));
    st = ons_dataset_add(d, name, &captions, traits, (ons_source){.path = path});
fail:
    ons_captions_fini(&captions);
    ons_free(path);
    return st;
}

static onestep_status parse_line(const char *text, size_t size, const char *where, int line, json_t **row)
{
    json_error_t error;
    char *converted = ons_utf8_valid(text, size) ? NULL : ons_latin1_to_utf8(text, size);
    *row = converted ? json_loads(converted, 0, &error) : json_loadb(text, size, 0, &error);
    ons_free(converted);
    if (*row && json_is_object(*row))
        return ONESTEP_OK;
    const char *problem = *row ? "not an object" : error.text;
    const onestep_status st = ons_fail(ONESTEP_BAD_FILE, "%s, line %d: %s", where, line, problem);
    json_decref(*row);
    *row = NULL;
    return st;
}

onestep_status ons_open_metadata(ons_dataset *d, const char *folder, const char *path)
{
    onestep_status st;
    char *text = NULL;
    size_t size, length;
    int line = 1;

    ONS_TRY(ons_read_file(path, ONS_MAX_METADATA_FILE, &text, &size));
    for (const char *at = text, *end = text + size; at < end; at += length + 1, line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        json_t *row = NULL;
        length = newline ? (size_t)(newline - at) : (size_t)(end - at);
        if (strspn(at, " \t\r") >= length)
            continue;
        ONS_TRY(parse_line(at, length, path, line, &row));
        st = add_row(d, folder, path, line, row);
        json_decref(row);
        if (st != ONESTEP_OK)
            goto fail;
    }
fail:
    ons_free(text);
    return st;
}
