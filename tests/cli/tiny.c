#include "tiny.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

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

void make_tiny_model(const char *folder, bool student)
{
    ons_model m = {.unet_config = unet, .vae_config = vae};

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
    check(ons_unet_declare(&unet, m.unet));
    check(ons_vae_declare(&vae, m.vae));
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
