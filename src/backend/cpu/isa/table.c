/* The f32 kernel lists of this instruction set. */
#include "backend/cpu/isa/kernels.h"

const ons_kernel *ons_cpu_kernels(ons_op op);

static const ons_kernel *find_elementwise(ons_op op)
{
    switch (op) {
    case ONS_OP_ADD:
    case ONS_OP_SUB:
    case ONS_OP_MUL:
        return ons_binary_kernels;
    case ONS_OP_AFFINE:
    case ONS_OP_SILU:
    case ONS_OP_GELU:
    case ONS_OP_QUICK_GELU:
    case ONS_OP_RELU:
    case ONS_OP_TANH:
    case ONS_OP_EXP:
    case ONS_OP_LOG:
    case ONS_OP_SQRT:
    case ONS_OP_SQUARE:
    case ONS_OP_ABS:
    case ONS_OP_RECIPROCAL:
    case ONS_OP_SIGN:
    case ONS_OP_CLAMP:
    case ONS_OP_CLEAN:
        return ons_unary_kernels;
    case ONS_OP_SILU_GRAD:
    case ONS_OP_GELU_GRAD:
    case ONS_OP_QUICK_GELU_GRAD:
    case ONS_OP_RELU_GRAD:
    case ONS_OP_CLAMP_GRAD:
        return ons_unary_grad_kernels;
    case ONS_OP_GEGLU:
    case ONS_OP_GEGLU_GRAD:
        return ons_geglu_kernels;
    case ONS_OP_SUM_TO:
        return ons_sum_to_kernels;
    case ONS_OP_BROADCAST_TO:
        return ons_broadcast_kernels;
    default:
        return NULL;
    }
}

const ons_kernel *ons_cpu_kernels(ons_op op)
{
    switch (op) {
    case ONS_OP_DOWNSUM2X:
    case ONS_OP_AVG_POOL2X:
    case ONS_OP_AVG_POOL2X_GRAD:
    case ONS_OP_MAX_POOL2X:
    case ONS_OP_MAX_POOL2X_GRAD:
    case ONS_OP_UPSAMPLE_TO_GRAD:
        return ons_resample_kernels;
    case ONS_OP_CONV2D:
        return ons_conv_kernels;
    case ONS_OP_CONV2D_GRAD_X:
        return ons_conv_grad_x_kernels;
    case ONS_OP_CONV2D_GRAD_W:
        return ons_conv_grad_w_kernels;
    case ONS_OP_MATMUL:
        return ons_matmul_kernels;
    case ONS_OP_EMBEDDING_GRAD:
        return ons_embedding_grad_kernels;
    case ONS_OP_GROUP_NORM:
        return ons_group_norm_kernels;
    case ONS_OP_GROUP_NORM_GRAD:
        return ons_group_norm_grad_kernels;
    case ONS_OP_LAYER_NORM:
        return ons_layer_norm_kernels;
    case ONS_OP_LAYER_NORM_GRAD:
        return ons_layer_norm_grad_kernels;
    case ONS_OP_ATTENTION:
        return ons_attention_kernels;
    case ONS_OP_ATTENTION_GRAD:
        return ons_attention_grad_kernels;
    case ONS_OP_SOFTMAX:
    case ONS_OP_SOFTMAX_GRAD:
    case ONS_OP_LOG_SOFTMAX:
    case ONS_OP_LOG_SOFTMAX_GRAD:
        return ons_softmax_kernels;
    case ONS_OP_TIMESTEP_EMBEDDING:
        return ons_timestep_kernels;
    case ONS_OP_QUANTISE:
        return ons_quantise_kernels;
    default:
        return find_elementwise(op);
    }
}
