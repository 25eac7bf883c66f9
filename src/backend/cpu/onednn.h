/*
 * oneDNN's products as kernels. The rows (onednn_conv.c, onednn_matmul.c) describe a product by its tensors;
 * onednn_cut.c cuts it into pieces; onednn.c makes a primitive of each, books their scratchpads and runs them,
 * every one on one thread, so that oneDNN waits for nobody; onednn_weights.c moves weights into the
 * layout that the primitive wants and weight gradients out of it.
 */
#ifndef ONS_CPU_ONEDNN_H
#define ONS_CPU_ONEDNN_H

#include "backend/cpu/cpu.h"

enum { ONS_ONEDNN_MAX_DIMS = 12 }; /* oneDNN's */

typedef enum ons_onednn_kind {
    ONS_ONEDNN_CONV,
    ONS_ONEDNN_CONV_GRAD_X,
    ONS_ONEDNN_CONV_GRAD_W,
    ONS_ONEDNN_MATMUL
} ons_onednn_kind;

/* Operands by the part they play in the forward product; a gradient stands where its value would. */
typedef enum ons_onednn_role {
    ONS_ONEDNN_SRC,
    ONS_ONEDNN_WEIGHTS,
    ONS_ONEDNN_BIAS,
    ONS_ONEDNN_DST,
    ONS_ONEDNN_RESIDUAL,
    ONS_ONEDNN_SCALE, /* of 8-bit products: what a sum is multiplied by, by output */
    ONS_ONEDNN_N_ROLES
} ons_onednn_role;

/* A tensor with dimensions in oneDNN's order, strides in elements. */
typedef struct ons_onednn_tensor {
    int n; /* dimensions; 0: absent */
    ons_dtype dtype;
    int64_t d[ONS_ONEDNN_MAX_DIMS], stride[ONS_ONEDNN_MAX_DIMS];
} ons_onednn_tensor;

typedef struct ons_onednn_desc {
    ons_onednn_kind kind;
    ons_dtype type; /* of the factors: F32 or BF16; U8: of the first, weights are then I8 */
    float scale;    /* U8: first factors are scale * (number - zero) */
    int zero;
    ons_onednn_tensor at[ONS_ONEDNN_N_ROLES];
    bool packed_weights; /* they come in the layout that oneDNN chose (with free_weights) */
    bool free_weights;   /* oneDNN chooses the layout of the weights; otherwise they are read as they lie */
    int64_t stride, pad_before[2], pad_after[2]; /* of a convolution: height, width */
    float alpha; /* of a matrix product: factor on the sums, before bias and residual */
} ons_onednn_desc;

/* Where oneDNN wants weights: plain data, kept beside a packed copy. */
typedef struct ons_onednn_layout {
    ons_onednn_tensor plain;             /* as the weight store has them */
    ons_dtype dtype;                     /* in the layout */
    int64_t stride[ONS_ONEDNN_MAX_DIMS]; /* between blocks, by dimension */
    int n_blocks;
    int64_t block[ONS_ONEDNN_MAX_DIMS], block_dim[ONS_ONEDNN_MAX_DIMS]; /* outer to inner */
    size_t bytes;
    int n_threads;
} ons_onednn_layout;

/* Pieces of a product, which depend on its shape and the number of threads alone. */
typedef struct ons_onednn_cut {
    int n;     /* pieces */
    int bands; /* per image; of a matrix product: more than 1 where rows are cut, not the batch */
} ons_onednn_cut;
ons_onednn_cut ons_onednn_choose_cut(const ons_onednn_desc *d, int n_threads);
/* Piece i, and where its operands begin within the whole ones, in bytes. */
void ons_onednn_cut_piece(const ons_onednn_desc *whole, const ons_onednn_cut *c, int i, ons_onednn_desc *piece,
                          size_t offset[ONS_ONEDNN_N_ROLES]);

/*
 * Makes the primitives for p->node: sets state, detail and scratch. UNSUPPORTED, saying why, when oneDNN has no
 * implementation or none worth running. Weights that are a parameter get a packed copy in its set.
 */
onestep_status ons_onednn_prepare(ons_prep *p, const ons_onednn_desc *d) ONESTEP_CHECK;
/* Data by role; NULL: absent, or a bias gradient that nobody wants. */
onestep_status ons_onednn_run(const ons_prep *p, void *const data[ONS_ONEDNN_N_ROLES],
                              void *scratch) ONESTEP_CHECK;
void ons_onednn_destroy(ons_prep *p);

/* The layout that free weights have; valid until destroy. */
const ons_onednn_layout *ons_onednn_layout_of(const ons_prep *p);
bool ons_onednn_same_layout(const ons_onednn_layout *a, const ons_onednn_layout *b);

/* Reason to refuse unless the factors are bf16, or the first is 8-bit and the CPU multiplies such, else NULL.
 */
const char *ons_onednn_refuse_not_bf16(const ons_node *n);
const char *ons_onednn_refuse_not_u8(const ons_node *n);

/* Moves all weights between their plain form and the layout; `unpack` is for f32 alone. */
void ons_onednn_pack(const ons_onednn_layout *l, void *packed, const void *plain);
void ons_onednn_unpack(const ons_onednn_layout *l, float *plain, const float *packed);
/* What index i of dimension d adds to the offset within the layout. */
int64_t ons_onednn_place(const ons_onednn_layout *l, int d, int64_t i);
/* The same weights from a mapped file's 16-bit values (an ons_pack_file_fn, with the layout as its context),
 * where the layout's dimensions are the parameter's own. */
bool ons_onednn_takes_file(const ons_onednn_layout *l, const ons_param *param);
void ons_onednn_pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param,
                          const void *context);
/* The same for layouts in lines of 16 outputs by two inputs of bf16; `strides` in the file by dimension, 0
 * where it has one index. false, and nothing done: another layout. */
bool ons_onednn_pack_lines(void *dst, const void *src, ons_dtype type, const ons_onednn_layout *l,
                           const int64_t *strides, int row_dim);
/*
 * 8-bit weights (layout of type I8): behind the numbers, by output, lie the scales and the sums of numbers.
 * Values come as in ons_onednn_pack, of any float type, and from a file as in ons_onednn_pack_file.
 */
typedef struct ons_onednn_i8 {
    float *scale; /* [n] */
    int32_t *sum; /* [n] */
    int64_t n;
} ons_onednn_i8;
size_t ons_onednn_i8_bytes(const ons_onednn_layout *l); /* all of it */
ons_onednn_i8 ons_onednn_i8_at(const ons_onednn_layout *l, const void *packed);
void ons_onednn_i8_pack(const ons_onednn_layout *l, void *packed, const void *plain);
void ons_onednn_i8_pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param,
                             const void *context);
/* Strides in the file by dimension of the layout; false: some dimension is none of the parameter's. */
bool ons_onednn_file_strides(const ons_onednn_layout *l, const ons_param *param, int64_t *strides);
/* The parameter that a value is, or is a view of; NULL: it is computed. */
const ons_node *ons_onednn_param(const ons_value *v);
/* The packed copy in the parameter's set; *out NULL when operand 1 is no parameter, or its set is not known
 * yet. */
onestep_status ons_onednn_share(ons_prep *p, const ons_onednn_layout *l, const ons_packed **out) ONESTEP_CHECK;

/* Rows of one operator; NULL: none. */
const ons_kernel *ons_onednn_conv_kernels(ons_op op, ons_onednn_rows which);
const ons_kernel *ons_onednn_matmul_kernels(ons_onednn_rows which);
const ons_kernel *ons_onednn_attention_kernels(ons_onednn_rows which);

#endif
