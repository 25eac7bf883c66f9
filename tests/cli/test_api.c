/* The public interface alone, through the shared library: only onestep.h is included but for making the model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "onestep.h"
#include "program.h"

static char model[4096];
static char *folder;

/* The library hides what makes models: the program `make_tiny` does it. */
static int make_model(void **state)
{
    program_run r = {0};

    (void)state;
    folder = make_folder();
    strcpy(model, in_folder(folder, "teacher"));
    run_program(&r, model, NULL);
    expect(&r, 0, NULL);
    free_run(&r);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void errors_have_text(void **state)
{
    onestep_pipeline *p = (onestep_pipeline *)1;

    (void)state;
    assert_int_equal(onestep_pipeline_open("/nonexistent", NULL, &p), ONESTEP_NOT_FOUND);
    assert_null(p);
    assert_non_null(strstr(onestep_error_text(), "/nonexistent"));
    onestep_pipeline_close(&p);
    onestep_pipeline_close(NULL);
    onestep_image_free(NULL);
}

static bool count_calls(void *user, int step, int n_steps)
{
    int *n = user;

    assert_int_equal(step, ++*n);
    assert_int_equal(n_steps, 4);
    return true;
}

static bool stop_at_two(void *user, int step, int n_steps)
{
    (void)user;
    (void)n_steps;
    return step < 2;
}

static void pictures_are_made_and_saved(void **state)
{
    onestep_options options;
    const char *path = in_folder(folder, "api.png");
    onestep_image *image = NULL, *again = NULL;
    onestep_pipeline *p = NULL;
    onestep_params params;
    onestep_defaults defaults = {.size = sizeof defaults};
    int calls = 0;

    (void)state;
    onestep_options_init(&options, sizeof options);
    options.n_threads = 2;
    options.type = ONESTEP_TYPE_F32;
    assert_int_equal(onestep_pipeline_open(model, &options, &p), ONESTEP_OK);
    assert_int_equal(onestep_pipeline_defaults(p, &defaults), ONESTEP_OK);
    assert_int_equal(defaults.width, 16);
    assert_int_equal(defaults.height, 16);
    assert_int_equal(defaults.multiple, 4);
    onestep_params_init(&params, sizeof params);
    assert_int_equal(onestep_pipeline_generate(p, &params, &image), ONESTEP_BAD_ARGUMENT); /* no prompt */
    params.prompt = "red heart";
    params.count = 2;
    params.seed = 3;
    params.progress = count_calls;
    params.user = &calls;
    assert_int_equal(onestep_pipeline_generate(p, &params, &image), ONESTEP_OK);
    assert_int_equal(calls, 4);
    assert_int_equal(image->count, 2);
    assert_int_equal(image->width, 16);
    assert_int_not_equal(memcmp(image->rgb, image->rgb + 16 * 16 * 3, 16 * 16 * 3), 0);
    assert_int_equal(onestep_image_save(image, 1, path), ONESTEP_OK);
    assert_int_equal(onestep_image_save(image, 2, path), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(access(path, R_OK), 0);
    calls = 0;
    assert_int_equal(onestep_pipeline_generate(p, &params, &again), ONESTEP_OK);
    assert_memory_equal(image->rgb, again->rgb, 2 * 16 * 16 * 3);
    onestep_image_free(&again);
    params.progress = stop_at_two;
    assert_int_equal(onestep_pipeline_generate(p, &params, &again), ONESTEP_INTERRUPTED);
    assert_null(again);
    params.width = 18;
    assert_int_equal(onestep_pipeline_generate(p, &params, &again), ONESTEP_BAD_ARGUMENT);
    onestep_image_free(&image);
    onestep_pipeline_close(&p);
    assert_null(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(errors_have_text),
                                       cmocka_unit_test(pictures_are_made_and_saved)};

    return cmocka_run_group_tests(tests, make_model, remove_model);
}
