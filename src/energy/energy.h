/*
 * Joules: powercap counters (wrap-around handled), else a discharging battery (power_supply; runs of at least
 * 60 s), else watts declared by the user.
 */
#ifndef ONS_ENERGY_ENERGY_H
#define ONS_ENERGY_ENERGY_H

#include "base/status.h"

typedef struct ons_energy ons_energy;

/*
 * Finds the best source. sysfs_root: "/sys" (tests give a made-up tree; NULL: $ONESTEP_SYSFS or /sys).
 * declared_watts <= 0: none declared. Never fails for lack of a source: then ons_energy_source is "none" and
 * ons_energy_advice says what was tried and what to do.
 */
onestep_status ons_energy_open(const char *sysfs_root, double declared_watts, ons_energy **out) ONESTEP_CHECK;
void ons_energy_close(ons_energy **e);
/*
 * "powercap: package-0", "battery: BAT0", "declared: 65 W", "none". A battery that was read for less than 60 s,
 * or that began to charge, gives way to declared watts, so ask after ons_energy_joules.
 */
const char *ons_energy_source(const ons_energy *e);
const char *ons_energy_advice(const ons_energy *e); /* "" when a counter is read */
/* Accumulates; call at least every few seconds (counters wrap). Joules since open; -1 when unknown. */
double ons_energy_joules(ons_energy *e);
/* True when figures over a few milliseconds make sense (counters, declared watts); false for a battery and
 * none. */
bool ons_energy_is_fine_grained(const ons_energy *e);
/* Replaces the monotonic clock and starts the measurement anew; lets tests run a minute in no time. */
void ons_energy_set_clock(ons_energy *e, double (*now_s)(void));

#endif
