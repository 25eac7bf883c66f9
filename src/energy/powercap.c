/*
 * The kernel's powercap counters (RAPL of Intel and AMD, and whatever else registers there).
 *
 * Zones are "TYPE:N", their parts "TYPE:N:M". Only whole zones are summed: the parts (core, uncore) lie within.
 * "psys" holds the whole platform, packages included, so it counts only where there is no package; a package
 * that a second interface (intel-rapl-mmio) repeats counts once. Memory ("dram", a part of its own on servers)
 * is outside the package and not counted.
 */
#include "energy/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

static bool is_whole_zone(const char *entry)
{
    const char *colon = strchr(entry, ':');

    return colon && !strchr(colon + 1, ':');
}

static bool has_name(const ons_powercap *p, const char *name)
{
    for (int i = 0; i < p->n_zones; i++)
        if (!strcmp(p->zone[i].name, name))
            return true;
    return false;
}

static void note_unreadable(ons_powercap *p, const char *folder, int error)
{
    if (error == ENOENT || p->problem[0])
        return;
    if (error == EACCES || error == EPERM)
        snprintf(p->problem, sizeof p->problem,
                 "the energy counter %s/energy_uj is there, but only root may read it: run 'sudo chmod a+r "
                 "/sys/class/powercap/*/energy_uj' (until the next boot)",
                 folder);
    else
        snprintf(p->problem, sizeof p->problem, "the energy counter %s/energy_uj cannot be read (%s)", folder,
                 strerror(error));
}

/* Takes the zone when it is wanted and readable. */
static void try_zone(ons_powercap *p, const char *root, const char *entry, bool want_psys)
{
    char name[32] = "";
    uint64_t now, range;
    char *folder = ons_path_join(root, entry);
    int error;

    if (!folder)
        return;
    if (ons_sysfs_text(folder, "name", name, sizeof name))
        snprintf(name, sizeof name, "%.31s", entry);
    if ((!strcmp(name, "psys")) != want_psys || has_name(p, name) || p->n_zones == ONS_MAX_ENERGY_ZONES)
        goto skip;
    error = ons_sysfs_number(folder, "energy_uj", &now);
    if (error) {
        note_unreadable(p, folder, error);
        goto skip;
    }
    if (ons_sysfs_number(folder, "max_energy_range_uj", &range))
        range = 0;
    p->zone[p->n_zones].folder = folder;
    memcpy(p->zone[p->n_zones].name, name, sizeof name);
    p->zone[p->n_zones].range_uj = range;
    p->zone[p->n_zones++].last_uj = now;
    return;
skip:
    ons_free(folder);
}

bool ons_powercap_open(ons_powercap *p, const char *sysfs_root)
{
    char *root = ons_path_join(sysfs_root, "class/powercap");
    char **names = NULL;
    size_t n = 0;

    memset(p, 0, sizeof *p);
    if (!root)
        return false;
    if (ons_path_is_dir(root) && ons_list_dir(root, &names, &n) == ONESTEP_OK) {
        for (int psys = 0; psys < 2 && !p->n_zones; psys++)
            for (size_t i = 0; i < n; i++)
                if (is_whole_zone(names[i]))
                    try_zone(p, root, names[i], psys);
        ons_free_names(names, n);
    }
    ons_free(root);
    return p->n_zones > 0;
}

void ons_powercap_restart(ons_powercap *p)
{
    p->joules = 0;
    p->lost = false;
    for (int i = 0; i < p->n_zones; i++)
        if (ons_sysfs_number(p->zone[i].folder, "energy_uj", &p->zone[i].last_uj))
            p->lost = true;
}

double ons_powercap_joules(ons_powercap *p)
{
    for (int i = 0; i < p->n_zones && !p->lost; i++) {
        uint64_t now, last = p->zone[i].last_uj, range = p->zone[i].range_uj;

        if (ons_sysfs_number(p->zone[i].folder, "energy_uj", &now)) {
            p->lost = true;
            break;
        }
        if (now >= last)
            p->joules += 1e-6 * (double)(now - last);
        else if (range >= last) /* ran over: the rest of the range, then from zero */
            p->joules += 1e-6 * ((double)(range - last) + (double)now);
        else
            p->lost = true; /* went back without a range that explains it */
        p->zone[i].last_uj = now;
    }
    return p->lost ? -1 : p->joules;
}

void ons_powercap_close(ons_powercap *p)
{
    for (int i = 0; i < p->n_zones; i++)
        ons_free(p->zone[i].folder);
    p->n_zones = 0;
}
