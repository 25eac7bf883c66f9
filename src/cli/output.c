/*
 * Checks of -o. A missing folder above the result is an error and not made: a mistyped path would otherwise get
 * a tree of its own.
 */
#include "cli/output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

bool cli_ends_in_slash(const char *path)
{
    const size_t n = strlen(path);

    return n > 0 && path[n - 1] == '/';
}

/* The folder that holds `path`, trailing slashes of it aside; ons_free. */
static char *parent_of(const char *path)
{
    size_t end = strlen(path);

    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    if (end == 0)
        return ons_strdup(".");
    return ons_format("%.*s", (int)(end > 1 ? end - 1 : 1), path);
}

static onestep_status check_writable(const char *folder)
{
    if (!ons_path_exists(folder))
        return ons_fail(ONESTEP_NOT_FOUND, "%s: there is no such folder; make it first", folder);
    if (!ons_path_is_dir(folder))
        return ons_fail(ONESTEP_IO, "%s: is not a folder", folder);
    if (access(folder, W_OK | X_OK) != 0)
        return ons_fail(ONESTEP_IO, "%s: cannot write there: %s", folder, strerror(errno));
    return ONESTEP_OK;
}

static onestep_status check_parent(const char *path)
{
    char *parent = parent_of(path);
    const onestep_status st =
        parent ? check_writable(parent) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a file name");

    ons_free(parent);
    return st;
}

onestep_status cli_check_folder(const char *path)
{
    return ons_path_exists(path) ? check_writable(path) : check_parent(path);
}

onestep_status cli_check_file(const char *path)
{
    if (ons_path_is_dir(path) || cli_ends_in_slash(path))
        return ons_fail(ONESTEP_IO, "%s: is a folder", path);
    return check_parent(path);
}
