/* Inside of a plan; for the plan_*.c files alone. */
#ifndef ONS_BACKEND_PLAN_H
#define ONS_BACKEND_PLAN_H

#include "backend/backend.h"

typedef enum ons_place {
    ONS_PLACE_NONE,     /* nobody needs it */
    ONS_PLACE_ARENA,    /* at offset in the arena */
    ONS_PLACE_PARAM,    /* in a weight set (or a copy) */
    ONS_PLACE_CONSTANT, /* in the graph (or a copy) */
    ONS_PLACE_BOUND     /* in the caller's memory */
} ons_place;

/* Where a value lives. Views and in-place results share their root's buffer. */
typedef struct ons_buffer {
    int root;        /* value id whose buffer this is */
    ons_place place; /* of a root */
    size_t bytes, offset;
    int first, last; /* steps between which the contents matter; a root covers its aliases */
    bool pinned;     /* may not be written in place (leaf, output under a name) */
    bool leaf;       /* input, parameter or constant */
    bool hoisted;    /* computed by a hoisted step */
    bool plain;      /* of a parameter: some step reads it as it stands, and not only a packed copy */
    void *ptr;
    void *copy; /* of a parameter or constant, as f64 or in memory of the backend's own; owned */
} ons_buffer;

typedef struct ons_step {
    const ons_node *node;
    const ons_kernel *kernel;
    ons_prep prep;
    ons_args args;
    const void **in;
    void *out[ONS_MAX_OUTPUTS];
    bool hoisted;
    char *refusals; /* which kernels were passed over, and why; NULL: none */
    double seconds; /* profile */
    long runs;
    double start_s, end_s; /* of the last run, for the trace; end 0: it did not run */
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
    ons_buffer
        *buffers; /* [n_values] by value id, then [n_outputs]: copies of outputs that are views of leaves */
    int n_values, n_buffers;
    ons_step *steps;
    int n_steps;
    size_t arena_bytes, scratch_bytes;
    unsigned char *arena; /* arena, then scratch */
    ons_binding *bindings;
    int n_bindings;
    uint64_t versions[ONS_MAX_PARAM_SETS]; /* of the weight sets at the last run */
    ons_params *seen[ONS_MAX_PARAM_SETS];
    unsigned used_slots, hoist_slots; /* bits: slots with a parameter; those that hoisted steps depend on */
    unsigned rebound;                 /* bits: slots that got another set since their kernels were prepared */
    bool located; /* pointers of leaves and steps are those of the weight sets that are bound */
    bool hoisted_valid, profile;
    const ons_stop *stop; /* NULL: nobody stops it */
    bool check_nan, compare, poison;
    ons_plan_observer observe; /* NULL: nobody looks */
    void *observe_context;
    char *trace_path;
    int trace_id; /* the plan's row in the trace */
};

size_t ons_plan_value_bytes(const ons_plan *p, const ons_value *v);
ons_buffer *ons_plan_buffer(const ons_plan *p, const ons_value *v); /* the root's */

/* plan_memory.c: lifetimes, aliases, offsets. Steps and their preps exist. */
onestep_status ons_plan_layout(ons_plan *p) ONESTEP_CHECK;
/* Offsets alone, again after buffers have moved to the caller's memory. */
onestep_status ons_plan_place(ons_plan *p) ONESTEP_CHECK;

/* plan_prepare.c */
onestep_status ons_plan_choose_kernel(ons_plan *p, ons_step *s) ONESTEP_CHECK;
/* Weight sets that are bound are allocated and fit the graph's parameters; a slot may still be empty. */
onestep_status ons_plan_check_params(const ons_plan *p) ONESTEP_CHECK;
/* Prepares the kernels that read a rebound slot again, since packed copies hang on the weight sets. */
onestep_status ons_plan_prepare_again(ons_plan *p) ONESTEP_CHECK;

/* plan_bind.c */
/* Buffers by name, valid after ons_plan_allocate; NULL: no such input/output. Element type is the declared one
 * (F64 on ref64). */
void *ons_plan_input(ons_plan *p, const char *name);
const void *ons_plan_result(ons_plan *p, const char *name);
onestep_status
ons_plan_settle_bindings(ons_plan *p) ONESTEP_CHECK; /* who owns which memory; before the arena is made */
onestep_status ons_plan_copy_results(const ons_plan *p) ONESTEP_CHECK; /* after a run */
void *ons_plan_address(const ons_plan *p, const ons_value *v);         /* NULL: nobody needs it */
ons_dtype ons_plan_stored_type(const ons_plan *p, const ons_value *v);

/* plan_copy.c: n elements from the host's memory to the backend's and back, as `type` there and `stored` here
 */
onestep_status ons_plan_copy_in(const ons_plan *p, void *dst, ons_dtype stored, const void *src, ons_dtype type,
                                size_t n) ONESTEP_CHECK;
onestep_status ons_plan_copy_out(const ons_plan *p, void *dst, ons_dtype type, const void *src,
                                 ons_dtype stored, size_t n) ONESTEP_CHECK;

/* plan_debug.c; want: the reference's results, made before the step runs, since that may overwrite its operands
 */
onestep_status ons_plan_check_finite(const ons_plan *p, const ons_step *s) ONESTEP_CHECK;
onestep_status ons_plan_compare_begin(const ons_plan *p, const ons_step *s, void **want) ONESTEP_CHECK;
onestep_status ons_plan_compare_end(const ons_plan *p, const ons_step *s, void **want) ONESTEP_CHECK;

/* plan_poison.c */
void ons_plan_poison_arena(ons_plan *p);
void ons_plan_poison_before(const ons_plan *p, const ons_step *s);
onestep_status ons_plan_poison_after(const ons_plan *p, const ons_step *s) ONESTEP_CHECK;
enum { ONS_RED_ZONE = 64 };

/* plan_trace.c */
int ons_plan_trace_id(void);
void ons_plan_trace_run(const ons_plan *p);

#endif
