/*
 * With what something is computed: backend, threads, arithmetic and memory belong together, so they are passed
 * whole to whatever makes plans or runs loops, or hands them on. A zeroed struct means the defaults.
 */
#ifndef ONS_BACKEND_COMPUTE_H
#define ONS_BACKEND_COMPUTE_H

#include "tensor/tensor.h"

typedef struct ons_backend ons_backend;

enum { ONS_MAX_THREADS = 1024 };

typedef struct ons_compute {
    const ons_backend *backend; /* NULL: ons_backend_default() */
    int n_threads;              /* 0: one per physical core */
    ons_dtype type; /* F32, BF16, or I8: BF16, and 8-bit products where scales are given (a model's UNet and
                       decoder) */
    size_t memory;  /* bytes that weights and buffers may take; 0: what the system can give without swapping */
} ons_compute;

const ons_backend *ons_backend_default(void);
const ons_backend *ons_backend_find(const char *name); /* NULL: unknown; "auto" is the default */

/* What is meant: the field, or its default. */
const ons_backend *ons_compute_backend(const ons_compute *c);
int ons_compute_threads(const ons_compute *c);
double ons_compute_memory(const ons_compute *c); /* bytes; without a limit, those that can be had right now */
/* The type that the backend computes fastest in on this machine: F32 or BF16. */
ons_dtype ons_compute_native_type(const ons_compute *c);

/* The same in another type. */
ons_compute ons_compute_in(const ons_compute *c, ons_dtype type);

/*
 * `c` with backend and threads filled in. BAD_ARGUMENT: threads out of range, or a type that nothing is
 * computed in; UNSUPPORTED: I8 on a machine that is not made for it. `out` may be `c`.
 */
onestep_status ons_compute_resolve(const ons_compute *c, ons_compute *out) ONESTEP_CHECK;

#endif
