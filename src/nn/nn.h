/*
 * Layers as graph builders. A builder context ties a graph, a weight set (slot) and the current name prefix
 * together: asking for a layer declares its parameters on first use and finds them afterwards, so that one
 * description of a model serves to declare, initialise, check, load, save and run it.
 */
#ifndef ONS_NN_NN_H
#define ONS_NN_NN_H

#include "graph/graph.h"
#include "weights/weights.h"

/*
 * A low-rank change beside a frozen set (LoRA; Hu et al. 2021): every linear layer and convolution W of the
 * context gives W x + B A x, with A [rank, in] (convolutions: W's kernel) drawn as W would be and B [out, rank]
 * zero at first. Named UNET_NAME.lora_A.weight and lora_B.weight after `prefix`, as PEFT and diffusers do.
 */
typedef struct ons_nn_adapter {
    ons_params *params;
    int slot; /* of `params` in the plan */
    int rank; /* 0: no adapter */
    bool trainable;
    const char *prefix; /* "unet" */
} ons_nn_adapter;

typedef struct ons_nn {
    ons_graph *g;
    ons_params *params;
    int slot;       /* of `params` in the plan */
    bool trainable; /* leaves of this context */
    ons_nn_adapter adapter;
    char prefix[256]; /* "down_blocks.0.resnets.1", no trailing dot */
} ons_nn;

void ons_nn_init(ons_nn *nn, ons_graph *g, ons_params *params, int slot, bool trainable);
/* Child scope: names below get the extra prefix; also pushed as the graph's layer path. Returns a copy to build
 * with. */
ons_nn ons_nn_enter(const ons_nn *nn, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ons_nn_leave(const ons_nn *child); /* pops the graph's path */

/* A raw parameter leaf under the prefix. */
ons_value *ons_nn_param(const ons_nn *nn, const char *name, ons_param_kind kind, const ons_shape *shape,
                        ons_init_kind init, double init_scale);

/* The same of the context's adapter. */
ons_value *ons_nn_adapter_param(const ons_nn *nn, const char *name, ons_param_kind kind, const ons_shape *shape,
                                ons_init_kind init, double init_scale);

/* x [N, H, W, in] -> [N, H', W', out]; PyTorch's default initialisation. residual may be NULL. */
ons_value *ons_nn_conv(const ons_nn *nn, ons_value *x, const char *name, int64_t out, int kernel, int stride,
                       int pad, bool bias, ons_value *residual);
/* The same with padding side by side: the autoencoder pads right and bottom alone. */
ons_value *ons_nn_conv_at(const ons_nn *nn, ons_value *x, const char *name, int64_t out, int kernel, bool bias,
                          ons_value *residual, ons_conv_geometry geometry);
/* x [..., in] -> [..., out]. */
ons_value *ons_nn_linear(const ons_nn *nn, ons_value *x, const char *name, int64_t out, bool bias,
                         ons_value *residual);
/* The same with bias, weights drawn from a normal distribution of deviation `std` and zero bias, as
 * transformers starts CLIP. */
ons_value *ons_nn_linear_normal(const ons_nn *nn, ons_value *x, const char *name, int64_t out, double std,
                                ons_value *residual);
ons_value *ons_nn_group_norm(const ons_nn *nn, ons_value *x, const char *name, int n_groups, double eps,
                             ons_activation act);
ons_value *ons_nn_layer_norm(const ons_nn *nn, ons_value *x, const char *name, double eps);

/*
 * ResNet block of diffusers: GN, SiLU, conv3; + Linear(SiLU(temb)) per channel; GN, SiLU, conv3; + shortcut
 * (1x1 where channels change). x [N, H, W, C]; temb_act [N, D] is SiLU of the time embedding, NULL in
 * autoencoders.
 */
ons_value *ons_nn_resnet(const ons_nn *nn, const char *name, ons_value *x, ons_value *temb_act, int64_t out,
                         int n_groups, double eps);

/* Transformer2DModel over [N, H, W, C] with cross-attention to context [N, T, D]. */
typedef struct ons_transformer_options {
    int n_heads, n_layers, n_groups;
    bool linear_projection;
} ons_transformer_options;
ons_value *ons_nn_transformer(const ons_nn *nn, const char *name, ons_value *x, ons_value *context,
                              const ons_transformer_options *o);

#endif
