/* What a comparison reports: break-even, JSON, the page, and the plots of training. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "eval/compare.h"
#include "pipeline/plot.h"

static uint8_t pictures[2][2 * 16 * 16 * 3];
static const char *const prompts[] = {"a <b> & \"c\"", "d"};

static ons_compare example(void)
{
    ons_compare c = {
        .n_prompts = 2, .n_timed = 16, .side = 16, .n_threads = 2, .prompts = prompts, .precision = "f32"};

    memset(pictures[0], 40, sizeof pictures[0]);
    memset(pictures[1], 60, sizeof pictures[1]);
    c.teacher = (ons_compare_side){.path = "teacher",
                                   .run = {.steps = 50, .guidance = 3},
                                   .n_evaluations = 100,
                                   .gflop = 200,
                                   .median_ms = 500,
                                   .low_ms = 480,
                                   .high_ms = 530,
                                   .joules = 10,
                                   .train_joules = -1,
                                   .energy_source = "powercap: package-0",
                                   .rgb = pictures[0]};
    c.student = (ons_compare_side){.path = "student",
                                   .run = {.steps = 1, .guidance = 1},
                                   .n_evaluations = 1,
                                   .gflop = 3,
                                   .median_ms = 10,
                                   .low_ms = 9,
                                   .high_ms = 12,
                                   .joules = 0.2,
                                   .train_seconds = 490,
                                   .train_joules = -1,
                                   .energy_source = "powercap: package-0",
                                   .rgb = pictures[1]};
    c.break_even_time = ons_break_even(490, 0.5, 0.01);
    c.break_even_energy = ons_break_even(-1, 10, 0.2);
    return c;
}

static void break_even_is_where_costs_meet(void **state)
{
    (void)state;
    assert_true(ons_break_even(100, 3, 1) == 50);
    assert_true(ons_break_even(101, 3, 1) == 51);
    assert_true(ons_break_even(0, 3, 1) == 0);
    assert_true(isinf(ons_break_even(100, 1, 1)));
    assert_true(isinf(ons_break_even(100, 1, 2)));
    assert_true(ons_break_even(-1, 3, 1) == -1);
    assert_true(ons_break_even(5, -1, 1) == -1);
    assert_true(ons_break_even(5, 3, -1) == -1);
}

static void json_has_figures_and_nulls(void **state)
{
    const ons_compare c = example();
    json_t *o = ons_compare_json(&c), *student;

    (void)state;
    assert_non_null(o);
    student = json_object_get(o, "student");
    assert_int_equal(json_integer_value(json_object_get(student, "network_evaluations")), 1);
    assert_true(json_real_value(json_object_get(o, "speedup")) == 50);
    assert_true(json_is_null(json_object_get(student, "train_joules")));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(o, "break_even"), "pictures_by_time")),
                     1000);
    assert_true(json_is_null(json_object_get(json_object_get(o, "break_even"), "pictures_by_energy")));
    assert_int_equal(json_array_size(json_object_get(o, "prompts")), 2);
    json_decref(o);
}

static void the_page_stands_alone(void **state)
{
    const ons_compare c = example();
    char *html = NULL;
    size_t size = 0;

    (void)state;
    assert_int_equal(ons_compare_page(&c, &html, &size), ONESTEP_OK);
    assert_int_equal(strlen(html), size);
    assert_non_null(strstr(html, "data:image/png;base64,iVBORw0KGgo"));
    assert_non_null(strstr(html, "a &lt;b&gt; &amp; &quot;c&quot;"));
    assert_null(strstr(html, "a <b>"));
    assert_null(strstr(html, "http"));
    assert_null(strstr(html, "<script"));
    assert_non_null(strstr(html, "powercap: package-0"));
    assert_non_null(strstr(html, "<td>1000</td>"));
    ons_free(html);
}

static void an_absent_section_is_null(void **state)
{
    ons_eval_section s = {.present = false};
    json_t *o = ons_eval_section_json(&s);

    (void)state;
    assert_true(json_is_null(o));
    json_decref(o);
    s = (ons_eval_section){.present = true, .frechet = 2.5, .diversity = NAN};
    o = ons_eval_section_json(&s);
    assert_true(json_real_value(json_object_get(o, "frechet")) == 2.5);
    assert_true(json_is_null(json_object_get(o, "diversity")));
    json_decref(o);
}

static long count_coloured(const uint8_t *rgb, int width, int top, int height)
{
    long n = 0;

    for (long i = (long)top * width; i < (long)(top + height) * width; i++)
        n += rgb[3 * i] != rgb[3 * i + 1] || rgb[3 * i + 1] != rgb[3 * i + 2];
    return n;
}

/* A rising line has its left end low and its right end high, on both scales. */
static void plots_show_the_line(void **state)
{
    double x[100], y[100];
    ons_plot_series s = {.name = "loss", .x = x, .y = y, .n = 100};
    ons_plot_options o = {.width = 320, .height = 200};

    (void)state;
    for (int i = 0; i < 100; i++) {
        x[i] = i;
        y[i] = i == 50 ? NAN : pow(10, i / 30.0);
    }
    for (int log_y = 0; log_y < 2; log_y++) {
        uint8_t *rgb = NULL;
        int width, height;

        o.log_y = log_y;
        assert_int_equal(ons_plot_draw(&s, 1, &o, &rgb, &width, &height), ONESTEP_OK);
        assert_int_equal(width, 320);
        assert_int_equal(height, 200);
        assert_true(count_coloured(rgb, width, 30, 20) > 0);
        assert_true(count_coloured(rgb, width, 150, 24) > (log_y ? 10 : 100));
        ons_free(rgb);
    }
    s.n = 0;
    for (int log_y = 0; log_y < 2; log_y++) {
        uint8_t *rgb = NULL;
        int width, height;

        o.log_y = log_y;
        assert_int_equal(ons_plot_draw(&s, 1, &o, &rgb, &width, &height), ONESTEP_OK);
        assert_int_equal(count_coloured(rgb, width, 30, 140), 0);
        ons_free(rgb);
    }
    o.width = 10;
    assert_int_equal(ons_plot_draw(&s, 1, &o, &(uint8_t *){NULL}, &(int){0}, &(int){0}), ONESTEP_BAD_ARGUMENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(break_even_is_where_costs_meet),
        cmocka_unit_test(json_has_figures_and_nulls),
        cmocka_unit_test(the_page_stands_alone),
        cmocka_unit_test(an_absent_section_is_null),
        cmocka_unit_test(plots_show_the_line),
    };

    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
