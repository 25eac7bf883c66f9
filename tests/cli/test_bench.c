/* onestep bench as a user types it. No time is judged: what is counted must be right, and what is summed must
 * add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include <jansson.h>

#include "program.h"
#include "tiny_models.h"

static json_t *bench(const char *model, const char *steps, const char *scale, const char *extra)
{
    program_run r = {0};
    json_t *o;

    run_program(&r, "bench", "-m", model, "--runs", "2", "--type", "f32", "--json", "--steps", steps,
                "--cfg-scale", scale, extra, NULL);
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

enum { N_NETWORKS = 3 };
static const char *const networks[N_NETWORKS] = {"text", "unet", "decoder"};

static const json_t *stage(const json_t *o, const char *name)
{
    const json_t *stages = json_object_get(o, "stages"), *s = json_object_get(stages, name);

    assert_int_equal(json_object_size(stages), 4);
    assert_true(json_is_object(s));
    return s;
}

static double tflop(const json_t *o, const char *name)
{
    return number(stage(o, name), "tflop");
}

/* Three figures in order; the median. */
static double median_ms(const json_t *o, const char *key)
{
    const json_t *ms = json_object_get(o, key);
    const double median = number(ms, "median");

    assert_true(0 < number(ms, "min") && number(ms, "min") <= median && median <= number(ms, "max"));
    return median;
}

static void work_follows_steps_and_guidance(void **state)
{
    json_t *one = bench(teacher, "1", "1", NULL), *three = bench(teacher, "3", "1", NULL),
           *guided = bench(teacher, "3", "4", NULL);
    double sum = 0, unet = tflop(one, "unet");

    (void)state;
    assert_int_equal(number(one, "evaluations"), 1);
    assert_int_equal(number(three, "evaluations"), 3);
    assert_int_equal(number(guided, "evaluations"), 6);
    assert_true(unet > 0);
    /* with one step the time embedding is a constant, computed once */
    assert_true(tflop(three, "unet") >= 3 * unet && tflop(three, "unet") < 3.2 * unet);
    assert_true(fabs(tflop(guided, "unet") / tflop(three, "unet") - 2) < 0.1);
    for (size_t i = 0; i < N_NETWORKS; i++)
        sum += median_ms(stage(one, networks[i]), "ms");
    sum += median_ms(stage(one, "encode"), "ms");
    assert_true(median_ms(one, "total_ms") > 0.5 * sum); /* medians do not add up exactly */
    assert_true(number(one, "load_ms") > 0 && number(one, "peak_rss_mb") > 1);
    json_decref(one);
    json_decref(three);
    json_decref(guided);
}

static void a_profile_lists_operators_and_kernels(void **state)
{
    json_t *o = bench(student, "1", "1", "--profile");

    (void)state;
    for (size_t i = 0; i < N_NETWORKS; i++) {
        const json_t *s = stage(o, networks[i]), *list = json_object_get(s, "operators"), *row;
        double ms = 0, sum = 0, kernels = number(s, "kernels_ms");
        size_t k;

        assert_true(json_array_size(list) > 3);
        json_array_foreach(list, k, row)
        {
            ms += number(row, "ms");
            sum += number(row, "tflop");
            assert_true(number(row, "operators") >= 1);
            assert_true(json_string_length(json_object_get(row, "kernel")) > 0);
        }
        assert_true(fabs(ms - kernels) < 1e-3 * kernels);
        assert_true(fabs(sum - number(s, "tflop")) < 1e-3 * sum);
        assert_true(kernels <= number(s, "profiled_ms"));
    }
    assert_null(json_object_get(stage(o, "encode"), "operators"));
    json_decref(o);
}

static void energy_follows_declared_watts(void **state)
{
    json_t *o = bench(student, "1", "1", "--watts=65");
    const char *source = json_string_value(json_object_get(o, "energy"));

    (void)state;
    assert_non_null(source);
    if (strstr(source, "declared")) /* else this machine has counters */
        assert_true(number(o, "joules_per_picture") > 0.5 * 65e-3 * median_ms(o, "total_ms"));
    else
        assert_true(number(o, "joules_per_picture") >= 0);
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
        cmocka_unit_test(energy_follows_declared_watts),
        cmocka_unit_test(text_says_the_same),
        cmocka_unit_test(what_cannot_be_measured_is_said),
    };

    return cmocka_run_group_tests(tests, make_models, remove_models);
}
