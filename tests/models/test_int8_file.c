/* int8.json: what is accepted, what is refused and how, and that saving keeps everything. */
#include "../unit/unit_test.h"

#include <unistd.h>

#include "pipeline/int8.h"

static onestep_status parse(const char *text, ons_int8 **out)
{
    return ons_int8_parse(text, strlen(text), "int8.json", out);
}

static void assert_refused(const char *text, const char *message)
{
    ons_int8 *s = NULL;

    assert_int_equal(parse(text, &s), ONESTEP_BAD_FILE);
    assert_null(s);
    if (!strstr(onestep_error_text(), message))
        fail_msg("\"%s\" lacks \"%s\"", onestep_error_text(), message);
}

static void layers_are_sorted_and_kept_ones_have_no_scale(void **state)
{
    const char *text = "{\"version\": 1, \"unet\": {\"b\": {\"scale\": 0.5, \"zero\": 3, \"error\": 0.02}, "
                       "\"a\": {\"scale\": 2}, \"c\": {\"scale\": 1}}, \"keep\": {\"unet\": [\"b\"]}}";
    const ons_layer_scale *row;
    ons_int8 *s;

    (void)state;
    assert_ok(parse(text, &s));
    assert_int_equal(s->scales[ONS_INT8_UNET].n, 3);
    assert_false(s->parts[ONS_INT8_DECODER].known);
    row = ons_scales_find(&s->scales[ONS_INT8_UNET], "a");
    assert_non_null(row);
    assert_true(row->scale == 2 && row->zero == 0);
    row = ons_scales_find(&s->scales[ONS_INT8_UNET], "b");
    assert_true(row && row->scale == 0);
    assert_null(ons_scales_find(&s->scales[ONS_INT8_UNET], "d"));
    ons_int8_destroy(&s);
}

static void bad_files_are_named(void **state)
{
    (void)state;
    assert_refused("[]", "no JSON object");
    assert_refused("{", "int8.json");
    assert_refused("{}", "version 0 of scales, this program reads 1");
    assert_refused("{\"version\": 2}", "version 2");
    assert_refused("{\"version\": 1, \"unet\": 3}", "unet must be an object");
    assert_refused("{\"version\": 1, \"unet\": {\"a\": 1}}", "layer a is no object");
    assert_refused("{\"version\": 1, \"unet\": {\"a\": {}}}", "layer a has the scale 0");
    assert_refused("{\"version\": 1, \"unet\": {\"a\": {\"scale\": -1}}}", "layer a has the scale -1");
    assert_refused("{\"version\": 1, \"unet\": {\"a\": {\"scale\": 1e300}}}", "layer a has the scale 1e+300");
    assert_refused("{\"version\": 1, \"unet\": {\"a\": {\"scale\": \"x\"}}}", "scale");
    assert_refused("{\"version\": 1, \"unet\": {\"a\": {\"scale\": 1, \"zero\": 256}}}", "zero");
    assert_refused("{\"version\": 1, \"unet\": {}, \"keep\": []}", "keep must hold");
    assert_refused("{\"version\": 1, \"unet\": {}, \"keep\": {\"unet\": [\"a\"]}}",
                   "keep.unet names a layer (a)");
}

static void saving_keeps_other_decoders(void **state)
{
    char path[] = "/tmp/onestep_int8_XXXXXX";
    const char *kl = "{\"version\": 1, \"unet\": {\"a\": {\"scale\": 2, \"zero\": 5, \"error\": 0.25}}, "
                     "\"decoder\": {\"d\": "
                     "{\"scale\": 4}}, \"keep\": {\"unet\": [\"a\"]}}";
    const char *tiny = "{\"version\": 1, \"unet\": {\"a\": {\"scale\": 3}}, \"tiny_decoder\": {}}";
    ons_int8 *s;
    int file = mkstemp(path);

    (void)state;
    assert_true(file >= 0);
    close(file);
    assert_ok(parse(kl, &s));
    assert_ok(ons_int8_save(s, path));
    ons_int8_destroy(&s);
    assert_ok(ons_int8_load(path, &s));
    assert_true(s->parts[ONS_INT8_UNET].layers[0].error == 0.25);
    assert_int_equal(s->parts[ONS_INT8_UNET].layers[0].zero, 5);
    assert_true(s->parts[ONS_INT8_UNET].layers[0].keep);
    ons_int8_destroy(&s);
    assert_ok(parse(tiny, &s));
    assert_ok(ons_int8_save(s, path));
    ons_int8_destroy(&s);
    assert_ok(ons_int8_load(path, &s));
    assert_true(s->parts[ONS_INT8_UNET].layers[0].scale == 3);
    assert_true(s->parts[ONS_INT8_DECODER].n == 1 && s->parts[ONS_INT8_TINY_DECODER].known);
    ons_int8_destroy(&s);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_sorted_and_kept_ones_have_no_scale),
        cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(saving_keeps_other_decoders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
