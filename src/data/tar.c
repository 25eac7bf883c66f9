/*
 * WebDataset shards: entries that follow each other and share the name up to its first dot are one sample;
 * .png, .jpg or .jpeg is the picture, .txt or .caption the caption (one a line), .json an object with text or
 * caption. Anything else is ignored. A shard that breaks off is used up to there, with a warning.
 */
#include "data/parts.h"

#include <archive.h>
#include <archive_entry.h>
#include <jansson.h>
#include <string.h>

#include "base/log.h"
#include "text/utf8.h"

typedef struct sample {
    char *key; /* owned; NULL before the first */
    ons_caption_list captions;
    void *bytes; /* owned */
    size_t size;
} sample;

static onestep_status report_no_memory(const char *path)
{
    return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its entries", path);
}

static onestep_status finish_sample(ons_dataset *d, sample *s)
{
    onestep_status st = ONESTEP_OK;
    if (s->bytes) {
        st = ons_dataset_add(d, s->key, &s->captions, (ons_traits){0},
                             (ons_source){.bytes = s->bytes, .size = s->size});
        s->bytes = NULL;
    }
    ons_free(s->key);
    s->key = NULL;
    s->captions.n = 0;
    return st;
}

static void fini_sample(sample *s)
{
    ons_free(s->key);
    ons_free(s->bytes);
    ons_captions_fini(&s->captions);
}

/* The entry's content, NUL-terminated; *text NULL when it is too large to be what it says. BAD_FILE: the
 * archive breaks off. */
static onestep_status read_entry(struct archive *a, struct archive_entry *entry, const char *path, char **text,
                                 size_t *size)
{
    const int64_t announced = archive_entry_size(entry);
    size_t n = 0;

    *text = NULL;
    if (announced < 0 || announced > ONS_MAX_PICTURE_FILE)
        return ONESTEP_OK;
    char *content = ons_malloc((size_t)announced + 1);
    if (!content)
        return report_no_memory(path);
    while (n < (size_t)announced) {
        const la_ssize_t got = archive_read_data(a, content + n, (size_t)announced - n);
        if (got <= 0) {
            ons_free(content);
            return ons_fail(ONESTEP_BAD_FILE, "%s: breaks off in entry %.100s", path,
                            archive_entry_pathname(entry));
        }
        n += (size_t)got;
    }
    content[n] = '\0';
    *text = content;
    *size = n;
    return ONESTEP_OK;
}

static onestep_status take_json(ons_dataset *d, sample *s, const char *text, size_t size)
{
    json_t *row = json_loadb(text, size, 0, NULL);
    onestep_status st = ONESTEP_OK;
    if (json_is_object(row))
        st = ons_captions_add_json(d, &s->captions, row);
    json_decref(row);
    return st;
}

/* Puts an entry's content where its ending says; frees or keeps `text`. */
static onestep_status take_content(ons_dataset *d, sample *s, const char *ending, char *text, size_t size)
{
    onestep_status st = ONESTEP_OK;
    if (ons_is_picture_name(ending) && !strchr(ending + 2, '.')) {
        ons_free(s->bytes);
        s->bytes = text;
        s->size = size;
        return ONESTEP_OK;
    }
    if (strcmp(ending, "x.txt") == 0 || strcmp(ending, "x.caption") == 0)
        st = ons_captions_add_lines(d, &s->captions, text, size);
    else if (strcmp(ending, "x.json") == 0 && s->captions.n == 0)
        st = take_json(d, s, text, size);
    ons_free(text);
    return st;
}

static onestep_status take_entry(ons_dataset *d, struct archive *a, struct archive_entry *entry,
                                 const char *path, sample *s)
{
    onestep_status st;
    const char *name = archive_entry_pathname(entry);
    const char *slash = name ? strrchr(name, '/') : NULL, *base = slash ? slash + 1 : name;
    const char *dot = base && *base != '.' ? strchr(base, '.') : NULL;
    char *text, ending[16];
    size_t size = 0;

    if (!dot || archive_entry_filetype(entry) != AE_IFREG)
        return ONESTEP_OK;
    const size_t stem = (size_t)(dot - name);
    if (!s->key || strlen(s->key) != stem || memcmp(s->key, name, stem) != 0) {
        ONS_TRY(finish_sample(d, s));
        s->key = ons_format("%.*s", (int)stem, name);
        if (!s->key)
            return report_no_memory(path);
    }
    snprintf(ending, sizeof ending, "x%.14s", dot);
    ONS_TRY(read_entry(a, entry, path, &text, &size));
    if (text)
        st = take_content(d, s, ending, text, size);
fail:
    return st;
}

static onestep_status read_shard(ons_dataset *d, struct archive *a, const char *path, sample *s)
{
    struct archive_entry *entry;
    onestep_status st = ONESTEP_OK;
    int rc;

    if (archive_read_open_filename(a, path, 1 << 16) != ARCHIVE_OK)
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s", path, archive_error_string(a));
    while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
        st = take_entry(d, a, entry, path, s);
        if (st == ONESTEP_BAD_FILE) {
            ons_warn("%s; what came before is used", onestep_error_text());
            break;
        }
        if (st != ONESTEP_OK)
            return st;
    }
    if (rc != ARCHIVE_EOF && st == ONESTEP_OK)
        ons_warn("%s: %s; what came before is used", path, archive_error_string(a));
    return finish_sample(d, s);
}

onestep_status ons_open_tar(ons_dataset *d, const char *path)
{
    sample s = {0};
    struct archive *a = archive_read_new();
    if (!a)
        return report_no_memory(path);
    archive_read_support_format_tar(a);
    archive_read_support_filter_gzip(a);
    const onestep_status st = read_shard(d, a, path, &s);
    archive_read_free(a);
    fini_sample(&s);
    return st;
}
