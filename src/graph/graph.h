/*
 * The intermediate representation: static graphs of operators over typed, shaped values.
 *
 * A graph is built once per (model, batch, size, precision), differentiated, optimised and planned, then run
 * many times. Builders keep the graph's first error: later calls on a failed graph return a harmless value, and
 * ons_graph_finish reports it with the layer path. Values belong to their graph. Arguments may be NULL values
 * only where said. The list of operators with their meaning is ops.def.
 */
#ifndef ONS_GRAPH_GRAPH_H
#define ONS_GRAPH_GRAPH_H

#include <stdio.h>

#include "tensor/tensor.h"

typedef enum ons_op {
#define ONS_OP(id, ...) ONS_OP_##id,
#include "graph/ops.def"
#undef ONS_OP
    ONS_N_OPS
} ons_op;

typedef enum ons_activation { ONS_ACT_NONE, ONS_ACT_SILU } ons_activation;

enum { ONS_MAX_OUTPUTS = 3 };

typedef struct ons_graph ons_graph;
typedef struct ons_node ons_node;

typedef struct ons_value {
    ons_node *node; /* producer */
    int index;      /* which of its outputs */
    int id;         /* unique in the graph, dense from 0 */
    ons_dtype dtype;
    ons_shape shape;
} ons_value;

typedef struct ons_attrs {
    struct {
        int stride, pad_top, pad_left, pad_bottom, pad_right;
        int64_t in_h, in_w;
        bool bias, residual, folded;
        int64_t kh, kw;
    } conv;
    struct {
        bool trans_a, trans_b, bias, residual;
        double alpha;
    } matmul;
    struct {
        int n_groups;
        double eps;
        ons_activation act;
    } norm;
    struct {
        int n_heads;
        double scale;
        bool causal;
    } attention;
    struct {
        double scale, shift;
    } affine;
    struct {
        double lo, hi;
    } clamp;
    struct {
        int axis;
        int64_t start, length, full;
    } slice;
    struct {
        int perm[ONS_MAX_DIMS];
    } transpose;
    struct {
        int64_t h, w;
    } size;
    struct {
        double scale;
        int zero;
        int pad_top, pad_left, pad_bottom, pad_right;
    } quantise; /* of quantise, and of a product of its result */
    struct {
        int64_t dim;
        bool flip_sin_to_cos;
        double shift, max_period;
    } timestep;
    ons_shape shape; /* reshape, sum_to, broadcast_to, embedding_grad, leaves */
    ons_dtype dtype; /* cast, leaves */
    struct {
        int slot, index;
        bool trainable;
    } param;              /* which weight set of the plan, which parameter */
    const void *constant; /* data of a constant, owned by the graph */
} ons_attrs;

struct ons_node {
    ons_op op;
    int id; /* creation order, which is a topological order */
    int n_in, n_out;
    ons_value **in; /* [n_in] */
    ons_value *
        out[ONS_MAX_OUTPUTS]; /* an output nobody uses stays allocated here; kernels may be given NULL for it */
    ons_attrs attrs;
    int segment;       /* stretch of the graph that may be computed again for gradients, from 1; 0: none */
    bool again;        /* a copy of an earlier node, made by ons_grad to be computed again */
    const char *layer; /* scope path when built ("down_blocks.0.resnets.1.conv1"), for messages */
    const char *name;  /* leaves: input or parameter name, else NULL */
};

typedef struct ons_output {
    ons_value *value;
    const char *name;
} ons_output;

onestep_status ons_graph_create(ons_graph **out) ONESTEP_CHECK;
void ons_graph_destroy(ons_graph **g);
onestep_status ons_graph_finish(ons_graph *g) ONESTEP_CHECK; /* first error, if any, in onestep_error_text */
bool ons_graph_failed(const ons_graph *g);
/* Records an error found by a builder above (nn, model); the first one stays. Returns a harmless value. */
ons_value *ons_graph_error(ons_graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Layer path for messages and dumps: push "resnets.0", build, pop. */
void ons_graph_push(ons_graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ons_graph_pop(ons_graph *g);

/*
 * Segments: between begin and end (nested pairs count as the outermost) lies what ons_grad may compute a second
 * time instead of keeping it: of a segment only what others use stays in memory (activation checkpointing; Chen
 * et al. 2016). Off until ons_graph_recompute.
 */
void ons_graph_begin_segment(ons_graph *g);
void ons_graph_end_segment(ons_graph *g);
void ons_graph_recompute(ons_graph *g, bool on); /* for the ons_grad calls that follow */

int ons_graph_n_nodes(const ons_graph *g);
ons_node *ons_graph_node(const ons_graph *g, int i); /* in topological order */
int ons_graph_n_values(const ons_graph *g);
/* Marks a value as a result that survives the run under `name` (copied). One value may carry several names. */
void ons_graph_output(ons_graph *g, ons_value *v, const char *name);
int ons_graph_n_outputs(const ons_graph *g);
const ons_output *ons_graph_output_at(const ons_graph *g, int i);
const char *ons_op_name(ons_op op);
/* From the operator's row in ops.def, where the values are explained. */
enum {
    ONS_SLICES_NONE,
    ONS_SLICES_ROWS = 1,
    ONS_SLICES_SAMPLES = 2,
    ONS_SLICES_BROADCAST = 4,
    ONS_SLICES_PARAMS = 8,
    ONS_SLICES_SUMS = 16
};
unsigned ons_op_slices(ons_op op);
bool ons_op_is_leaf(ons_op op);
bool ons_op_is_view(ons_op op);
/* The value that v is a view of, through all views; v itself where it is none. */
const ons_value *ons_view_source(const ons_value *v);

/* Leaves */
ons_value *ons_input(ons_graph *g, const char *name, ons_dtype dtype, const ons_shape *shape);
ons_value *ons_param_leaf(ons_graph *g, const char *name, int slot, int index, const ons_shape *shape,
                          bool trainable);
ons_value *ons_constant(ons_graph *g, ons_dtype dtype, const ons_shape *shape,
                        const void *data);     /* data is copied */
ons_value *ons_scalar(ons_graph *g, double v); /* f32 constant of shape [] */

/* Views and element-wise */
ons_value *ons_reshape(ons_graph *g, ons_value *x, const ons_shape *shape); /* one dim may be -1 */
ons_value *ons_stop_gradient(ons_graph *g, ons_value *x);
ons_value *ons_add(ons_graph *g, ons_value *a, ons_value *b);
ons_value *ons_sub(ons_graph *g, ons_value *a, ons_value *b);
ons_value *ons_mul(ons_graph *g, ons_value *a, ons_value *b);
ons_value *ons_affine(ons_graph *g, ons_value *x, double scale, double shift);
ons_value *ons_unary(ons_graph *g, ons_op op, ons_value *x); /* SILU .. SIGN, CLEAN, SOFTMAX, LOG_SOFTMAX */
ons_value *ons_clamp(ons_graph *g, ons_value *x, double lo, double hi);
ons_value *ons_cast(ons_graph *g, ons_value *x, ons_dtype dtype);
ons_value *ons_geglu(ons_graph *g, ons_value *x);

/* Shapes */
ons_value *ons_sum_to(ons_graph *g, ons_value *x, const ons_shape *shape);
ons_value *ons_broadcast_to(ons_graph *g, ons_value *x, const ons_shape *shape);
ons_value *ons_mean_all(ons_graph *g, ons_value *x); /* scalar; sum_to then affine */
ons_value *ons_transpose(ons_graph *g, ons_value *x, const int *perm);
ons_value *ons_concat(ons_graph *g, int axis, ons_value *const *x, int n);
ons_value *ons_slice(ons_graph *g, ons_value *x, int axis, int64_t start, int64_t length);
ons_value *ons_upsample2x(ons_graph *g, ons_value *x);
ons_value *ons_upsample_to(ons_graph *g, ons_value *x, int64_t h, int64_t w);
ons_value *ons_avg_pool2x(ons_graph *g, ons_value *x);
ons_value *ons_max_pool2x(ons_graph *g, ons_value *x);

/* Products; bias and residual may be NULL */
typedef struct ons_conv_geometry {
    int stride, pad_top, pad_left, pad_bottom, pad_right;
} ons_conv_geometry;
ons_value *ons_conv2d(ons_graph *g, ons_value *x, ons_value *w, ons_value *bias, ons_value *residual,
                      ons_conv_geometry geometry);
ons_value *ons_matmul(ons_graph *g, ons_value *a, ons_value *b, bool trans_a, bool trans_b, double alpha,
                      ons_value *bias, ons_value *residual);
ons_value *ons_embedding(ons_graph *g, ons_value *table, ons_value *ids);

/* Norms and attention */
ons_value *ons_group_norm(ons_graph *g, ons_value *x, ons_value *gamma, ons_value *beta, int n_groups,
                          double eps, ons_activation act);
ons_value *ons_layer_norm(ons_graph *g, ons_value *x, ons_value *gamma, ons_value *beta, double eps);
ons_value *ons_attention(ons_graph *g, ons_value *q, ons_value *k, ons_value *v, int n_heads, double scale,
                         bool causal);
ons_value *ons_timestep_embedding(ons_graph *g, ons_value *t, int64_t dim, bool flip_sin_to_cos, double shift,
                                  double max_period);

/* Generic builder used by gradient rules: checks arity, applies the shape rule. out may be NULL; else [n_out].
 */
ons_value *ons_apply(ons_graph *g, ons_op op, ons_value *const *in, int n_in, const ons_attrs *attrs,
                     ons_value **out);

/*
 * Automatic differentiation, graph -> graph. Appends nodes that compute, for each wrt[i], the sum over outputs
 * of seed_j^T d output_j / d wrt_i (shape of wrt[i]). seeds[j] has the shape of outputs[j], NULL means ones.
 * grads[i] is NULL-free: zeros (a constant broadcast) where outputs do not depend on wrt[i].
 */
void ons_grad(ons_graph *g, ons_value *const *outputs, ons_value *const *seeds, int n_outputs,
              ons_value *const *wrt, int n_wrt, ons_value **grads);

/* FLOPs of a node: 2 per multiply-add of products and attention, as the model needs them; 0 for the rest. And
 * bytes moved. */
double ons_node_flops(const ons_node *n);
double ons_node_bytes(const ons_node *n);

/*
 * How the first operand of a layer's product is stored in 8 bits: a number q stands for scale * (q - zero).
 * Scale 0: not at all, the layer stays as it is.
 */
typedef struct ons_layer_scale {
    const char *layer; /* path, as in ons_node */
    double scale;
    int zero; /* 0..255 */
} ons_layer_scale;
typedef struct ons_scales {
    const ons_layer_scale *rows; /* [n], in the order of strcmp on `layer` */
    int n;
    const char *source; /* for messages: where they come from */
} ons_scales;
const ons_layer_scale *ons_scales_find(const ons_scales *s, const char *layer); /* NULL: none */
/*
 * For the optimising that follows; the scales must live until then. NULL: nothing runs in 8 bits. `keeps` (may
 * be NULL) tells products that stay as they are although there is a scale.
 */
void ons_graph_set_scales(ons_graph *g, const ons_scales *scales, bool (*keeps)(const ons_node *n));
/* Can the product run in 8 bits: a convolution or linear layer with frozen weights, bf16 operands and more than
 * a few channels. */
bool ons_node_takes_8_bits(const ons_node *n);

/* Passes rewrite the graph in place; each can be switched off by its bit. */
typedef enum ons_pass {
    ONS_PASS_DEAD_CODE = 1 << 0,      /* drop what no output needs */
    ONS_PASS_CSE = 1 << 1,            /* equal operators on equal inputs become one */
    ONS_PASS_FUSE_RESIDUAL = 1 << 2,  /* conv2d/matmul + add -> residual input */
    ONS_PASS_FOLD_CONSTANTS = 1 << 3, /* evaluate what depends on constants only, through `evaluate` */
    ONS_PASS_PRECISION = 1 << 4,      /* bf16 storage for products and what lies between */
    ONS_PASS_QUANTISE = 1 << 7,       /* 8-bit first operands for the products of the graph's scales */
    ONS_PASS_FOLD_UPSAMPLE = 1 << 6,  /* upsampling and a frozen 3x3 convolution -> four 2x2 convolutions */
    ONS_PASS_FUSE_UPSAMPLE = 1 << 8, /* planner: the same -> conv2d_upsampled, where the backend has a kernel */
    ONS_PASS_HOIST = 1 << 5          /* planner: run once what depends on frozen weights and constants only */
} ons_pass;
const char *ons_pass_name(ons_pass pass);
/* Runs all passes but those in `off` (bits). In debug builds the verifier runs after each and names the pass
 * that broke the graph. */
onestep_status ons_graph_optimise(ons_graph *g, unsigned off, ons_dtype precision) ONESTEP_CHECK;
/* ONS_PASS_FUSE_UPSAMPLE, of the convolutions that `takes` accepts; before the others. */
void ons_graph_fuse_upsample(ons_graph *g, bool (*takes)(const ons_node *conv));
onestep_status ons_graph_verify(const ons_graph *g) ONESTEP_CHECK;
/*
 * Constant folding computes through this function, since no backend lies below the graph: in[i] and out[i] are
 * dense arrays of the values' own types. The backend layer sets it once, before plans are made; without one
 * nothing is folded.
 */
void ons_graph_set_evaluator(onestep_status (*evaluate)(const ons_node *n, const void *const *in,
                                                        void *const *out));
/* "cse,hoist" -> bits, "all" -> every bit; also read from the environment by ons_passes_off
 * (ONESTEP_PASSES_OFF). */
onestep_status ons_passes_parse(const char *text, unsigned *bits) ONESTEP_CHECK;
unsigned ons_passes_off(void);

/* A dump, stable between runs, one line per node; and a 64-bit hash of it. */
void ons_graph_dump_text(const ons_graph *g, FILE *f);
uint64_t ons_graph_hash(const ons_graph *g);

#endif
