/* Schedules against published check values, and scheduler_config.json in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "diffusion/sampler.h"
#include "diffusion/schedule.h"

static void assert_near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.12g, want %.12g within %g", got, want, tolerance);
}

static void table_has_the_published_values(void **state)
{
    static const struct {
        int t;
        double abar, sigma;
    } rows[] = {{0, 0.99915000, 0.029167},    {20, 0.98131436, 0.137991},   {187, 0.77360630, 0.540969},
                {249, 0.67543241, 0.693205},  {399, 0.42608636, 1.160578},  {499, 0.27766965, 1.612886},
                {749, 0.05662349, 4.081729},  {937, 0.00952875, 10.195371}, {980, 0.00584378, 13.043083},
                {981, 0.00577550, 13.120411}, {999, 0.00466010, 14.614641}};
    ons_schedule s;

    (void)state;
    ons_schedule_init_sd(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_near(s.abar[rows[i].t], rows[i].abar, 6e-9);
        assert_near(ons_schedule_sigma(&s, rows[i].t), rows[i].sigma, 6e-7);
    }
    assert_near(ons_schedule_a(&s, 999), 0.06826491, 6e-9);
    assert_near(ons_schedule_s(&s, 999), 0.99766723, 6e-9);
    assert_near(ons_schedule_a(&s, 399), 0.65275291, 6e-9);
    assert_near(ons_schedule_s(&s, 249), 0.56970833, 6e-9);
}

static void spacings_follow_their_rules(void **state)
{
    static const struct {
        ons_spacing spacing;
        int n, want[4];
    } rows[] = {{ONS_SPACING_LEADING, 4, {751, 501, 251, 1}},
                {ONS_SPACING_LEADING, 1, {1}},
                {ONS_SPACING_TRAILING, 4, {999, 749, 499, 249}},
                {ONS_SPACING_TRAILING, 1, {999}},
                {ONS_SPACING_LINSPACE, 4, {999, 666, 333, 0}}};
    ons_schedule s;
    double t[50];

    (void)state;
    ons_schedule_init_sd(&s);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        s.spacing = rows[i].spacing;
        assert_int_equal(ons_schedule_timesteps(&s, rows[i].n, t), ONESTEP_OK);
        for (int k = 0; k < rows[i].n; k++)
            assert_float_equal(t[k], rows[i].want[k], 0);
    }
    s.spacing = ONS_SPACING_LEADING;
    assert_int_equal(ons_schedule_timesteps(&s, 50, t), ONESTEP_OK);
    assert_float_equal(t[0], 981, 0);
    assert_float_equal(t[1], 961, 0);
    assert_float_equal(t[49], 1, 0);
    s.spacing = ONS_SPACING_TRAILING;
    assert_int_equal(ons_schedule_timesteps(&s, 50, t), ONESTEP_OK);
    assert_float_equal(t[0], 999, 0);
    assert_float_equal(t[49], 19, 0);
}

static void impossible_step_counts_are_refused(void **state)
{
    ons_schedule s;
    double t[ONS_MAX_TIMESTEPS + 1];

    (void)state;
    ons_schedule_init_sd(&s);
    assert_int_equal(ons_schedule_timesteps(&s, 0, t), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_schedule_timesteps(&s, -3, t), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_schedule_timesteps(&s, 1001, t), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_schedule_timesteps(&s, 1000, t), ONESTEP_BAD_ARGUMENT); /* offset 1: t = 1000 */
    assert_non_null(strstr(onestep_error_text(), "1000"));
}

static char *temporary_path(void)
{
    static char path[] = "/tmp/onestep-schedule-XXXXXX";
    int fd;

    strcpy(path + sizeof path - 7, "XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    return path;
}

static onestep_status load_text(const char *text, ons_schedule *s)
{
    char *path = temporary_path();
    onestep_status st = ons_write_file(path, text, strlen(text));

    assert_int_equal(st, ONESTEP_OK);
    st = ons_schedule_load(path, s);
    unlink(path);
    return st;
}

static void configs_are_read_with_their_class_defaults(void **state)
{
    ons_schedule s, sd;

    (void)state;
    ons_schedule_init_sd(&sd);
    assert_int_equal(
        load_text("{\"_class_name\": \"PNDMScheduler\", \"beta_start\": 0.00085, \"beta_end\": 0.012,"
                  "\"beta_schedule\": \"scaled_linear\", \"steps_offset\": 1, \"skip_prk_steps\": true}",
                  &s),
        ONESTEP_OK);
    assert_memory_equal(s.abar, sd.abar, sizeof s.abar);
    assert_int_equal(s.spacing, ONS_SPACING_LEADING);
    assert_int_equal(s.steps_offset, 1);
    assert_false(s.set_alpha_to_one);
    assert_int_equal(
        load_text("{\"_class_name\": \"DDIMScheduler\", \"rescale_betas_zero_snr\": true,"
                  "\"beta_start\": 0.00085, \"beta_end\": 0.012, \"beta_schedule\": \"scaled_linear\","
                  "\"prediction_type\": \"v_prediction\", \"timestep_spacing\": \"trailing\"}",
                  &s),
        ONESTEP_OK);
    assert_int_equal(s.prediction, ONS_PREDICT_V);
    assert_int_equal(s.spacing, ONS_SPACING_TRAILING);
    assert_true(s.set_alpha_to_one);
    assert_near(s.abar[0], sd.abar[0], 1e-12);
    assert_near(s.abar[249], 0.65418901, 6e-9);
    assert_near(s.abar[499], 0.24235917, 6e-9);
    assert_near(s.abar[749], 0.03317148, 6e-9);
    assert_true(s.abar[999] == 0);
    assert_true(isfinite(ons_schedule_sigma(&s, 999)));
}

static void bad_configs_say_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *says;
        onestep_status status;
    } rows[] = {
        {"{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}", "DDIMScheduler", ONESTEP_UNSUPPORTED},
        {"{}", "missing", ONESTEP_UNSUPPORTED},
        {"[1", "not a scheduler config", ONESTEP_BAD_FILE},
        {"[]", "object", ONESTEP_BAD_FILE},
        {"{\"_class_name\": \"DDIMScheduler\", \"prediction_type\": \"flow\"}", "v_prediction",
         ONESTEP_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_schedule\": \"squaredcos_cap_v2\"}", "scaled_linear",
         ONESTEP_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": -1}", "beta", ONESTEP_BAD_FILE},
        {"{\"_class_name\": \"DDIMScheduler\", \"beta_start\": \"x\"}", "number", ONESTEP_BAD_FILE},
        {"{\"_class_name\": \"DDIMScheduler\", \"num_train_timesteps\": 1e9}", "at most 1000",
         ONESTEP_UNSUPPORTED},
        {"{\"_class_name\": \"DDIMScheduler\", \"trained_betas\": 3}", "trained_betas", ONESTEP_BAD_FILE},
        {"{\"_class_name\": \"DDIMScheduler\", \"steps_offset\": 5000}", "steps_offset", ONESTEP_BAD_FILE},
    };
    ons_schedule s;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(load_text(rows[i].text, &s), rows[i].status);
        if (!strstr(onestep_error_text(), rows[i].says))
            fail_msg("\"%s\" does not mention %s", onestep_error_text(), rows[i].says);
    }
    assert_int_equal(ons_schedule_load("/nonexistent/scheduler_config.json", &s), ONESTEP_NOT_FOUND);
}

/* As diffusers' from_config: a class that is asked for another's config takes its own default spacing, unless
 * one is stated. */
static void a_spacing_that_nobody_states_is_the_samplers_own(void **state)
{
    static const double leading[] = {751, 501, 251, 1}, linspace[] = {999, 666, 333, 0};
    ons_schedule s;
    double t[4];

    (void)state;
    assert_int_equal(load_text("{\"_class_name\": \"PNDMScheduler\", \"steps_offset\": 1}", &s), ONESTEP_OK);
    assert_false(s.spacing_stated);
    assert_int_equal(ons_sampler_check("ddim", &s, 4, NULL, t), ONESTEP_OK);
    assert_memory_equal(t, leading, sizeof t);
    assert_int_equal(ons_sampler_check("euler", &s, 4, NULL, t), ONESTEP_OK);
    assert_memory_equal(t, linspace, sizeof t);
    assert_int_equal(load_text("{\"_class_name\": \"PNDMScheduler\", \"steps_offset\": 1,"
                               "\"timestep_spacing\": \"leading\"}",
                               &s),
                     ONESTEP_OK);
    assert_int_equal(ons_sampler_check("euler", &s, 4, NULL, t), ONESTEP_OK);
    assert_memory_equal(t, leading, sizeof t);
    assert_int_equal(load_text("{\"_class_name\": \"HeunDiscreteScheduler\"}", &s), ONESTEP_OK);
    assert_near(1 - s.abar[0], 0.00085, 1e-12);
    assert_near(1 - s.abar[1] / s.abar[0], 0.00085 + (0.012 - 0.00085) / 999, 1e-12);
}

static void saving_and_loading_keeps_every_field(void **state)
{
    ons_schedule s, back;
    char *path = temporary_path();

    (void)state;
    ons_schedule_init_sd(&s);
    s.prediction = ONS_PREDICT_V;
    s.spacing = ONS_SPACING_TRAILING;
    strcpy(s.class_name, "LCMScheduler");
    for (int other = 0; other < 2; other++) {
        if (other) /* no simple rule: the betas must be written out */
            for (int t = 500; t < 1000; t++)
                s.abar[t] *= 1 - 1e-4 * (t - 499);
        assert_int_equal(ons_schedule_save(&s, path), ONESTEP_OK);
        assert_int_equal(ons_schedule_load(path, &back), ONESTEP_OK);
        assert_int_equal(back.n, s.n);
        for (int t = 0; t < s.n; t++)
            assert_near(back.abar[t], s.abar[t], 1e-9 * s.abar[t]);
        assert_int_equal(back.prediction, s.prediction);
        assert_int_equal(back.spacing, s.spacing);
        assert_int_equal(back.spacing_stated, s.spacing_stated);
        assert_int_equal(back.steps_offset, s.steps_offset);
        assert_int_equal(back.set_alpha_to_one, s.set_alpha_to_one);
        assert_string_equal(back.class_name, s.class_name);
    }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_has_the_published_values),
        cmocka_unit_test(spacings_follow_their_rules),
        cmocka_unit_test(impossible_step_counts_are_refused),
        cmocka_unit_test(configs_are_read_with_their_class_defaults),
        cmocka_unit_test(bad_configs_say_what_is_wrong),
        cmocka_unit_test(a_spacing_that_nobody_states_is_the_samplers_own),
        cmocka_unit_test(saving_and_loading_keeps_every_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
