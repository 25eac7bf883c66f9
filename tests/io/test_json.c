/* JSON helpers: typed fields, presets, limits, and errors that name file, line and key. */
#include "../unit/unit_test.h"

#include "io/json.h"

static json_t *parse(const char *text)
{
    json_t *root = NULL;

    assert_ok(ons_json_parse(text, strlen(text), "test", &root));
    return root;
}

static void fields_are_typed(void **state)
{
    json_t *o = parse("{\"i\":7,\"r\":1.5,\"b\":true,\"t\":\"text\",\"n\":null}");
    const char *text;
    double real;
    bool flag;
    int whole;

    (void)state;
    assert_ok(ons_json_int(o, "test", "i", 1, 0, 9, &whole));
    assert_int_equal(whole, 7);
    assert_ok(ons_json_real(o, "test", "r", 0, &real));
    assert_true(real == 1.5);
    assert_ok(ons_json_real(o, "test", "i", 0, &real)); /* a whole number is a number */
    assert_true(real == 7);
    assert_ok(ons_json_bool(o, "test", "b", false, &flag));
    assert_true(flag);
    assert_ok(ons_json_text(o, "test", "t", NULL, &text));
    assert_string_equal(text, "text");
    json_decref(o);
}

static void absent_and_null_fields_take_the_preset(void **state)
{
    static const char *const keys[] = {"n", "absent"};
    json_t *o = parse("{\"n\":null}");

    (void)state;
    for (int i = 0; i < 2; i++) {
        const char *text;
        double real;
        bool flag;
        int whole;
        assert_ok(ons_json_int(o, "test", keys[i], -3, 0, 9, &whole));
        assert_int_equal(whole, -3);
        assert_ok(ons_json_real(o, "test", keys[i], 0.25, &real));
        assert_true(real == 0.25);
        assert_ok(ons_json_bool(o, "test", keys[i], true, &flag));
        assert_true(flag);
        assert_ok(ons_json_text(o, "test", keys[i], "preset", &text));
        assert_string_equal(text, "preset");
    }
    json_decref(o);
}

static void wrong_types_and_ranges_name_file_and_key(void **state)
{
    json_t *o = parse("{\"width\":\"wide\",\"layers\":70000000000}");
    const char *text;
    double real;
    bool flag;
    int whole;

    (void)state;
    assert_int_equal(ons_json_int(o, "cfg.json", "width", 1, 0, 9, &whole), ONESTEP_BAD_FILE);
    assert_error_has("cfg.json");
    assert_error_has("width");
    assert_int_equal(ons_json_int(o, "cfg.json", "layers", 1, 0, 9, &whole), ONESTEP_BAD_FILE);
    assert_error_has("70000000000");
    assert_error_has("0 to 9");
    assert_int_equal(ons_json_real(o, "cfg.json", "width", 1, &real), ONESTEP_BAD_FILE);
    assert_int_equal(ons_json_bool(o, "cfg.json", "width", true, &flag), ONESTEP_BAD_FILE);
    assert_int_equal(ons_json_text(o, "cfg.json", "layers", NULL, &text), ONESTEP_BAD_FILE);
    json_decref(o);
}

static void broken_files_name_file_and_line(void **state)
{
    static const char *const broken[] = {"{\n\"a\": 1,\n}",  "",   "{\"a\":1} x", "{\"a\":1,\"a\":2}",
                                         "{\"a\":\"\xff\"}", "nul"};
    json_t *o = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        assert_ok(ons_write_file(in_scratch("b.json"), broken[i], strlen(broken[i])));
        assert_int_equal(ons_json_load(in_scratch("b.json"), &o), ONESTEP_BAD_FILE);
        assert_null(o);
        assert_error_has("b.json");
        if (i == 0)
            assert_error_has("line 3");
    }
    assert_int_equal(ons_json_load(in_scratch("none.json"), &o), ONESTEP_NOT_FOUND);
    assert_int_equal(ons_json_load(scratch, &o), ONESTEP_IO);
}

static void deep_nesting_is_an_error(void **state)
{
    enum { DEPTH = 200000 };
    char *deep = malloc(DEPTH);
    json_t *o = NULL;

    (void)state;
    assert_non_null(deep);
    memset(deep, '[', DEPTH);
    assert_int_equal(ons_json_parse(deep, DEPTH, "deep", &o), ONESTEP_BAD_FILE);
    assert_null(o);
    free(deep);
}

static void saved_values_are_loaded_again(void **state)
{
    json_t *o = parse("{\"a\":[1,2.5,\"\xC3\xA9\",{\"b\":false}],\"n\":9007199254740993}"), *back = NULL;
    char *text;

    (void)state;
    assert_ok(ons_json_save(o, in_scratch("s.json")));
    assert_ok(ons_json_load(in_scratch("s.json"), &back));
    assert_true(json_equal(o, back));
    assert_int_equal(ons_json_save(o, in_scratch("no/s.json")), ONESTEP_NOT_FOUND);
    text = ons_json_dump(o, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"a\":[1,2.5,\"\xC3\xA9\",{\"b\":false}],\"n\":9007199254740993}");
    ons_free(text);
    json_decref(back);
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_typed),
        cmocka_unit_test(absent_and_null_fields_take_the_preset),
        cmocka_unit_test(wrong_types_and_ranges_name_file_and_key),
        cmocka_unit_test(broken_files_name_file_and_line),
        cmocka_unit_test(deep_nesting_is_an_error),
        cmocka_unit_test(saved_values_are_loaded_again),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
