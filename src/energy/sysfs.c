/*
 * One-line files of sysfs. Read with stdio and not mapped: these files have no true size. The errno comes back
 * as it is, because "no such counter", "not allowed" and "gone" need three different pieces of advice.
 */
#include "energy/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

int ons_sysfs_text(const char *folder, const char *name, char *text, size_t size)
{
    char *path = ons_path_join(folder, name);
    FILE *f;
    int error = 0;

    if (!path)
        return ENOMEM;
    errno = 0;
    f = fopen(path, "re");
    if (!f) {
        error = errno ? errno : EIO;
    } else {
        if (!fgets(text, (int)size, f))
            error = errno ? errno : ENODATA;
        else
            text[strcspn(text, "\r\n")] = '\0';
        fclose(f);
    }
    ons_free(path);
    return error;
}

int ons_sysfs_number(const char *folder, const char *name, uint64_t *value)
{
    char text[64], *end;
    int error = ons_sysfs_text(folder, name, text, sizeof text);

    if (error)
        return error;
    if (text[0] < '0' || text[0] > '9')
        return EINVAL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno ? errno : *end != '\0' ? EINVAL : 0;
}
