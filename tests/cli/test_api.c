/* The public interface alone, through the shared library: only onestep.h is included but for making the model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "onestep.h"
#include "program.h"

enum { SIDE = 16, PICTURE = SIDE * SIDE * 3, HEARD = 2048 };

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

/* Refused, and said why. */
static void assert_refused(onestep_status st, const char *why)
{
    assert_int_equal(st, ONESTEP_BAD_ARGUMENT);
    if (!strstr(onestep_error_text(), why))
        fail_msg("wanted \"%s\" in: %s", why, onestep_error_text());
}

static onestep_pipeline *open_model(void)
{
    onestep_options options;
    onestep_pipeline *p = NULL;

    onestep_options_init(&options, sizeof options);
    options.n_threads = 2;
    options.type = ONESTEP_TYPE_F32;
    assert_int_equal(onestep_pipeline_open(model, &options, &p), ONESTEP_OK);
    return p;
}

static onestep_params heart(void)
{
    onestep_params params;

    onestep_params_init(&params, sizeof params);
    params.prompt = "red heart";
    params.seed = 3;
    return params;
}

static onestep_image *draw(onestep_pipeline *p, const onestep_params *params)
{
    onestep_image *image = NULL;

    if (onestep_pipeline_generate(p, params, &image) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    return image;
}

static void assert_params_refused(onestep_pipeline *p, const onestep_params *params, const char *why)
{
    onestep_image *image = (onestep_image *)1;

    assert_refused(onestep_pipeline_generate(p, params, &image), why);
    assert_null(image);
}

static void null_is_answered(void **state)
{
    onestep_pipeline *p = open_model(), *other = (onestep_pipeline *)1;
    onestep_params params = heart();
    onestep_defaults defaults = {.size = sizeof defaults};
    onestep_image *image = draw(p, &params), *none = (onestep_image *)1;
    uint8_t *png;
    size_t size;

    (void)state;
    assert_refused(onestep_pipeline_open(NULL, NULL, &other), "NULL");
    assert_null(other);
    assert_refused(onestep_pipeline_open(model, NULL, NULL), "NULL");
    assert_refused(onestep_pipeline_defaults(NULL, &defaults), "NULL");
    assert_refused(onestep_pipeline_defaults(p, NULL), "NULL");
    assert_refused(onestep_pipeline_generate(NULL, &params, &none), "NULL");
    assert_null(none);
    assert_refused(onestep_pipeline_generate(p, NULL, &none), "NULL");
    assert_refused(onestep_pipeline_generate(p, &params, NULL), "NULL");
    assert_refused(onestep_image_save(NULL, 0, "x.png"), "NULL");
    assert_refused(onestep_image_save(image, 0, NULL), "NULL");
    assert_refused(onestep_image_encode(NULL, 0, &png, &size), "NULL");
    assert_refused(onestep_image_encode(image, 0, NULL, &size), "NULL");
    assert_refused(onestep_image_encode(image, 0, &png, NULL), "NULL");
    assert_refused(onestep_image_encode(image, -1, &png, &size), "picture -1");
    assert_refused(onestep_cancel_create(NULL), "NULL");
    assert_refused(onestep_setting_at(0, NULL), "NULL");
    onestep_options_init(NULL, sizeof(onestep_options));
    onestep_params_init(NULL, sizeof(onestep_params));
    onestep_cancel_ask(NULL);
    onestep_cancel_clear(NULL);
    onestep_cancel_destroy(NULL);
    onestep_free(NULL);
    onestep_image_free(&image);
    onestep_pipeline_close(&p);
}

/* A program that was compiled when the struct ended earlier gets defaults for what it does not know. */
static void older_structs_go_on(void **state)
{
    onestep_pipeline *p = open_model(), *older = NULL;
    onestep_params params = heart();
    onestep_options options;
    onestep_defaults defaults = {.size = offsetof(onestep_defaults, guidance), .guidance = -7};
    onestep_setting setting = {.size = offsetof(onestep_setting, help), .help = "untouched"};
    onestep_image *whole = draw(p, &params), *part;

    (void)state;
    memset((char *)&params + offsetof(onestep_params, strength), 0xA5,
           sizeof params - offsetof(onestep_params, strength));
    params.size = offsetof(onestep_params, strength);
    part = draw(p, &params);
    assert_memory_equal(whole->rgb, part->rgb, PICTURE);
    memset(&options, 0xA5, sizeof options);
    onestep_options_init(&options, offsetof(onestep_options, unet));
    options.n_threads = 2;
    assert_int_equal(onestep_pipeline_open(model, &options, &older), ONESTEP_OK);
    assert_int_equal(onestep_pipeline_defaults(p, &defaults), ONESTEP_OK);
    assert_int_equal(defaults.steps, 4);
    assert_true(defaults.guidance == -7); /* beyond the caller's struct */
    assert_int_equal(onestep_setting_at(0, &setting), ONESTEP_OK);
    assert_string_equal(setting.name, "prompt");
    assert_string_equal(setting.help, "untouched");
    onestep_image_free(&whole);
    onestep_image_free(&part);
    onestep_pipeline_close(&older);
    onestep_pipeline_close(&p);
}

static void other_sizes_are_refused(void **state)
{
    static const size_t wrong[] = {0, sizeof(size_t) - 1, 4096};
    onestep_pipeline *p = open_model(), *other;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        onestep_params params = heart();
        onestep_options options = {.size = wrong[i]};
        onestep_defaults defaults = {.size = wrong[i]};
        onestep_setting setting = {.size = wrong[i]};

        params.size = wrong[i];
        assert_params_refused(p, &params, "onestep_params");
        assert_refused(onestep_pipeline_open(model, &options, &other), "onestep_options");
        assert_refused(onestep_pipeline_defaults(p, &defaults), "onestep_defaults");
        assert_refused(onestep_setting_at(0, &setting), "bytes");
    }
    onestep_pipeline_close(&p);
}

static void unknown_values_are_refused(void **state)
{
    onestep_pipeline *p = open_model(), *other = NULL;
    onestep_options options;
    onestep_params params = heart();

    (void)state;
    onestep_options_init(&options, sizeof options);
    options.type = (onestep_type)99;
    assert_refused(onestep_pipeline_open(model, &options, &other), "type 99");
    onestep_options_init(&options, sizeof options);
    options.prediction = (onestep_prediction)99;
    assert_refused(onestep_pipeline_open(model, &options, &other), "prediction 99");
    onestep_options_init(&options, sizeof options);
    options.n_loras = 1;
    assert_refused(onestep_pipeline_open(model, &options, &other), "LoRA");
    params.noise = (onestep_noise)99;
    assert_params_refused(p, &params, "noise 99");
    params = heart();
    params.sampler = "nonsense";
    assert_params_refused(p, &params, "nonsense");
    params = heart();
    params.count = 0;
    assert_params_refused(p, &params, "count");
    params = heart();
    params.timesteps = (const int[]){5};
    assert_params_refused(p, &params, "timesteps");
    params.steps = 1 << 20;
    assert_params_refused(p, &params, "timesteps");
    onestep_pipeline_close(&p);
}

static void remember(void *user, const char *text)
{
    strncat(user, text, HEARD - 1 - strlen(user));
}

static void remember_log(void *user, onestep_log_level level, const char *text)
{
    assert_in_range(level, ONESTEP_LOG_WARNING, ONESTEP_LOG_DETAIL);
    strncat(user, text, HEARD - 1 - strlen(user));
}

/* What the library writes on stderr between the two calls. */
static int divert_stderr(const char *path, int *kept)
{
    const int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(file >= 0);
    *kept = dup(2);
    assert_int_equal(dup2(file, 2), 2);
    return file;
}

static off_t restore_stderr(int file, int kept)
{
    const off_t size = lseek(file, 0, SEEK_END);

    dup2(kept, 2);
    close(kept);
    close(file);
    return size;
}

/* From here on the model's scheduler asks for something that is not done, which is worth a warning. */
static void ask_for_karras(void)
{
    char path[4200], *json;
    size_t size;
    FILE *f;

    snprintf(path, sizeof path, "%s/scheduler/scheduler_config.json", model);
    json = read_file(path, &size);
    assert_int_equal(json[0], '{');
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"use_karras_sigmas\": true,%s", json + 1);
    assert_int_equal(fclose(f), 0);
    free(json);
}

static void nothing_is_printed_and_the_hook_hears(void **state)
{
    char heard[HEARD] = "", noted[HEARD] = "";
    onestep_pipeline *p;
    onestep_params params = heart();
    onestep_image *image;
    int kept, file;

    (void)state;
    ask_for_karras();
    params.negative = "blue";
    params.guidance = 1;
    params.note = remember;
    params.user = noted;
    file = divert_stderr(in_folder(folder, "stderr"), &kept);
    p = open_model();
    image = draw(p, &params);
    assert_int_equal(restore_stderr(file, kept), 0);
    assert_non_null(strstr(noted, "no effect"));
    onestep_image_free(&image);
    onestep_pipeline_close(&p);
    onestep_set_log(remember_log, heard, ONESTEP_LOG_WARNING);
    p = open_model();
    onestep_set_log(NULL, NULL, ONESTEP_LOG_WARNING);
    assert_non_null(strstr(heard, "Karras"));
    heard[0] = 0;
    onestep_pipeline_close(&p);
    p = open_model();
    assert_string_equal(heard, "");
    onestep_pipeline_close(&p);
}

static void see_preview(void *user, int first, int n, const uint8_t *rgb)
{
    assert_int_equal(first, 0);
    assert_int_equal(n, 1);
    assert_non_null(rgb);
    ++*(int *)user;
}

static void previews_and_pictures_to_begin_with(void **state)
{
    static uint8_t blank[8 * 8 * 3];
    onestep_pipeline *p = open_model();
    onestep_params params = heart();
    onestep_image *plain = draw(p, &params), *seen, *from_blank;
    int n = 0;

    (void)state;
    params.preview = see_preview;
    params.preview_every = 1;
    params.user = &n;
    seen = draw(p, &params);
    assert_int_equal(n, 3); /* not after the last of 4 */
    assert_memory_equal(plain->rgb, seen->rgb, PICTURE);
    params = heart();
    params.init = blank;
    params.init_width = params.init_height = 8;
    params.strength = 0.5;
    from_blank = draw(p, &params);
    assert_int_equal(from_blank->n_evaluations * 2, plain->n_evaluations);
    assert_memory_not_equal(plain->rgb, from_blank->rgb, PICTURE);
    params.init_width = 0;
    assert_params_refused(p, &params, "0x8");
    params.init_width = 8;
    params.strength = 0;
    assert_params_refused(p, &params, "strength");
    onestep_image_free(&plain);
    onestep_image_free(&seen);
    onestep_image_free(&from_blank);
    onestep_pipeline_close(&p);
}

static void png_in_memory_is_the_saved_file(void **state)
{
    const char *path = in_folder(folder, "memory.png");
    onestep_pipeline *p = open_model();
    onestep_params params = heart();
    onestep_image *image = draw(p, &params);
    uint8_t *png = NULL;
    size_t size = 0, saved_size;
    char *saved;

    (void)state;
    assert_int_equal(onestep_image_encode(image, 0, &png, &size), ONESTEP_OK);
    assert_int_equal(onestep_image_save(image, 0, path), ONESTEP_OK);
    saved = read_file(path, &saved_size);
    assert_int_equal(size, saved_size);
    assert_memory_equal(png, saved, size);
    assert_non_null(memmem(png, size, "parameters", strlen("parameters")));
    assert_non_null(memmem(png, size, "red heart", strlen("red heart")));
    free(saved);
    onestep_free(png);
    onestep_image_free(&image);
    onestep_pipeline_close(&p);
}

/* Asked from another thread, while the request draws. */
static void *ask(void *cancel)
{
    onestep_cancel_ask(cancel);
    return NULL;
}

static bool ask_elsewhere(void *user, int evaluation, int n_evaluations)
{
    pthread_t thread;

    (void)n_evaluations;
    if (evaluation == 1) {
        assert_int_equal(pthread_create(&thread, NULL, ask, user), 0);
        pthread_join(thread, NULL);
    }
    return true;
}

static void cancelled_requests_end_and_can_be_repeated(void **state)
{
    onestep_pipeline *p = open_model();
    onestep_params params = heart();
    onestep_image *before = draw(p, &params), *image = NULL;
    onestep_cancel *cancel;

    (void)state;
    assert_int_equal(onestep_cancel_create(&cancel), ONESTEP_OK);
    params.cancel = cancel;
    params.progress = ask_elsewhere;
    params.user = cancel;
    assert_int_equal(onestep_pipeline_generate(p, &params, &image), ONESTEP_INTERRUPTED);
    assert_null(image);
    params.progress = NULL;
    assert_int_equal(onestep_pipeline_generate(p, &params, &image), ONESTEP_INTERRUPTED); /* still asked */
    onestep_cancel_clear(cancel);
    image = draw(p, &params);
    assert_memory_equal(before->rgb, image->rgb, PICTURE);
    onestep_cancel_destroy(&cancel);
    assert_null(cancel);
    onestep_image_free(&before);
    onestep_image_free(&image);
    onestep_pipeline_close(&p);
}

typedef struct drawer {
    onestep_pipeline *pipeline;
    uint64_t seed;
    onestep_image *images[4];
} drawer;

static void *draw_four(void *user)
{
    drawer *d = user;
    onestep_params params = heart();

    params.seed = d->seed;
    for (int i = 0; i < 4; i++)
        if (onestep_pipeline_generate(d->pipeline, &params, &d->images[i]) != ONESTEP_OK)
            return NULL;
    return d;
}

static void threads_share_a_pipeline(void **state)
{
    onestep_pipeline *p = open_model();
    drawer drawers[2] = {{p, 5, {0}}, {p, 6, {0}}};
    pthread_t threads[2];
    void *drew;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, draw_four, &drawers[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &drew);
        assert_non_null(drew);
    }
    for (int i = 0; i < 2; i++) {
        onestep_params params = heart();
        onestep_image *alone;

        params.seed = drawers[i].seed;
        alone = draw(p, &params);
        for (int k = 0; k < 4; k++) {
            assert_memory_equal(drawers[i].images[k]->rgb, alone->rgb, PICTURE);
            onestep_image_free(&drawers[i].images[k]);
        }
        onestep_image_free(&alone);
    }
    onestep_pipeline_close(&p);
}

static void lists_end(void **state)
{
    onestep_pipeline *p = open_model();
    onestep_setting setting = {.size = sizeof setting};
    int n = 0;

    (void)state;
    for (; onestep_sampler_name(n); n++) {
        onestep_params params = heart();
        onestep_image *image;

        params.sampler = onestep_sampler_name(n);
        image = draw(p, &params);
        onestep_image_free(&image);
    }
    assert_true(n >= 7);
    assert_null(onestep_sampler_name(-1));
    assert_null(onestep_sampler_name(n + 1));
    for (n = 0; onestep_setting_at(n, &setting) == ONESTEP_OK; n++)
        assert_true(setting.name && setting.help && setting.value);
    assert_true(n >= 14);
    assert_int_equal(onestep_setting_at(n, &setting), ONESTEP_NOT_FOUND);
    assert_int_equal(onestep_setting_at(-1, &setting), ONESTEP_NOT_FOUND);
    onestep_pipeline_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(errors_have_text),
                                       cmocka_unit_test(pictures_are_made_and_saved),
                                       cmocka_unit_test(null_is_answered),
                                       cmocka_unit_test(older_structs_go_on),
                                       cmocka_unit_test(other_sizes_are_refused),
                                       cmocka_unit_test(unknown_values_are_refused),
                                       cmocka_unit_test(nothing_is_printed_and_the_hook_hears),
                                       cmocka_unit_test(previews_and_pictures_to_begin_with),
                                       cmocka_unit_test(png_in_memory_is_the_saved_file),
                                       cmocka_unit_test(cancelled_requests_end_and_can_be_repeated),
                                       cmocka_unit_test(threads_share_a_pipeline),
                                       cmocka_unit_test(lists_end)};

    return cmocka_run_group_tests(tests, make_model, remove_model);
}
