/* onestep calibrate and --type int8 as a user types them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/backend.h"
#include "pictures.h"
#include "program.h"
#include "tiny.h"

static char *folder;
static char model[4096], tiny_vae[4096];

static int make_models(void **state)
{
    (void)state;
    folder = make_folder();
    strcpy(model, in_folder(folder, "model"));
    strcpy(tiny_vae, in_folder(folder, "taesd"));
    make_wide_model(model);
    make_tiny_autoencoder(tiny_vae);
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void skip_without_int8(void)
{
    if (!ons_backend_cpu.multiplies_8_bits())
        skip();
}

static const char *scales_of_model(void)
{
    return in_folder(model, "int8.json");
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void draw(const char *type, const char *file, const char *say)
{
    program_run r = {0};

    run_program(&r, "generate", "-m", model, "-p", "a cat", "-s", "1", "--type", type, "-o",
                in_folder(folder, file), NULL);
    expect(&r, 0, say);
    free_run(&r);
}

/* Without scales they are measured, in every run, with the same picture as from kept ones. */
static void scales_are_measured_and_kept(void **state)
{
    program_run r = {0};

    (void)state;
    skip_without_int8();
    draw("int8", "measured.png", "onestep calibrate -m");
    run_program(&r, "calibrate", "-m", model, NULL);
    expect(&r, 0, "layers of the unet");
    free_run(&r);
    assert_int_equal(access(scales_of_model(), R_OK), 0);
    draw("int8", "kept.png", "1 picture of 16x16");
    assert_same_file(in_folder(folder, "measured.png"), in_folder(folder, "kept.png"));
}

static void profile_shows_8_bit_products(void **state)
{
    program_run r = {0};

    (void)state;
    skip_without_int8();
    run_program(&r, "bench", "-m", model, "--type", "int8", "--runs", "1", "--profile", NULL);
    expect(&r, 0, "");
    assert_non_null(strstr(r.out, "onednn_int8"));
    assert_non_null(strstr(r.out, "quantise"));
    assert_non_null(strstr(r.out, ", int8, "));
    free_run(&r);
}

static void packed_weights_serve_8_bits(void **state)
{
    program_run r = {0};

    (void)state;
    skip_without_int8();
    draw("int8", "plain.png", "1 picture");
    run_program(&r, "convert", "-m", model, "--packed", "--packed-type", "int8", NULL);
    expect(&r, 0, "packed for int8");
    run_program(&r, "generate", "-v", "-m", model, "-p", "a cat", "-s", "1", "--type", "int8", "-o",
                in_folder(folder, "packed.png"), NULL);
    expect(&r, 0, "of the UNet's packed weights come from the packed file");
    assert_same_file(in_folder(folder, "plain.png"), in_folder(folder, "packed.png"));
    assert_int_equal(remove(in_folder(model, "packed.safetensors")), 0);
    free_run(&r);
}

static void another_decoder_needs_its_own(void **state)
{
    program_run r = {0};

    (void)state;
    skip_without_int8();
    run_program(&r, "generate", "-m", model, "--taesd", tiny_vae, "-p", "x", "--type", "int8", "-o",
                in_folder(folder, "t.png"), NULL);
    expect(&r, 1, "no scales for the tiny_decoder; add them with onestep calibrate");
    run_program(&r, "calibrate", "-m", model, "--taesd", tiny_vae, "--count", "1", "--keep", "0", NULL);
    expect(&r, 0, "tiny_decoder");
    run_program(&r, "generate", "-m", model, "--taesd", tiny_vae, "-p", "x", "--type", "int8", "-o",
                in_folder(folder, "t.png"), NULL);
    expect(&r, 0, "1 picture");
    draw("int8", "still.png", "1 picture"); /* the other decoder's are still there */
    free_run(&r);
}

static void mistakes_are_told(void **state)
{
    const char *bad = in_folder(folder, "bad.json");
    program_run r = {0};

    (void)state;
    skip_without_int8();
    run_program(&r, "generate", "-m", model, "-p", "x", "--type", "int8", "--int8-scales",
                in_folder(folder, "none.json"), NULL);
    expect(&r, 1, "none.json");
    write_text(bad, "{\"version\": 1, \"unet\": {}, \"decoder\": {}}");
    run_program(&r, "generate", "-m", model, "-p", "x", "--type", "int8", "--int8-scales", bad, "-o",
                in_folder(folder, "b.png"), NULL);
    expect(&r, 1, "bad.json: no scale for layer");
    write_text(bad, "{\"version\": 9}");
    run_program(&r, "generate", "-m", model, "-p", "x", "--type", "int8", "--int8-scales", bad, NULL);
    expect(&r, 1, "version 9 of scales");
    run_program(&r, "generate", "-m", model, "-p", "x", "--type", "f32", "--int8-scales", bad, "-o",
                in_folder(folder, "b.png"), NULL);
    expect(&r, 0, "--int8-scales has no effect");
    run_program(&r, "train", "--type", "int8", NULL);
    expect(&r, 2, "int8");
    free_run(&r);
}

/* A CPU without 8-bit products refuses at once and says why; auto is what it was. */
static void other_cpus_refuse(void **state)
{
    program_run r = {0};

    (void)state;
    setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
    run_program(&r, "generate", "-m", model, "-p", "x", "--type", "int8", NULL);
    expect(&r, 1, "int8 needs a CPU with products of 8-bit numbers");
    run_program(&r, "calibrate", "-m", model, NULL);
    expect(&r, 1, "int8 needs a CPU with products of 8-bit numbers");
    run_program(&r, "generate", "-m", model, "-p", "x", "-o", in_folder(folder, "auto.png"), NULL);
    expect(&r, 0, "1 picture");
    unsetenv("ONEDNN_MAX_CPU_ISA");
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_are_measured_and_kept),
        cmocka_unit_test(profile_shows_8_bit_products),
        cmocka_unit_test(packed_weights_serve_8_bits),
        cmocka_unit_test(another_decoder_needs_its_own),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(other_cpus_refuse),
    };

    return cmocka_run_group_tests(tests, make_models, remove_models);
}
