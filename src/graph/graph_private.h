/* The graph's own storage, for the files of this layer only. */
#ifndef ONS_GRAPH_GRAPH_PRIVATE_H
#define ONS_GRAPH_GRAPH_PRIVATE_H

#include "base/memory.h"
#include "graph/rules.h"

enum { ONS_MAX_SCOPES = 32 };

struct ons_graph {
    ons_arena *arena;   /* nodes, values, names and constants */
    ons_node **nodes;   /* [n_nodes], topological order */
    ons_value **values; /* [n_values], by id */
    ons_output *outputs;
    int n_nodes, n_values, n_outputs;
    int nodes_room, values_room, outputs_room;
    const char *scopes[ONS_MAX_SCOPES]; /* full paths */
    int n_scopes;
    int n_segments, segment_depth; /* the latest one; begun and not ended */
    bool recompute;
    const ons_scales *scales;         /* for the pass `quantise`; not owned */
    bool (*keeps)(const ons_node *n); /* which it leaves alone; NULL: none */
    onestep_status status;            /* of the first error */
    char message[ONS_MESSAGE_SIZE];
    ons_node dummy_node; /* what builders return on a failed graph */
    ons_value dummy;
};

/* Records a failure other than a wrong argument; the first error stays. */
ons_value *ons_graph_no_memory(ons_graph *g);

/* Appends a node with described outputs; NULL (and a failed graph) when there is no memory. */
ons_node *ons_node_append(ons_graph *g, ons_op op, ons_value *const *in, int n_in, const ons_attrs *attrs,
                          const ons_shape *shapes, const ons_dtype *dtypes);

/* For passes that build the node list anew: takes the list away (ons_free it), and puts one node back at the
 * end. */
ons_node **ons_graph_take_nodes(ons_graph *g);
bool ons_graph_append_node(ons_graph *g, ons_node *n); /* false: no memory */
/* A 3x3 convolution with frozen weights, stride 1, padding 1 and no residual, of an upsample2x. */
bool ons_reads_upsampled(const ons_node *n);

/* Copies constant data into the graph, 64-byte aligned; data may be NULL (zeros). NULL: no memory. */
void *ons_graph_store(ons_graph *g, const void *data, size_t size_bytes);

/* Drops the nodes whose keep[position] is false (NULL: none) and numbers nodes and values densely again. */
void ons_graph_compact(ons_graph *g, const bool *keep);
/* Replaces value v by map[v->id] (NULL: stays) in every input and output. */
void ons_graph_replace(ons_graph *g, ons_value *const *map);
/* Uses of each value by nodes and graph outputs; n_uses is [n_values], zeroed by the caller. */
void ons_graph_count_uses(const ons_graph *g, int *n_uses);

/* The attributes that matter for an operator, as named numbers. Returns how many (at most ONS_MAX_ATTRS). */
typedef struct ons_attr {
    const char *key;
    double value;
} ons_attr;
enum { ONS_MAX_ATTRS = 12 };
int ons_node_attrs(const ons_node *n, ons_attr *list);

size_t ons_value_bytes(const ons_value *v);

/* The passes; each leaves a graph that ons_graph_verify accepts. */
onestep_status ons_pass_dead_code(ons_graph *g) ONESTEP_CHECK;
onestep_status ons_pass_fold_upsample(ons_graph *g) ONESTEP_CHECK;
onestep_status ons_pass_cse(ons_graph *g) ONESTEP_CHECK;
onestep_status ons_pass_fuse_residual(ons_graph *g) ONESTEP_CHECK;
onestep_status ons_pass_fold_constants(ons_graph *g) ONESTEP_CHECK;
onestep_status ons_pass_precision(ons_graph *g) ONESTEP_CHECK;
onestep_status ons_pass_quantise(ons_graph *g) ONESTEP_CHECK;

#endif
