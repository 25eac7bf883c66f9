/*
 * config.json in and out: the published architectures have the published numbers of parameters, what is saved
 * loads as the same, and what is not supported is refused with key and value.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "vectors.h"

#define SD_BLOCKS                                                                                              \
    "\"block_out_channels\": [320, 640, 1280, 1280], \"layers_per_block\": 2, \"cross_attention_dim\": "

static const char sd15[] =
    "{\"_class_name\": \"UNet2DConditionModel\", " SD_BLOCKS "768, \"attention_head_dim\": 8, "
    "\"act_fn\": \"silu\", \"center_input_sample\": false, \"freq_shift\": 0, \"sample_size\": 64}";
static const char sd21[] =
    "{" SD_BLOCKS "1024, \"attention_head_dim\": [5, 10, 20, 20], "
    "\"use_linear_projection\": true, \"upcast_attention\": true, \"num_class_embeds\": null}";
static const char vae[] = "{\"block_out_channels\": [128, 256, 512, 512], \"layers_per_block\": 2, "
                          "\"down_block_types\": [\"DownEncoderBlock2D\"], \"sample_size\": 512}";
static const char clip_l[] =
    "{\"architectures\": [\"CLIPTextModel\"], \"hidden_size\": 768, "
    "\"intermediate_size\": 3072, \"num_attention_heads\": 12, \"num_hidden_layers\": 12}";
static const char clip_h[] =
    "{\"hidden_size\": 1024, \"intermediate_size\": 4096, \"num_attention_heads\": 16, "
    "\"num_hidden_layers\": 23, \"hidden_act\": \"gelu\"}";

static char path[] = "/tmp/onestep-config-XXXXXX";

static void write_text(const char *text)
{
    assert_int_equal(ons_write_file(path, text, strlen(text)), ONESTEP_OK);
}

/* Walks the builder without laying out the weights, which would take gigabytes. */
static void check_totals(ons_graph *g, ons_params *params, int64_t n_values, int n_tensors)
{
    int64_t sum = 0;

    if (ons_graph_finish(g) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    for (int i = 0; i < ons_params_count(params); i++)
        sum += ons_shape_count(&ons_params_at(params, i)->shape);
    assert_int_equal(sum, n_values);
    assert_int_equal(ons_params_count(params), n_tensors);
    ons_graph_destroy(&g);
    ons_params_destroy(&params);
}

static void start(ons_graph **g, ons_params **params, ons_nn *nn)
{
    assert_int_equal(ons_graph_create(g), ONESTEP_OK);
    assert_int_equal(ons_params_create(params), ONESTEP_OK);
    ons_nn_init(nn, *g, *params, 0, false);
}

static void count_unet(const char *text, int64_t n_values, int n_tensors)
{
    ons_unet_config c;
    ons_params *params;
    ons_graph *g;
    ons_nn nn;

    write_text(text);
    if (ons_unet_config_load(path, &c) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    start(&g, &params, &nn);
    ons_unet_build(&nn, &c, ons_input(g, "x", ONS_F32, &ONS_SHAPE4(1, 64, 64, 4)),
                   ons_input(g, "t", ONS_F32, &ONS_SHAPE1(1)),
                   ons_input(g, "context", ONS_F32, &ONS_SHAPE3(1, 77, c.cross_attention_dim)));
    check_totals(g, params, n_values, n_tensors);
}

static void count_clip(const char *text, int64_t n_values, int n_tensors)
{
    ons_clip_config c;
    ons_params *params;
    ons_graph *g;
    ons_nn nn;

    write_text(text);
    assert_int_equal(ons_clip_config_load(path, &c), ONESTEP_OK);
    start(&g, &params, &nn);
    ons_clip_text_build(&nn, &c, ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(1, 77)));
    check_totals(g, params, n_values, n_tensors);
}

static void test_unet_totals(void **state)
{
    (void)state;
    count_unet(sd15, 859520964, 686);
    count_unet(sd21, 865910724, 686);
}

static void test_vae_total(void **state)
{
    ons_vae_config c;
    ons_params *params;
    ons_graph *g;
    ons_nn nn;

    (void)state;
    write_text(vae);
    assert_int_equal(ons_vae_config_load(path, &c), ONESTEP_OK);
    assert_int_equal(ons_vae_factor(&c), 8);
    start(&g, &params, &nn);
    ons_vae_encode_build(&nn, &c, ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(1, 64, 64, 3)));
    ons_vae_decode_build(&nn, &c, ons_input(g, "latent", ONS_F32, &ONS_SHAPE4(1, 8, 8, 4)));
    check_totals(g, params, 83653863, 248);
}

static void test_clip_totals(void **state)
{
    (void)state;
    count_clip(clip_l, 123060480, 196);
    count_clip(clip_h, 340387840, 372);
}

static void refuse_unet(const char *text, onestep_status expected, const char *word, const char *other)
{
    ons_unet_config c;

    write_text(text);
    assert_int_equal(ons_unet_config_load(path, &c), expected);
    assert_non_null(strstr(onestep_error_text(), word));
    assert_non_null(strstr(onestep_error_text(), other));
}

static void test_unsupported_is_named(void **state)
{
    ons_vae_config v;
    ons_clip_config t;

    (void)state;
    refuse_unet("{" SD_BLOCKS "768, \"addition_embed_type\": \"text_time\"}", ONESTEP_UNSUPPORTED,
                "addition_embed_type", "text_time");
    refuse_unet("{" SD_BLOCKS "768, \"act_fn\": \"mish\"}", ONESTEP_UNSUPPORTED, "act_fn", "mish");
    refuse_unet("{" SD_BLOCKS "768, \"class_embed_type\": \"timestep\"}", ONESTEP_UNSUPPORTED,
                "class_embed_type", "timestep");
    refuse_unet("{" SD_BLOCKS "768, \"resnet_time_scale_shift\": \"scale_shift\"}", ONESTEP_UNSUPPORTED,
                "resnet_time_scale_shift", "scale_shift");
    refuse_unet("{" SD_BLOCKS "[768, 768, 768, 1024]}", ONESTEP_UNSUPPORTED, "cross_attention_dim", "differ");
    refuse_unet("{" SD_BLOCKS "768, \"down_block_types\": [\"DownBlock2D\"]}", ONESTEP_BAD_FILE,
                "down_block_types", "1 entries for 4");
    refuse_unet("{" SD_BLOCKS "768, \"mid_block_type\": \"UNetMidBlock2DSimpleCrossAttn\"}",
                ONESTEP_UNSUPPORTED, "mid_block_type", "SimpleCrossAttn");
    refuse_unet("{" SD_BLOCKS "768, \"attention_head_dim\": 7}", ONESTEP_BAD_FILE, "attention_head_dim",
                "7 heads");
    write_text("{\"block_out_channels\": [64], \"down_block_types\": [\"AttnDownEncoderBlock2D\"]}");
    assert_int_equal(ons_vae_config_load(path, &v), ONESTEP_UNSUPPORTED);
    assert_non_null(strstr(onestep_error_text(), "AttnDownEncoderBlock2D"));
    write_text("{\"hidden_act\": \"relu\"}");
    assert_int_equal(ons_clip_config_load(path, &t), ONESTEP_UNSUPPORTED);
    assert_non_null(strstr(onestep_error_text(), "relu"));
}

static void test_saved_configs_load_the_same(void **state)
{
    static const char *const names[] = {"unet_plain", "unet_odd", "unet_bare", "unet_no_mid"};
    vectors v;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ons_unet_config a, b;

        vectors_open(&v, names[i]);
        memset(&a, 0, sizeof a);
        memset(&b, 0, sizeof b);
        assert_int_equal(ons_unet_config_load(v.config, &a), ONESTEP_OK);
        assert_int_equal(ons_unet_config_save(&a, path), ONESTEP_OK);
        assert_int_equal(ons_unet_config_load(path, &b), ONESTEP_OK);
        assert_memory_equal(&a, &b, sizeof a);
        vectors_close(&v);
    }
}

static void test_features_config(void **state)
{
    const ons_features_config a = {.image_size = 32,
                                   .n_levels = 2,
                                   .channels = {16, 24},
                                   .norm_num_groups = 8,
                                   .embed_dim = 40,
                                   .text = {.vocab_size = 99,
                                            .hidden_size = 16,
                                            .intermediate_size = 32,
                                            .num_hidden_layers = 1,
                                            .num_attention_heads = 2,
                                            .max_position_embeddings = 12,
                                            .hidden_act = ONS_OP_GELU,
                                            .layer_norm_eps = 1e-5,
                                            .eos_token_id = 98,
                                            .bos_token_id = 97,
                                            .pad_token_id = 98}};
    ons_features_config b;

    (void)state;
    assert_int_equal(ons_features_config_save(&a, path), ONESTEP_OK);
    assert_int_equal(ons_features_config_load(path, &b), ONESTEP_OK);
    assert_int_equal(b.n_levels, 2);
    assert_int_equal(b.channels[1], 24);
    assert_int_equal(b.embed_dim, 40);
    assert_int_equal(b.text.vocab_size, 99);
    assert_int_equal(b.text.hidden_act, ONS_OP_GELU);
    assert_int_equal(b.text.max_position_embeddings, 12);
}

static int make_file(void **state)
{
    const int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unet_totals),
        cmocka_unit_test(test_vae_total),
        cmocka_unit_test(test_clip_totals),
        cmocka_unit_test(test_unsupported_is_named),
        cmocka_unit_test(test_saved_configs_load_the_same),
        cmocka_unit_test(test_features_config),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
