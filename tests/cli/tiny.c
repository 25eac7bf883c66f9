#include "tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "io/safetensors.h"
#include "pipeline/folder.h"

static const ons_unet_config unet = {.in_channels = 4,
                                     .out_channels = 4,
                                     .sample_size = 4,
                                     .n_levels = 2,
                                     .block_out_channels = {8, 16},
                                     .layers_per_block = {1, 1},
                                     .down_attention = {true, false},
                                     .up_attention = {false, true},
                                     .mid_attention = true,
                                     .mid_block = true,
                                     .n_heads = {2, 2},
                                     .transformer_layers = {1, 1},
                                     .cross_attention_dim = 16,
                                     .norm_num_groups = 4,
                                     .norm_eps = 1e-5,
                                     .flip_sin_to_cos = true,
                                     .downsample_padding = 1};
static const ons_vae_config vae = {.in_channels = 3,
                                   .out_channels = 3,
                                   .latent_channels = 4,
                                   .sample_size = 16,
                                   .n_levels = 3,
                                   .block_out_channels = {8, 8, 8},
                                   .layers_per_block = 1,
                                   .norm_num_groups = 4,
                                   .scaling_factor = 0.18215,
                                   .use_quant_conv = true,
                                   .use_post_quant_conv = true};

static const ons_vae_config tiny_vae = {.kind = ONS_VAE_TINY,
                                        .in_channels = 3,
                                        .out_channels = 3,
                                        .latent_channels = 4,
                                        .sample_size = 16,
                                        .n_levels = 3,
                                        .block_out_channels = {8, 8, 8},
                                        .scaling_factor = 1,
                                        .encoder_blocks = {1, 1, 2},
                                        .decoder_blocks = {2, 1, 1}};

static void check(onestep_status st)
{
    if (st != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

static void make_text_part(ons_model *m)
{
    static const char *const captions[] = {"red heart", "blue heart", "waving hand: medium skin tone", "a cat"};

    check(ons_tokenizer_train(captions, 4, 530, 12, &m->tokenizer));
    m->clip_config = (ons_clip_config){.vocab_size = ons_tokenizer_vocab_size(m->tokenizer),
                                       .hidden_size = 16,
                                       .intermediate_size = 32,
                                       .num_hidden_layers = 1,
                                       .num_attention_heads = 2,
                                       .max_position_embeddings = 12,
                                       .hidden_act = ONS_OP_QUICK_GELU,
                                       .layer_norm_eps = 1e-5,
                                       .eos_token_id = ons_tokenizer_end_id(m->tokenizer),
                                       .bos_token_id = ons_tokenizer_start_id(m->tokenizer),
                                       .pad_token_id = ons_tokenizer_pad_id(m->tokenizer)};
}

static void make_model(const char *folder, bool student, const ons_unet_config *unet_config,
                       const ons_vae_config *vae_config)
{
    ons_model m = {.unet_config = *unet_config, .vae_config = *vae_config};

    make_text_part(&m);
    ons_schedule_init_sd(&m.schedule);
    m.card = (ons_card){.steps = student ? 1 : 4,
                        .guidance = student ? 1 : 3,
                        .timestep = student ? 399 : -1,
                        .train_joules = -1};
    strcpy(m.card.sampler, student ? "lcm" : "ddim");
    strcpy(m.card.kind, student ? "student" : "teacher");
    check(ons_params_create(&m.unet));
    check(ons_params_create(&m.vae));
    check(ons_params_create(&m.clip));
    check(ons_unet_declare(unet_config, m.unet));
    check(ons_vae_declare(vae_config, m.vae));
    check(ons_clip_declare(&m.clip_config, m.clip));
    ons_params_init(m.unet, 1);
    ons_params_init(m.vae, 2);
    ons_params_init(m.clip, 3);
    check(ons_model_save(&m, folder, ONS_F32));
    ons_params_destroy(&m.unet);
    ons_params_destroy(&m.vae);
    ons_params_destroy(&m.clip);
    ons_tokenizer_close(&m.tokenizer);
}

void make_tiny_model(const char *folder, bool student)
{
    make_model(folder, student, &unet, &vae);
}

void make_wide_model(const char *folder)
{
    ons_unet_config wide_unet = unet;
    ons_vae_config wide_vae = vae;

    for (int i = 0; i < 2; i++)
        wide_unet.block_out_channels[i] = 32;
    for (int i = 0; i < 3; i++)
        wide_vae.block_out_channels[i] = 32;
    make_model(folder, true, &wide_unet, &wide_vae);
}

/* One half under its author's names: the chain's numbers, the decoder's one higher. */
static void write_half(const ons_safetensors *f, const char *half, const char *path)
{
    const bool decoder = half[0] == 'd';
    ons_safetensors_writer *w;

    check(ons_safetensors_writer_create(&w));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < ons_safetensors_count(f); i++) {
            const ons_file_tensor *t = ons_safetensors_at(f, i);
            char name[200];
            int number, n = 0;

            if (strncmp(t->name, half, strlen(half)) ||
                sscanf(t->name + strlen(half), ".layers.%d%n", &number, &n) != 1)
                continue;
            snprintf(name, sizeof name, "%d%.150s", number + decoder, t->name + strlen(half) + n);
            check(pass ? ons_safetensors_writer_data(w, t->data, t->size)
                       : ons_safetensors_writer_add(w, name, t->dtype, t->n_dims, t->dims));
        }
        if (pass == 0)
            check(ons_safetensors_writer_begin(w, path));
    }
    check(ons_safetensors_writer_commit(w));
    ons_safetensors_writer_destroy(&w);
}

void make_tiny_autoencoder(const char *folder)
{
    char path[4096];
    ons_params *params;
    ons_safetensors *f;

    check(ons_make_dirs(folder));
    snprintf(path, sizeof path, "%s/config.json", folder);
    check(ons_vae_config_save(&tiny_vae, path));
    check(ons_params_create(&params));
    check(ons_vae_declare(&tiny_vae, params));
    ons_params_init(params, 4);
    snprintf(path, sizeof path, "%s/diffusion_pytorch_model.safetensors", folder);
    check(ons_params_save(params, path, ONS_F32));
    ons_params_destroy(&params);
    check(ons_safetensors_open(path, &f));
    snprintf(path, sizeof path, "%s/taesd_decoder.safetensors", folder);
    write_half(f, "decoder", path);
    snprintf(path, sizeof path, "%s/taesd_encoder.safetensors", folder);
    write_half(f, "encoder", path);
    ons_safetensors_close(&f);
}
