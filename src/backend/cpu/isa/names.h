/* Every shared name of these files carries its instruction set, so that the builds live side by side. */
#ifndef ONS_CPU_NAMES_H
#define ONS_CPU_NAMES_H

#ifndef ONS_VW
#error "ONS_VW (floats per vector) and ONS_ISA come from meson.build"
#endif
#define VW ONS_VW
#define ISA_PASTE2(a, b) a##_##b
#define ISA_PASTE(a, b) ISA_PASTE2(a, b)
#define ISA(name) ISA_PASTE(name, ONS_ISA)

#define ons_attention_grad_kernels ISA(ons_attention_grad_kernels)
#define ons_attention_kernels ISA(ons_attention_kernels)
#define ons_b_data ISA(ons_b_data)
#define ons_b_fill ISA(ons_b_fill)
#define ons_b_floats ISA(ons_b_floats)
#define ons_b_prepare ISA(ons_b_prepare)
#define ons_binary_kernels ISA(ons_binary_kernels)
#define ons_broadcast_kernels ISA(ons_broadcast_kernels)
#define ons_column_add ISA(ons_column_add)
#define ons_column_sum ISA(ons_column_sum)
#define ons_conv_grad_w_kernels ISA(ons_conv_grad_w_kernels)
#define ons_conv_grad_x_kernels ISA(ons_conv_grad_x_kernels)
#define ons_conv_kernels ISA(ons_conv_kernels)
#define ons_cpu_kernels ISA(ons_cpu_kernels)
#define ons_embedding_grad_kernels ISA(ons_embedding_grad_kernels)
#define ons_geglu_kernels ISA(ons_geglu_kernels)
#define ons_group_norm_grad_kernels ISA(ons_group_norm_grad_kernels)
#define ons_group_norm_kernels ISA(ons_group_norm_kernels)
#define ons_isa_convert ISA(ons_isa_convert)
#define ons_isa_probabilities ISA(ons_isa_probabilities)
#define ons_layer_norm_grad_kernels ISA(ons_layer_norm_grad_kernels)
#define ons_layer_norm_kernels ISA(ons_layer_norm_kernels)
#define ons_matmul_kernels ISA(ons_matmul_kernels)
#define ons_outer_pack_plain ISA(ons_outer_pack_plain)
#define ons_outer_run ISA(ons_outer_run)
#define ons_outer_scratch ISA(ons_outer_scratch)
#define ons_pack_b ISA(ons_pack_b)
#define ons_pack_b_floats ISA(ons_pack_b_floats)
#define ons_resample_kernels ISA(ons_resample_kernels)
#define ons_rows_run ISA(ons_rows_run)
#define ons_rows_scratch ISA(ons_rows_scratch)
#define ons_softmax_kernels ISA(ons_softmax_kernels)
#define ons_sum_to_kernels ISA(ons_sum_to_kernels)
#define ons_timestep_kernels ISA(ons_timestep_kernels)
#define ons_quantise_kernels ISA(ons_quantise_kernels)
#define ons_unary_grad_kernels ISA(ons_unary_grad_kernels)
#define ons_unary_kernels ISA(ons_unary_kernels)
#define ons_outer_tiles ISA(ons_outer_tiles)
#define ons_wino_refuse ISA(ons_wino_refuse)
#define ons_wino_pack ISA(ons_wino_pack)
#define ons_wino_prepare ISA(ons_wino_prepare)
#define ons_wino_run ISA(ons_wino_run)
#define ons_wino_destroy ISA(ons_wino_destroy)
#define ons_wino_grad_w_prepare ISA(ons_wino_grad_w_prepare)
#define ons_wino_grad_w_run ISA(ons_wino_grad_w_run)
#define ons_wino_grad_w_destroy ISA(ons_wino_grad_w_destroy)

#endif
