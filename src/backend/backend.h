/*
 * Backends and plans. A backend is a table: per operator an ordered list of kernels, best first, ending in one
 * that takes everything. A plan is a graph bound to one backend: kernels chosen, memory laid out in one arena,
 * run many times.
 */
#ifndef ONS_BACKEND_BACKEND_H
#define ONS_BACKEND_BACKEND_H

#include "backend/compute.h"
#include "base/parallel.h"
#include "base/stop.h"
#include "graph/graph.h"
#include "weights/weights.h"

typedef struct ons_prep ons_prep;

/* Pointers of one call. A NULL output is not wanted. */
typedef struct ons_args {
    const void *const *in;
    void *const *out;
    void *scratch; /* prep->scratch_bytes, 64-byte aligned, contents undefined */
} ons_args;

/* What prepare() leaves for run(): booked while planning, immutable while running. */
struct ons_prep {
    const ons_node *node;
    int n_threads;
    size_t scratch_bytes;
    unsigned packed_in; /* bits: operands that run takes from a packed copy of their weight and not from
                           args->in; set by prepare */
    bool in_place;      /* out[0] may be the buffer of in[0] (same size); set by prepare */
    void *state;        /* the kernel's own, released by destroy */
    ons_params *const
        *params; /* [n_params] weight sets by slot, for packing; a set may be NULL while only measuring */
    int n_params;
    const char *detail; /* e.g. the oneDNN implementation that was dispatched; static or owned by state */
};

typedef struct ons_kernel {
    const char *name; /* in plans, logs and tests; NULL ends a list */
    const char *(*refuse)(
        const ons_node *n); /* NULL pointer: takes everything; returns NULL: takes it; else why not */
    onestep_status (*prepare)(ons_prep *p);                      /* may be NULL */
    onestep_status (*run)(const ons_prep *p, const ons_args *a); /* no allocation, no decisions; fails where a
                                                                    library or device beneath it does */
    void (*destroy)(ons_prep *p);                                /* may be NULL */
} ons_kernel;

/* Work of a library beneath the kernels at its best, in layouts of its own, which no plan could use: for
 * rooflines. */
typedef struct ons_probe ons_probe;
struct ons_probe {
    const char *library, *name; /* of the implementation */
    void (*run)(ons_probe *p);
    void (*destroy)(ons_probe *p);
};

/*
 * Memory that kernels compute in: what plans lay their buffers out in. An address may be a device's, to which a
 * plan adds offsets and nothing more.
 */
typedef struct ons_memory {
    void *(*allocate)(size_t bytes); /* zeroed, 64-byte aligned; NULL: not to be had (no message) */
    void (*release)(void *data);     /* NULL is fine */
    onestep_status (*copy_in)(void *dst, const void *src, size_t bytes);  /* out of the host's memory */
    onestep_status (*copy_out)(void *dst, const void *src, size_t bytes); /* into the host's memory */
    onestep_status (*copy_within)(void *dst, const void *src,
                                  size_t bytes); /* from one place to another of it */
    bool on_host; /* it is the host's: kernels take weights and bound outputs where they lie. Elsewhere plans
                     copy them, and what looks at values between operators (ONESTEP_CHECK_NAN, _COMPARE,
                     _POISON, observers) is refused */
} ons_memory;

extern const ons_memory ons_host_memory;

struct ons_backend {
    const char *name; /* "ref", "ref64", "cpu" */
    const ons_memory *memory;
    const ons_kernel *(*kernels)(ons_op op);        /* list ended by a row without a name; NULL: none */
    ons_dtype real;                                 /* storage of f32 values: F32, or F64 for ref64 */
    ons_dtype (*native_precision)(void);            /* fastest type this machine computes in: F32 or BF16 */
    bool (*fuses_upsampling)(const ons_node *conv); /* in bf16, has it a kernel for the conv2d_upsampled that a
                                                       conv2d of an upsample2x would be? NULL: for none */
    bool (*multiplies_8_bits)(void);                /* fast enough for 8-bit products to be of use */
    bool (*keeps_16_bits)(
        const ons_node *n); /* does it compute this bf16 product as fast as it would in 8 bits? NULL: none */
    const char *(*machine)(void); /* what the bits of results and of packed weights depend on besides the
                                     threads: kernels in use, libraries' versions. Static */
    ons_probe *(*probe)(const ons_node *n, int n_threads,
                        bool fast); /* of what `n` computes, on made-up operands; `fast`:
   by an algorithm that needs fewer multiply-adds. NULL: for none, or none is there */
};

extern const ons_backend ons_backend_ref, ons_backend_ref64, ons_backend_cpu;

typedef struct ons_plan ons_plan;

enum { ONS_MAX_PARAM_SETS = 8 };

typedef struct ons_plan_options {
    ons_compute compute;
    unsigned passes_off;      /* ons_pass bits, added to ONESTEP_PASSES_OFF */
    const ons_scales *scales; /* of products that run in 8 bits, where compute.type is I8; NULL: none. Read
                                 while the plan is made */
    ons_params *params[ONS_MAX_PARAM_SETS]; /* weight sets by slot; the plan does not own them */
    const char *label;                      /* for traces and messages: "unet 4x16x16" */
} ons_plan_options;

/*
 * Optimises (in place), chooses kernels and lays out memory. Takes ownership of *g (set to NULL) also on
 * failure. Nothing large is allocated before ons_plan_run's first call or ons_plan_allocate;
 * ons_plan_peak_bytes is known now. Debug switches come from the environment, read here: ONESTEP_CHECK_NAN=1
 * (names the first operator with a non-finite output), ONESTEP_COMPARE=1 (runs ref beside and names the first
 * operator that differs), ONESTEP_TRACE=FILE (Chrome trace events with FLOPs and bytes), ONESTEP_PLAN=1 (prints
 * the plan), ONESTEP_POISON=1 (NaN-filled arena, red zones).
 */
onestep_status ons_plan_create(ons_graph **g, const ons_plan_options *options, ons_plan **out) ONESTEP_CHECK;
void ons_plan_destroy(ons_plan **p);

size_t ons_plan_peak_bytes(const ons_plan *p); /* arena and scratch, without weights */
size_t
ons_plan_plain_bytes(ons_plan *p); /* parameters that kernels read as they stand, and not from packed copies */
onestep_status ons_plan_allocate(ons_plan *p) ONESTEP_CHECK;
/* Replaces the weight set of a slot (same layout), e.g. EMA for sampling. */
void ons_plan_bind_params(ons_plan *p, int slot, ons_params *params);
/* Puts the value of an output into caller's memory from now on (f32; e.g. gradients into one region): every run
 * writes it there, whatever memory the backend computes in. Before allocate. */
onestep_status ons_plan_bind_output(ons_plan *p, const char *name, void *data) ONESTEP_CHECK;

/*
 * Elements [at, at + n) of an input or of a result, in and out of the caller's memory; after ons_plan_allocate.
 * Memory has the value's declared type (f32 also where the backend computes in double, i32 for numbers of
 * tokens). Plans drop inputs that no result needs, and a name that is no input's may be one of those: writing
 * it does nothing. BAD_ARGUMENT: more elements than there are, no such result, or no memory yet.
 */
onestep_status ons_plan_write(ons_plan *p, const char *name, size_t at, const void *src,
                              size_t n) ONESTEP_CHECK;
onestep_status ons_plan_read(const ons_plan *p, const char *name, size_t at, void *dst, size_t n) ONESTEP_CHECK;
/* A result of one f32 element, such as a loss. */
onestep_status ons_plan_read_scalar(const ons_plan *p, const char *name, double *out) ONESTEP_CHECK;
/* Input/output values (shape, dtype); NULL if unknown. */
const ons_value *ons_plan_find(const ons_plan *p, const char *name);

/* Runs once. INTERRUPTED between operators when its stop token says so; INTERNAL from the debug switches. */
onestep_status ons_plan_run(ons_plan *p) ONESTEP_CHECK;
void ons_plan_set_stop(ons_plan *p, const ons_stop *stop); /* borrowed; NULL: nobody stops it */

/* Called after every operator of a run with what it read and wrote, as kernels see it, where that is the host's
 * memory (runs are UNSUPPORTED elsewhere); NULL ends it. Not OK ends the run with that status. */
typedef onestep_status (*ons_plan_observer)(void *context, const ons_node *n, const ons_args *args);
void ons_plan_observe(ons_plan *p, ons_plan_observer observe, void *context);

double ons_plan_flops(const ons_plan *p);
/* Every operator of a run in order, without those that are computed once. */
void ons_plan_visit(const ons_plan *p, void (*visit)(void *context, const ons_node *n), void *context);
void ons_plan_print(const ons_plan *p,
                    FILE *f); /* one line per step: op, layer, shape, kernel, detail, offset; then the peak */

/* Times every operator from now on, from zero; or no longer. */
void ons_plan_profile(ons_plan *p, bool on);
/* Operators of one kind that one kernel runs, over all runs since ons_plan_profile(p, true). */
typedef struct ons_profile_row {
    const char *op, *kernel; /* static */
    char detail[64];         /* the implementation behind the kernel, oneDNN's for example; "": itself */
    int operators;           /* in the plan */
    long runs;               /* of all these operators */
    double seconds, flops;
} ons_profile_row;
typedef struct ons_profile {
    ons_profile_row *rows; /* [n], longest first */
    int n;
    double seconds; /* of all rows */
} ons_profile;
onestep_status ons_plan_profile_read(const ons_plan *p, ons_profile *out) ONESTEP_CHECK;
void ons_profile_fini(ons_profile *p);                                 /* accepts a zeroed struct */
void ons_profile_print(const ons_profile *p, double whole_s, FILE *f); /* shares of whole_s */

#endif
