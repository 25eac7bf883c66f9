/*
 * Checkpoints in one file, as they were published: a small model is written under the original names (which
 * test_names.c checks), opened, and must be the model that it was. Then what people give by mistake, and parts
 * that replace others.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "model/names.h"
#include "model/recognise.h"
#include "pipeline/folder.h"
#include "vectors.h"

#define CHECK(call)                                                                                            \
    do {                                                                                                       \
        if ((call) != ONESTEP_OK)                                                                              \
            fail_msg("%s", onestep_error_text());                                                              \
    } while (0)

static char root[512];

static const char *in_root(const char *name)
{
    static char paths[4][640];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static void fill_configs(ons_model *m, bool second)
{
    m->unet_config = (ons_unet_config){.in_channels = 4,
                                       .out_channels = 4,
                                       .sample_size = 64,
                                       .n_levels = 2,
                                       .block_out_channels = {64, 64},
                                       .layers_per_block = {1, 2},
                                       .down_attention = {true, false},
                                       .up_attention = {false, true},
                                       .mid_attention = true,
                                       .mid_block = true,
                                       .mid_resnets = 2,
                                       .n_heads = {second ? 1 : 8, second ? 1 : 8},
                                       .transformer_layers = {1, 1},
                                       .cross_attention_dim = 64,
                                       .norm_num_groups = 32,
                                       .norm_eps = 1e-5,
                                       .use_linear_projection = second,
                                       .flip_sin_to_cos = true,
                                       .downsample_padding = 1};
    m->vae_config = (ons_vae_config){.in_channels = 3,
                                     .out_channels = 3,
                                     .latent_channels = 4,
                                     .sample_size = 512,
                                     .n_levels = 3,
                                     .block_out_channels = {32, 32, 64},
                                     .layers_per_block = 1,
                                     .norm_num_groups = 32,
                                     .scaling_factor = 0.18215,
                                     .use_quant_conv = true,
                                     .use_post_quant_conv = true,
                                     .mid_block_add_attention = true};
    m->clip_config = (ons_clip_config){.vocab_size = ons_tokenizer_vocab_size(m->tokenizer),
                                       .hidden_size = 64,
                                       .intermediate_size = 96,
                                       .num_hidden_layers = 2,
                                       .num_attention_heads = 1,
                                       .max_position_embeddings = ons_tokenizer_context(m->tokenizer),
                                       .hidden_act = second ? ONS_OP_GELU : ONS_OP_QUICK_GELU,
                                       .layer_norm_eps = 1e-5,
                                       .bos_token_id = ons_tokenizer_start_id(m->tokenizer),
                                       .eos_token_id = ons_tokenizer_end_id(m->tokenizer),
                                       .pad_token_id = second ? 0 : ons_tokenizer_end_id(m->tokenizer)};
}

/* second: as Stable Diffusion 2, with linear projections and OpenCLIP. */
static ons_model *make_model(bool second)
{
    static const char *const captions[] = {"the cat", "the dog", "a cat and a dog", "the red cat"};
    ons_model *m = ons_calloc(1, sizeof *m);

    assert_non_null(m);
    m->path = ons_strdup("memory");
    CHECK(ons_tokenizer_train(captions, 4, 520, 16, &m->tokenizer));
    fill_configs(m, second);
    ons_schedule_init_sd(&m->schedule);
    CHECK(ons_params_create(&m->unet));
    CHECK(ons_params_create(&m->vae));
    CHECK(ons_params_create(&m->clip));
    CHECK(ons_unet_declare(&m->unet_config, m->unet));
    CHECK(ons_vae_declare(&m->vae_config, m->vae));
    CHECK(ons_clip_declare(&m->clip_config, m->clip));
    ons_params_init(m->unet, 1);
    ons_params_init(m->vae, 2);
    ons_params_init(m->clip, 3);
    m->card = (ons_card){.steps = 4, .guidance = 3, .sampler = "ddim", .timestep = -1, .kind = "teacher"};
    return m;
}

/* A file under construction: tensors by name, parts of one put together. */
typedef struct rows {
    struct {
        char name[512];
        int64_t dims[4];
        int n_dims;
        float *values;
        size_t n;
    } at[1000];
    int n;
} rows;

static void add_row(rows *r, ons_params *p, int i, const ons_place_in_file *place, const char *prefix,
                    bool pictures)
{
    const ons_param *param = ons_params_at(p, i);
    const size_t count = (size_t)ons_shape_count(&param->shape);
    const int64_t *d = param->shape.d;
    int k = 0;
    char name[512];

    snprintf(name, sizeof name, "%s%s", prefix, place->name);
    while (k < r->n && strcmp(r->at[k].name, name))
        k++;
    if (k == r->n) {
        assert_true(r->n < 1000);
        r->n++;
        strcpy(r->at[k].name, name);
        r->at[k].n_dims = param->shape.n;
        memcpy(r->at[k].dims, d, sizeof r->at[k].dims);
        if (param->kind == ONS_PARAM_CONV)
            memcpy(r->at[k].dims, (int64_t[]){d[0], d[3], d[1], d[2]}, sizeof r->at[k].dims);
        if (param->kind == ONS_PARAM_MATRIX &&
            pictures) { /* attention of the autoencoder: 1x1 convolutions there */
            r->at[k].n_dims = 4;
            memcpy(r->at[k].dims, (int64_t[]){d[0], d[1], 1, 1}, sizeof r->at[k].dims);
        }
        r->at[k].dims[0] *= place->n_parts;
        r->at[k].n = count * (size_t)place->n_parts;
        r->at[k].values = ons_calloc(r->at[k].n, sizeof(float));
    }
    if (param->kind == ONS_PARAM_CONV)
        ons_nhwc_to_nchw(r->at[k].values, ons_params_data(p, i), d[0], d[3], d[1] * d[2], 1);
    else
        memcpy(r->at[k].values + (size_t)place->part * count, ons_params_data(p, i), count * sizeof(float));
}

static void add_clip(rows *r, ons_model *m, bool second)
{
    for (int i = 0; i < ons_params_count(m->clip); i++) {
        ons_place_in_file place = {.n_parts = 1};

        snprintf(place.name, sizeof place.name, "%s", ons_params_at(m->clip, i)->name);
        if (second)
            assert_true(ons_clip_original_name(ons_params_at(m->clip, i)->name, &place));
        add_row(r, m->clip, i, &place, second ? "cond_stage_model.model." : "cond_stage_model.transformer.",
                false);
    }
    if (second) { /* the last layer, of which Stable Diffusion 2 takes nothing */
        add_row(r, m->clip, 0,
                &(ons_place_in_file){.name = "transformer.resblocks.2.ln_1.weight", .n_parts = 1},
                "cond_stage_model.model.", false);
    }
}

static void write_rows(rows *r, const char *path, const char *without, ons_dtype dtype)
{
    ons_safetensors_writer *w;

    CHECK(ons_safetensors_writer_create(&w));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < r->n; i++) {
            void *half = ons_malloc(r->at[i].n * 4);

            if (without && !strcmp(without, r->at[i].name)) {
                ons_free(half);
                continue;
            }
            ons_convert(half, dtype, r->at[i].values, ONS_F32, r->at[i].n);
            if (pass == 0)
                CHECK(ons_safetensors_writer_add(w, r->at[i].name, dtype, r->at[i].n_dims, r->at[i].dims));
            else
                CHECK(ons_safetensors_writer_data(w, half, r->at[i].n * ons_dtype_size(dtype)));
            ons_free(half);
        }
        if (pass == 0)
            CHECK(ons_safetensors_writer_begin(w, path));
    }
    CHECK(ons_safetensors_writer_commit(w));
    ons_safetensors_writer_destroy(&w);
}

static void write_checkpoint(ons_model *m, bool second, const char *path, const char *without, ons_dtype dtype)
{
    rows *r = ons_calloc(1, sizeof *r);
    ons_place_in_file place;

    for (int i = 0; i < ons_params_count(m->unet); i++) {
        assert_true(ons_unet_original_name(&m->unet_config, ons_params_at(m->unet, i)->name, &place));
        add_row(r, m->unet, i, &place, "model.diffusion_model.", false);
    }
    for (int i = 0; i < ons_params_count(m->vae); i++) {
        assert_true(ons_vae_original_name(&m->vae_config, ons_params_at(m->vae, i)->name, &place));
        add_row(r, m->vae, i, &place, "first_stage_model.", true);
    }
    add_clip(r, m, second);
    write_rows(r, path, without, dtype);
    for (int i = 0; i < r->n; i++)
        ons_free(r->at[i].values);
    ons_free(r);
}

static void check_same(ons_params *a, ons_params *b)
{
    const float *x = ons_params_region(a), *y = ons_params_region(b);

    assert_int_equal(ons_params_region_size(a), ons_params_region_size(b));
    assert_memory_equal(x, y, ons_params_region_size(a) * sizeof *x);
}

static void check_kind_of_model(bool second, const char *name)
{
    ons_model *m = make_model(second), *again;

    CHECK(ons_tokenizer_save(m->tokenizer, in_root("tokenizer")));
    write_checkpoint(m, second, in_root(name), NULL, ONS_F32);
    CHECK(ons_model_assemble(&(ons_model_sources){.model = in_root(name)}, &again));
    assert_memory_equal(&m->unet_config, &again->unet_config, sizeof m->unet_config);
    assert_memory_equal(&m->vae_config, &again->vae_config, sizeof m->vae_config);
    assert_memory_equal(&m->clip_config, &again->clip_config, sizeof m->clip_config);
    check_same(m->unet, again->unet);
    check_same(m->vae, again->vae);
    check_same(m->clip, again->clip);
    assert_int_equal(ons_tokenizer_pad_id(again->tokenizer), m->clip_config.pad_token_id);
    assert_int_equal(again->prediction_stated, !second);
    ons_model_close(&again);
    ons_model_close(&m);
}

static void test_first(void **state)
{
    (void)state;
    check_kind_of_model(false, "first.safetensors");
}

static void test_second(void **state)
{
    (void)state;
    check_kind_of_model(true, "second.safetensors");
}

static void check_refused(const ons_model_sources *s, onestep_status expected, const char *word,
                          const char *other)
{
    ons_model *m;

    assert_int_equal(ons_model_assemble(s, &m), expected);
    assert_null(m);
    if (!strstr(onestep_error_text(), word) || !strstr(onestep_error_text(), other))
        fail_msg("\"%s\" does not say %s and %s", onestep_error_text(), word, other);
}

static void test_missing_tensor(void **state)
{
    static const char name[] = "model.diffusion_model.output_blocks.1.0.emb_layers.1.bias";
    ons_model *m = make_model(false);

    (void)state;
    CHECK(ons_tokenizer_save(m->tokenizer, in_root("tokenizer")));
    write_checkpoint(m, false, in_root("hole.safetensors"), name, ONS_F16);
    check_refused(&(ons_model_sources){.model = in_root("hole.safetensors")}, ONESTEP_NOT_FOUND,
                  "up_blocks.0.resnets.1.time_emb_proj.bias", "missing");
    ons_model_close(&m);
}

/* One tensor of 4 values in a file of its own. */
static void write_lonely(const char *path, const char *name)
{
    ons_safetensors_writer *w;

    CHECK(ons_safetensors_writer_create(&w));
    CHECK(ons_safetensors_writer_add(w, name, ONS_F32, 1, (int64_t[]){4}));
    CHECK(ons_safetensors_writer_begin(w, path));
    CHECK(ons_safetensors_writer_data(w, (float[]){1, 2, 3, 4}, 16));
    CHECK(ons_safetensors_writer_commit(w));
    ons_safetensors_writer_destroy(&w);
}

static void test_recognised(void **state)
{
    static const struct {
        const char *tensor, *word, *way_out;
    } table[] = {
        {"conditioner.embedders.1.model.ln_final.weight", "SDXL", "two text encoders"},
        {"conditioner.embedders.0.model.ln_final.weight", "SDXL refiner", "expected"},
        {"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3", "expected"},
        {"model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "Flux", "expected"},
        {"double_blocks.0.img_attn.norm.key_norm.scale", "Flux", "expected"},
        {"control_model.input_blocks.0.0.weight", "ControlNet", "expected"},
        {"lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "LoRA", "--lora"},
        {"unet.down_blocks.0.attentions.0.proj_in.lora_A.weight", "LoRA", "--lora"},
        {"down_blocks.0.resnets.0.conv1.weight", "UNet alone", "--unet"},
        {"input_blocks.0.0.weight", "UNet alone", "--unet"},
        {"decoder.up_blocks.0.resnets.0.conv1.weight", "autoencoder alone", "--vae"},
        {"decoder.layers.0.weight", "tiny autoencoder", "--taesd"},
        {"3.conv.0.weight", "decoder of a tiny autoencoder", "--taesd"},
        {"1.conv.0.weight", "the encoder of a tiny autoencoder alone", "--taesd"},
        {"cond_stage_model.model.ln_final.weight", "text encoder alone", "part of a model"},
        {"text_model.encoder.layers.31.layer_norm1.weight", "second text encoder of SDXL", "expected"},
        {"shared.encoder.block.0.layer.0.SelfAttention.q.weight", "T5", "expected"},
        {"down_blocks.0.add_embedding.linear_1.weight", "UNet of SDXL", "expected"},
        {"single_transformer_blocks.0.attn.to_k.weight", "Flux", "expected"},
        {"transformer_blocks.0.attn.add_k_proj.weight", "Stable Diffusion 3 or Flux", "expected"},
        {"transformer_blocks.0.attn1.to_q.weight", "diffusion transformer", "expected"},
        {"input_hint_block.0.weight", "ControlNet", "expected"},
        {"controlnet_cond_embedding.conv_in.weight", "ControlNet", "expected"},
        {"adapter.body.0.resnets.0.block1.weight", "T2I-Adapter", "expected"},
        {"ip_adapter.1.to_k_ip.weight", "IP-Adapter", "expected"},
        {"emb_params", "textual inversion", "expected"},
        {"model.diffusion_model.input_blocks.1.1.time_stack.0.norm1.weight", "Stable Video Diffusion",
         "expected"},
        {"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a", "LoHa", "--lora"},
        {"something.else", "nothing that onestep knows (1 tensor, the first is something.else)", "expected"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        write_lonely(in_root("lonely.safetensors"), table[i].tensor);
        check_refused(&(ons_model_sources){.model = in_root("lonely.safetensors")}, ONESTEP_UNSUPPORTED,
                      table[i].word, table[i].way_out);
    }
}

static void test_pickle(void **state)
{
    (void)state;
    CHECK(ons_write_file(in_root("model.safetensors"), "PK\3\4 and more of it", 20));
    check_refused(&(ons_model_sources){.model = in_root("model.safetensors")}, ONESTEP_BAD_FILE, "pickle",
                  "safetensors");
}

static void write_text(const char *name, const char *text)
{
    CHECK(ons_write_file(in_root(name), text, strlen(text)));
}

/* Folders without model_index.json, which are something else. */
static void test_folders(void **state)
{
    static const struct {
        const char *file, *content, *word, *way_out;
    } table[] = {
        {"config.json", "{\"_class_name\": \"UNet2DConditionModel\"}", "UNet2DConditionModel", "--unet"},
        {"config.json", "{\"_class_name\": \"AutoencoderKL\"}", "AutoencoderKL", "--vae"},
        {"config.json", "{\"_class_name\": \"AutoencoderTiny\"}", "AutoencoderTiny", "--taesd"},
        {"config.json", "{\"_class_name\": \"ControlNetModel\"}", "ControlNetModel alone", "model_index.json"},
        {"config.json", "{\"architectures\": [\"CLIPTextModel\"]}", "CLIPTextModel alone", "model_index.json"},
        {"adapter_config.json", "{}", "a LoRA", "--lora"},
        {"pytorch_lora_weights.safetensors", "", "a LoRA", "--lora"},
        {"config.json", "{", "no model_index.json", "not a pipeline"},
        {"dream.safetensors", "", "dream.safetensors", "as -m"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char file[64];

        snprintf(file, sizeof file, "mistake/%s", table[i].file);
        CHECK(ons_make_dirs(in_root("mistake")));
        write_text(file, table[i].content);
        check_refused(&(ons_model_sources){.model = in_root("mistake")},
                      i < 7 ? ONESTEP_UNSUPPORTED : ONESTEP_NOT_FOUND, table[i].word, table[i].way_out);
        remove(in_root(file));
    }
    check_refused(&(ons_model_sources){.model = "someone/some-model"}, ONESTEP_NOT_FOUND,
                  "no such file or folder", "fetches nothing");
}

static void test_no_tokenizer(void **state)
{
    ons_model *m = make_model(false), *again;
    char deep[640];

    (void)state;
    CHECK(ons_make_dirs(in_root("deep")));
    CHECK(ons_tokenizer_save(m->tokenizer, in_root("tokenizer")));
    snprintf(deep, sizeof deep, "%s", in_root("deep/alone.safetensors"));
    write_checkpoint(m, false, deep, NULL, ONS_BF16);
    check_refused(&(ons_model_sources){.model = deep}, ONESTEP_NOT_FOUND, "--tokenizer", "alone.safetensors");
    CHECK(ons_model_assemble(&(ons_model_sources){.model = deep, .tokenizer = in_root("tokenizer")}, &again));
    ons_model_close(&again);
    ons_model_close(&m);
}

/* A UNet and an autoencoder from elsewhere: a folder, a file of diffusers' names, a whole checkpoint. */
static void test_replaced(void **state)
{
    ons_model *base = make_model(false), *other = make_model(false), *again;

    (void)state;
    ons_params_init(other->unet, 11);
    ons_params_init(other->vae, 12);
    CHECK(ons_model_save(base, in_root("base"), ONS_F32));
    CHECK(ons_model_save(other, in_root("other"), ONS_F32));
    write_checkpoint(other, false, in_root("other.safetensors"), NULL, ONS_F32);
    const char *const unets[] = {"other", "other/unet", "other/unet/diffusion_pytorch_model.safetensors",
                                 "other.safetensors"};
    const char *const vaes[] = {"other/vae", "other", "other.safetensors",
                                "other/vae/diffusion_pytorch_model.safetensors"};
    for (int i = 0; i < 4; i++) {
        CHECK(ons_model_assemble(
            &(ons_model_sources){.model = in_root("base"), .unet = in_root(unets[i]), .vae = in_root(vaes[i])},
            &again));
        check_same(again->unet, other->unet);
        check_same(again->vae, other->vae);
        check_same(again->clip, base->clip);
        ons_model_close(&again);
    }
    check_refused(
        &(ons_model_sources){.model = in_root("base"), .vae = in_root("other"), .taesd = in_root("other")},
        ONESTEP_BAD_ARGUMENT, "--vae", "--taesd");
    check_refused(&(ons_model_sources){.model = in_root("base"),
                                       .unet = in_root("other/vae/diffusion_pytorch_model.safetensors")},
                  ONESTEP_UNSUPPORTED, "autoencoder alone", "--vae");
    ons_model_close(&base);
    ons_model_close(&other);
}

/* A folder whose UNet and autoencoder were left out, since both come from elsewhere; a file tells its own
 * architecture then, under the original names. */
static void test_parts_left_out(void **state)
{
    ons_model *base = make_model(false), *other = make_model(false), *again;

    (void)state;
    ons_params_init(other->unet, 21);
    CHECK(ons_model_save(base, in_root("bare"), ONS_F32));
    CHECK(ons_model_save(other, in_root("parts"), ONS_F32));
    write_checkpoint(other, false, in_root("parts.safetensors"), NULL, ONS_F32);
    remove(in_root("bare/unet/diffusion_pytorch_model.safetensors"));
    remove(in_root("bare/unet/config.json"));
    remove(in_root("bare/vae/diffusion_pytorch_model.safetensors"));
    remove(in_root("bare/vae/config.json"));
    const char *const from[] = {"parts", "parts.safetensors"};
    for (int i = 0; i < 2; i++) {
        CHECK(ons_model_assemble(
            &(ons_model_sources){.model = in_root("bare"), .unet = in_root(from[i]), .vae = in_root(from[i])},
            &again));
        check_same(again->unet, other->unet);
        check_same(again->vae, other->vae);
        ons_model_close(&again);
    }
    check_refused(&(ons_model_sources){.model = in_root("bare"), .unet = in_root("parts")}, ONESTEP_NOT_FOUND,
                  "vae", "config.json");
    ons_model_close(&base);
    ons_model_close(&other);
}

/* Reading on demand: what is only borrowed reads the same again, and updates of low rank are in every reading.
 */
static void test_mapped_weights(void **state)
{
    ons_model *m = make_model(false), *again;
    const float up[64] = {1, [63] = -2}, down[64] = {[0] = 3, [7] = 0.5f};
    int i;

    (void)state;
    CHECK(ons_model_save(m, in_root("mapped"), ONS_F32));
    CHECK(ons_model_assemble(&(ons_model_sources){.model = in_root("mapped")}, &again));
    i = ons_params_find(again->unet, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight");
    assert_true(i >= 0);
    CHECK(ons_params_add_low_rank(again->unet, i, 0.5, 1, up, down));
    CHECK(ons_params_add_low_rank(m->unet, i, 0.5, 1, up, down));
    CHECK(ons_params_save(again->unet, in_root("once.safetensors"), ONS_F32)); /* borrows every parameter */
    check_same(m->unet, again->unet);
    assert_float_equal(ons_params_data(again->unet, i)[63 * 64 + 7], ons_params_data(m->unet, i)[63 * 64 + 7],
                       0);
    ons_model_close(&again);
    ons_model_close(&m);
}

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/onestep-single-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
    char command[600];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),          cmocka_unit_test(test_second),
        cmocka_unit_test(test_missing_tensor), cmocka_unit_test(test_recognised),
        cmocka_unit_test(test_pickle),         cmocka_unit_test(test_no_tokenizer),
        cmocka_unit_test(test_replaced),       cmocka_unit_test(test_folders),
        cmocka_unit_test(test_parts_left_out), cmocka_unit_test(test_mapped_weights),
    };

    return cmocka_run_group_tests(tests, make_root, remove_root);
}
