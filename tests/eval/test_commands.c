/* onestep eval and compare over tiny pipelines with random weights, driven as a user does: what is printed,
 * what is written, what is kept, and with which source of energy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cli/program.h"
#include "../cli/tiny.h"
#include "base/file.h"
#include "shapes.h"

static char *folder;
static char data[64], teacher[4096], student[4096], features[4096], prompts[4096];

static int set_up(void **state)
{
    FILE *f;

    (void)state;
    folder = make_folder();
    snprintf(teacher, sizeof teacher, "%s/teacher", folder);
    snprintf(student, sizeof student, "%s/student", folder);
    snprintf(features, sizeof features, "%s/kept/features", folder);
    snprintf(prompts, sizeof prompts, "%s/prompts.txt", folder);
    make_tiny_model(teacher, false);
    make_tiny_model(student, true);
    setenv("ONESTEP_SYSFS", folder, 1); /* no counters there */
    f = fopen(prompts, "w");
    if (!f)
        return -1;
    fputs("red disc on white\na <b>ring</b>\r\n\nblue cross\n", f);
    fclose(f);
    return shapes_write(data);
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return shapes_remove(data);
}

static void assert_number(const json_t *o, const char *section, const char *key)
{
    const json_t *s = section ? json_object_get(o, section) : o;

    if (!json_is_number(json_object_get(s, key)))
        fail_msg("%s.%s is no number", section ? section : "", key);
}

static void eval_prints_every_figure(void **state)
{
    static const char *const keys[] = {"frechet",   "top1",   "top5",          "clip",
                                       "precision", "recall", "patch_frechet", "diversity"};
    static const char *const sections[] = {"train", "heldout", "ambiguous"};
    program_run r = {0};
    json_t *o;

    (void)state;
    run_program(&r, "eval", "-m", student, "--data", data, "--features", features, "--n", "24", "--watts", "30",
                "--json", NULL);
    expect(&r, 0, "no feature network yet");
    expect(&r, 0, "kept in");
    o = json_loads(r.out, 0, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "model")), student);
    assert_int_equal(json_integer_value(json_object_get(o, "n")), 24);
    for (size_t s = 0; s < 3; s++)
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            assert_number(o, sections[s], keys[k]);
    assert_number(o, NULL, "ms_per_image");
    assert_number(o, NULL, "joules_per_image");
    assert_string_equal(json_string_value(json_object_get(o, "energy_source")), "declared: 30 W");
    json_decref(o);
    free_run(&r);
}

static void eval_repeats_itself(void **state)
{
    program_run a = {0}, b = {0};
    json_t *x, *y;

    (void)state;
    run_program(&a, "eval", "-m", teacher, "--data", data, "--features", features, "--n", "16", "--json", NULL);
    run_program(&b, "eval", "-m", teacher, "--data", data, "--features", features, "--n", "16", "--json", NULL);
    expect(&a, 0, "");
    x = json_loads(a.out, 0, NULL);
    y = json_loads(b.out, 0, NULL);
    assert_non_null(x);
    assert_non_null(y);
    assert_true(json_equal(json_object_get(x, "train"), json_object_get(y, "train")));
    assert_true(json_equal(json_object_get(x, "ambiguous"), json_object_get(y, "ambiguous")));
    assert_true(json_is_null(json_object_get(x, "joules_per_image")));
    assert_string_equal(json_string_value(json_object_get(x, "energy_source")), "none");
    json_decref(x);
    json_decref(y);
    free_run(&a);
    free_run(&b);
}

static void eval_prints_a_table(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "eval", "-m", student, "--data", data, "--features", features, "--n", "8", "--seeds", "2",
                NULL);
    expect(&r, 0, "");
    assert_non_null(strstr(r.out, "Frechet distance"));
    assert_non_null(strstr(r.out, "held-out"));
    assert_non_null(strstr(r.out, "--watts"));
    free_run(&r);
}

static void eval_refuses_what_it_cannot_do(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "eval", "-m", student, "--data", "/nowhere", NULL);
    expect(&r, 1, "/nowhere");
    run_program(&r, "eval", "-m", student, NULL);
    expect(&r, 2, "--data");
    run_program(&r, "eval", "-m", student, "--data", data, "--steps", "2", "--timesteps", "999,749,499", NULL);
    expect(&r, 2, "contradict");
    run_program(&r, "eval", "-m", student, "--data", prompts, "--features", features, NULL);
    expect(&r, 2, "captions alone");
    free_run(&r);
}

static json_t *read_json(const char *path)
{
    size_t size;
    char *text = read_file(path, &size);
    json_t *o = json_loads(text, 0, NULL);

    free(text);
    assert_non_null(o);
    return o;
}

static void compare_writes_its_report(void **state)
{
    program_run r = {0};
    char out[4200], path[4300];
    json_t *o, *t, *s;
    size_t size;
    char *html;

    (void)state;
    snprintf(out, sizeof out, "%s/compared", folder);
    run_program(&r, "compare", "--teacher", teacher, "--student", student, "--prompts", prompts, "-o", out,
                "--watts", "50", "--data", data, "--features", features, "--n", "8", NULL);
    expect(&r, 0, "");
    assert_non_null(strstr(r.out, "break-even by time: unknown"));
    snprintf(path, sizeof path, "%s/compare.json", out);
    o = read_json(path);
    t = json_object_get(o, "teacher");
    s = json_object_get(o, "student");
    assert_int_equal(json_integer_value(json_object_get(t, "network_evaluations")), 8); /* 4 guided steps */
    assert_int_equal(json_integer_value(json_object_get(s, "network_evaluations")), 1);
    assert_true(json_number_value(json_object_get(t, "gflop_per_image")) >
                json_number_value(json_object_get(s, "gflop_per_image")));
    assert_number(t, NULL, "joules_per_image");
    assert_string_equal(json_string_value(json_object_get(t, "energy_source")), "declared: 50 W");
    assert_number(s, "train", "frechet");
    assert_int_equal(json_array_size(json_object_get(o, "prompts")), 3);
    json_decref(o);
    snprintf(path, sizeof path, "%s/index.html", out);
    html = read_file(path, &size);
    assert_non_null(strstr(html, "a &lt;b&gt;ring&lt;/b&gt;"));
    free(html);
    snprintf(path, sizeof path, "%s/sheet.png", out);
    assert_true(ons_path_exists(path));
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eval_prints_every_figure),  cmocka_unit_test(eval_repeats_itself),
        cmocka_unit_test(eval_prints_a_table),       cmocka_unit_test(eval_refuses_what_it_cannot_do),
        cmocka_unit_test(compare_writes_its_report),
    };

    return cmocka_run_group_tests_name("commands", tests, set_up, tear_down);
}
