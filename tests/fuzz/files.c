/* Bytes as files that live in memory: one without a name, reached through /proc, or named ones in a folder. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

static char folder[64];

int fuzz_memory_file(const uint8_t *data, size_t size, char *buf)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    if (fd < 0)
        return -1;
    if (write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return -1;
    }
    snprintf(buf, 32, "/proc/self/fd/%d", fd);
    return fd;
}

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir && (entry = readdir(dir)))
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (*folder)
        return folder;
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/onestep-fuzz-XXXXXX" : "/tmp/onestep-fuzz-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    atexit(remove_folder);
    return folder;
}

const char *fuzz_path(const char *name, char *buf)
{
    snprintf(buf, 128, "%s/%.60s", fuzz_folder(), name);
    return buf;
}

void fuzz_put(const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    FILE *f = fopen(fuzz_path(name, path), "wb");

    if (!f || (size && fwrite(data, 1, size, f) != size) || fclose(f) != 0)
        abort();
}
