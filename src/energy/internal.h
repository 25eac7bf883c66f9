/* What the sources of energy share: small reads from sysfs, and one struct per kind of counter. */
#ifndef ONS_ENERGY_INTERNAL_H
#define ONS_ENERGY_INTERNAL_H

#include "base/status.h"

enum { ONS_MAX_ENERGY_ZONES = 64 };

/* First line of FOLDER/NAME without its newline. 0, or errno of what failed (EISDIR for a folder, ENODATA when
 * empty). */
int ons_sysfs_text(const char *folder, const char *name, char *text, size_t size);
/* A non-negative whole number, 0 or errno; EINVAL when it is not one. */
int ons_sysfs_number(const char *folder, const char *name, uint64_t *value);

/* Powercap: one zone per processor package (or another top-level zone). */
typedef struct ons_powercap {
    int n_zones;
    struct {
        char *folder;
        char name[32];
        uint64_t range_uj; /* counter runs over this; 0: unknown */
        uint64_t last_uj;
    } zone[ONS_MAX_ENERGY_ZONES];
    double joules;     /* so far */
    bool lost;         /* a counter could not be read any more */
    char problem[512]; /* why none is used; "" when one is, or the interface is absent */
} ons_powercap;

/* True when counters are readable. Otherwise `problem` tells what was found. */
bool ons_powercap_open(ons_powercap *p, const char *sysfs_root);
void ons_powercap_restart(ons_powercap *p);
double ons_powercap_joules(ons_powercap *p); /* -1 once a counter is lost */
void ons_powercap_close(ons_powercap *p);

/* Batteries that feed the machine. */
typedef struct ons_battery {
    int n_units;
    struct {
        char *folder;
        char name[32];
        bool by_charge; /* microampere-hours and microvolts instead of microwatt-hours */
        uint64_t last, last_uv;
    } unit[ONS_MAX_ENERGY_ZONES];
    double joules;
    bool charged; /* stopped discharging at some time: the sum means nothing */
    char problem[512];
} ons_battery;

bool ons_battery_open(ons_battery *b, const char *sysfs_root);
void ons_battery_restart(ons_battery *b);
double ons_battery_joules(ons_battery *b); /* -1 once it stopped discharging */
void ons_battery_close(ons_battery *b);

#endif
