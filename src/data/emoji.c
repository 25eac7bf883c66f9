/*
 * The emoji set: where the system's files are, drawing, and writing pictures, metadata.jsonl, heldout.txt,
 * ambiguous.txt and a README. metadata.jsonl is written last and atomically: a set without it was interrupted.
 */
#include "data/dataset.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/system.h"
#include "data/emoji_parts.h"

enum { MIN_AMBIGUOUS = 8 };

static const char *const list_paths[] = {"/usr/share/unicode/emoji/emoji-test.txt",
                                         "/usr/share/unicode/emoji/latest/emoji-test.txt", NULL};
static const char *const plain_paths[] = {"/usr/share/unicode/cldr/common/annotations/en.xml", NULL};
static const char *const derived_paths[] = {"/usr/share/unicode/cldr/common/annotationsDerived/en.xml", NULL};
static const char *const font_paths[] = {"/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf",
                                         "/usr/share/fonts/noto/NotoColorEmoji.ttf",
                                         "/usr/share/fonts/google-noto-emoji/NotoColorEmoji.ttf", NULL};

static onestep_status find_file(const char *const *paths, const char *what, const char *package,
                                const char **found)
{
    for (const char *const *path = paths; *path; path++)
        if (ons_path_exists(*path)) {
            *found = *path;
            return ONESTEP_OK;
        }
    return ons_fail(ONESTEP_NOT_FOUND, "%s: %s is not installed; on Debian: apt install %s", paths[0], what,
                    package);
}

static onestep_status report_no_memory(void)
{
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the emoji set");
}

/* Names, keywords and split; nothing of it depends on the font. */
static onestep_status gather(ons_emoji_list *list)
{
    onestep_status st;
    const char *names = NULL, *plain = NULL, *derived = NULL;
    ONS_TRY(find_file(list_paths, "Unicode's list of emoji", "unicode-data", &names));
    ONS_TRY(find_file(plain_paths, "CLDR's keywords", "unicode-cldr-core", &plain));
    ONS_TRY(find_file(derived_paths, "CLDR's derived keywords", "unicode-cldr-core", &derived));
    ONS_TRY(ons_emoji_list_read(names, list));
    ONS_TRY(ons_emoji_annotate(list, plain, derived));
    ons_emoji_split(list);
fail:
    return st;
}

static onestep_status draw_one(ons_emoji_font *font, const ons_emoji *e, const char *folder, int size,
                               uint8_t *rgb, bool *drawn)
{
    char key[ONS_EMOJI_MAX_POINTS * 7 + 1];
    onestep_status st = ons_emoji_font_draw(font, e, size, rgb, drawn);
    if (st != ONESTEP_OK || !*drawn)
        return st;
    ons_emoji_key(e, true, true, key);
    char *path = ons_format("%s/%s.png", folder, key);
    if (!path)
        return report_no_memory();
    st = ons_picture_save(path, rgb, size);
    ons_free(path);
    return st;
}

/* Draws all, and takes out of the list what the font does not have. */
static onestep_status draw_all(ons_emoji_list *list, const char *folder, int size)
{
    onestep_status st;
    const char *path = NULL;
    ons_emoji_font *font = NULL;
    size_t kept = 0;
    uint8_t *rgb = ons_malloc(3 * (size_t)size * (size_t)size);
    ons_progress progress;

    if (!rgb)
        return report_no_memory();
    ONS_TRY(find_file(font_paths, "the font Noto Color Emoji", "fonts-noto-color-emoji", &path));
    ONS_TRY(ons_emoji_font_open(path, &font));
    ons_progress_begin(&progress, "emoji", "picture", 0, (long)list->n);
    for (size_t i = 0; i < list->n; i++) {
        bool drawn;
        if (ons_interrupted()) {
            ons_progress_end(&progress);
            st = ons_fail(ONESTEP_INTERRUPTED, "stopped after %zu pictures", i);
            goto fail;
        }
        ONS_TRY(draw_one(font, &list->at[i], folder, size, rgb, &drawn));
        if (drawn)
            list->at[kept++] = list->at[i];
        else
            ons_verbose("the font has no glyph for \"%s\"", list->at[i].name);
        ons_progress_update(&progress, (long)i + 1, "%s", "");
    }
    ons_progress_end(&progress);
    if (kept < list->n)
        ons_info("%zu sequences left out: the font has no glyph of their own for them", list->n - kept);
    list->n = kept;
    if (kept == 0)
        st = ons_fail(ONESTEP_BAD_FILE, "%s: no emoji in this font", path);
fail:
    ons_emoji_font_close(&font);
    ons_free(rgb);
    return st;
}

/* Pictures without a tone share nothing with others that would teach them along: each is shown twice as often.
 */
static int count_repeats(const ons_emoji *e)
{
    for (int i = 0; i < e->n_points; i++)
        if (ons_emoji_is_tone(e->points[i]))
            return 1;
    return 2;
}

static json_t *describe(const ons_emoji *e)
{
    char name[ONS_EMOJI_MAX_POINTS * 7 + 5];
    json_t *keywords = json_array();
    ons_emoji_key(e, true, true, name);
    strcat(name, ".png");
    for (int i = 0; i < e->n_keywords; i++)
        json_array_append_new(keywords, json_string(e->keywords[i]));
    return json_pack("{s:s, s:s, s:o, s:s, s:i}", "file_name", name, "text", e->name, "keywords", keywords,
                     "split", e->heldout ? "heldout" : "train", "repeats", count_repeats(e));
}

typedef onestep_status (*write_rows)(ons_writer *w, const ons_emoji_list *list);

static onestep_status write_line(ons_writer *w, const char *text)
{
    const onestep_status st = ons_writer_write(w, text, strlen(text));
    return st == ONESTEP_OK ? ons_writer_write(w, "\n", 1) : st;
}

static onestep_status write_metadata(ons_writer *w, const ons_emoji_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        json_t *row = describe(&list->at[i]);
        char *text = row ? json_dumps(row, 0) : NULL;
        const onestep_status st = text ? write_line(w, text) : report_no_memory();
        free(text); /* jansson's */
        json_decref(row);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static onestep_status write_heldout(ons_writer *w, const ons_emoji_list *list)
{
    onestep_status st = ONESTEP_OK;
    for (size_t i = 0; i < list->n && st == ONESTEP_OK; i++)
        if (list->at[i].heldout)
            st = write_line(w, list->at[i].name);
    return st;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Keywords of MIN_AMBIGUOUS training pictures or more, in bytewise order. */
static onestep_status write_ambiguous(ons_writer *w, const ons_emoji_list *list)
{
    onestep_status st = ONESTEP_OK;
    size_t n = 0;
    const char **all = ons_calloc(list->n * ONS_EMOJI_MAX_KEYWORDS, sizeof *all);
    if (!all)
        return report_no_memory();
    for (size_t i = 0; i < list->n; i++)
        for (int k = 0; k < list->at[i].n_keywords && !list->at[i].heldout; k++)
            all[n++] = list->at[i].keywords[k];
    qsort(all, n, sizeof *all, compare_texts);
    for (size_t i = 0, end; i < n && st == ONESTEP_OK; i = end) {
        for (end = i + 1; end < n && strcmp(all[i], all[end]) == 0;)
            end++;
        if (end - i >= MIN_AMBIGUOUS)
            st = write_line(w, all[i]);
    }
    ons_free(all);
    return st;
}

static onestep_status write_readme(ons_writer *w, const ons_emoji_list *list)
{
    size_t n_heldout = 0;
    for (size_t i = 0; i < list->n; i++)
        n_heldout += list->at[i].heldout;
    char *text = ons_format(
        "Emoji, made by `onestep dataset emoji`: %zu pictures, %zu of them held out of training.\n\n"
        "metadata.jsonl  one picture a line: file_name, text (Unicode's name), keywords (CLDR), split (train, "
        "heldout),\n"
        "                repeats (visits per epoch of training: 2 without a skin tone, 1 with)\n"
        "heldout.txt     names of the held-out combinations of person and skin tone, one a line\n"
        "ambiguous.txt   keywords that %d or more training pictures carry, one a line\n\n"
        "Held out: of the sequences with one skin tone in the subgroups person*, let h be the 32-bit FNV-1a "
        "hash of the\n"
        "code points without tone and U+FE0F (such as \"1f469-200d-1f680\"); where (h >> 16) mod 3 is not 0, "
        "tone number\n"
        "h mod 5 (0: light) is held out. Each person and each tone stays in training in other combinations.\n\n"
        "Pictures: Noto Color Emoji (SIL Open Font License 1.1), scaled onto white. Names and keywords: "
        "Unicode's\n"
        "emoji-test.txt and CLDR (Unicode licence).\n",
        list->n, n_heldout, MIN_AMBIGUOUS);
    const onestep_status st = text ? ons_writer_write(w, text, strlen(text)) : report_no_memory();
    ons_free(text);
    return st;
}

static onestep_status write_list(const char *folder, const char *name, const ons_emoji_list *list,
                                 write_rows rows)
{
    onestep_status st;
    ons_writer writer = {0};
    char *path = ons_path_join(folder, name);
    if (!path)
        return report_no_memory();
    ONS_TRY(ons_writer_open(path, &writer));
    ONS_TRY(rows(&writer, list));
    st = ons_writer_commit(&writer);
fail:
    ons_writer_abort(&writer);
    ons_free(path);
    return st;
}

onestep_status ons_emoji_write(const char *folder, int size)
{
    onestep_status st;
    ons_emoji_list list = {0};

    if (size < 8 || size > 1024)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "emoji of %d pixels: 8 to 1024 are possible", size);
    ONS_TRY(gather(&list));
    ONS_TRY(ons_make_dirs(folder));
    ONS_TRY(draw_all(&list, folder, size));
    ONS_TRY(write_list(folder, "heldout.txt", &list, write_heldout));
    ONS_TRY(write_list(folder, "ambiguous.txt", &list, write_ambiguous));
    ONS_TRY(write_list(folder, "README", &list, write_readme));
    ONS_TRY(write_list(folder, "metadata.jsonl", &list, write_metadata));
    ons_info("%s: %zu pictures", folder, list.n);
fail:
    ons_emoji_list_fini(&list);
    return st;
}
