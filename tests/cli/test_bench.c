/* onestep bench as a user types it. No time is judged: what is counted must be right, and what is summed must add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include <jansson.h>

#include "program.h"
#include "tiny.h"

static char *folder;
static char teacher[4096], student[4096];

static int make_models(void **state)
{
    (void)state;
    folder = make_folder();
    strcpy(teacher, in_folder(folder, "teacher"));
    strcpy(student, in_folder(folder, "student"));
    make_tiny_model(teacher, false);
    make_tiny_model(student, true);
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static json_t *bench(const char *model, const char *steps, const char *scale, const char *extra)
{
    program_run r = {0};
    json_t *o;

    run_program(&r, "bench", "-m", model, "--runs", "2", "--type", "f32", "--json", "--steps", steps, "--cfg-scale", scale, extra,
                NULL);
    expect(&r, 0, "run/s");
    o = json_loads(r.out, 0, NULL);
    assert_non_null(o);
    free_run(&r);
    return o;
}

static double number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_number(v))
        fail_msg("no number \"%s\"", key);
    return json_number_value(v);
}

static const json_t *stage(const json_t *o, size_t i)
{
    const json_t *list = json_object_get(o, "stages");

    assert_int_equal(json_array_size(list), 4);
    return json_array_get(list, i);
}

static void work_follows_steps_and_guidance(void **state)
{
    json_t *one = bench(teacher, "1", "1", NULL), *three = bench(teacher, "3", "1", NULL), *guided = bench(teacher, "3", "4", NULL);
    double unet = number(stage(one, 1), "gflop");

    (void)state;
    assert_int_equal(number(one, "evaluations"), 1);
    assert_int_equal(number(three, "evaluations"), 3);
    assert_int_equal(number(guided, "evaluations"), 6);
    assert_true(unet > 0);
    /* with one step the time embedding is a constant, computed once */
    assert_true(number(stage(three, 1), "gflop") >= 3 * unet && number(stage(three, 1), "gflop") < 3.2 * unet);
    assert_true(fabs(number(stage(guided, 1), "gflop") / number(stage(three, 1), "gflop") - 2) < 0.1);
    for (size_t i = 0; i < 3; i++)
        assert_true(number(stage(one, i), "ms") > 0);
    assert_true(fabs(number(stage(one, 3), "gflop") - number(stage(one, 0), "gflop") - unet - number(stage(one, 2), "gflop")) <
                1e-4 * number(stage(one, 3), "gflop"));
    json_decref(one);
    json_decref(three);
    json_decref(guided);
}

static void a_profile_lists_operators_and_kernels(void **state)
{
    json_t *o = bench(student, "1", "1", "--profile");

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const json_t *list = json_object_get(stage(o, i), "operators"), *row;
        double ms = 0, gflop = 0, kernels = number(stage(o, i), "kernels_ms");
        size_t k;

        assert_true(json_array_size(list) > 3);
        json_array_foreach(list, k, row)
        {
            ms += number(row, "ms");
            gflop += number(row, "gflop");
            assert_true(number(row, "calls") >= 1);
            assert_true(json_string_length(json_object_get(row, "kernel")) > 0);
        }
        assert_true(fabs(ms - kernels) < 1e-3 * kernels);
        assert_true(fabs(gflop - number(stage(o, i), "gflop")) < 1e-3 * gflop);
        assert_true(kernels <= number(stage(o, i), "profiled_ms"));
    }
    assert_null(json_object_get(stage(o, 3), "operators"));
    json_decref(o);
}

static void text_says_the_same(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "bench", "-m", student, "--runs", "1", "--profile", NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "1 network evaluation,"));
    assert_non_null(strstr(r.out, "UNet: "));
    assert_non_null(strstr(r.out, "between them"));
    free_run(&r);
}

static void what_cannot_be_measured_is_said(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "bench", NULL);
    expect(&r, 2, "nothing to measure");
    run_program(&r, "bench", "-m", in_folder(folder, "nowhere"), NULL);
    expect(&r, 1, "nowhere");
    run_program(&r, "bench", "-m", student, "-W", "33", NULL);
    expect(&r, 2, "33");
    run_program(&r, "bench", "-m", student, "--sampler", "leap", NULL);
    expect(&r, 2, "leap");
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_follows_steps_and_guidance),
        cmocka_unit_test(a_profile_lists_operators_and_kernels),
        cmocka_unit_test(text_says_the_same),
        cmocka_unit_test(what_cannot_be_measured_is_said),
    };

    return cmocka_run_group_tests(tests, make_models, remove_models);
}
