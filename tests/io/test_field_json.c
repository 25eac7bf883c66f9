/* Settings from JSON: every type of field, names with - and _, what does not fit, what is no setting. */
#include "../unit/unit_test.h"

#include <jansson.h>

#include "io/field_json.h"

typedef struct values {
    const char *name;
    int count, kind;
    double scale;
    ons_seed seed;
    ons_int_list list;
    bool tiled;
} values;

static const ons_field table[] = {
    {0, "name", ONS_FIELD_TEXT, offsetof(values, name), .help = "a name"},
    {0, "batch-count", ONS_FIELD_INT, offsetof(values, count), .min = 1, .max = 9, .preset = "3",
     .help = "how many", .synonym = "n"},
    {0, "kind", ONS_FIELD_CHOICE, offsetof(values, kind), .choices = "red|green", .preset = "green",
     .help = "which"},
    {0, "scale", ONS_FIELD_REAL, offsetof(values, scale), .max = 100, .help = "how much"},
    {0, "seed", ONS_FIELD_SEED, offsetof(values, seed), .preset = "-1", .help = "seed"},
    {0, "list", ONS_FIELD_LIST, offsetof(values, list), .max = 999, .help = "several"},
    {0, "tiled", ONS_FIELD_FLAG, offsetof(values, tiled), .help = "or not"},
    {0},
};

static json_t *root; /* texts point into it */

static onestep_status read_into(values *v, const char *text, void (*unknown)(void *, const char *), void *user)
{
    json_decref(root);
    root = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(root);
    return ons_fields_read_json(table, v, root, "the request", unknown, user);
}

static values presets(void)
{
    const ons_field *wrong;
    values v = {0};
    char why[64];

    assert_true(ons_fields_preset(table, &v, &wrong, why, sizeof why));
    return v;
}

static void every_type_is_read(void **state)
{
    values v = presets();

    (void)state;
    assert_ok(read_into(&v,
                        "{\"name\": \"x\", \"batch_count\": 4, \"kind\": \"red\", \"scale\": 2.5, \"seed\": "
                        "18446744073709551, \"list\": [999, 7], \"tiled\": true}",
                        NULL, NULL));
    assert_string_equal(v.name, "x");
    assert_int_equal(v.count, 4);
    assert_int_equal(v.kind, 0);
    assert_true(v.scale == 2.5);
    assert_false(v.seed.random);
    assert_true(v.seed.value == UINT64_C(18446744073709551));
    assert_int_equal(v.list.n, 2);
    assert_int_equal(v.list.values[1], 7);
    assert_true(v.tiled);
    assert_ok(read_into(&v, "{\"n\": 5, \"seed\": -1, \"tiled\": false, \"scale\": 3}", NULL, NULL));
    assert_int_equal(v.count, 5);
    assert_true(v.seed.random);
    assert_false(v.tiled);
    assert_true(v.scale == 3);
    assert_ok(read_into(&v, "{\"seed\": \"18446744073709551615\"}", NULL, NULL));
    assert_true(v.seed.value == UINT64_MAX);
}

static void null_leaves_what_was_there(void **state)
{
    values v = presets();

    (void)state;
    assert_ok(read_into(&v, "{\"batch_count\": null, \"name\": null}", NULL, NULL));
    assert_int_equal(v.count, 3);
    assert_null(v.name);
}

static void what_does_not_fit_is_named(void **state)
{
    static const char *const rows[][2] = {
        {"{\"batch_count\": 10}", "between 1 and 9"}, {"{\"batch_count\": 1.5}", "whole number"},
        {"{\"batch_count\": [1]}", "batch_count"},    {"{\"kind\": \"blue\"}", "one of red|green"},
        {"{\"scale\": \"much\"}", "a number"},        {"{\"scale\": true}", "a number"},
        {"{\"tiled\": 1}", "true or false"},          {"{\"name\": 7}", "a text"},
        {"{\"list\": [1, \"a\"]}", "whole numbers"},  {"{\"list\": [1000]}", "between 0 and 999"},
        {"{\"steps\": 4}", "no setting steps"},       {"[1]", "an object of settings"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        values v = presets();

        assert_int_equal(read_into(&v, rows[i][0], NULL, NULL), ONESTEP_BAD_ARGUMENT);
        assert_non_null(strstr(onestep_error_text(), rows[i][1]));
        assert_non_null(strstr(onestep_error_text(), "the request"));
    }
}

static void count_unknown(void *user, const char *key)
{
    assert_string_equal(key, "url");
    ++*(int *)user;
}

static void unknown_keys_can_be_told_apart(void **state)
{
    values v = presets();
    int n = 0;

    (void)state;
    assert_ok(read_into(&v, "{\"url\": \"x\", \"batch-count\": 2}", count_unknown, &n));
    assert_int_equal(n, 1);
    assert_int_equal(v.count, 2);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(null_leaves_what_was_there),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(unknown_keys_can_be_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
