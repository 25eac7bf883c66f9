/* Where the time of plans goes: seconds and work per operator and kernel. */
#ifndef ONS_BENCH_PROFILE_H
#define ONS_BENCH_PROFILE_H

#include "backend/backend.h"

typedef struct ons_bench_row {
    const char *op, *kernel; /* static */
    long calls;              /* per run of the plan */
    double seconds;          /* of all profiled runs */
    double flops;            /* per run of the plan */
} ons_bench_row;

typedef struct ons_bench_profile {
    ons_bench_row *rows; /* [n], longest first */
    int n;
    double seconds; /* of all rows */
} ons_bench_profile;

/* What `p`'s operators took since ons_plan_profile(p, true). Released with ons_bench_profile_fini, which
 * accepts a zeroed struct. */
onestep_status ons_bench_profile_read(const ons_plan *p, ons_bench_profile *out) ONESTEP_CHECK;
void ons_bench_profile_fini(ons_bench_profile *p);

#endif
