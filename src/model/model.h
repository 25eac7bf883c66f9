/*
 * Architectures as diffusers and transformers know them, built from their config.json. Each model has a config
 * struct, a reader and writer of config.json, and a builder that declares parameters and appends the network to
 * a graph (NHWC throughout).
 */
#ifndef ONS_MODEL_MODEL_H
#define ONS_MODEL_MODEL_H

#include "nn/nn.h"

enum { ONS_MAX_LEVELS = 8 };

/* UNet2DConditionModel */
typedef struct ons_unet_config {
    int in_channels, out_channels, sample_size;
    int n_levels;
    int block_out_channels[ONS_MAX_LEVELS];
    int layers_per_block[ONS_MAX_LEVELS];
    bool down_attention[ONS_MAX_LEVELS], up_attention[ONS_MAX_LEVELS]; /* CrossAttn block types */
    bool mid_attention, mid_block; /* UNetMidBlock2DCrossAttn; mid_block false: mid_block_type null */
    int mid_resnets;               /* without attention: 1 or 2 */
    int n_heads[ONS_MAX_LEVELS];   /* per level, diffusers' attention_head_dim as number of heads, or
                                      num_attention_heads */
    int transformer_layers[ONS_MAX_LEVELS];
    int cross_attention_dim;
    int norm_num_groups;
    double norm_eps;
    bool use_linear_projection, flip_sin_to_cos;
    double freq_shift;
    int downsample_padding;
} ons_unet_config;

/* AutoencoderKL, or AutoencoderTiny (TAESD), which has an encoder and a decoder of plain blocks and no
 * distribution between them. */
typedef enum ons_vae_kind { ONS_VAE_KL, ONS_VAE_TINY } ons_vae_kind;
typedef struct ons_vae_config {
    ons_vae_kind kind;
    int in_channels, out_channels, latent_channels, sample_size;
    int n_levels;
    int block_out_channels[ONS_MAX_LEVELS]; /* tiny: one width, in every entry */
    double scaling_factor, shift_factor;
    /* KL alone */
    int layers_per_block;
    int norm_num_groups;
    bool use_quant_conv, use_post_quant_conv, mid_block_add_attention;
    /* tiny alone */
    int encoder_blocks[ONS_MAX_LEVELS],
        decoder_blocks[ONS_MAX_LEVELS]; /* blocks of each level, in order of execution */
    bool no_encoder;                    /* a decoder alone, as TAESD's author publishes it */
} ons_vae_config;

/* CLIPTextModel */
typedef struct ons_clip_config {
    int vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads,
        max_position_embeddings;
    ons_op hidden_act; /* ONS_OP_QUICK_GELU or ONS_OP_GELU */
    double layer_norm_eps;
    int eos_token_id, bos_token_id, pad_token_id;
} ons_clip_config;

onestep_status ons_unet_config_load(const char *path, ons_unet_config *out) ONESTEP_CHECK;
onestep_status ons_unet_config_save(const ons_unet_config *c, const char *path) ONESTEP_CHECK;
onestep_status ons_vae_config_load(const char *path, ons_vae_config *out) ONESTEP_CHECK;
onestep_status ons_vae_config_save(const ons_vae_config *c, const char *path) ONESTEP_CHECK;
onestep_status ons_clip_config_load(const char *path, ons_clip_config *out) ONESTEP_CHECK;
onestep_status ons_clip_config_save(const ons_clip_config *c, const char *path) ONESTEP_CHECK;

/* Pixels per latent side, 2^(n_levels - 1). */
int ons_vae_factor(const ons_vae_config *c);

/*
 * x [N, h, w, in_channels], t f32 [N] timesteps, context [N, T, cross_attention_dim] -> [N, h, w, out_channels]
 * (f32). Odd sizes follow diffusers (upsampling to the size of the skip). nn's prefix is "" and its set the
 * UNet's own.
 */
ons_value *ons_unet_build(const ons_nn *nn, const ons_unet_config *c, ons_value *x, ons_value *t,
                          ons_value *context);
/*
 * pixels [N, H, W, 3] in [-1, 1] -> KL: moments [N, h, w, 2*latent_channels] (mean, logvar; logvar not yet
 * clamped); tiny: the latent itself [N, h, w, latent_channels]
 */
ons_value *ons_vae_encode_build(const ons_nn *nn, const ons_vae_config *c, ons_value *pixels);
/* latent (unscaled: already divided by scaling_factor) [N, h, w, latent_channels] -> pixels [N, H, W, 3] */
ons_value *ons_vae_decode_build(const ons_nn *nn, const ons_vae_config *c, ons_value *latent);
/* ids i32 [N, T] -> last hidden state after the final layer norm [N, T, hidden_size] */
ons_value *ons_clip_text_build(const ons_nn *nn, const ons_clip_config *c, ons_value *ids);

/* Declares all parameters of a model in `params` (through a throw-away graph) and allocates the set. */
onestep_status ons_unet_declare(const ons_unet_config *c, ons_params *params) ONESTEP_CHECK;
/* An adapter for `unet`'s layers, with the names of diffusers' LoRA files; declared in `params`, which must be
 * empty. */
onestep_status ons_unet_adapter_declare(const ons_unet_config *c, ons_params *unet, int rank,
                                        ons_params *params) ONESTEP_CHECK;
ons_nn_adapter ons_unet_adapter(ons_params *params, int slot, int rank, bool trainable);
onestep_status ons_vae_declare(const ons_vae_config *c, ons_params *params) ONESTEP_CHECK;
onestep_status ons_clip_declare(const ons_clip_config *c, ons_params *params) ONESTEP_CHECK;

/*
 * Feature network for metrics and perceptual distances: a small convolutional image tower with a CLIP-like text
 * tower beside it. Not a diffusers class; stored as config.json + model.safetensors in a folder of its own.
 */
typedef struct ons_features_config {
    int image_size;
    int n_levels;
    int channels[ONS_MAX_LEVELS]; /* per level: conv3x3, norm, relu (x2), then 2x2 mean pooling */
    int norm_num_groups;
    int embed_dim;
    ons_clip_config text; /* vocab_size 0: image tower only */
} ons_features_config;
onestep_status ons_features_config_load(const char *path, ons_features_config *out) ONESTEP_CHECK;
onestep_status ons_features_config_save(const ons_features_config *c, const char *path) ONESTEP_CHECK;
/* pixels [N, S, S, 3] -> levels[i]: activations after level i before pooling [N, S/2^i, S/2^i, channels[i]]
 * (levels may be NULL); returns unit-norm embedding [N, embed_dim] */
ons_value *ons_features_image_build(const ons_nn *nn, const ons_features_config *c, ons_value *pixels,
                                    ons_value **levels);
/* ids [N, T], last i32 [N]: position of the end token -> unit-norm embedding [N, embed_dim] */
ons_value *ons_features_text_build(const ons_nn *nn, const ons_features_config *c, ons_value *ids,
                                   ons_value *ends);
onestep_status ons_features_declare(const ons_features_config *c, ons_params *params) ONESTEP_CHECK;

#endif
