/* onestep generate and info over a tiny pipeline with random weights, driven as a user does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/image.h"
#include "program.h"
#include "tiny.h"
#include "tiny_models.h"

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fputs(text, f) < 0, 0);
    fclose(f);
}

/* Same pixels, whatever the texts beside them say. */
static void assert_same_picture(const char *a, const char *b, bool same)
{
    ons_image ia, ib;

    assert_int_equal(ons_image_load(a, &ia), ONESTEP_OK);
    assert_int_equal(ons_image_load(b, &ib), ONESTEP_OK);
    assert_int_equal(ia.width, ib.width);
    assert_int_equal(ia.height, ib.height);
    assert_int_equal(memcmp(ia.rgb, ib.rgb, (size_t)ia.width * (size_t)ia.height * 3) == 0, same);
    ons_image_fini(&ia);
    ons_image_fini(&ib);
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
    program_run r = {0};
    const char *a = in_folder(folder, "a.png"), *b = in_folder(folder, "b.png"),
               *c = in_folder(folder, "c.png");

    (void)state;
    run_program(&r, "generate", "-m", teacher, "-p", "red heart", "-s", "7", "-o", a, NULL);
    expect(&r, 0, "seed: 7");
    run_program(&r, "generate", "-m", teacher, "-p", "red heart", "-s7", "-o", b, "-q", NULL);
    expect(&r, 0, "seed: 7");
    run_program(&r, "generate", "-m", teacher, "-p", "red heart", "-s", "8", "-o", c, NULL);
    expect(&r, 0, "seed: 8");
    assert_same_file(a, b);
    assert_same_picture(a, c, false);
    free_run(&r);
}

/* Mean difference of two pictures of one size. */
static double difference(const char *a, const char *b)
{
    ons_image x, y;
    double sum = 0;
    int n;

    assert_int_equal(ons_image_load(a, &x), ONESTEP_OK);
    assert_int_equal(ons_image_load(b, &y), ONESTEP_OK);
    n = x.width * x.height * 3;
    assert_int_equal(n, y.width * y.height * 3);
    for (int i = 0; i < n; i++)
        sum += abs(x.rgb[i] - y.rgb[i]);
    ons_image_fini(&x);
    ons_image_fini(&y);
    return sum / n;
}

/* From a picture: nearly it at little strength, another at full, in the size of the picture. */
static void a_picture_may_be_the_beginning(void **state)
{
    const char *start = in_folder(folder, "start.png"), *near = in_folder(folder, "near.png"),
               *far = in_folder(folder, "far.png");
    program_run r = {0};
    ons_image image;

    (void)state;
    run_program(&r, "generate", "-m", teacher, "-p", "red heart", "-s", "5", "-W", "20", "-H", "16", "-o",
                start, NULL);
    expect(&r, 0, "seed: 5");
    run_program(&r, "generate", "-m", teacher, "-p", "red heart", "-s", "6", "-i", start, "--strength", "0.02",
                "--steps", "50", "-o", near, NULL);
    expect(&r, 0, "seed: 6");
    run_program(&r, "generate", "-m", teacher, "-p", "red heart", "-s", "6", "-i", start, "--strength", "1",
                "--steps", "10", "--sampler", "euler_a", "-o", far, NULL);
    expect(&r, 0, "seed: 6");
    assert_int_equal(ons_image_load(near, &image), ONESTEP_OK);
    assert_int_equal(image.width, 20);
    assert_int_equal(image.height, 16);
    ons_image_fini(&image);
    assert_true(difference(near, far) > 0);
    run_program(&r, "info", far, NULL);
    assert_non_null(strstr(r.out, "Denoising strength: 1"));
    assert_non_null(strstr(r.out, "Sampler: Euler a"));
    run_program(&r, "generate", "-m", teacher, "-p", "x", "-i", start, "--strength", "0.1", "--steps", "4",
                "-o", near, NULL);
    expect(&r, 0, "less than one step");
    run_program(&r, "generate", "-m", teacher, "-p", "x", "--strength", "0.1", "-o", near, NULL);
    expect(&r, 0, "no effect without -i");
    run_program(&r, "generate", "-m", teacher, "-p", "x", "-i", in_folder(teacher, "model_index.json"), "-o",
                near, NULL);
    expect(&r, 1, "model_index.json");
    run_program(&r, "generate", "-m", teacher, "-p", "x", "--negative-prompt", "y", "--guidance-scale", "2",
                "-o", near, NULL);
    expect(&r, 0, "seed: ");
    free_run(&r);
}

static void memory_is_bounded(void **state)
{
    const char *whole = in_folder(folder, "whole.png"), *tiles = in_folder(folder, "tiles.png");
    program_run r = {0};

    (void)state; /* f32: what bf16 takes depends on the CPU */
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "7", "-W", "320", "-H", "320", "--type",
                "f32", "-o", whole, NULL);
    expect(&r, 0, "seed: 7");
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "7", "-W", "320", "-H", "320", "--type",
                "f32", "-o", tiles, "--max-memory", "17500K", NULL);
    expect(&r, 0, "seed: 7");
    assert_null(strstr(r.err, "tiles:")); /* the UNet's buffers are gone when the decoder's are made */
    assert_true(difference(whole, tiles) == 0);
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "7", "-b", "2", "--batch-size", "1", "-W",
                "320", "-H", "320", "--type", "f32", "-o", in_folder(folder, "two"), "--max-memory", "17500K",
                NULL);
    expect(&r, 0, "decoding in tiles: "); /* with a second picture to come they stay */
    assert_true(difference(whole, in_folder(folder, "two/00000.png")) > 0 &&
                difference(whole, in_folder(folder, "two/00000.png")) < 3);
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "7", "-W", "320", "-H", "320", "--type",
                "f32", "-o", tiles, "--vae-tiling", NULL);
    expect(&r, 0, "seed: 7");
    assert_true(difference(whole, tiles) > 0 && difference(whole, tiles) < 3);
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-W", "2048", "-H", "2048", "--type", "f32",
                "--max-memory", "60M", "-o", in_folder(folder, "no.png"), NULL);
    expect(&r, 1, "would fit");
    run_program(&r, "generate", "-m", student, "-p", "a cat", "--max-memory", "100K", "-o",
                in_folder(folder, "no.png"), NULL);
    expect(&r, 1, "the weights alone take");
    run_program(&r, "generate", "-m", student, "-p", "a cat", "--max-memory", "4", NULL);
    expect(&r, 2, "such as 1.5G");
    free_run(&r);
}

static void without_a_seed_every_run_is_another(void **state)
{
    program_run r = {0};
    unsigned long long seeds[3] = {0};

    (void)state;
    for (int i = 0; i < 3; i++) {
        run_program(&r, "generate", "-m", student, "-p", "a cat", "-o", in_folder(folder, "r.png"), NULL);
        expect(&r, 0, "seed: ");
        assert_int_equal(sscanf(strstr(r.err, "seed: "), "seed: %llu", &seeds[i]), 1);
    }
    assert_true(seeds[0] != seeds[1] && seeds[1] != seeds[2] && seeds[0] != seeds[2]);
    free_run(&r);
}

static void settings_stand_in_the_picture(void **state)
{
    program_run r = {0};
    const char *a = in_folder(folder, "t.png");

    (void)state;
    run_program(&r, "generate", "-m", teacher, "-p", "a cat", "-n", "a dog, wet", "-s", "5", "--steps", "3",
                "--cfg-scale", "2.5", "--sampler", "dpm++2m", "-W", "24", "-H", "12", "-o", a, NULL);
    expect(&r, 0, NULL);
    run_program(&r, "info", a, NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "24x12"));
    assert_non_null(strstr(r.out,
                           "a cat\nNegative prompt: a dog, wet\nSteps: 3, Sampler: DPM++ 2M, CFG scale: 2.5, "
                           "Seed: 5, Size: 24x12, Model hash: "));
    assert_non_null(strstr(r.out, "Model: teacher, Version: onestep "));
    assert_non_null(strstr(r.out, "\"sampler\":\"dpm++2m\""));
    free_run(&r);
}

static void settings_come_from_a_file_and_options_count_more(void **state)
{
    program_run r = {0};
    char *a = strdup(in_folder(folder, "typed.png")), *b = strdup(in_folder(folder, "read.png"));
    char *settings = strdup(in_folder(folder, "settings.json"));

    (void)state;
    write_text(settings,
               "{\"prompt\": \"a cat\", \"steps\": 3, \"cfg_scale\": 2.5, \"seed\": 9, \"url\": \"x\"}");
    run_program(&r, "generate", "-m", teacher, "-p", "a cat", "-s", "5", "--steps", "3", "--cfg-scale", "2.5",
                "-o", a, NULL);
    expect(&r, 0, NULL);
    run_program(&r, "generate", "-m", teacher, "--settings", settings, "-s", "5", "-o", b, NULL);
    expect(&r, 0, "there is no setting url");
    assert_same_picture(a, b, true);
    write_text(settings, "{\"steps\": \"many\"}");
    run_program(&r, "generate", "-m", teacher, "-p", "x", "--settings", settings, "-o", b, NULL);
    expect(&r, 2, "steps: a whole number is expected");
    free_run(&r);
    free(a);
    free(b);
    free(settings);
}

static void a_student_takes_one_step_at_its_timestep(void **state)
{
    program_run r = {0};
    json_t *o, *p;
    const char *a = in_folder(folder, "s.png");

    (void)state;
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "5", "-o", a, "--json", NULL);
    expect(&r, 0, NULL);
    o = json_loads(r.out, 0, NULL);
    p = json_array_get(json_object_get(o, "pictures"), 0);
    assert_int_equal(json_integer_value(json_object_get(o, "evaluations")), 1);
    assert_int_equal(json_integer_value(json_object_get(p, "steps")), 1);
    assert_int_equal(json_integer_value(json_array_get(json_object_get(p, "timesteps"), 0)), 399);
    assert_int_equal(json_integer_value(json_object_get(p, "seed")), 5);
    assert_true(json_real_value(json_object_get(p, "cfg_scale")) == 1);
    assert_string_equal(json_string_value(json_object_get(p, "file")), a);
    json_decref(o);
    free_run(&r);
}

static void settings_without_effect_are_pointed_out(void **state)
{
    program_run r = {0};
    const char *a = in_folder(folder, "w.png"), *b = in_folder(folder, "w2.png");

    (void)state;
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "5", "-o", a, "--cfg-scale", "7", "-n",
                "dog", NULL);
    expect(&r, 0, "--cfg-scale 7 is ignored");
    assert_non_null(strstr(r.err, "--negative has no effect"));
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "5", "-o", b, NULL);
    expect(&r, 0, NULL);
    assert_same_picture(a, b, true);
    run_program(&r, "generate", "-m", teacher, "-p", "a cat", "-o", a, "--cfg-scale", "1", "-n", "dog", NULL);
    expect(&r, 0, "--negative has no effect");
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-o", a, "--steps", "4", NULL);
    expect(&r, 0, "one step at timestep 399");
    free_run(&r);
}

static void guidance_and_negative_prompt_matter(void **state)
{
    static const char *const scales[] = {"0", "1", "2", "3"};
    program_run r = {0};
    char paths[4][4096];

    (void)state;
    for (int i = 0; i < 4; i++) {
        strcpy(paths[i], in_folder(folder, "g"));
        strcat(strcat(paths[i], scales[i]), ".png");
        run_program(&r, "generate", "-m", teacher, "-p", "a cat", "-s", "5", "-o", paths[i], "--cfg-scale",
                    scales[i], NULL);
        expect(&r, 0, NULL);
    }
    assert_same_picture(paths[0], paths[1], true); /* both are off */
    assert_same_picture(paths[1], paths[2], false);
    assert_same_picture(paths[2], paths[3], false);
    free_run(&r);
}

static void a_file_of_prompts_fills_a_folder(void **state)
{
    program_run r = {0};
    const char *list = in_folder(folder, "list.txt"), *dir = in_folder(folder, "many");

    (void)state;
    write_text(list, "\xef\xbb\xbfred heart\r\n\nblue heart\na cat");
    run_program(&r, "generate", "-m", student, "--prompts", list, "-o", dir, "-s", "3", "--title", "three",
                NULL);
    expect(&r, 0, "seed: 3");
    assert_int_equal(access(in_folder(dir, "00002.png"), R_OK), 0);
    assert_int_not_equal(access(in_folder(dir, "00003.png"), R_OK), 0);
    assert_int_equal(access(in_folder(dir, "sheet.png"), R_OK), 0);
    run_program(&r, "info", in_folder(dir, "00001.png"), NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "blue heart\nSteps: 1"));
    assert_non_null(strstr(r.out, "Seed: 4,"));
    write_text(list, "\n\n");
    run_program(&r, "generate", "-m", student, "--prompts", list, "-o", dir, NULL);
    expect(&r, 1, "no prompts");
    free_run(&r);
}

static void prompts_in_latin_1_are_read_as_such(void **state)
{
    program_run r = {0};
    const char *list = in_folder(folder, "latin.txt"), *dir = in_folder(folder, "latin"),
               *report = in_folder(folder, "latin-report");
    json_t *o;
    size_t size;
    char *page;

    (void)state;
    write_text(list, "caf\xe9\nna\xc3\xafve\n");
    run_program(&r, "generate", "-m", student, "--prompts", list, "-o", dir, NULL);
    expect(&r, 0, "not UTF-8, read as Latin-1: \"caf\xc3\xa9\"");
    assert_null(strstr(r.err, "na\xc3\xafve"));
    run_program(&r, "info", in_folder(dir, "00000.png"), NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "\"prompt\":\"caf\xc3\xa9\""));
    run_program(&r, "compare", "--teacher", teacher, "--student", student, "--prompts", list, "-o", report,
                NULL);
    expect(&r, 0, "read as Latin-1");
    o = json_load_file(in_folder(report, "compare.json"), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(o, "prompts")), 2);
    json_decref(o);
    page = read_file(in_folder(report, "index.html"), &size);
    assert_non_null(strstr(page, "<figcaption>caf\xc3\xa9<"));
    assert_non_null(strstr(page, "<td>energy ("));
    free(page);
    run_program(&r, "generate", "-m", student, "-p", "caf\xe9", "-o", in_folder(folder, "latin.png"), NULL);
    expect(&r, 0, "the prompt: not UTF-8, read as Latin-1");
    run_program(&r, "generate", "-m", student, "--prompts", in_folder(folder, "latin.png"), "-o", dir, NULL);
    expect(&r, 1, "latin.png: not a text file");
    free_run(&r);
}

static void standard_output_takes_the_picture(void **state)
{
    program_run r = {0};
    size_t size;
    char *file;
    const char *a = in_folder(folder, "o.png");

    (void)state;
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "9", "-o", a, NULL);
    expect(&r, 0, NULL);
    run_program(&r, "generate", "-m", student, "-p", "a cat", "-s", "9", "-o", "-", NULL);
    expect(&r, 0, "seed: 9");
    file = read_file(a, &size);
    assert_int_equal(r.out_size, size);
    assert_memory_equal(r.out, file, size);
    free(file);
    free_run(&r);
}

/* The last tensor's last number becomes NaN. */
static void weights_that_are_not_numbers_give_no_picture(void **state)
{
    static const unsigned char nan_f32[] = {0, 0, 0xc0, 0x7f};
    program_run r = {0};
    const char *broken = in_folder(folder, "broken"), *out = in_folder(folder, "nan.png");
    FILE *f;

    (void)state;
    make_tiny_model(broken, true);
    f = fopen(in_folder(broken, "unet/diffusion_pytorch_model.safetensors"), "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -4, SEEK_END), 0);
    assert_int_equal(fwrite(nan_f32, 1, 4, f), 4);
    fclose(f);
    run_program(&r, "generate", "-m", broken, "-p", "a", "-o", out, NULL);
    expect(&r, 1, "not numbers");
    assert_int_not_equal(access(out, F_OK), 0);
    free_run(&r);
}

static void sizes_that_cannot_be_made_are_named(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "generate", "-m", teacher, "-p", "a", "-W", "17", "-o", in_folder(folder, "x.png"), NULL);
    expect(&r, 2, "multiples of 4");
    run_program(&r, "generate", "-m", teacher, "-p", "a", "--timesteps", "5,9", "-o",
                in_folder(folder, "x.png"), NULL);
    expect(&r, 2, "descend");
    run_program(&r, "generate", "-m", teacher, "-p", "a", "--sampler", "ipndm", "-o",
                in_folder(folder, "x.png"), NULL);
    expect(&r, 2, "ddim, plms, euler, euler_a, heun, dpm++2m, lcm");
    run_program(&r, "generate", "-m", teacher, "-p", "a", "--sampler", "lcm", "--steps", "60", "-o",
                in_folder(folder, "x.png"), NULL);
    expect(&r, 2, "1 to 50");
    assert_int_not_equal(access(in_folder(folder, "x.png"), F_OK), 0);
    free_run(&r);
}

static void a_long_prompt_is_cut_and_the_rest_shown(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "generate", "-m", student, "-p",
                "red heart red heart red heart red heart red heart the end", "-o", in_folder(folder, "l.png"),
                NULL);
    expect(&r, 0, "the end\"");
    free_run(&r);
}

static void outputs_that_cannot_be_written_fail_cleanly(void **state)
{
    program_run r = {0};
    const char *locked = in_folder(folder, "locked");

    (void)state;
    run_program(&r, "generate", "-m", student, "-p", "a", "-o", in_folder(folder, "none/x.png"), NULL);
    expect(&r, 1, "no such folder");
    run_program(&r, "generate", "-m", student, "-p", "a", "-o", "/dev/full", NULL);
    expect(&r, 1, "/dev/full");
    run_program(&r, "generate", "-m", student, "-p", "a", "-o", "/proc/x.png", NULL);
    expect(&r, 1, "/proc");
    run_program(&r, "generate", "-m", student, "-p", "a", "-b", "2", "-o", in_folder(folder, "x.png"), NULL);
    expect(&r, 2, "x.png names one picture; several need a folder");
    mkdir(locked, 0500);
    run_program(&r, "generate", "-m", student, "-p", "a", "-o", in_folder(locked, "x.png"), NULL);
    if (geteuid() != 0) /* root writes anywhere */
        expect(&r, 1, "locked");
    free_run(&r);
}

static void torch_noise_is_another_picture(void **state)
{
    program_run r = {0};
    const char *a = in_folder(folder, "p.png"), *b = in_folder(folder, "q.png");

    (void)state;
    run_program(&r, "generate", "-m", teacher, "-p", "a", "-s", "1", "--sampler", "lcm", "--rng", "philox",
                "-o", a, NULL);
    expect(&r, 0, NULL);
    run_program(&r, "generate", "-m", teacher, "-p", "a", "-s", "1", "--sampler", "lcm", "--rng", "torch", "-o",
                b, NULL);
    expect(&r, 0, NULL);
    assert_same_picture(a, b, false);
    free_run(&r);
}

static void info_describes_models_and_tokens(void **state)
{
    program_run r = {0};
    json_t *o;

    (void)state;
    run_program(&r, "info", student, NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "timestep 399"));
    assert_non_null(strstr(r.out, "16x16 pixels"));
    assert_non_null(strstr(r.out, "text_encoder"));
    run_program(&r, "info", "-v", in_folder(student, "unet/diffusion_pytorch_model.safetensors"), NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "conv_in.weight"));
    run_program(&r, "info", "-m", student, "--tokens",
                "red heart red heart red heart red heart red heart red heart the end", NULL);
    expect(&r, 0, NULL);
    o = json_loads(r.out, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(o, "ids")), 12);
    assert_int_equal(json_array_size(json_object_get(o, "tokens")), 12);
    assert_true(strstr(json_string_value(json_object_get(o, "truncated")), "the end") != NULL);
    json_decref(o);
    write_text(in_folder(folder, "junk.bin"), "this is not a model");
    run_program(&r, "info", in_folder(folder, "junk.bin"), NULL);
    expect(&r, 1, "junk.bin");
    free_run(&r);
}

static void put_bytes(FILE *f, const char *header, size_t n_data)
{
    const size_t length = strlen(header);

    for (int i = 0; i < 8; i++)
        fputc((int)(length >> (8 * i) & 255), f);
    fputs(header, f);
    while (n_data--)
        fputc(0, f);
}

static void info_describes_checkpoints_and_pairs(void **state)
{
    program_run r = {0};
    FILE *f = fopen(in_folder(folder, "step.safetensors"), "wb");
    const char *pairs = in_folder(folder, "shards");

    (void)state;
    assert_non_null(f);
    put_bytes(f,
              "{\"__metadata__\":{\"format_version\":\"1\",\"state\":\"{\\\"step\\\":70,\\\"fingerprint\\\":"
              "\\\"cpu\\\"}\"},"
              "\"unet/a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
              "\"unet/b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]},"
              "\"unet.ema/a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}",
              12);
    fclose(f);
    run_program(&r, "info", in_folder(folder, "step.safetensors"), NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "checkpoint     version 1\nstep           70\nfingerprint    cpu\n"));
    assert_non_null(strstr(r.out, "sets           unet unet.ema\n"));
    mkdir(pairs, 0700);
    write_text(in_folder(pairs, "index.json"), "{\"steps\": 10}");
    f = fopen(in_folder(pairs, "pairs-000000.safetensors"), "wb");
    assert_non_null(f);
    put_bytes(f, "{\"latents\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}}", 8);
    fclose(f);
    run_program(&r, "info", pairs, NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "{\"steps\":10}"));
    assert_non_null(strstr(r.out, "pairs-000000.safetensors"));
    write_text(in_folder(folder, "fake.png"), "this is not a picture");
    run_program(&r, "info", in_folder(folder, "fake.png"), NULL);
    expect(&r, 1, "fake.png: not a PNG");
    free_run(&r);
}

static void show_draws_in_the_terminal(void **state)
{
    program_run r = {0};

    (void)state;
    setenv("TERM", "xterm-256color", 1);
    run_program(&r, "generate", "-m", student, "-p", "a", "--show", NULL);
    expect(&r, 0, NULL);
    assert_true(strchr(r.out, '\x1b') != NULL);
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(a_picture_may_be_the_beginning),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(without_a_seed_every_run_is_another),
        cmocka_unit_test(settings_stand_in_the_picture),
        cmocka_unit_test(settings_come_from_a_file_and_options_count_more),
        cmocka_unit_test(a_student_takes_one_step_at_its_timestep),
        cmocka_unit_test(settings_without_effect_are_pointed_out),
        cmocka_unit_test(guidance_and_negative_prompt_matter),
        cmocka_unit_test(a_file_of_prompts_fills_a_folder),
        cmocka_unit_test(prompts_in_latin_1_are_read_as_such),
        cmocka_unit_test(standard_output_takes_the_picture),
        cmocka_unit_test(weights_that_are_not_numbers_give_no_picture),
        cmocka_unit_test(sizes_that_cannot_be_made_are_named),
        cmocka_unit_test(a_long_prompt_is_cut_and_the_rest_shown),
        cmocka_unit_test(outputs_that_cannot_be_written_fail_cleanly),
        cmocka_unit_test(torch_noise_is_another_picture),
        cmocka_unit_test(info_describes_models_and_tokens),
        cmocka_unit_test(info_describes_checkpoints_and_pairs),
        cmocka_unit_test(show_draws_in_the_terminal),
    };
    return cmocka_run_group_tests(tests, make_models, remove_models);
}
