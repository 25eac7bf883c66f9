/*
 * recipes/tiny.json through the command line, from pictures to a student that has learnt something: in one step
 * it draws pictures like those of the data, which its teacher cannot do in one step, wherever it is asked to.
 * Then the teacher is trained further with --init.
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

#include "base/file.h"
#include "base/system.h"
#include "io/image.h"
#include "pictures.h"
#include "program.h"

static char *folder;
static char recipe[512];

/* One thread: at these sizes a second one costs as much as it brings, and other tests run beside. */
#define COMPUTE "-t", "1", "--type", "f32"
#define COMMON "--recipe", recipe, "--data", in_folder(folder, "data"), COMPUTE

static void write_prompts(const char *path)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    for (int i = 0; i < PICTURES_COUNT; i++)
        fprintf(f, "%s\n", pictures_colour(i));
    assert_int_equal(fclose(f), 0);
}

static int make_models(void **state)
{
    program_run r = {0};
    double start;

    (void)state;
    folder = make_folder();
    pictures_write(in_folder(folder, "data"), false);
    write_prompts(in_folder(folder, "prompts.txt"));
    snprintf(recipe, sizeof recipe, "%s/recipes/tiny.json", getenv("ONESTEP_SOURCE_ROOT"));
    start = ons_now_s();
    run_program(&r, "train", COMMON, "-o", in_folder(folder, "teacher"), NULL);
    expect(&r, 0, "");
    printf("train %.1f s, ", ons_now_s() - start);
    run_program(&r, "pairs", COMMON, "-m", in_folder(folder, "teacher"), "-o", in_folder(folder, "pairs"),
                NULL);
    expect(&r, 0, "");
    run_program(&r, "distill", COMMON, "-m", in_folder(folder, "teacher"), "--pairs",
                in_folder(folder, "pairs"), "-o", in_folder(folder, "student"), NULL);
    expect(&r, 0, "");
    printf("with pairs and distillation %.1f s\n", ons_now_s() - start);
    free_run(&r);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* Mean |difference| of two pictures, 0 to 255. */
static double compare_pictures(const uint8_t *a, const uint8_t *b)
{
    double sum = 0;

    for (int i = 0; i < PICTURES_BYTES; i++)
        sum += abs(a[i] - b[i]);
    return sum / PICTURES_BYTES;
}

/* How far the picture drawn for prompt `number` is from the nearest one of its colour. */
static double measure_picture(const char *path, int number)
{
    int first = number - number % PICTURES_PER_COLOUR;
    uint8_t want[PICTURES_BYTES];
    double nearest = INFINITY;
    ons_image image;

    assert_int_equal(ons_image_load(path, &image), ONESTEP_OK);
    assert_int_equal(image.width, PICTURES_SIDE);
    assert_int_equal(image.height, PICTURES_SIDE);
    for (int i = first; i < first + PICTURES_PER_COLOUR; i++) {
        pictures_draw(i, want);
        nearest = fmin(nearest, compare_pictures(image.rgb, want));
    }
    ons_image_fini(&image);
    return nearest;
}

/* The mean error of a picture for every prompt; `option` and `value` say how many steps, and where. */
static double measure(const char *model, const char *what, const char *option, const char *value)
{
    program_run r = {0};
    double sum = 0;
    char path[64];

    run_program(&r, "generate", "-m", in_folder(folder, model), "--prompts", in_folder(folder, "prompts.txt"),
                "-s", "3", "-o", in_folder(folder, what), COMPUTE, option, value, NULL);
    expect(&r, 0, "");
    for (int i = 0; i < PICTURES_COUNT; i++) {
        snprintf(path, sizeof path, "%s/%05d.png", what, i);
        sum += measure_picture(in_folder(folder, path), i);
    }
    printf("%-26s mean error %4.1f\n", what, sum / PICTURES_COUNT);
    free_run(&r);
    return sum / PICTURES_COUNT;
}

static void the_student_beats_its_teacher_in_one_step(void **state)
{
    const double student = measure("student", "student", "--steps", "1");

    (void)state;
    measure("teacher", "teacher with all its steps", "--sampler", "ddim");
    assert_true(student < 0.6 * measure("teacher", "teacher with --steps 1", "--steps", "1"));
    assert_true(student < 0.6 * measure("teacher", "teacher at timestep 399", "--timesteps", "399"));
    assert_true(student < 0.6 * measure("teacher", "teacher at timestep 999", "--timesteps", "999"));
}

/* The loss in the first or last line of a teacher's log. */
static double read_loss(const char *name, bool last)
{
    size_t size;
    char path[64], *text, *save = NULL;
    double loss = NAN;

    snprintf(path, sizeof path, "%s/training/log.jsonl", name);
    text = read_file(in_folder(folder, path), &size);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        json_t *o = json_loads(line, 0, NULL);
        const char *stage = json_string_value(json_object_get(o, "stage"));

        if (stage && !strcmp(stage, "teacher") && (last || isnan(loss)))
            loss = json_number_value(json_object_get(o, "loss"));
        json_decref(o);
    }
    free(text);
    return loss;
}

/* What the pipeline brings is kept, although the recipe would have it otherwise, and training starts from it.
 */
static void init_goes_on_from_a_pipeline(void **state)
{
    static const char *const kept[] = {"vae/diffusion_pytorch_model.safetensors",
                                       "vae/config.json",
                                       "unet/config.json",
                                       "text_encoder/config.json",
                                       "tokenizer/vocab.json",
                                       "tokenizer/merges.txt"};
    program_run r = {0};
    double fresh, ripe, tuned;

    (void)state;
    run_program(&r, "train", COMMON, "--init", in_folder(folder, "teacher"), "-o", in_folder(folder, "tuned"),
                "--set", "train.iterations=10,train.warmup=10,tokenizer.vocab_size=600,every.log=10", NULL);
    expect(&r, 0, "");
    free_run(&r);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        char a[96], b[96];

        snprintf(a, sizeof a, "teacher/%s", kept[i]);
        snprintf(b, sizeof b, "tuned/%s", kept[i]);
        assert_same_file(in_folder(folder, a), in_folder(folder, b));
    }
    fresh = read_loss("teacher", false);
    ripe = read_loss("teacher", true);
    tuned = read_loss("tuned", false);
    printf("loss from nothing %.3f, of the teacher %.3f, trained further %.3f\n", fresh, ripe, tuned);
    assert_true(tuned < ripe + 0.25 * (fresh - ripe));
    assert_false(ons_path_exists(in_folder(folder, "tuned/training/autoencoder.safetensors")));
}

/* Latents are encoded at the recipe's size, not at the one that the pipeline was trained at. */
static void init_takes_the_recipes_resolution(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "train", COMMON, "--init", in_folder(folder, "teacher"), "-o", in_folder(folder, "smaller"),
                "--set", "train.iterations=2,resolution=16", NULL);
    expect(&r, 0, "");
    run_program(&r, "generate", "-m", in_folder(folder, "smaller"), "-p", "red disc", "-s", "1", "--steps", "1",
                "-o", in_folder(folder, "smaller.png"), "--json", NULL);
    expect(&r, 0, "");
    assert_non_null(strstr(r.out, "\"width\": 16"));
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_student_beats_its_teacher_in_one_step),
        cmocka_unit_test(init_goes_on_from_a_pipeline),
        cmocka_unit_test(init_takes_the_recipes_resolution),
    };

    return cmocka_run_group_tests(tests, make_models, clean_up);
}
