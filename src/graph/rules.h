/*
 * The rules that the rows of ops.def name, private to the graph layer.
 *
 * A shape rule sees the inputs and the attributes, completes the attributes that follow from the inputs (a
 * kernel size, a resolved -1) and fills the outputs; the verifier runs the same rules again on finished nodes.
 * They are declared by hand and not from the rows because several rows share one rule and some have none.
 */
#ifndef ONS_GRAPH_RULES_H
#define ONS_GRAPH_RULES_H

#include "graph/graph.h"

enum { ONS_MESSAGE_SIZE = 512 };

typedef struct ons_rule {
    ons_op op;
    ons_value *const *in;
    int n_in;
    ons_attrs *attrs;
    ons_shape shape[ONS_MAX_OUTPUTS];
    ons_dtype dtype[ONS_MAX_OUTPUTS]; /* preset to the type of input 0 */
    char message[ONS_MESSAGE_SIZE];   /* why the rule refused */
} ons_rule;

/* False with a message, or true with every output described. */
typedef bool (*ons_shape_rule)(ons_rule *r);
/*
 * Appends the nodes that compute dx[i] for every input with need[i]. dy[j] is NULL where no gradient arrives at
 * output j (at least one is there). A dx left NULL is zero.
 */
typedef void (*ons_grad_rule)(ons_graph *g, const ons_node *n, ons_value *const *dy, const bool *need,
                              ons_value **dx);

typedef double (*ons_flops_rule)(const ons_node *n);

typedef enum ons_role { ONS_ROLE_LEAF, ONS_ROLE_VIEW, ONS_ROLE_UNARY, ONS_ROLE_COMPUTED } ons_role;
typedef enum ons_storage { ONS_STORES_FULL, ONS_STORES_BETWEEN, ONS_STORES_PRODUCT } ons_storage;

/* The columns of ops.def, which says what their values mean. */
typedef struct ons_op_row {
    const char *name;
    int n_in, n_out; /* n_in -1: any number */
    ons_role role;
    struct {
        ons_storage kind;
        unsigned f32_in, low_out; /* bits: inputs and outputs */
    } precision;
    unsigned slices;
    ons_flops_rule flops;
    ons_shape_rule shape;
    ons_grad_rule grad;
} ons_op_row;

extern const ons_op_row ons_op_rows[ONS_N_OPS];

/* Stores the message "op: ..." and returns false. */
bool ons_rule_fail(ons_rule *r, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
/* Arity, float inputs and the row's shape rule. */
bool ons_rule_run(ons_rule *r);
bool ons_dtype_is_float(ons_dtype t);
bool ons_quantisation_fits(double scale, int zero); /* positive and a float; a byte */

bool shape_like_first(ons_rule *r);
bool shape_reshape(ons_rule *r);
bool shape_binary(ons_rule *r);
bool shape_cast(ons_rule *r);
bool shape_quantise(ons_rule *r);
bool shape_geglu(ons_rule *r);
bool shape_from_attrs(ons_rule *r);
bool shape_transpose(ons_rule *r);
bool shape_concat(ons_rule *r);
bool shape_slice(ons_rule *r);
bool shape_pad_zero(ons_rule *r);
bool shape_upsample2x(ons_rule *r);
bool shape_downsum2x(ons_rule *r);
bool shape_size(ons_rule *r);
bool shape_conv2d(ons_rule *r);
bool shape_conv2d_upsampled(ons_rule *r);
bool shape_conv2d_grad_x(ons_rule *r);
bool shape_conv2d_grad_w(ons_rule *r);
bool shape_matmul(ons_rule *r);
bool shape_embedding(ons_rule *r);
bool shape_group_norm(ons_rule *r);
bool shape_layer_norm(ons_rule *r);
bool shape_norm_grad(ons_rule *r);
bool shape_attention(ons_rule *r);
bool shape_attention_grad(ons_rule *r);
bool shape_timestep_embedding(ons_rule *r);

double flops_conv2d(const ons_node *n);
double flops_conv2d_grad_x(const ons_node *n);
double flops_conv2d_grad_w(const ons_node *n);
double flops_matmul(const ons_node *n);
double flops_attention(const ons_node *n);
double flops_attention_grad(const ons_node *n);

#define ONS_GRAD_RULE(name)                                                                                    \
    void name(ons_graph *g, const ons_node *n, ons_value *const *dy, const bool *need, ons_value **dx)
ONS_GRAD_RULE(grad_reshape);
ONS_GRAD_RULE(grad_add);
ONS_GRAD_RULE(grad_sub);
ONS_GRAD_RULE(grad_mul);
ONS_GRAD_RULE(grad_affine);
ONS_GRAD_RULE(grad_silu);
ONS_GRAD_RULE(grad_gelu);
ONS_GRAD_RULE(grad_quick_gelu);
ONS_GRAD_RULE(grad_relu);
ONS_GRAD_RULE(grad_tanh);
ONS_GRAD_RULE(grad_exp);
ONS_GRAD_RULE(grad_log);
ONS_GRAD_RULE(grad_sqrt);
ONS_GRAD_RULE(grad_square);
ONS_GRAD_RULE(grad_abs);
ONS_GRAD_RULE(grad_reciprocal);
ONS_GRAD_RULE(grad_clamp);
ONS_GRAD_RULE(grad_cast);
ONS_GRAD_RULE(grad_geglu);
ONS_GRAD_RULE(grad_sum_to);
ONS_GRAD_RULE(grad_broadcast_to);
ONS_GRAD_RULE(grad_transpose);
ONS_GRAD_RULE(grad_concat);
ONS_GRAD_RULE(grad_slice);
ONS_GRAD_RULE(grad_pad_zero);
ONS_GRAD_RULE(grad_upsample2x);
ONS_GRAD_RULE(grad_downsum2x);
ONS_GRAD_RULE(grad_upsample_to);
ONS_GRAD_RULE(grad_avg_pool2x);
ONS_GRAD_RULE(grad_max_pool2x);
ONS_GRAD_RULE(grad_conv2d);
ONS_GRAD_RULE(grad_conv2d_grad_x);
ONS_GRAD_RULE(grad_matmul);
ONS_GRAD_RULE(grad_embedding);
ONS_GRAD_RULE(grad_group_norm);
ONS_GRAD_RULE(grad_layer_norm);
ONS_GRAD_RULE(grad_attention);
ONS_GRAD_RULE(grad_softmax);
ONS_GRAD_RULE(grad_log_softmax);

#endif
