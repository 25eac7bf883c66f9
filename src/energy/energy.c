/*
 * Which source of energy there is, in the order of how much it can be trusted: counters, battery, a declared
 * power times the wall time. The label says which, always; a figure without its source would be worth nothing.
 */
#include "energy/energy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "energy/internal.h"

enum { BATTERY_MIN_S = 60 };

typedef enum source_kind { SOURCE_NONE, SOURCE_POWERCAP, SOURCE_BATTERY, SOURCE_DECLARED } source_kind;

struct ons_energy {
    source_kind kind, shown; /* what was found; what the last figure came from */
    double watts, start_s;
    double (*now_s)(void);
    ons_powercap powercap;
    ons_battery battery;
    char label[1200], declared_label[48], advice[1400];
};

static void append(char *text, size_t size, const char *part)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s", part);
}

static void label_counters(ons_energy *e)
{
    bool powercap = e->kind == SOURCE_POWERCAP;
    int n = powercap ? e->powercap.n_zones : e->battery.n_units;

    snprintf(e->label, sizeof e->label, "%s: ", powercap ? "powercap" : "battery");
    for (int i = 0; i < n; i++) {
        if (i > 0)
            append(e->label, sizeof e->label, " + ");
        append(e->label, sizeof e->label, powercap ? e->powercap.zone[i].name : e->battery.unit[i].name);
    }
}

/* Why no counter is read, and what the user can do. */
static void advise(ons_energy *e, const char *root)
{
    snprintf(e->advice, sizeof e->advice, "energy is not measured: ");
    if (e->powercap.problem[0])
        append(e->advice, sizeof e->advice, e->powercap.problem);
    else
        snprintf(e->advice + strlen(e->advice), sizeof e->advice - strlen(e->advice),
                 "no powercap counter under %s/class/powercap (a virtual machine, or the intel_rapl_msr module "
                 "is not loaded)",
                 root);
    append(e->advice, sizeof e->advice, "; ");
    append(e->advice, sizeof e->advice, e->battery.problem[0] ? e->battery.problem : "no battery either");
    if (e->watts <= 0)
        append(e->advice, sizeof e->advice,
               ". Give the machine's power with --watts N to have joules all the same");
}

onestep_status ons_energy_open(const char *sysfs_root, double declared_watts, ons_energy **out)
{
    ons_energy *e = ons_calloc(1, sizeof *e);

    *out = NULL;
    if (!e)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the energy meter");
    if (!sysfs_root)
        sysfs_root = getenv("ONESTEP_SYSFS");
    if (!sysfs_root || !sysfs_root[0])
        sysfs_root = "/sys";
    e->watts = declared_watts > 0 ? declared_watts : 0;
    if (e->watts > 0)
        snprintf(e->declared_label, sizeof e->declared_label, "declared: %g W", e->watts);
    if (ons_powercap_open(&e->powercap, sysfs_root))
        e->kind = SOURCE_POWERCAP;
    else if (ons_battery_open(&e->battery, sysfs_root))
        e->kind = SOURCE_BATTERY;
    else
        e->kind = e->watts > 0 ? SOURCE_DECLARED : SOURCE_NONE;
    if (e->kind == SOURCE_POWERCAP || e->kind == SOURCE_BATTERY)
        label_counters(e);
    else
        advise(e, sysfs_root);
    ons_energy_set_clock(e, ons_now_s);
    *out = e;
    return ONESTEP_OK;
}

void ons_energy_close(ons_energy **e)
{
    if (!e || !*e)
        return;
    ons_powercap_close(&(*e)->powercap);
    ons_battery_close(&(*e)->battery);
    ons_free(*e);
    *e = NULL;
}

void ons_energy_set_clock(ons_energy *e, double (*now_s)(void))
{
    e->now_s = now_s;
    e->start_s = now_s();
    e->shown = e->kind;
    if (e->kind == SOURCE_POWERCAP)
        ons_powercap_restart(&e->powercap);
    if (e->kind == SOURCE_BATTERY)
        ons_battery_restart(&e->battery);
}

/* The counter's figure, or -1 with the reason in `advice`. */
static double read_counter(ons_energy *e, double elapsed_s)
{
    double joules;

    if (e->kind == SOURCE_POWERCAP) {
        joules = ons_powercap_joules(&e->powercap);
        if (joules < 0)
            snprintf(e->advice, sizeof e->advice,
                     "the powercap counter stopped being readable, or ran backwards");
        return joules;
    }
    joules = ons_battery_joules(&e->battery);
    e->advice[0] = '\0';
    if (joules < 0)
        snprintf(e->advice, sizeof e->advice,
                 "the battery stopped discharging during the run: unplugged runs only");
    else if (elapsed_s < BATTERY_MIN_S)
        snprintf(e->advice, sizeof e->advice,
                 "the battery was read for %.0f s, and its figures mean something from %d s on: measure longer",
                 elapsed_s, BATTERY_MIN_S);
    return e->advice[0] ? -1 : joules;
}

double ons_energy_joules(ons_energy *e)
{
    double elapsed_s = e->now_s() - e->start_s, joules = -1;

    e->shown = e->kind;
    if (e->kind == SOURCE_POWERCAP || e->kind == SOURCE_BATTERY)
        joules = read_counter(e, elapsed_s);
    if (joules < 0 && e->watts > 0) {
        e->shown = SOURCE_DECLARED;
        joules = e->watts * elapsed_s;
    }
    return joules;
}

const char *ons_energy_source(const ons_energy *e)
{
    switch (e->shown) {
    case SOURCE_DECLARED:
        return e->declared_label;
    case SOURCE_NONE:
        return "none";
    default:
        return e->label;
    }
}

const char *ons_energy_advice(const ons_energy *e)
{
    return e->advice;
}

bool ons_energy_is_fine_grained(const ons_energy *e)
{
    return e->kind == SOURCE_POWERCAP || e->kind == SOURCE_DECLARED;
}
