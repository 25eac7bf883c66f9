/* The tokenizer of a model: a pipeline folder's own, or, for a checkpoint in one file, the one that lies beside
 * it. */
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "pipeline/folder.h"

/* The folder where people put it: tokenizer/ beside the file, or beside the file itself; NULL: none or no
 * memory. */
static char *find_beside(const char *model)
{
    static const char *const names[] = {"tokenizer/vocab.json", "tokenizer/tokenizer.json", "vocab.json",
                                        "tokenizer.json"};
    const char *slash = strrchr(model, '/');
    const int n = slash ? (int)(slash - model) : 1;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *file = ons_format("%.*s/%s", n, slash ? model : ".", names[i]);
        const bool found = file && ons_path_exists(file);

        if (found)
            *strrchr(file, '/') = 0;
        if (found)
            return file;
        ons_free(file);
    }
    return NULL;
}

onestep_status ons_model_open_tokenizer(const ons_model_sources *s, ons_tokenizer **out)
{
    const bool folder = ons_path_is_dir(s->model);
    char *path;
    onestep_status st;

    *out = NULL;
    if (s->tokenizer)
        return ons_tokenizer_open(s->tokenizer, out);
    if (!ons_path_exists(s->model))
        return ons_fail(ONESTEP_NOT_FOUND, "%s: no such file or folder", s->model);
    path = folder ? ons_path_join(s->model, "tokenizer") : find_beside(s->model);
    if (!path)
        return ons_fail(
            ONESTEP_NOT_FOUND,
            "%s: a checkpoint in one file holds no tokenizer, and there is none beside it; give CLIP's "
            "(a folder with vocab.json and merges.txt, as in any Stable Diffusion folder) as --tokenizer "
            "FOLDER",
            s->model);
    st = ons_tokenizer_open(path, out);
    ons_free(path);
    return st;
}
