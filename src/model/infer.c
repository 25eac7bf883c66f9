/* Configurations read off a single file's tensors. */
#include <stdio.h>
#include <stdarg.h>

#include "model/recognise.h"

static const ons_file_tensor *find(const ons_safetensors *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const ons_file_tensor *find(const ons_safetensors *f, const char *format, ...)
{
    char name[200];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    return ons_safetensors_find(f, name);
}

/* Dimension d of a tensor; 0 where either is missing or senseless. */
static int dim(const ons_file_tensor *t, int d)
{
    return t && d < t->n_dims && t->dims[d] > 0 && t->dims[d] <= 1 << 20 ? (int)t->dims[d] : 0;
}

static onestep_status missing(const ons_safetensors *f, const char *what)
{
    return ons_fail(ONESTEP_BAD_FILE, "%s: %s is missing or has a shape that fits no known model",
                    ons_safetensors_path(f), what);
}

static const char *const unet_prefixes[] = {"model.diffusion_model.", ""}, *const vae_prefixes[] = {
                                                                               "first_stage_model.", ""};

/* The first prefix under which `name` is there; NULL: none. */
static const char *choose_prefix(const ons_safetensors *f, const char *const prefixes[2], const char *name)
{
    for (int i = 0; i < 2; i++)
        if (find(f, "%s%s", prefixes[i], name))
            return prefixes[i];
    return NULL;
}

static int count_blocks(const ons_safetensors *f, const char *prefix)
{
    int n = 0;

    while (n < 64 && find(f, "%stransformer_blocks.%d.norm1.weight", prefix, n))
        n++;
    return n;
}

/* Entry n of the way down into level `level`: false when there is no such entry. */
static bool read_entry(const ons_safetensors *f, const char *p, int n, int level, ons_unet_config *c)
{
    char attention[64];
    const int width = dim(find(f, "%sinput_blocks.%d.0.out_layers.3.weight", p, n), 0);

    if (!width)
        return false;
    snprintf(attention, sizeof attention, "%sinput_blocks.%d.1.", p, n);
    c->block_out_channels[level] = width;
    c->layers_per_block[level]++;
    if (count_blocks(f, attention)) {
        c->down_attention[level] = true;
        c->transformer_layers[level] = count_blocks(f, attention);
        c->cross_attention_dim = dim(find(f, "%stransformer_blocks.0.attn2.to_k.weight", attention), 1);
        c->use_linear_projection = find(f, "%sproj_in.weight", attention)->n_dims == 2;
    }
    return true;
}

static onestep_status read_down(const ons_safetensors *f, const char *p, ons_unet_config *c)
{
    int n = 1;

    for (c->n_levels = 1;; n++) {
        if (find(f, "%sinput_blocks.%d.0.op.weight", p, n)) {
            if (c->n_levels == ONS_MAX_LEVELS)
                return missing(f, "a UNet of at most 8 levels");
            c->n_levels++;
        } else if (!read_entry(f, p, n, c->n_levels - 1, c)) {
            return ONESTEP_OK;
        }
    }
}

static void read_up(const ons_safetensors *f, const char *p, ons_unet_config *c)
{
    for (int i = 0, n = 0; i < c->n_levels; n += c->layers_per_block[c->n_levels - 1 - i] + 1, i++)
        c->up_attention[i] = find(f, "%soutput_blocks.%d.1.proj_in.weight", p, n) != NULL;
}

/* Shapes do not tell heads: 8 of any size in the first models, of 64 channels in those with linear projections.
 */
static void assume_heads(ons_unet_config *c)
{
    for (int i = 0; i < c->n_levels; i++) {
        c->n_heads[i] = c->use_linear_projection ? c->block_out_channels[i] / 64 : 8;
        if (c->n_heads[i] < 1 || c->block_out_channels[i] % c->n_heads[i])
            c->n_heads[i] = 1;
        if (!c->transformer_layers[i])
            c->transformer_layers[i] = 1;
    }
}

static onestep_status check_levels(const ons_safetensors *f, const ons_unet_config *c)
{
    for (int i = 0; i < c->n_levels; i++)
        if (!c->layers_per_block[i] || c->block_out_channels[i] % c->norm_num_groups)
            return missing(f, "a level of the UNet with widths that divide into 32 groups");
    if (!c->in_channels || !c->out_channels || !c->cross_attention_dim)
        return missing(f, "input_blocks.0.0.weight, out.2.weight or the cross-attention of the UNet");
    return ONESTEP_OK;
}

onestep_status ons_unet_config_infer(const ons_safetensors *f, ons_unet_config *c)
{
    const char *p = choose_prefix(f, unet_prefixes, "input_blocks.0.0.weight");
    onestep_status st;

    *c = (ons_unet_config){.norm_num_groups = 32,
                           .norm_eps = 1e-5,
                           .flip_sin_to_cos = true,
                           .downsample_padding = 1,
                           .sample_size = 64,
                           .mid_block = true,
                           .mid_resnets = 2};
    if (!p)
        return missing(f, "model.diffusion_model.input_blocks.0.0.weight");
    c->in_channels = dim(find(f, "%sinput_blocks.0.0.weight", p), 1);
    c->out_channels = dim(find(f, "%sout.2.weight", p), 0);
    ONS_TRY(read_down(f, p, c));
    read_up(f, p, c);
    c->mid_attention = find(f, "%smiddle_block.1.proj_in.weight", p) != NULL;
    assume_heads(c);
    st = check_levels(f, c);
fail:
    return st;
}

static onestep_status read_vae_levels(const ons_safetensors *f, const char *p, ons_vae_config *c)
{
    for (int i = 0; i < ONS_MAX_LEVELS; i++) {
        const int width = dim(find(f, "%sencoder.down.%d.block.0.conv2.weight", p, i), 0);

        if (!width)
            break;
        c->block_out_channels[c->n_levels++] = width;
    }
    while (c->layers_per_block < 64 &&
           find(f, "%sencoder.down.0.block.%d.conv2.weight", p, c->layers_per_block))
        c->layers_per_block++;
    for (int i = 0; i < c->n_levels; i++)
        if (c->block_out_channels[i] % c->norm_num_groups)
            return missing(f, "a level of the autoencoder with a width that divides into 32 groups");
    return c->n_levels ? ONESTEP_OK : missing(f, "first_stage_model.encoder.down.0.block.0.conv2.weight");
}

onestep_status ons_vae_config_infer(const ons_safetensors *f, ons_vae_config *c)
{
    const char *p = choose_prefix(f, vae_prefixes, "decoder.conv_in.weight");
    onestep_status st;

    *c = (ons_vae_config){.in_channels = 3,
                          .out_channels = 3,
                          .sample_size = 512,
                          .norm_num_groups = 32,
                          .scaling_factor = 0.18215};
    if (!p)
        return missing(f, "first_stage_model.decoder.conv_in.weight");
    c->latent_channels = dim(find(f, "%sdecoder.conv_in.weight", p), 1);
    c->use_quant_conv = find(f, "%squant_conv.weight", p) != NULL;
    c->use_post_quant_conv = find(f, "%spost_quant_conv.weight", p) != NULL;
    c->mid_block_add_attention = find(f, "%sdecoder.mid.attn_1.q.weight", p) != NULL;
    ONS_TRY(read_vae_levels(f, p, c));
    if (!c->latent_channels)
        st = missing(f, "first_stage_model.decoder.conv_in.weight");
fail:
    return st;
}

/* Blocks from position *at of a chain on; *at moves behind them. */
static int count_chain_blocks(const ons_safetensors *f, const char *format, int *at)
{
    int n = 0;
    char name[64];

    for (;; n++, ++*at) {
        snprintf(name, sizeof name, format, *at);
        if (n == 64 || !find(f, "%s.conv.0.weight", name))
            return n;
    }
}

/* A chain of levels, each with its blocks and a convolution behind (decoder) or before them (encoder);
 * upsampling takes a place too. */
static void read_tiny_decoder(const ons_safetensors *f, const char *format, int at, ons_vae_config *c)
{
    char name[64];

    for (c->n_levels = 0; c->n_levels < ONS_MAX_LEVELS;) {
        c->decoder_blocks[c->n_levels++] = count_chain_blocks(f, format, &at);
        snprintf(name, sizeof name, format, at);
        if (find(f, "%s.weight", name)) /* the last convolution follows its blocks at once */
            return;
        at += 2;
    }
}

static void read_tiny_encoder(const ons_safetensors *f, const char *format, ons_vae_config *c)
{
    int at = 0;

    for (int i = 0; i < c->n_levels; i++) {
        at++;
        c->encoder_blocks[i] = count_chain_blocks(f, format, &at);
    }
}

void ons_tiny_vae_config_add_encoder(const ons_safetensors *f, ons_vae_config *c)
{
    c->no_encoder = false;
    read_tiny_encoder(f, "%d", c);
}

onestep_status ons_tiny_vae_config_infer(const ons_safetensors *f, ons_vae_config *c)
{
    const bool alone = !find(f, "decoder.layers.0.weight");
    const ons_file_tensor *first = find(f, alone ? "1.weight" : "decoder.layers.0.weight");

    *c = (ons_vae_config){
        .kind = ONS_VAE_TINY, .in_channels = 3, .out_channels = 3, .sample_size = 512, .scaling_factor = 1};
    c->latent_channels = dim(first, 1);
    read_tiny_decoder(f, alone ? "%d" : "decoder.layers.%d", alone ? 3 : 2, c);
    for (int i = 0; i < c->n_levels; i++)
        c->block_out_channels[i] = dim(first, 0);
    c->no_encoder = !find(f, "encoder.layers.0.weight");
    if (!c->no_encoder)
        read_tiny_encoder(f, "encoder.layers.%d", c);
    return c->latent_channels && c->block_out_channels[0] && c->n_levels < ONS_MAX_LEVELS
               ? ONESTEP_OK
               : missing(f, "decoder.layers.0.weight");
}

/* OpenCLIP: the last layer is not used by Stable Diffusion 2, its activation is the exact GELU, and it pads
 * with 0. */
static void infer_open_clip(const ons_safetensors *f, const char *p, ons_clip_config *c)
{
    const ons_file_tensor *words = find(f, "%stoken_embedding.weight", p);

    c->vocab_size = dim(words, 0);
    c->hidden_size = dim(words, 1);
    c->max_position_embeddings = dim(find(f, "%spositional_embedding", p), 0);
    c->intermediate_size = dim(find(f, "%stransformer.resblocks.0.mlp.c_fc.weight", p), 0);
    while (c->num_hidden_layers < 256 &&
           find(f, "%stransformer.resblocks.%d.ln_1.weight", p, c->num_hidden_layers + 1))
        c->num_hidden_layers++;
    c->hidden_act = ONS_OP_GELU;
    c->pad_token_id = 0;
}

static void infer_clip(const ons_safetensors *f, const char *p, ons_clip_config *c)
{
    const ons_file_tensor *words = find(f, "%sembeddings.token_embedding.weight", p);

    c->vocab_size = dim(words, 0);
    c->hidden_size = dim(words, 1);
    c->max_position_embeddings = dim(find(f, "%sembeddings.position_embedding.weight", p), 0);
    c->intermediate_size = dim(find(f, "%sencoder.layers.0.mlp.fc1.weight", p), 0);
    while (c->num_hidden_layers < 256 && find(f, "%sencoder.layers.%d.mlp.fc1.weight", p, c->num_hidden_layers))
        c->num_hidden_layers++;
    c->hidden_act = ONS_OP_QUICK_GELU;
    c->pad_token_id = c->vocab_size - 1;
}

onestep_status ons_clip_config_infer(const ons_safetensors *f, ons_clip_config *c)
{
    static const char *const prefixes[] = {"cond_stage_model.transformer.text_model.",
                                           "cond_stage_model.transformer."};
    static const char *const open_prefixes[] = {"cond_stage_model.model.", ""};
    const char *p = choose_prefix(f, prefixes, "embeddings.token_embedding.weight");
    const char *open = choose_prefix(f, open_prefixes, "transformer.resblocks.0.ln_1.weight");

    *c = (ons_clip_config){.layer_norm_eps = 1e-5};
    if (!p && !open)
        return missing(f, "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight");
    if (p)
        infer_clip(f, p, c);
    else
        infer_open_clip(f, open, c);
    if (c->vocab_size < 3 || !c->hidden_size || !c->max_position_embeddings || !c->intermediate_size)
        return missing(f, "a tensor of the text encoder");
    c->num_attention_heads = c->hidden_size % 64 ? 1 : c->hidden_size / 64;
    c->bos_token_id = c->vocab_size - 2;
    c->eos_token_id = c->vocab_size - 1;
    return ONESTEP_OK;
}
