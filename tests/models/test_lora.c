/* LoRA merging against diffusers and peft (tests/reference/make_lora_vectors.py) in every naming scheme, and
 * files that are refused. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "model/lora.h"
#include "vectors.h"

typedef struct base_model {
    vectors v;
    ons_unet_config config;
    ons_params *params;
} base_model;

static void open_base(base_model *b)
{
    vectors_open(&b->v, "unet_plain");
    assert_int_equal(ons_unet_config_load(b->v.config, &b->config), ONESTEP_OK);
    assert_int_equal(ons_params_create(&b->params), ONESTEP_OK);
    assert_int_equal(ons_unet_declare(&b->config, b->params), ONESTEP_OK);
    if (ons_params_load(b->params, b->v.file, "w.") != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

static void close_base(base_model *b)
{
    ons_params_destroy(&b->params);
    vectors_close(&b->v);
}

static char *vector_path(const char *name)
{
    return ons_format("%s/tests/models/vectors/%s.safetensors", getenv("ONESTEP_SOURCE_ROOT"), name);
}

/* Every weight is what it was, or what diffusers made of it. */
static void compare(base_model *got, const ons_safetensors *merged, ons_params *before)
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
        vectors_compare_data(p->name, ons_params_data(got->params, i), values, n, 1e-6);
        ons_free(values);
    }
    assert_int_equal(changed, ons_safetensors_count(merged));
    ons_params_destroy(&expected);
}

static void check_scheme(const char *scheme)
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
    assert_int_equal(ons_safetensors_open(merged_path, &merged), ONESTEP_OK);
    if (ons_lora_merge(path, 0.7, &b.config, b.params, NULL, &report) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    assert_int_equal(report.n_unet, ons_safetensors_count(merged));
    assert_int_equal(report.n_text + report.n_unknown, 0);
    compare(&b, merged, before.params);
    ons_safetensors_close(&merged);
    close_base(&b);
    close_base(&before);
    ons_free(path);
    ons_free(merged_path);
}

static void test_schemes(void **state)
{
    (void)state;
    check_scheme("kohya");
    check_scheme("peft");
    check_scheme("early");
    check_scheme("original");
}

/* A file of tensors filled with ones: names, shapes up to 4. */
typedef struct made_tensor {
    const char *name;
    int64_t dims[4];
    int n_dims;
    float value;
} made_tensor;

static const char made_path[] = "/tmp/onestep-lora-test.safetensors";

static void write_file(const made_tensor *t, int n)
{
    ons_safetensors_writer *w;

    assert_int_equal(ons_safetensors_writer_create(&w), ONESTEP_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(ons_safetensors_writer_add(w, t[i].name, ONS_F32, t[i].n_dims, t[i].dims), ONESTEP_OK);
    assert_int_equal(ons_safetensors_writer_begin(w, made_path), ONESTEP_OK);
    for (int i = 0; i < n; i++) {
        size_t count = 1;
        float values[256];

        for (int k = 0; k < t[i].n_dims; k++)
            count *= (size_t)t[i].dims[k];
        assert_true(count <= 256);
        for (size_t k = 0; k < count; k++)
            values[k] = t[i].value;
        assert_int_equal(ons_safetensors_writer_data(w, values, count * sizeof *values), ONESTEP_OK);
    }
    assert_int_equal(ons_safetensors_writer_commit(w), ONESTEP_OK);
    ons_safetensors_writer_destroy(&w);
}

static void check_refused(const made_tensor *t, int n, onestep_status expected, const char *word,
                          const char *other)
{
    ons_lora_report report;
    base_model b;

    open_base(&b);
    write_file(t, n);
    assert_int_equal(ons_lora_merge(made_path, 1, &b.config, b.params, NULL, &report), expected);
    if (!strstr(onestep_error_text(), word) || !strstr(onestep_error_text(), other))
        fail_msg("\"%s\" does not say %s and %s", onestep_error_text(), word, other);
    close_base(&b);
    unlink(made_path);
}

#define Q "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"

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
    check_refused((made_tensor[]){{"lora_te2_text_model_x.lora_down.weight", {2, 8}, 2, 1}}, 1,
                  ONESTEP_UNSUPPORTED, "SDXL", "lora_te2_");
    check_refused((made_tensor[]){{"down_blocks.0.resnets.0.conv1.weight", {8}, 1, 1}}, 1, ONESTEP_UNSUPPORTED,
                  "a UNet alone", "--unet");
}

/* The part that fits is merged; the rest is counted. Two merges add up, and a negative weight takes one back.
 */
static void test_partial_and_repeated(void **state)
{
    const made_tensor parts[] = {{Q ".lora_down.weight", {2, 8}, 2, 0.5f},
                                 {Q ".lora_up.weight", {8, 2}, 2, 0.25f},
                                 {"lora_unet_strange.lora_down.weight", {2, 8}, 2, 1},
                                 {"lora_unet_strange.lora_up.weight", {8, 2}, 2, 1},
                                 {Q ".alpha", {0}, 0, 3}};
    ons_lora_report report;
    base_model b;
    float before;
    int i;

    (void)state;
    open_base(&b);
    write_file(parts, 5);
    i = ons_params_find(b.params, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight");
    before = ons_params_data(b.params, i)[5];
    assert_int_equal(ons_lora_merge(made_path, 2, &b.config, b.params, NULL, &report), ONESTEP_OK);
    assert_int_equal(report.n_unet, 1);
    assert_int_equal(report.n_unknown, 1);
    assert_float_equal(ons_params_data(b.params, i)[5], before + 2 * (3.0f / 2) * 2 * 0.125f, 1e-6);
    assert_int_equal(ons_lora_merge(made_path, -2, &b.config, b.params, NULL, &report), ONESTEP_OK);
    assert_float_equal(ons_params_data(b.params, i)[5], before, 1e-6);
    close_base(&b);
    unlink(made_path);
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
        cmocka_unit_test(test_partial_and_repeated),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
