/*
 * Samplers against runs of diffusers' schedulers over an analytic network
 * (tests/reference/make_sampler_vectors.py says which). diffusers accumulates Abar in f32, which at t = 999 is
 * worth 1e-5 of the result: hence the tolerance.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diffusion/sampler.h"

enum { SIZE = 16 };

static void network(const float *x, double t, float *out)
{
    for (int i = 0; i < SIZE; i++)
        out[i] = (float)(0.6 * x[i] + 0.3 * cos(0.01 * t + i));
}

static void draw_noise(void *user, float *dst, size_t n)
{
    int *k = user;

    for (size_t i = 0; i < n; i++)
        dst[i] = (float)cos(0.37 * ((double)i + SIZE * *k));
    ++*k;
}

static int choice(const char *text, const char *a, const char *b)
{
    return strcmp(text, a) == 0 ? 0 : strcmp(text, b) == 0 ? 1 : 2;
}

static void read_schedule(json_t *c, ons_schedule *s)
{
    const char *prediction = json_string_value(json_object_get(c, "prediction"));
    const char *spacing = json_string_value(json_object_get(c, "spacing"));

    ons_schedule_init_sd(s);
    s->prediction = (ons_prediction)choice(prediction, "epsilon", "v_prediction");
    s->spacing = (ons_spacing)choice(spacing, "leading", "trailing");
    s->steps_offset = (int)json_integer_value(json_object_get(c, "offset"));
    s->set_alpha_to_one = json_is_true(json_object_get(c, "to_one"));
    if (json_is_true(json_object_get(c, "zero_snr"))) { /* Lin et al. 2023, algorithm 1 */
        const double first = sqrt(s->abar[0]), last = sqrt(s->abar[999]);

        for (int t = 0; t < 1000; t++)
            s->abar[t] = pow((sqrt(s->abar[t]) - last) * first / (first - last), 2);
    }
}

static void run_case(json_t *c)
{
    const char *name = json_string_value(json_object_get(c, "sampler"));
    const int steps = (int)json_integer_value(json_object_get(c, "steps"));
    const int start = (int)json_integer_value(json_object_get(c, "start"));
    json_t *times = json_object_get(c, "timesteps"), *want = json_object_get(c, "result");
    const int expected = (int)json_array_size(times);
    int custom[2 * ONS_MAX_TIMESTEPS], k = 0, evaluations = 0;
    double given[2 * ONS_MAX_TIMESTEPS], t;
    float noise[SIZE], clean[SIZE], in[SIZE], out[SIZE];
    ons_sampler *sampler;
    ons_schedule s;

    read_schedule(c, &s);
    for (int i = 0; i < expected; i++)
        custom[i] = (int)(given[i] = json_number_value(json_array_get(times, (size_t)i)));
    for (int i = 0; i < SIZE; i++)
        noise[i] = (float)sin(1 + 1.7 * i);
    for (int i = 0; i < SIZE; i++)
        clean[i] = (float)(0.8 * cos(2 + 0.9 * i));
    assert_int_equal(ons_sampler_create(name, &s, steps,
                                        json_is_true(json_object_get(c, "custom")) ? custom : NULL, SIZE,
                                        draw_noise, &k, &sampler),
                     ONESTEP_OK);
    if (start)
        ons_sampler_begin_from(sampler, start, clean, noise);
    else
        ons_sampler_begin(sampler, noise);
    assert_int_equal(ons_sampler_evaluations(name, steps, start), expected);
    while (ons_sampler_next(sampler, &t, in)) {
        if (fabs(t - given[evaluations]) > 1e-4) /* diffusers keeps them in single precision */
            fail_msg("%s, %d steps: timestep %d is %g, want %g", name, steps, evaluations, t,
                     given[evaluations]);
        network(in, t, out);
        ons_sampler_step(sampler, out);
        evaluations++;
    }
    assert_int_equal(evaluations, expected);
    for (int i = 0; i < SIZE; i++) {
        const double v = json_real_value(json_array_get(want, (size_t)i)), got = ons_sampler_result(sampler)[i];

        if (!(fabs(got - v) <= 1e-4 + 1e-4 * fabs(v)))
            fail_msg("%s, %d steps, element %d: got %.7g, want %.7g", name, steps, i, got, v);
    }
    ons_sampler_destroy(&sampler);
    assert_null(sampler);
}

static void samplers_agree_with_diffusers(void **state)
{
    const char *root = getenv("ONESTEP_SOURCE_ROOT");
    char path[4096];
    json_t *cases, *c;
    json_error_t error;
    size_t i;

    (void)state;
    snprintf(path, sizeof path, "%s/tests/diffusion/sampler_vectors.json", root ? root : ".");
    cases = json_load_file(path, 0, &error);
    if (!cases)
        fail_msg("%s: %s", path, error.text);
    assert_true(json_array_size(cases) >= 90);
    json_array_foreach(cases, i, c) run_case(c);
    json_decref(cases);
}

/* SD-Turbo's one step (Sauer et al. 2023) is X - 14.614641 eps from X = 14.614641 z, the network seeing
 * 0.997667 z. */
static void one_euler_step_has_the_published_scales(void **state)
{
    const float noise[1] = {1}, eps[1] = {0.25f};
    ons_sampler *sampler;
    ons_schedule s;
    float in[1];
    double t;

    (void)state;
    ons_schedule_init_sd(&s);
    s.spacing = ONS_SPACING_TRAILING;
    assert_int_equal(ons_sampler_create("euler", &s, 1, NULL, 1, NULL, NULL, &sampler), ONESTEP_OK);
    ons_sampler_begin(sampler, noise);
    assert_true(ons_sampler_next(sampler, &t, in));
    assert_float_equal(t, 999, 0);
    assert_float_equal(in[0], 0.997667, 1e-6);
    ons_sampler_step(sampler, eps);
    assert_false(ons_sampler_next(sampler, &t, in));
    assert_float_equal(ons_sampler_result(sampler)[0], 14.614641 * 0.75, 1e-5);
    ons_sampler_destroy(&sampler);
}

/* A network that knows the noise brings x_t = a x0 + s e to the end of the schedule along any list of
 * timesteps. */
static void plms_follows_the_timesteps_that_are_given(void **state)
{
    static const int times[] = {999, 900, 500, 450, 100};
    const float e[1] = {0.7f}, x0 = -0.4f;
    ons_sampler *sampler;
    ons_schedule s;
    float in[1], start[1];
    double t;

    (void)state;
    ons_schedule_init_sd(&s);
    start[0] = (float)(ons_schedule_a(&s, 999) * x0 + ons_schedule_s(&s, 999) * e[0]);
    assert_int_equal(ons_sampler_create("plms", &s, 5, times, 1, NULL, NULL, &sampler), ONESTEP_OK);
    ons_sampler_begin(sampler, start);
    while (ons_sampler_next(sampler, &t, in))
        ons_sampler_step(sampler, e);
    assert_float_equal(ons_sampler_result(sampler)[0],
                       ons_schedule_a(&s, 0) * x0 + ons_schedule_s(&s, 0) * e[0], 1e-5);
    ons_sampler_destroy(&sampler);
}

static void wrong_requests_are_refused(void **state)
{
    static const int rising[] = {10, 20}, outside[] = {1000, 3};
    ons_sampler *sampler;
    ons_schedule s;

    (void)state;
    ons_schedule_init_sd(&s);
    assert_int_equal(ons_sampler_create("heun9", &s, 4, NULL, 4, NULL, NULL, &sampler), ONESTEP_BAD_ARGUMENT);
    assert_non_null(strstr(onestep_error_text(), ons_sampler_names()));
    assert_null(sampler);
    assert_int_equal(ons_sampler_create("lcm", &s, 2, NULL, 4, NULL, NULL, &sampler), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_sampler_create("lcm", &s, 51, NULL, 4, draw_noise, NULL, &sampler),
                     ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_sampler_create("ddim", &s, 2, rising, 4, NULL, NULL, &sampler), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_sampler_create("ddim", &s, 2, outside, 4, NULL, NULL, &sampler), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_sampler_create("euler", &s, 0, NULL, 4, NULL, NULL, &sampler), ONESTEP_BAD_ARGUMENT);
}

static void names_and_table_agree(void **state)
{
    ons_schedule s;
    char names[128], *name, *rest = NULL;

    (void)state;
    ons_schedule_init_sd(&s);
    snprintf(names, sizeof names, "%s", ons_sampler_names());
    for (name = strtok_r(names, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest))
        assert_int_equal(ons_sampler_check(name, &s, 4, NULL, NULL), ONESTEP_OK);
    assert_int_not_equal(ons_sampler_check("pndm", &s, 4, NULL, NULL), ONESTEP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samplers_agree_with_diffusers),
        cmocka_unit_test(plms_follows_the_timesteps_that_are_given),
        cmocka_unit_test(one_euler_step_has_the_published_scales),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(names_and_table_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
