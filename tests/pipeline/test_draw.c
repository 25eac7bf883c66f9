/* One way from a request to pictures: lists, batches, memory of the caller's, stopping, previews, notes, plans
 * that are kept, several threads. */
#include "../unit/unit_test.h"

#include <pthread.h>

#include "../cli/program.h"
#include "../cli/tiny.h"
#include "pipeline/draw.h"

enum { SIDE = 16, PICTURE = SIDE * SIDE * 3 };

static char *folder;
static ons_model *model;

static int open_model(void **state)
{
    char path[4096];

    (void)state;
    folder = make_folder();
    snprintf(path, sizeof path, "%s/teacher", folder);
    make_tiny_model(path, false);
    return ons_model_open_to_run(&(ons_model_sources){.model = path}, &(ons_compute){.n_threads = 2}, &model) ==
                   ONESTEP_OK
               ? 0
               : -1;
}

static int close_model(void **state)
{
    (void)state;
    ons_model_close(&model);
    remove_folder(folder);
    return 0;
}

static ons_request three_steps(void)
{
    ons_request q;

    ons_request_init(&q);
    q.prompt = "red heart";
    q.seed = (ons_seed){.value = 7};
    q.steps = 3;
    return q;
}

static void draw(const ons_request *q, ons_result *r)
{
    *r = (ons_result){0};
    assert_ok(ons_draw(model, q, r));
}

static void lists_say_the_same_as_counting_up(void **state)
{
    static const char *const prompts[] = {"red heart", "red heart", "red heart"};
    static const uint64_t seeds[] = {7, 8, 9};
    ons_request q = three_steps();
    ons_result counted, listed;

    (void)state;
    q.count = 3;
    draw(&q, &counted);
    assert_int_equal(counted.n, 3);
    assert_int_equal(counted.run.width, SIDE);
    assert_memory_not_equal(counted.rgb, counted.rgb + PICTURE, PICTURE);
    q.n = 3;
    q.prompts = prompts;
    q.seeds = seeds;
    draw(&q, &listed);
    assert_memory_equal(counted.rgb, listed.rgb, 3 * PICTURE);
    assert_int_equal(ons_result_seed(&listed, &q, 2), 9);
    ons_result_fini(&counted);
    ons_result_fini(&listed);
}

/* A batch that is made for more pictures than it gets draws the same ones. */
static void batches_do_not_show(void **state)
{
    ons_request q = three_steps();
    ons_result whole, pieces;

    (void)state;
    q.count = 5;
    q.batch_size = 2;
    draw(&q, &pieces);
    assert_int_equal(pieces.run.batch, 2);
    assert_int_equal(pieces.stats.n_evaluations, 3 * 3 * (pieces.run.guidance == 1 ? 1 : 2));
    q.batch_size = 5;
    draw(&q, &whole);
    for (int i = 0; i < 5 * PICTURE; i++) /* sums of another batch may be ordered differently */
        assert_true(abs(whole.rgb[i] - pieces.rgb[i]) <= 1);
    ons_result_fini(&whole);
    ons_result_fini(&pieces);
}

static void results_go_into_the_callers_memory(void **state)
{
    float latents[4 * 4 * 4 * 2];
    uint8_t rgb[2 * PICTURE];
    ons_request q = three_steps();
    ons_result r = {.rgb = rgb}, own;

    (void)state;
    q.count = 2;
    assert_ok(ons_draw(model, &q, &r));
    draw(&q, &own);
    assert_memory_equal(own.rgb, rgb, sizeof rgb);
    ons_result_fini(&own);
    ons_result_fini(&r);
    r = (ons_result){.latents = latents};
    q.latents_only = true;
    assert_ok(ons_draw(model, &q, &r));
    assert_null(r.rgb);
    draw(&q, &own);
    assert_memory_equal(own.latents, latents, sizeof latents);
    ons_result_fini(&own);
    ons_result_fini(&r);
}

typedef struct watcher {
    ons_stop stop;
    int evaluations, stop_at, pictures, previews, notes;
    char note[512];
} watcher;

static bool count_evaluation(void *user, int evaluation, int n_evaluations)
{
    watcher *w = user;

    assert_int_equal(evaluation, ++w->evaluations);
    assert_true(n_evaluations >= evaluation);
    if (evaluation == w->stop_at)
        ons_stop_ask(&w->stop);
    return true;
}

static onestep_status count_picture(void *user, int i, const uint8_t *rgb)
{
    watcher *w = user;

    assert_int_equal(i, w->pictures++);
    assert_non_null(rgb);
    return ONESTEP_OK;
}

static void count_preview(void *user, int first, int n, const uint8_t *rgb)
{
    watcher *w = user;

    assert_int_equal(first, 0);
    assert_int_equal(n, 2);
    assert_non_null(rgb);
    w->previews++;
}

static void take_note(void *user, const char *text)
{
    watcher *w = user;

    w->notes++;
    snprintf(w->note, sizeof w->note, "%s", text);
}

static void a_token_stops_and_nothing_is_left(void **state)
{
    watcher w = {.stop_at = 2};
    ons_request q = three_steps();
    ons_result before, r = {0};

    (void)state;
    draw(&q, &before);
    q.progress = count_evaluation;
    q.user = &w;
    q.stop = &w.stop;
    assert_int_equal(ons_draw(model, &q, &r), ONESTEP_INTERRUPTED);
    assert_int_equal(w.evaluations, 2);
    assert_null(r.rgb);
    ons_stop_clear(&w.stop);
    w = (watcher){0};
    draw(&q, &r);
    assert_memory_equal(before.rgb, r.rgb, PICTURE);
    ons_result_fini(&before);
    ons_result_fini(&r);
}

static void who_waits_sees_previews_and_pictures(void **state)
{
    watcher w = {0};
    ons_request q = three_steps();
    ons_result plain, watched;

    (void)state;
    q.count = 2;
    q.steps = 5;
    draw(&q, &plain);
    q.picture = count_picture;
    q.preview = count_preview;
    q.preview_every = 2;
    q.user = &w;
    draw(&q, &watched);
    assert_int_equal(w.previews, 2);
    assert_int_equal(w.pictures, 2);
    assert_memory_equal(plain.rgb, watched.rgb, 2 * PICTURE); /* looking changes nothing */
    ons_result_fini(&plain);
    ons_result_fini(&watched);
}

static void settings_without_effect_are_noted(void **state)
{
    watcher w = {0};
    ons_request q = three_steps();
    ons_result r;

    (void)state;
    q.guidance = 1;
    q.negative = "blue";
    q.note = take_note;
    q.user = &w;
    draw(&q, &r);
    assert_int_equal(w.notes, 1);
    assert_non_null(strstr(w.note, "--negative has no effect"));
    ons_result_fini(&r);
}

static void wrong_requests_are_refused(void **state)
{
    ons_request q = three_steps();
    ons_result r = {0};

    (void)state;
    q.width = SIDE + 1;
    assert_int_equal(ons_draw(model, &q, &r), ONESTEP_BAD_ARGUMENT);
    q = three_steps();
    q.sampler = "none such";
    assert_int_equal(ons_draw(model, &q, &r), ONESTEP_BAD_ARGUMENT);
    assert_non_null(strstr(onestep_error_text(), "euler_a"));
    q = three_steps();
    q.guidance = 101;
    assert_int_equal(ons_draw(model, &q, &r), ONESTEP_BAD_ARGUMENT);
    q = three_steps();
    q.prompt = NULL;
    assert_int_equal(ons_draw(model, &q, &r), ONESTEP_BAD_ARGUMENT);
    q = three_steps();
    q.count = 0;
    assert_int_equal(ons_draw(model, &q, &r), ONESTEP_BAD_ARGUMENT);
}

/* More sizes than a model keeps plans for, twice around. */
static void forgotten_plans_come_back(void **state)
{
    enum { SIZES = 5 };
    ons_result first[SIZES];

    (void)state;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < SIZES; i++) {
            ons_request q = three_steps();
            ons_result r;

            q.width = 8 + 4 * i;
            draw(&q, round ? &r : &first[i]);
            if (!round)
                continue;
            assert_memory_equal(first[i].rgb, r.rgb, (size_t)q.width * SIDE * 3);
            ons_result_fini(&r);
            ons_result_fini(&first[i]);
        }
}

typedef struct drawer {
    ons_request q;
    ons_result r;
    onestep_status st;
} drawer;

static void *draw_in_thread(void *user)
{
    drawer *d = user;

    d->st = ons_draw(model, &d->q, &d->r);
    return NULL;
}

static void threads_share_a_model(void **state)
{
    enum { N = 4 };
    drawer d[N] = {0};
    pthread_t threads[N];
    ons_result alone;

    (void)state;
    ons_draw_forget(model); /* so that they meet while the first plan is made */
    for (int i = 0; i < N; i++) {
        d[i].q = three_steps();
        d[i].q.width = i % 2 ? SIDE : 8;
        assert_int_equal(pthread_create(&threads[i], NULL, draw_in_thread, &d[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(d[i].st, ONESTEP_OK);
        draw(&d[i].q, &alone);
        assert_memory_equal(alone.rgb, d[i].r.rgb, (size_t)alone.run.width * SIDE * 3);
        ons_result_fini(&alone);
        ons_result_fini(&d[i].r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_say_the_same_as_counting_up),
        cmocka_unit_test(batches_do_not_show),
        cmocka_unit_test(results_go_into_the_callers_memory),
        cmocka_unit_test(a_token_stops_and_nothing_is_left),
        cmocka_unit_test(who_waits_sees_previews_and_pictures),
        cmocka_unit_test(settings_without_effect_are_noted),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(forgotten_plans_come_back),
        cmocka_unit_test(threads_share_a_model),
    };

    return cmocka_run_group_tests(tests, open_model, close_model);
}
