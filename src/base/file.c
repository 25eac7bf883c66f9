/*
 * Reading files, whole or mapped, and the small questions about paths.
 *
 * Weights are mapped, so that what is never used is never read; small text is read whole. Only regular files
 * are accepted for mapping: pipes and devices have no size to trust.
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static onestep_status fail_open(const char *path, int reason)
{
    if (reason == ENOENT || reason == ENOTDIR)
        return ons_fail(ONESTEP_NOT_FOUND, "%s: no such file", path);
    return ons_fail(ONESTEP_IO, "%s: cannot open it: %s", path, strerror(reason));
}

/* Opens for reading and gives size and time; refuses what is not a regular file. */
static onestep_status open_regular(const char *path, int *fd, size_t *size, int64_t *modified_ns)
{
    struct stat info;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fail_open(path, errno);
    if (fstat(*fd, &info) != 0) {
        int reason = errno;
        close(*fd);
        return ons_fail(ONESTEP_IO, "%s: cannot learn its size: %s", path, strerror(reason));
    }
    if (!S_ISREG(info.st_mode)) {
        close(*fd);
        return ons_fail(ONESTEP_IO, "%s: is a %s, a file is needed", path,
                        S_ISDIR(info.st_mode) ? "folder" : "device or pipe");
    }
    *size = (size_t)info.st_size;
    *modified_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    return ONESTEP_OK;
}

onestep_status ons_map_open(const char *path, ons_map *out)
{
    onestep_status st;
    int fd = -1;
    void *data = NULL;

    *out = (ons_map){0};
    ONS_TRY(open_regular(path, &fd, &out->size, &out->modified_ns));
    if (out->size) {
        data = mmap(NULL, out->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            int reason = errno;
            close(fd);
            st = ons_fail(ONESTEP_IO, "%s: cannot map %zu bytes: %s", path, out->size, strerror(reason));
            goto fail;
        }
    }
    close(fd);
    out->data = data;
    out->path = ons_strdup(path);
    if (!out->path) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its name", path);
        goto fail;
    }
    return ONESTEP_OK;
fail:
    ons_map_close(out);
    return st;
}

void ons_map_close(ons_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    ons_free(map->path);
    *map = (ons_map){0};
}

/* Only whole pages inside the range: a neighbour's bytes on a shared page stay. */
void ons_map_forget(const ons_map *map, size_t offset, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (!map->data || offset > map->size || size > map->size - offset)
        return;
    size_t from = (offset + page - 1) / page * page, to = (offset + size) / page * page;
    if (from < to)
        madvise((void *)(uintptr_t)(map->data + from), to - from, MADV_DONTNEED);
}

static onestep_status read_exactly(const char *path, int fd, char *data, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, data + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ons_fail(ONESTEP_IO, "%s: reading failed: %s", path, strerror(errno));
        if (n == 0)
            return ons_fail(ONESTEP_IO, "%s: became shorter while it was read", path);
        done += (size_t)n;
    }
    return ONESTEP_OK;
}

onestep_status ons_read_file(const char *path, size_t max_bytes, char **out, size_t *size)
{
    onestep_status st;
    int fd = -1;
    char *data = NULL;
    size_t n = 0;
    int64_t modified_ns;

    *out = NULL;
    *size = 0;
    st = open_regular(path, &fd, &n, &modified_ns);
    if (st != ONESTEP_OK)
        return st;
    if (n > max_bytes) {
        st = ons_fail(ONESTEP_BAD_FILE,
                      "%s: has %zu bytes, at most %zu are accepted here: is it the right file?", path, n,
                      max_bytes);
        goto fail;
    }
    data = ons_malloc(n + 1);
    if (!data) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its %zu bytes", path, n);
        goto fail;
    }
    ONS_TRY(read_exactly(path, fd, data, n));
    close(fd);
    data[n] = '\0';
    *out = data;
    *size = n;
    return ONESTEP_OK;
fail:
    close(fd);
    ons_free(data);
    return st;
}

bool ons_path_exists(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0;
}

bool ons_path_is_dir(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *ons_path_join(const char *folder, const char *name)
{
    size_t n = strlen(folder);

    if (n == 0 || name[0] == '/')
        return ons_strdup(name);
    return ons_format("%s%s%s", folder, folder[n - 1] == '/' ? "" : "/", name);
}

static onestep_status make_dir(const char *path)
{
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && ons_path_is_dir(path)))
        return ONESTEP_OK;
    if (errno == EEXIST)
        return ons_fail(ONESTEP_IO, "%s: is a file, a folder of that name is needed", path);
    return ons_fail(ONESTEP_IO, "%s: cannot make this folder: %s", path, strerror(errno));
}

onestep_status ons_make_dirs(const char *path)
{
    onestep_status st = ONESTEP_OK;
    char *copy = ons_strdup(path);

    if (!copy)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to make this folder", path);
    for (char *p = copy; *p && st == ONESTEP_OK; p++) {
        if (p == copy || *p != '/')
            continue;
        *p = '\0';
        st = make_dir(copy);
        *p = '/';
    }
    if (st == ONESTEP_OK)
        st = make_dir(copy);
    ons_free(copy);
    return st;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(char ***names, size_t *n, size_t *room, const char *name)
{
    if (*n == *room) {
        size_t more = *room ? 2 * *room : 64;
        char **grown = ons_realloc(*names, more * sizeof **names);
        if (!grown)
            return false;
        *names = grown;
        *room = more;
    }
    (*names)[*n] = ons_strdup(name);
    return (*names)[*n] != NULL && ++*n;
}

onestep_status ons_list_dir(const char *path, char ***names, size_t *n)
{
    struct dirent *entry;
    size_t room = 0;
    bool complete = true;

    *names = NULL;
    *n = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return ons_fail(errno == ENOENT ? ONESTEP_NOT_FOUND : ONESTEP_IO, "%s: cannot list this folder: %s",
                        path, strerror(errno));
    while (complete && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            complete = add_name(names, n, &room, entry->d_name);
    closedir(dir);
    if (!complete) {
        ons_free_names(*names, *n);
        *names = NULL;
        *n = 0;
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its list of names", path);
    }
    if (*n)
        qsort(*names, *n, sizeof **names, compare_names);
    return ONESTEP_OK;
}

void ons_free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ons_free(names[i]);
    ons_free(names);
}
