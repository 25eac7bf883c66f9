/*
 * Batteries of the machine itself (power_supply). They count the whole machine, screen included, in steps of
 * seconds: good over a minute, useless over a second, which is why the caller asks for 60 s. Some report energy
 * (microwatt-hours), some charge (microampere-hours), which times the voltage is energy. Batteries of mice and
 * phones (scope "Device") are left out.
 */
#include "energy/internal.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

/* The state of unit i: energy in uWh, or charge in uAh and voltage in uV. */
static bool read_unit(const ons_battery *b, int i, uint64_t *amount, uint64_t *uv)
{
    const char *folder = b->unit[i].folder;

    *uv = 0;
    if (!b->unit[i].by_charge)
        return !ons_sysfs_number(folder, "energy_now", amount);
    return !ons_sysfs_number(folder, "charge_now", amount) && !ons_sysfs_number(folder, "voltage_now", uv);
}

static bool is_discharging(const char *folder)
{
    char status[32];

    return !ons_sysfs_text(folder, "status", status, sizeof status) && !strcmp(status, "Discharging");
}

static void try_unit(ons_battery *b, const char *root, const char *entry)
{
    char text[32];
    uint64_t amount;
    int i = b->n_units;
    char *folder = ons_path_join(root, entry);

    if (!folder || i == ONS_MAX_ENERGY_ZONES)
        goto skip;
    if (ons_sysfs_text(folder, "type", text, sizeof text) || strcmp(text, "Battery"))
        goto skip;
    if (!ons_sysfs_text(folder, "scope", text, sizeof text) && !strcmp(text, "Device"))
        goto skip;
    if (!is_discharging(folder)) {
        if (!b->problem[0])
            snprintf(b->problem, sizeof b->problem,
                     "the battery %s is not discharging (unplug the machine to measure by it)", entry);
        goto skip;
    }
    b->unit[i].folder = folder;
    snprintf(b->unit[i].name, sizeof b->unit[i].name, "%.31s", entry);
    b->unit[i].by_charge = ons_sysfs_number(folder, "energy_now", &amount) != 0;
    if (!read_unit(b, i, &b->unit[i].last, &b->unit[i].last_uv)) {
        snprintf(b->problem, sizeof b->problem, "the battery %s tells neither its energy nor its charge",
                 entry);
        goto skip;
    }
    b->n_units++;
    return;
skip:
    ons_free(folder);
}

bool ons_battery_open(ons_battery *b, const char *sysfs_root)
{
    char *root = ons_path_join(sysfs_root, "class/power_supply");
    char **names = NULL;
    size_t n = 0;

    memset(b, 0, sizeof *b);
    if (!root)
        return false;
    if (ons_path_is_dir(root) && ons_list_dir(root, &names, &n) == ONESTEP_OK) {
        for (size_t i = 0; i < n; i++)
            try_unit(b, root, names[i]);
        ons_free_names(names, n);
    }
    ons_free(root);
    return b->n_units > 0;
}

void ons_battery_restart(ons_battery *b)
{
    b->joules = 0;
    b->charged = false;
    for (int i = 0; i < b->n_units; i++)
        if (!read_unit(b, i, &b->unit[i].last, &b->unit[i].last_uv))
            b->charged = true;
}

double ons_battery_joules(ons_battery *b)
{
    for (int i = 0; i < b->n_units && !b->charged; i++) {
        uint64_t now, uv;
        double used;

        if (!is_discharging(b->unit[i].folder) || !read_unit(b, i, &now, &uv)) {
            b->charged = true;
            break;
        }
        used = (double)b->unit[i].last - (double)now;
        if (b->unit[i].by_charge) /* uAh * uV = 1e-12 Wh */
            b->joules += used * 0.5 * ((double)uv + (double)b->unit[i].last_uv) * 1e-12 * 3600;
        else
            b->joules += used * 1e-6 * 3600;
        b->unit[i].last = now;
        b->unit[i].last_uv = uv;
    }
    return b->charged ? -1 : b->joules;
}

void ons_battery_close(ons_battery *b)
{
    for (int i = 0; i < b->n_units; i++)
        ons_free(b->unit[i].folder);
    b->n_units = 0;
}
