/* Time, cores, memory and interruption. */
#ifndef ONS_BASE_SYSTEM_H
#define ONS_BASE_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/stop.h"

double ons_now_s(void); /* monotonic clock */
/* Cores this process may run on, SMT siblings counted once, and no more than the quota of its cgroup rounded to
 * a whole number; >= 1. */
int ons_physical_cores(void);
/* The quota of CPU time in cores; 0: none. root: "" (tests give a made-up tree). */
double ons_quota_cores(const char *root);
size_t ons_available_memory(void); /* bytes that can be had without swapping */
size_t ons_peak_rss(void);         /* bytes */

/* Ctrl-C and SIGTERM set a flag once ons_catch_interrupts was called; a second Ctrl-C ends the process at once.
 */
void ons_catch_interrupts(void);
bool ons_interrupted(void);
const ons_stop *ons_interrupt_stop(void); /* the same as a token */
void ons_request_interrupt(void);         /* the same from code */
void ons_clear_interrupt(void);

#endif
