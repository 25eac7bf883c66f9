/*
 * Pipeline folders: what is saved opens as the same; a student gets its scheduler; damaged and foreign folders
 * are refused with the reason. With ONESTEP_KEEP_FOLDERS=DIR the folders stay as DIR/teacher and DIR/student,
 * for tests/reference/check_folder.py.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/file.h"
#include "pipeline/folder.h"
#include "vectors.h"

static char root[512];
static bool keep;

#define CHECK(call)                                                                                            \
    do {                                                                                                       \
        if ((call) != ONESTEP_OK)                                                                              \
            fail_msg("%s", onestep_error_text());                                                              \
    } while (0)

static const char *const captions[] = {"the cat", "the dog", "a cat and a dog", "the red cat"};

static void fill_configs(ons_model *m)
{
    m->unet_config = (ons_unet_config){.in_channels = 4,
                                       .out_channels = 4,
                                       .sample_size = 8,
                                       .n_levels = 2,
                                       .block_out_channels = {16, 24},
                                       .layers_per_block = {1, 1},
                                       .down_attention = {true, false},
                                       .up_attention = {false, true},
                                       .mid_attention = true,
                                       .mid_block = true,
                                       .mid_resnets = 2,
                                       .n_heads = {2, 3},
                                       .transformer_layers = {1, 1},
                                       .cross_attention_dim = 16,
                                       .norm_num_groups = 8,
                                       .norm_eps = 1e-5,
                                       .flip_sin_to_cos = true,
                                       .downsample_padding = 1};
    m->vae_config = (ons_vae_config){.in_channels = 3,
                                     .out_channels = 3,
                                     .latent_channels = 4,
                                     .sample_size = 16,
                                     .n_levels = 2,
                                     .block_out_channels = {8, 16},
                                     .layers_per_block = 1,
                                     .norm_num_groups = 4,
                                     .scaling_factor = 0.5,
                                     .use_quant_conv = true,
                                     .use_post_quant_conv = true,
                                     .mid_block_add_attention = true};
    m->clip_config = (ons_clip_config){.vocab_size = ons_tokenizer_vocab_size(m->tokenizer),
                                       .hidden_size = 16,
                                       .intermediate_size = 32,
                                       .num_hidden_layers = 2,
                                       .num_attention_heads = 2,
                                       .max_position_embeddings = ons_tokenizer_context(m->tokenizer),
                                       .hidden_act = ONS_OP_QUICK_GELU,
                                       .layer_norm_eps = 1e-5,
                                       .eos_token_id = ons_tokenizer_end_id(m->tokenizer),
                                       .bos_token_id = ons_tokenizer_start_id(m->tokenizer),
                                       .pad_token_id = ons_tokenizer_pad_id(m->tokenizer)};
}

static ons_model *make_model(int timestep)
{
    ons_model *m = ons_calloc(1, sizeof *m);

    assert_non_null(m);
    m->path = ons_strdup("memory");
    CHECK(ons_tokenizer_train(captions, 4, 520, 16, &m->tokenizer));
    fill_configs(m);
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
    m->card = (ons_card){.steps = 4,
                         .guidance = 3,
                         .sampler = "ddim",
                         .timestep = timestep,
                         .kind = "teacher",
                         .train_joules = -1};
    if (timestep >= 0)
        m->card = (ons_card){.steps = 1,
                             .guidance = 1,
                             .sampler = "lcm",
                             .timestep = timestep,
                             .kind = "student",
                             .method = "dmd",
                             .train_seconds = 12.5,
                             .train_joules = -1};
    m->card.made = json_pack("{s:i}", "seed", 5);
    return m;
}

static char *folder_of(const char *name)
{
    char *path = ons_format("%s/%s", root, name);

    assert_non_null(path);
    return path;
}

/* Largest difference of the weights, relative to `scale` of the type's rounding. */
static void check_weights(ons_params *a, ons_params *b, double tolerance)
{
    assert_int_equal(ons_params_region_size(a), ons_params_region_size(b));
    for (size_t i = 0; i < ons_params_region_size(a); i++) {
        const double x = (double)ons_params_region(a)[i], y = (double)ons_params_region(b)[i];

        if (!(fabs(x - y) <= tolerance * (fabs(x) + 1e-4)))
            fail_msg("weight %zu is %g, was %g", i, y, x);
    }
}

static void check_round_trip(ons_model *m, const char *name, ons_dtype dtype, double tolerance)
{
    char *folder = folder_of(name);
    ons_model *again;

    CHECK(ons_model_save(m, folder, dtype));
    CHECK(ons_model_assemble(&(ons_model_sources){.model = folder}, &again));
    check_weights(m->unet, again->unet, tolerance);
    check_weights(m->vae, again->vae, tolerance);
    check_weights(m->clip, again->clip, tolerance);
    assert_memory_equal(&m->unet_config, &again->unet_config, sizeof m->unet_config);
    assert_memory_equal(&m->vae_config, &again->vae_config, sizeof m->vae_config);
    assert_int_equal(again->card.timestep, m->card.timestep);
    assert_string_equal(again->card.sampler, m->card.sampler);
    assert_int_equal(json_integer_value(json_object_get(again->card.made, "seed")), 5);
    assert_string_equal(again->schedule.class_name, m->card.timestep >= 0 ? "LCMScheduler" : "DDIMScheduler");
    ons_model_close(&again);
    ons_free(folder);
}

static void test_round_trip(void **state)
{
    static const struct {
        const char *name;
        ons_dtype dtype;
        double tolerance;
    } rows[] = {{"teacher", ONS_F32, 0}, {"half", ONS_F16, 1e-3}, {"brain", ONS_BF16, 8e-3}};
    ons_model *m = make_model(-1);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_round_trip(m, rows[i].name, rows[i].dtype, rows[i].tolerance);
    ons_model_close(&m);
}

static void check_readme(const char *name, const char *call)
{
    char *path = ons_format("%s/%s/README.md", root, name), *text;
    size_t size;

    CHECK(ons_read_file(path, 1 << 16, &text, &size));
    if (!strstr(text, call))
        fail_msg("%s does not say %s", path, call);
    ons_free(text);
    ons_free(path);
}

static void test_student(void **state)
{
    ons_model *m = make_model(799);

    (void)state;
    check_round_trip(m, "student", ONS_F32, 0);
    check_readme("student", "timesteps=[799]");
    m->card.timestep = 999;
    check_round_trip(m, "student-999", ONS_F32, 0);
    check_readme("student-999", "num_inference_steps=1, guidance_scale=1,");
    ons_model_close(&m);
}

/* Without it transformers 5 would run the text encoder of a half-precision folder in half beside a float32
 * UNet. */
static void test_text_encoder_states_its_type(void **state)
{
    ons_model *m = make_model(-1);
    char *folder = folder_of("half-stated"), *text;
    size_t size;

    (void)state;
    CHECK(ons_model_save(m, folder, ONS_F16));
    ons_model_close(&m);
    ons_free(folder);
    folder = folder_of("half-stated/text_encoder/config.json");
    CHECK(ons_read_file(folder, 1 << 16, &text, &size));
    assert_non_null(strstr(text, "\"torch_dtype\": \"float32\""));
    ons_free(text);
    ons_free(folder);
}

/* Replaces `from` by `to` in FOLDER/NAME. */
static void edit(const char *folder, const char *name, const char *from, const char *to)
{
    char *path = ons_format("%s/%s/%s", root, folder, name), *text, *at, *changed;
    size_t size;

    CHECK(ons_read_file(path, 1 << 20, &text, &size));
    at = strstr(text, from);
    if (!at)
        fail_msg("%s has no %s", path, from);
    changed = ons_format("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    CHECK(ons_write_file(path, changed, strlen(changed)));
    ons_free(changed);
    ons_free(text);
    ons_free(path);
}

static void check_refused(const char *name, onestep_status expected, const char *word, const char *other)
{
    char *folder = folder_of(name);
    ons_model *m;

    assert_int_equal(ons_model_assemble(&(ons_model_sources){.model = folder}, &m), expected);
    assert_null(m);
    if (!strstr(onestep_error_text(), word) || !strstr(onestep_error_text(), other))
        fail_msg("\"%s\" does not say %s and %s", onestep_error_text(), word, other);
    ons_free(folder);
}

static void save_as(const char *name)
{
    ons_model *m = make_model(-1);
    char *folder = folder_of(name);

    CHECK(ons_model_save(m, folder, ONS_F32));
    ons_free(folder);
    ons_model_close(&m);
}

static void test_foreign_folders(void **state)
{
    (void)state;
    check_refused("nothing", ONESTEP_NOT_FOUND, "model_index.json", "nothing");
    save_as("foreign");
    edit("foreign", "model_index.json", "StableDiffusionPipeline", "StableDiffusionXLPipeline");
    check_refused("foreign", ONESTEP_UNSUPPORTED, "StableDiffusionXLPipeline",
                  "SDXL, which has two text encoders");
    edit("foreign", "model_index.json", "StableDiffusionXLPipeline", "StableDiffusion3Pipeline");
    check_refused("foreign", ONESTEP_UNSUPPORTED, "StableDiffusion3Pipeline", "three text encoders");
    edit("foreign", "model_index.json", "StableDiffusion3Pipeline", "FluxPipeline");
    check_refused("foreign", ONESTEP_UNSUPPORTED, "FluxPipeline", "Flux, a transformer");
    edit("foreign", "model_index.json", "FluxPipeline", "SanaPipeline");
    check_refused("foreign", ONESTEP_UNSUPPORTED, "SanaPipeline", "another architecture");
    edit("foreign", "model_index.json", "SanaPipeline", "StableDiffusionUpscalePipeline");
    check_refused("foreign", ONESTEP_UNSUPPORTED, "StableDiffusionUpscalePipeline", "an upscaler");
}

/* As folders are published: parts named that are not there, and null entries. */
static void test_absent_parts(void **state)
{
    char *folder = folder_of("published");
    ons_model *m;

    (void)state;
    save_as("published");
    edit("published", "model_index.json", "\"feature_extractor\": [\n    null,\n    null\n  ]",
         "\"feature_extractor\": [\"transformers\", \"CLIPImageProcessor\"]");
    edit("published", "model_index.json", "\"safety_checker\": [\n    null,\n    null\n  ]",
         "\"safety_checker\": [\"stable_diffusion\", \"StableDiffusionSafetyChecker\"]");
    edit("published", "text_encoder/config.json", "\"torch_dtype\"", "\"dtype\"");
    CHECK(ons_model_assemble(&(ons_model_sources){.model = folder}, &m));
    ons_model_close(&m);
    ons_free(folder);
}

static void test_unknown_scheduler(void **state)
{
    (void)state;
    save_as("scheduled");
    edit("scheduled", "scheduler/scheduler_config.json", "DDIMScheduler", "TCDScheduler");
    check_refused("scheduled", ONESTEP_UNSUPPORTED, "TCDScheduler", "LCMScheduler");
}

static void test_misfits(void **state)
{
    (void)state;
    save_as("misfit");
    edit("misfit", "vae/config.json", "\"latent_channels\": 4", "\"latent_channels\": 3");
    check_refused("misfit", ONESTEP_BAD_FILE, "encoder.conv_out.weight", "[8, 16, 3, 3]");
    edit("misfit", "text_encoder/config.json", "\"hidden_size\": 16", "\"hidden_size\": 32");
    check_refused("misfit", ONESTEP_BAD_FILE, "16", "32");
}

static void remove_tree(const char *path)
{
    char **names = NULL;
    size_t n = 0;

    if (!ons_path_is_dir(path)) {
        unlink(path);
        return;
    }
    CHECK(ons_list_dir(path, &names, &n));
    for (size_t i = 0; i < n; i++) {
        char *inner = ons_path_join(path, names[i]);

        remove_tree(inner);
        ons_free(inner);
    }
    ons_free_names(names, n);
    rmdir(path);
}

static int make_root(void **state)
{
    const char *wanted = getenv("ONESTEP_KEEP_FOLDERS");

    (void)state;
    keep = wanted != NULL;
    snprintf(root, sizeof root, "%s", wanted ? wanted : "/tmp/onestep-folder-XXXXXX");
    return wanted ? ons_make_dirs(root) != ONESTEP_OK : mkdtemp(root) == NULL;
}

static int remove_root(void **state)
{
    (void)state;
    if (!keep)
        remove_tree(root);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_text_encoder_states_its_type),
        cmocka_unit_test(test_foreign_folders),
        cmocka_unit_test(test_absent_parts),
        cmocka_unit_test(test_unknown_scheduler),
        cmocka_unit_test(test_misfits),
    };

    return cmocka_run_group_tests(tests, make_root, remove_root);
}
