/* LoRA merging against diffusers and peft (tests/reference/make_lora_vectors.py) in every naming scheme, and
 * files that are refused. */
#include "../unit/unit_test.h"

#include <math.h>

#include "base/file.h"
#include "model/lora.h"
#include "vectors.h"

/* A UNet and a text encoder, each from vectors of its own. */
typedef struct base_model {
    vectors v, text_v;
    ons_unet_config config;
    ons_params *params, *text;
} base_model;

/* The text encoder's names in the vectors lack text_model. */
static bool find_text_weight(const void *context, const char *name, int attempt, ons_place_in_file *place)
{
    (void)context;
    *place = (ons_place_in_file){.n_parts = 1};
    snprintf(place->name, sizeof place->name, "w.%.300s", name + strlen("text_model."));
    return attempt == 0;
}

static void open_text(base_model *b)
{
    ons_clip_config config;

    vectors_open(&b->text_v, "clip_quick_gelu");
    assert_ok(ons_clip_config_load(b->text_v.config, &config));
    assert_ok(ons_params_create(&b->text));
    assert_ok(ons_clip_declare(&config, b->text));
    assert_ok(ons_params_map(b->text, b->text_v.file, &(ons_spelling){.place = find_text_weight}));
}

static void open_base(base_model *b)
{
    vectors_open(&b->v, "unet_plain");
    assert_int_equal(ons_unet_config_load(b->v.config, &b->config), ONESTEP_OK);
    assert_int_equal(ons_params_create(&b->params), ONESTEP_OK);
    assert_int_equal(ons_unet_declare(&b->config, b->params), ONESTEP_OK);
    assert_ok(ons_params_load(b->params, b->v.file, "w."));
    open_text(b);
}

static void close_base(base_model *b)
{
    ons_params_destroy(&b->params);
    ons_params_destroy(&b->text);
    vectors_close(&b->v);
    vectors_close(&b->text_v);
}

static char *vector_path(const char *name)
{
    return ons_format("%s/tests/models/vectors/%s.safetensors", getenv("ONESTEP_SOURCE_ROOT"), name);
}

/* Every weight is what it was, or what diffusers made of it. */
static void compare(ons_params *got, const ons_safetensors *merged, ons_params *before)
{
    ons_params *expected;
    int changed = 0;

    assert_int_equal(ons_params_clone(before, true, &expected), ONESTEP_OK);
    for (int i = 0; i < ons_params_count(expected); i++) {
        const ons_param *p = ons_params_at(expected, i);
        const ons_file_tensor *t = ons_safetensors_find(merged, p->name);
        const size_t n = (size_t)ons_shape_count(&p->shape);
        float *values = ons_malloc(n * sizeof *values);

        memcpy(values, ons_params_data(expected, i), n * sizeof *values);
        if (t) {
            memcpy(values, t->data, t->size);
            if (p->kind == ONS_PARAM_CONV)
                ons_nchw_to_nhwc(values, t->data, p->shape.d[0], p->shape.d[3], p->shape.d[1] * p->shape.d[2],
                                 1);
            changed++;
        }
        vectors_compare_data(p->name, ons_params_data(got, i), values, n, 1e-6);
        ons_free(values);
    }
    assert_int_equal(changed, ons_safetensors_count(merged));
    ons_params_destroy(&expected);
}

static void check_scheme(const char *scheme, bool text)
{
    char name[64], *path, *merged_path;
    ons_safetensors *merged;
    ons_lora_report report;
    base_model b, before;

    open_base(&b);
    open_base(&before);
    snprintf(name, sizeof name, "lora_%s", scheme);
    path = vector_path(name);
    snprintf(name, sizeof name, "lora_%s_merged", scheme);
    merged_path = vector_path(name);
    assert_ok(ons_safetensors_open(merged_path, &merged));
    assert_ok(ons_lora_merge(path, 0.7, &b.config, b.params, b.text, &report));
    assert_int_equal(text ? report.n_text : report.n_unet, ons_safetensors_count(merged));
    assert_int_equal((text ? report.n_unet : report.n_text) + report.n_unknown + report.n_strange, 0);
    compare(text ? b.text : b.params, merged, text ? before.text : before.params);
    ons_safetensors_close(&merged);
    close_base(&b);
    close_base(&before);
    ons_free(path);
    ons_free(merged_path);
}

static void test_schemes(void **state)
{
    (void)state;
    check_scheme("kohya", false);
    check_scheme("peft", false);
    check_scheme("patterns", false);
    check_scheme("early", false);
    check_scheme("original", false);
    check_scheme("text_kohya", true);
    check_scheme("text_peft", true);
    check_scheme("text_linear_layer", true);
    check_scheme("text_early", true);
}

/* A file of tensors filled with ones: names, shapes up to 4. */
typedef struct made_tensor {
    const char *name;
    int64_t dims[4];
    int n_dims;
    float value;
} made_tensor;

/* Returns the path; `metadata` may be NULL. */
static const char *write_file(const char *file_name, const made_tensor *t, int n, const char *metadata)
{
    const char *path = in_scratch(file_name);
    ons_safetensors_writer *w;

    assert_ok(ons_safetensors_writer_create(&w));
    if (metadata)
        assert_ok(ons_safetensors_writer_metadata(w, "lora_adapter_metadata", metadata));
    for (int i = 0; i < n; i++)
        assert_ok(ons_safetensors_writer_add(w, t[i].name, ONS_F32, t[i].n_dims, t[i].dims));
    assert_ok(ons_safetensors_writer_begin(w, path));
    for (int i = 0; i < n; i++) {
        size_t count = 1;
        float values[256];

        for (int k = 0; k < t[i].n_dims; k++)
            count *= (size_t)t[i].dims[k];
        assert_true(count <= 256);
        for (size_t k = 0; k < count; k++)
            values[k] = t[i].value;
        assert_ok(ons_safetensors_writer_data(w, values, count * sizeof *values));
    }
    assert_ok(ons_safetensors_writer_commit(w));
    ons_safetensors_writer_destroy(&w);
    return path;
}

static void check_path_refused(const char *path, onestep_status expected, const char *word, const char *other)
{
    ons_lora_report report;
    base_model b;

    open_base(&b);
    assert_int_equal(ons_lora_merge(path, 1, &b.config, b.params, b.text, &report), expected);
    if (!strstr(onestep_error_text(), word) || !strstr(onestep_error_text(), other))
        fail_msg("\"%s\" does not say %s and %s", onestep_error_text(), word, other);
    close_base(&b);
}

static void check_refused(const made_tensor *t, int n, onestep_status expected, const char *word,
                          const char *other)
{
    check_path_refused(write_file("refused.safetensors", t, n, NULL), expected, word, other);
}

#define Q "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
#define Q_WEIGHT "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
#define PEFT_Q "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"

static void test_refused(void **state)
{
    const made_tensor down = {Q ".lora_down.weight", {2, 8}, 2, 1}, up = {Q ".lora_up.weight", {8, 2}, 2, 1};
    const made_tensor wide = {Q ".lora_down.weight", {2, 9}, 2, 1}, not_a_number = {Q ".alpha", {0}, 0, NAN};
    const made_tensor other_down = {"lora_unet_nothing_of_ours.lora_down.weight", {2, 8}, 2, 1};
    const made_tensor other_up = {"lora_unet_nothing_of_ours.lora_up.weight", {8, 2}, 2, 1};

    (void)state;
    check_refused((made_tensor[]){down}, 1, ONESTEP_BAD_FILE, "without its other factor", "to_q");
    check_refused((made_tensor[]){up}, 1, ONESTEP_BAD_FILE, "without its other factor", "to_q");
    check_refused((made_tensor[]){wide, up}, 2, ONESTEP_BAD_FILE, "[2, 9]", "[8, 8, 1, 1]");
    check_refused((made_tensor[]){down, up, not_a_number}, 3, ONESTEP_BAD_FILE, "alpha", "to_q");
    check_refused((made_tensor[]){{"lora_unet_conv_norm_out.lora_down.weight", {2, 0}, 2, 1},
                                  {"lora_unet_conv_norm_out.lora_up.weight", {8, 2}, 2, 1}},
                  2, ONESTEP_UNSUPPORTED, "another architecture", "conv_norm_out");
    check_refused((made_tensor[]){other_down, other_up}, 2, ONESTEP_UNSUPPORTED, "another architecture",
                  "nothing_of_ours");
    check_refused((made_tensor[]){down, up, {Q ".hada_w1_a", {2, 8}, 2, 1}}, 3, ONESTEP_UNSUPPORTED, "LoHa",
                  "hada_w1_a");
    check_refused((made_tensor[]){down, up, {Q ".dora_scale", {8}, 1, 1}}, 3, ONESTEP_UNSUPPORTED, "DoRA",
                  "dora_scale");
    check_refused((made_tensor[]){{Q ".oft_blocks", {8}, 1, 1}}, 1, ONESTEP_UNSUPPORTED, "OFT", "oft_blocks");
    check_refused((made_tensor[]){{Q ".diff", {8}, 1, 1}}, 1, ONESTEP_UNSUPPORTED, "none of its 1 tensors",
                  "diff");
    check_refused((made_tensor[]){{"model.diffusion_model.input_blocks.0.0.weight", {8}, 1, 1}}, 1,
                  ONESTEP_UNSUPPORTED, "a checkpoint in one file", "-m");
    check_refused((made_tensor[]){{"down_blocks.0.resnets.0.conv1.weight", {8}, 1, 1}}, 1, ONESTEP_UNSUPPORTED,
                  "a UNet alone", "--unet");
}

/* Another architecture is told by its tensors, even where all of the file would fit by chance. */
static void test_other_architectures(void **state)
{
    static const struct {
        made_tensor t;
        const char *word;
    } table[] = {
        {{Q "_te2.lora_te2_x.lora_down.weight", {2, 8}, 2, 1}, "SDXL"},
        {{"lora_te3_x.lora_down.weight", {2, 8}, 2, 1}, "Stable Diffusion 3"},
        {{"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", {2, 8}, 2, 1}, "Flux"},
        {{"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight", {2, 8}, 2, 1}, "Flux"},
        {{"transformer.transformer_blocks.0.attn.add_k_proj.lora_A.weight", {2, 8}, 2, 1}, "Flux family"},
        {{"lora_unet_x_attn2_to_k.lora_down.weight", {2, 100}, 2, 1}, "text vectors of 100"},
        {{"lora_unet_x_attn2_to_v.lora_down.weight", {1, 768}, 0, 1}, "stands without"}, /* no shape, no hint */
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        check_refused(&table[i].t, 1,
                      i + 1 < sizeof table / sizeof *table ? ONESTEP_UNSUPPORTED : ONESTEP_BAD_FILE,
                      table[i].word, "safetensors");
}

/* A UNet of Stable Diffusion 1.x's text width, which no vectors have, against a LoRA of each width. */
static void test_generations_are_named(void **state)
{
    const made_tensor sdxl = {"lora_unet_x_attn2_to_k.lora_down.weight", {0, 2048}, 2, 1},
                      second = {"lora_unet_x_attn2_to_k.lora_down.weight", {0, 1024}, 2, 1};
    ons_lora_report report;
    base_model b;

    (void)state;
    open_base(&b);
    b.config.cross_attention_dim = 768;
    assert_int_equal(
        ons_lora_merge(write_file("xl.safetensors", &sdxl, 1, NULL), 1, &b.config, b.params, b.text, &report),
        ONESTEP_UNSUPPORTED);
    assert_error_has("a LoRA for SDXL");
    assert_error_has("this model is Stable Diffusion 1.x");
    assert_int_equal(
        ons_lora_merge(write_file("v2.safetensors", &second, 1, NULL), 1, &b.config, b.params, b.text, &report),
        ONESTEP_UNSUPPORTED);
    assert_error_has("a LoRA for Stable Diffusion 2.x");
    close_base(&b);
}

/* The part that fits is merged; the rest is counted. Two merges add up, and a negative weight takes one back.
 */
static void test_partial_and_repeated(void **state)
{
    const made_tensor parts[] = {{Q ".lora_down.weight", {2, 8}, 2, 0.5f},
                                 {Q ".lora_up.weight", {8, 2}, 2, 0.25f},
                                 {"lora_unet_strange.lora_down.weight", {2, 8}, 2, 1},
                                 {"lora_unet_strange.lora_up.weight", {8, 2}, 2, 1},
                                 {Q ".alpha", {0}, 0, 3},
                                 {"lora_unet_conv_norm_out.diff", {8}, 1, 1},
                                 {"lora_unet_nowhere.alpha", {0}, 0, 1}};
    const char *path;
    ons_lora_report report;
    base_model b;
    float before;
    int i;

    (void)state;
    open_base(&b);
    path = write_file("partial.safetensors", parts, 7, NULL);
    i = ons_params_find(b.params, Q_WEIGHT);
    before = ons_params_data(b.params, i)[5];
    assert_ok(ons_lora_merge(path, 2, &b.config, b.params, NULL, &report));
    assert_int_equal(report.n_unet, 1);
    assert_int_equal(report.n_unknown, 1);
    assert_int_equal(report.n_strange, 2);
    assert_float_equal(ons_params_data(b.params, i)[5], before + 2 * (3.0f / 2) * 2 * 0.125f, 1e-6);
    assert_ok(ons_lora_merge(path, -2, &b.config, b.params, NULL, &report));
    assert_float_equal(ons_params_data(b.params, i)[5], before, 1e-6);
    close_base(&b);
}

/* By how much a file changes an entry of to_q, whose factors are [2, 8] of 0.5 and [8, 2] of 0.25. */
static double change_of(const char *path)
{
    ons_lora_report report;
    base_model b;
    float before, after;
    int i;

    open_base(&b);
    i = ons_params_find(b.params, Q_WEIGHT);
    before = ons_params_data(b.params, i)[5];
    assert_ok(ons_lora_merge(path, 1, &b.config, b.params, b.text, &report));
    after = ons_params_data(b.params, i)[5];
    close_base(&b);
    return (double)after - (double)before;
}

static void write_config(const char *text)
{
    assert_ok(ons_write_file(in_scratch("adapter_config.json"), text, strlen(text)));
}

static const made_tensor peft[] = {{PEFT_Q ".lora_A.weight", {2, 8}, 2, 0.5f},
                                   {PEFT_Q ".lora_B.weight", {8, 2}, 2, 0.25f}};

/* As PEFT saves: a folder of a config and a file, which is found in it. */
static void test_settings_beside(void **state)
{
    static const struct {
        const char *config;
        double scale;
    } table[] = {
        {"{\"r\": 2, \"lora_alpha\": 3}", 1.5},
        {"{\"lora_alpha\": 4, \"use_rslora\": true}", 4 / 1.4142135623730951},
        {"{\"lora_alpha\": 4, \"alpha_pattern\": {\"attn1.to_q\": 1, \"to_k\": 9}}", 0.5},
        {"{\"lora_alpha\": 4, \"alpha_pattern\": {\"tn1.to_q\": 1, \"^attn1.to_q\": 1}}", 2},
        {"{\"alpha_pattern\": {\"^down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q\": 6}}", 3},
        {"{}", 1},
    };
    char file[256];

    (void)state;
    snprintf(file, sizeof file, "%s", write_file("adapter_model.safetensors", peft, 2, NULL));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        write_config(table[i].config);
        assert_float_equal(change_of(file), table[i].scale * 0.25, 1e-6);
        assert_float_equal(change_of(scratch), table[i].scale * 0.25, 1e-6);
    }
    write_config("{\"lora_alpha\": 4, \"use_dora\": true}");
    check_path_refused(scratch, ONESTEP_UNSUPPORTED, "DoRA", "adapter_config.json");
    write_config("{\"alpha_pattern\": {\".*to_q\": 6}}");
    check_path_refused(scratch, ONESTEP_UNSUPPORTED, "alpha_pattern", ".*to_q");
    write_config("{\"alpha_pattern\": {\"to_q\": \"six\"}}");
    check_path_refused(scratch, ONESTEP_BAD_FILE, "to_q", "not a number");
    write_config("{");
    check_path_refused(scratch, ONESTEP_BAD_FILE, "adapter_config.json", "JSON");
    remove(in_scratch("adapter_config.json"));
    check_path_refused(write_file("m.safetensors", peft, 2, "{"), ONESTEP_BAD_FILE, "lora_adapter_metadata",
                       "JSON");
}

/* Convolutions in three factors: up [8, 2], mid [2, 2, 3, 3], down [2, 8]. Each product sums 2 x 2 terms. */
static void test_middle_factor(void **state)
{
#define CONV "lora_unet_down_blocks_0_resnets_0_conv1"
    const made_tensor parts[] = {{CONV ".lora_down.weight", {2, 8, 1, 1}, 4, 0.5f},
                                 {CONV ".lora_up.weight", {8, 2, 1, 1}, 4, 0.25f},
                                 {CONV ".lora_mid.weight", {2, 2, 3, 3}, 4, 2},
                                 {CONV ".alpha", {0}, 0, 1}};
    made_tensor flat[4];
    ons_lora_report report;
    base_model b, before;
    int i;

    (void)state;
    open_base(&b);
    open_base(&before);
    i = ons_params_find(b.params, "down_blocks.0.resnets.0.conv1.weight");
    assert_ok(
        ons_lora_merge(write_file("mid.safetensors", parts, 4, NULL), 1, &b.config, b.params, NULL, &report));
    for (int k = 0; k < 8 * 9 * 8; k++)
        assert_float_equal(ons_params_data(b.params, i)[k], ons_params_data(before.params, i)[k] + 0.5f, 1e-6);
    assert_int_equal(report.n_unet, 1);
    assert_int_equal(report.n_strange, 0);
    close_base(&b);
    close_base(&before);
    memcpy(flat, parts, sizeof flat);
    flat[2].dims[3] = 1;
    check_refused(flat, 4, ONESTEP_BAD_FILE, "[2, 2, 3, 1]", "[8, 8, 3, 3]");
}

static void test_whole_model(void **state)
{
    (void)state;
    assert_ok(ons_make_dirs(in_scratch("whole")));
    assert_ok(ons_write_file(in_scratch("whole/model_index.json"), "{}", 2));
    check_path_refused(in_scratch("whole"), ONESTEP_UNSUPPORTED, "whole model", "-m");
    remove(in_scratch("whole/model_index.json"));
    check_path_refused(in_scratch("whole"), ONESTEP_NOT_FOUND, "pytorch_lora_weights", "whole");
}

static void test_words(void **state)
{
    static const struct {
        const char *text, *path;
        double weight;
    } good[] = {{"a.safetensors", "a.safetensors", 1},
                {"a.safetensors:0.8", "a.safetensors", 0.8},
                {"b:c/d:-1.5", "b:c/d", -1.5}};
    char *path;
    double weight;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(ons_lora_parse(good[i].text, &path, &weight), ONESTEP_OK);
        assert_string_equal(path, good[i].path);
        assert_true(fabs(weight - good[i].weight) < 1e-12);
        ons_free(path);
    }
    assert_int_equal(ons_lora_parse("a:strong", &path, &weight), ONESTEP_BAD_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_architectures),
        cmocka_unit_test(test_generations_are_named),
        cmocka_unit_test(test_partial_and_repeated),
        cmocka_unit_test(test_settings_beside),
        cmocka_unit_test(test_middle_factor),
        cmocka_unit_test(test_whole_model),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
