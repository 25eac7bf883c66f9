/* Inside of a plan; for the plan_*.c files alone. */
#ifndef ONS_BACKEND_PLAN_H
#define ONS_BACKEND_PLAN_H

#include "backend/backend.h"

typedef enum ons_place {
    ONS_PLACE_NONE,     /* nobody needs it */
    ONS_PLACE_ARENA,    /* at offset in the arena */
    ONS_PLACE_PARAM,    /* in a weight set (or its f64 shadow) */
    ONS_PLACE_CONSTANT, /* in the graph (or its f64 copy) */
    ONS_PLACE_BOUND     /* in the caller's memory */
} ons_place;

/* Where a value lives. Views and in-place results share their root's buffer. */
typedef struct ons_buffer {
    int root;          /* value id whose buffer this is */
    ons_place place;   /* of a root */
    size_t bytes, offset;
    int first, last;   /* steps between which the contents matter; a root covers its aliases */
    bool pinned;       /* may not be written in place (input, hoisted, output under a name) */
    void *ptr;
    void *copy;        /* f64 shadow of a parameter or constant; owned */
} ons_buffer;

typedef struct ons_step {
    const ons_node *node;
    const ons_kernel *kernel;
    ons_prep prep;
    ons_args args;
    const void **in;
    void *out[ONS_MAX_OUTPUTS];
    bool hoisted;
    char *refusals;    /* which kernels were passed over, and why; NULL: none */
    double seconds;    /* profile */
    long runs;
} ons_step;

typedef struct ons_binding {
    const ons_value *value;
    void *data;
    bool copied; /* shares its buffer with something else: copied out after each run */
} ons_binding;

struct ons_plan {
    ons_graph *graph;
    const ons_backend *backend;
    ons_plan_options options;
    char *label;
    ons_buffer *buffers; /* [n_values] by value id */
    int n_values;
    ons_step *steps;
    int n_steps;
    size_t arena_bytes, scratch_bytes;
    unsigned char *arena; /* arena, then scratch */
    ons_binding *bindings;
    int n_bindings;
    uint64_t versions[ONS_MAX_PARAM_SETS]; /* of the weight sets at the last run */
    ons_params *seen[ONS_MAX_PARAM_SETS];
    bool rebound; /* a slot got another set: kernels look up their packed copies again */
    bool hoisted_valid, cancellable, profile;
    bool check_nan, compare, poison;
    char *trace_path;
    bool trace_begun;
};

size_t ons_plan_value_bytes(const ons_plan *p, const ons_value *v);
bool ons_is_view(ons_op op);
ons_buffer *ons_plan_buffer(const ons_plan *p, const ons_value *v); /* the root's */

/* plan_memory.c: lifetimes, aliases, offsets. Steps and their preps exist. */
onestep_status ons_plan_layout(ons_plan *p) ONESTEP_CHECK;
/* Offsets alone, again after buffers have moved to the caller's memory. */
onestep_status ons_plan_place(ons_plan *p) ONESTEP_CHECK;

/* plan_debug.c */
onestep_status ons_plan_check_finite(const ons_plan *p, const ons_step *s) ONESTEP_CHECK;
onestep_status ons_plan_compare_step(const ons_plan *p, const ons_step *s) ONESTEP_CHECK;
void ons_plan_poison(ons_plan *p);
onestep_status ons_plan_check_red_zones(const ons_plan *p) ONESTEP_CHECK;
enum { ONS_RED_ZONE = 64 };

/* plan_trace.c */
void ons_plan_trace_step(ons_plan *p, const ons_step *s, double start_s, double end_s);

#endif
