/*
 * Files written under a temporary name, synced, then renamed, so that a final name never holds half a file:
 * not after a full disk, not after Ctrl-C, not after a power cut. The temporary lies beside the target, since a
 * rename is atomic only within one file system. A target that exists and is no regular file (/dev/stdout, a
 * pipe) is written directly: renaming over a device would replace it.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static onestep_status fail_write(const ons_writer *w, int reason)
{
    return ons_fail(ONESTEP_IO, "%s: writing failed: %s%s", w->path, strerror(reason),
                    reason == ENOSPC || reason == EDQUOT ? "; free some space and run it again" : "");
}

static bool is_special(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

onestep_status ons_writer_open(const char *path, ons_writer *out)
{
    onestep_status st;

    *out = (ons_writer){0};
    if (ons_path_is_dir(path))
        return ons_fail(ONESTEP_IO, "%s: is a folder, the name of a file is needed", path);
    bool direct = is_special(path);
    out->path = ons_strdup(path);
    out->tmp_path = direct ? NULL : ons_format("%s.tmp-%ld", path, (long)getpid());
    if (!out->path || (!out->tmp_path && !direct)) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
        goto fail;
    }
    out->file = fopen(direct ? path : out->tmp_path, "wbe");
    if (!out->file) {
        st = ons_fail(errno == ENOENT ? ONESTEP_NOT_FOUND : ONESTEP_IO, "%s: cannot be written: %s%s", path,
                      strerror(errno), errno == ENOENT ? " (make the folder first)" : "");
        ons_free(out->tmp_path); /* never made: nothing for abort to remove */
        out->tmp_path = NULL;
        goto fail;
    }
    return ONESTEP_OK;
fail:
    ons_writer_abort(out);
    return st;
}

onestep_status ons_writer_write(ons_writer *w, const void *data, size_t size)
{
    if (size && fwrite(data, 1, size, w->file) != size)
        return fail_write(w, errno);
    return ONESTEP_OK;
}

/* Makes the rename durable. File systems that cannot sync a folder say EINVAL; the rename stands all the same.
 */
static onestep_status sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? ons_format("%.*s", (int)(slash - path) + 1, path) : ons_strdup(".");

    if (!folder)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to sync its folder", path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int reason = 0;
    if (fd >= 0 && fsync(fd) != 0 && errno != EINVAL && errno != EROFS)
        reason = errno;
    if (fd >= 0)
        close(fd);
    ons_free(folder);
    return reason ? ons_fail(ONESTEP_IO, "%s: syncing its folder failed: %s", path, strerror(reason))
                  : ONESTEP_OK;
}

static onestep_status finish_file(ons_writer *w)
{
    if (fflush(w->file) != 0 || (w->tmp_path && fsync(fileno(w->file)) != 0))
        return fail_write(w, errno);
    int closed = fclose(w->file);
    w->file = NULL;
    if (closed != 0 || (w->tmp_path && rename(w->tmp_path, w->path) != 0))
        return fail_write(w, errno);
    return ONESTEP_OK;
}

static void release_names(ons_writer *w)
{
    ons_free(w->path);
    ons_free(w->tmp_path);
    *w = (ons_writer){0};
}

onestep_status ons_writer_commit(ons_writer *w)
{
    onestep_status st = finish_file(w);

    if (st != ONESTEP_OK) {
        ons_writer_abort(w);
        return st;
    }
    if (w->tmp_path)
        st = sync_folder(w->path);
    release_names(w);
    return st;
}

void ons_writer_abort(ons_writer *w)
{
    if (w->file)
        fclose(w->file);
    if (w->tmp_path)
        unlink(w->tmp_path);
    release_names(w);
}

onestep_status ons_write_file(const char *path, const void *data, size_t size)
{
    ons_writer w;
    onestep_status st = ons_writer_open(path, &w);

    if (st != ONESTEP_OK)
        return st;
    ONS_TRY(ons_writer_write(&w, data, size));
    return ons_writer_commit(&w);
fail:
    ons_writer_abort(&w);
    return st;
}
