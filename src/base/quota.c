/*
 * How much of the machine's time a container leaves this process: cpu.max of cgroup 2, cpu.cfs_quota_us of
 * cgroup 1, here and in every group above, of which the least counts. Inside a container the group's own folder
 * may be mounted as the whole tree, so that folders which are not there are passed over.
 */
#include <stdio.h>
#include <string.h>

#include "base/system.h"

enum { PATH_SIZE = 1024 };

/* Two numbers, in one file or in two; false: there are none ("max"), or no limit (-1). */
static bool read_share(const char *folder, bool second_version, double *cores)
{
    char path[3 * PATH_SIZE];
    double quota = -1, period = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, second_version ? "cpu.max" : "cpu.cfs_quota_us");
    f = fopen(path, "r");
    if (!f)
        return false;
    if (fscanf(f, second_version ? "%lf %lf" : "%lf", &quota, &period) < 1)
        quota = -1;
    fclose(f);
    if (!second_version) {
        snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
        f = fopen(path, "r");
        if (f && fscanf(f, "%lf", &period) != 1)
            period = 0;
        if (f)
            fclose(f);
    }
    if (quota <= 0 || period <= 0)
        return false;
    *cores = quota / period;
    return true;
}

/* The least share of the group and of those above it. */
static double walk_up(const char *mount, char *group, bool second_version, double least)
{
    char folder[2 * PATH_SIZE];
    double cores;

    for (;;) {
        char *last = strrchr(group, '/');

        snprintf(folder, sizeof folder, "%s%s", mount, group);
        if (read_share(folder, second_version, &cores) && (least <= 0 || cores < least))
            least = cores;
        if (!last)
            return least;
        *last = 0;
    }
}

/* A line of /proc/self/cgroup: "0::/group" of version 2, "4:cpu,cpuacct:/group" of version 1. */
static bool read_line(char *line, char **group, bool *second_version)
{
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

    if (!path)
        return false;
    *path++ = 0;
    controllers++;
    path[strcspn(path, "\n")] = 0;
    *group = path;
    *second_version = *controllers == 0;
    for (char *save, *name = strtok_r(controllers, ",", &save); name; name = strtok_r(NULL, ",", &save))
        if (!strcmp(name, "cpu"))
            return true;
    return *second_version;
}

double ons_quota_cores(const char *root)
{
    char path[PATH_SIZE], line[PATH_SIZE], *group;
    double least = 0;
    bool second_version;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    f = fopen(path, "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f)) {
        if (!read_line(line, &group, &second_version))
            continue;
        snprintf(path, sizeof path, second_version ? "%s/sys/fs/cgroup" : "%s/sys/fs/cgroup/cpu", root);
        least = walk_up(path, group, second_version, least);
    }
    fclose(f);
    return least;
}
