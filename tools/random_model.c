/*
 * Writes a pipeline of Stable Diffusion's full size, or TAESD alone, with random weights: for timing, and for
 * comparing with other programs where nobody has the real weights. random_model sd15|sd21|taesd FOLDER
 * [f16|bf16|f32] The vocabulary is a small one of its own; everything else has the published sizes.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "pipeline/folder.h"

static ons_unet_config unet_config(bool second)
{
    ons_unet_config c = {.in_channels = 4,
                         .out_channels = 4,
                         .sample_size = 64,
                         .n_levels = 4,
                         .block_out_channels = {320, 640, 1280, 1280},
                         .layers_per_block = {2, 2, 2, 2},
                         .down_attention = {true, true, true, false},
                         .up_attention = {false, true, true, true},
                         .mid_attention = true,
                         .mid_block = true,
                         .mid_resnets = 2,
                         .n_heads = {8, 8, 8, 8},
                         .transformer_layers = {1, 1, 1, 1},
                         .cross_attention_dim = second ? 1024 : 768,
                         .norm_num_groups = 32,
                         .norm_eps = 1e-5,
                         .use_linear_projection = second,
                         .flip_sin_to_cos = true,
                         .downsample_padding = 1};

    for (int i = 0; second && i < 4; i++)
        c.n_heads[i] = c.block_out_channels[i] / 64;
    return c;
}

static const ons_vae_config vae_config = {.in_channels = 3,
                                          .out_channels = 3,
                                          .latent_channels = 4,
                                          .sample_size = 512,
                                          .n_levels = 4,
                                          .block_out_channels = {128, 256, 512, 512},
                                          .layers_per_block = 2,
                                          .norm_num_groups = 32,
                                          .scaling_factor = 0.18215,
                                          .use_quant_conv = true,
                                          .use_post_quant_conv = true,
                                          .mid_block_add_attention = true};

static const ons_vae_config tiny_config = {.kind = ONS_VAE_TINY,
                                           .in_channels = 3,
                                           .out_channels = 3,
                                           .latent_channels = 4,
                                           .sample_size = 512,
                                           .n_levels = 4,
                                           .block_out_channels = {64, 64, 64, 64},
                                           .scaling_factor = 1,
                                           .encoder_blocks = {1, 3, 3, 3},
                                           .decoder_blocks = {3, 3, 3, 1}};

static ons_clip_config clip_config(bool second, const ons_tokenizer *t)
{
    return (ons_clip_config){.vocab_size = 49408,
                             .hidden_size = second ? 1024 : 768,
                             .intermediate_size = second ? 4096 : 3072,
                             .num_hidden_layers = second ? 23 : 12,
                             .num_attention_heads = second ? 16 : 12,
                             .max_position_embeddings = 77,
                             .hidden_act = second ? ONS_OP_GELU : ONS_OP_QUICK_GELU,
                             .layer_norm_eps = 1e-5,
                             .bos_token_id = ons_tokenizer_start_id(t),
                             .eos_token_id = ons_tokenizer_end_id(t),
                             .pad_token_id = ons_tokenizer_pad_id(t)};
}

static onestep_status fill(ons_model *m, bool second)
{
    static const char *const captions[] = {"a photograph of a cat on a chair",
                                           "a photograph of a dog in a garden"};
    onestep_status st;

    ONS_TRY(ons_tokenizer_train(captions, 2, 600, 77, &m->tokenizer));
    m->unet_config = unet_config(second);
    m->vae_config = vae_config;
    m->clip_config = clip_config(second, m->tokenizer);
    ons_schedule_init_sd(&m->schedule);
    m->card = (ons_card){.steps = 20, .guidance = 7.5, .timestep = -1, .train_joules = -1};
    strcpy(m->card.kind, "teacher");
    strcpy(m->card.sampler, "ddim");
    ONS_TRY(ons_params_create(&m->unet));
    ONS_TRY(ons_params_create(&m->vae));
    ONS_TRY(ons_params_create(&m->clip));
    ONS_TRY(ons_unet_declare(&m->unet_config, m->unet));
    ONS_TRY(ons_vae_declare(&m->vae_config, m->vae));
    ONS_TRY(ons_clip_declare(&m->clip_config, m->clip));
    ons_params_init(m->unet, 1);
    ons_params_init(m->vae, 2);
    ons_params_init(m->clip, 3);
fail:
    return st;
}

/* Else the picture would be black: the decoder's values are brightness, 0 to 1. */
static void spread_brightness(ons_params *params)
{
    const int weight = ons_params_find(params, "decoder.layers.18.weight"),
              bias = ons_params_find(params, "decoder.layers.18.bias");
    float *w = ons_params_data(params, weight), *b = ons_params_data(params, bias);

    for (int64_t i = 0; i < ons_shape_count(&ons_params_at(params, weight)->shape); i++)
        w[i] *= 10;
    for (int64_t i = 0; i < ons_shape_count(&ons_params_at(params, bias)->shape); i++)
        b[i] = 0.5f;
}

static onestep_status save_tiny(const char *folder, ons_dtype type)
{
    char *weights = ons_path_join(folder, "diffusion_pytorch_model.safetensors"),
         *config = ons_path_join(folder, "config.json");
    ons_params *params = NULL;
    onestep_status st;

    if (!weights || !config) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory");
        goto fail;
    }
    ONS_TRY(ons_make_dirs(folder));
    ONS_TRY(ons_params_create(&params));
    ONS_TRY(ons_vae_declare(&tiny_config, params));
    ons_params_init(params, 1);
    spread_brightness(params);
    ONS_TRY(ons_params_save(params, weights, type));
    ONS_TRY(ons_vae_config_save(&tiny_config, config));
fail:
    ons_params_destroy(&params);
    ons_free(weights);
    ons_free(config);
    return st;
}

static onestep_status save_pipeline(bool second, const char *folder, ons_dtype type)
{
    ons_model *m = ons_calloc(1, sizeof *m);
    onestep_status st;

    if (!m)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory");
    ONS_TRY(fill(m, second));
    ONS_TRY(ons_model_save(m, folder, type));
fail:
    ons_model_close(&m);
    return st;
}

static bool read_type(const char *text, ons_dtype *out)
{
    static const ons_dtype types[] = {ONS_F16, ONS_BF16, ONS_F32};
    static const char *const names[] = {"f16", "bf16", "f32"};

    for (int i = 0; i < 3; i++)
        if (!strcmp(text, names[i])) {
            *out = types[i];
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    const bool tiny = !strcmp(kind, "taesd"), second = !strcmp(kind, "sd21");
    ons_dtype type = ONS_F16;
    onestep_status st;

    if (argc < 3 || argc > 4 || (!tiny && !second && strcmp(kind, "sd15")) ||
        (argc == 4 && !read_type(argv[3], &type))) {
        fprintf(stderr, "usage: random_model sd15|sd21|taesd FOLDER [f16|bf16|f32]\n");
        return 2;
    }
    st = tiny ? save_tiny(argv[2], type) : save_pipeline(second, argv[2], type);
    if (st != ONESTEP_OK)
        fprintf(stderr, "random_model: %s\n", onestep_error_text());
    return st != ONESTEP_OK;
}
