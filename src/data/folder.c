/*
 * A folder of pictures: with metadata.jsonl, or with NAME.txt beside NAME.png; shards and folders inside it are
 * read too. In order of names, so that an index means the same picture on every machine. A NAME.txt holds one
 * caption a line, the first the name.
 */
#include "data/parts.h"

#include <string.h>

#include "base/file.h"

static onestep_status report_no_memory(void)
{
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the data set");
}

/* Captions of FOLDER/NAME.txt, where the picture is FOLDER/NAME.png; none when there is no such file. */
static onestep_status read_caption_file(ons_dataset *d, const char *picture_path, ons_caption_list *captions)
{
    onestep_status st = ONESTEP_OK;
    char *text = NULL;
    size_t size;
    const size_t stem = (size_t)(strrchr(picture_path, '.') - picture_path);
    char *path = ons_format("%.*s.txt", (int)stem, picture_path);

    if (!path)
        return report_no_memory();
    if (ons_path_exists(path)) {
        ONS_TRY(ons_read_file(path, ONS_MAX_CAPTION_FILE, &text, &size));
        ONS_TRY(ons_captions_add_lines(d, captions, text, size));
    }
fail:
    ons_free(text);
    ons_free(path);
    return st;
}

static onestep_status add_picture(ons_dataset *d, const char *path, const char *name)
{
    ons_caption_list captions = {0};
    onestep_status st = read_caption_file(d, path, &captions);
    if (st == ONESTEP_OK)
        st = ons_dataset_add(d, name, &captions, (ons_traits){0}, (ons_source){.path = path});
    ons_captions_fini(&captions);
    return st;
}

static onestep_status add_entry(ons_dataset *d, const char *folder, const char *name, int depth)
{
    onestep_status st = ONESTEP_OK;
    char *path = ons_path_join(folder, name);
    if (!path)
        return report_no_memory();
    if (name[0] == '.')
        st = ONESTEP_OK; /* hidden */
    else if (ons_path_is_dir(path))
        st = depth < ONS_MAX_FOLDER_DEPTH ? ons_open_folder(d, path, depth + 1) : ONESTEP_OK;
    else if (ons_is_tar_name(name))
        st = ons_open_tar(d, path);
    else if (ons_is_picture_name(name))
        st = add_picture(d, path, name);
    ons_free(path);
    return st;
}

onestep_status ons_open_folder(ons_dataset *d, const char *folder, int depth)
{
    onestep_status st;
    char **names = NULL, *metadata = ons_path_join(folder, "metadata.jsonl");
    size_t n = 0;

    if (!metadata)
        return report_no_memory();
    const bool listed = ons_path_exists(metadata);
    if (listed) { /* it names its pictures, those in folders below included */
        st = ons_open_metadata(d, folder, metadata);
        goto fail;
    }
    ONS_TRY(ons_list_dir(folder, &names, &n));
    for (size_t i = 0; i < n; i++)
        ONS_TRY(add_entry(d, folder, names[i], depth));
fail:
    ons_free_names(names, n);
    ons_free(metadata);
    return st;
}

onestep_status ons_open_captions(ons_dataset *d, const char *path)
{
    onestep_status st;
    ons_caption_list lines = {0};
    char *text = NULL, id[32];
    size_t size;

    ONS_TRY(ons_read_file(path, ONS_MAX_METADATA_FILE, &text, &size));
    if (memchr(text, '\0', size)) {
        st = ons_fail(ONESTEP_BAD_FILE,
                      "%s: not a text file; a folder, a .tar or a text of one caption a line is a data set",
                      path);
        goto fail;
    }
    ONS_TRY(ons_captions_add_lines(d, &lines, text, size));
    for (size_t i = 0; i < lines.n; i++) {
        const ons_caption_list one = {&lines.at[i], 1, 1};
        snprintf(id, sizeof id, "line %zu", i + 1);
        ONS_TRY(ons_dataset_add(d, id, &one, (ons_traits){0}, (ons_source){0}));
    }
fail:
    ons_captions_fini(&lines);
    ons_free(text);
    return st;
}
