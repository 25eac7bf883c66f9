/* What people give as models and parts of them, right and wrong, as they type it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "io/image.h"
#include "io/safetensors.h"
#include "program.h"
#include "tiny.h"

static char *folder;
static char model[4096], taesd[4096], picture[4096];

static int make_models(void **state)
{
    (void)state;
    folder = make_folder();
    strcpy(model, in_folder(folder, "model"));
    strcpy(taesd, in_folder(folder, "taesd"));
    strcpy(picture, in_folder(folder, "picture.png"));
    make_tiny_model(model, false);
    make_tiny_autoencoder(taesd);
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void draw(const char *option, const char *value, const char *file)
{
    program_run r = {0};

    run_program(&r, "generate", "-m", model, "-p", "red heart", "-s", "3", "--type", "f32", "-o", file, option,
                value, NULL);
    expect(&r, 0, "seed: 3");
    free_run(&r);
}

static void assert_same_picture(const char *a, const char *b, bool same)
{
    ons_image x, y;

    assert_int_equal(ons_image_load(a, &x), ONESTEP_OK);
    assert_int_equal(ons_image_load(b, &y), ONESTEP_OK);
    assert_int_equal(x.width * x.height, y.width * y.height);
    assert_int_equal(memcmp(x.rgb, y.rgb, (size_t)(x.width * x.height) * 3) == 0, same);
    ons_image_fini(&x);
    ons_image_fini(&y);
}

/* Folder, file of both halves and the author's decoder draw one picture, which is not the model's own. */
static void a_tiny_autoencoder_decodes(void **state)
{
    char own[4096], whole[4096], half[4096];

    (void)state;
    strcpy(own, in_folder(folder, "own.png"));
    strcpy(whole, in_folder(folder, "whole.png"));
    strcpy(half, in_folder(folder, "half.png"));
    draw("--sampler", "ddim", own);
    draw("--taesd", taesd, whole);
    assert_same_picture(own, whole, false);
    draw("--taesd", in_folder(taesd, "diffusion_pytorch_model.safetensors"), half);
    assert_same_picture(whole, half, true);
    draw("--tae", in_folder(taesd, "taesd_decoder.safetensors"), half);
    assert_same_picture(whole, half, true);
    draw("--vae", taesd, half);
    assert_same_picture(whole, half, true);
}

static void begin_from(program_run *r, const char *tiny, const char *file)
{
    run_program(r, "generate", "-m", model, "-p", "red heart", "-s", "3", "--type", "f32", "-i", picture,
                "--strength", "0.5", "--taesd", tiny, "-o", file, NULL);
}

/* The encoder is found beside the decoder; without it a picture cannot be begun from. */
static void the_encoder_lies_beside(void **state)
{
    char whole[4096], half[4096], lonely[4096];
    program_run r = {0};

    (void)state;
    strcpy(whole, in_folder(folder, "begun-whole.png"));
    strcpy(half, in_folder(folder, "begun-half.png"));
    strcpy(lonely, in_folder(folder, "lonely.safetensors"));
    draw("--sampler", "ddim", picture);
    begin_from(&r, taesd, whole);
    expect(&r, 0, "seed: 3");
    begin_from(&r, in_folder(taesd, "taesd_decoder.safetensors"), half);
    expect(&r, 0, "seed: 3");
    assert_same_picture(whole, half, true);
    copy_file(in_folder(taesd, "taesd_decoder.safetensors"), lonely);
    begin_from(&r, lonely, half);
    expect(&r, 1, "a decoder alone");
    begin_from(&r, in_folder(taesd, "taesd_encoder.safetensors"), half);
    expect(&r, 1, "the encoder of a tiny autoencoder alone");
    run_program(&r, "convert", "-m", model, "--taesd", in_folder(taesd, "taesd_decoder.safetensors"), "-o",
                in_folder(folder, "small"), NULL);
    expect(&r, 0, "stored as");
    run_program(&r, "info", in_folder(folder, "small"), NULL);
    expect(&r, 0, NULL);
    assert_non_null(strstr(r.out, "AutoencoderTiny"));
    run_program(&r, "info", model, NULL);
    assert_non_null(strstr(r.out, "AutoencoderKL"));
    free_run(&r);
}

/* What is replaced need not be in the folder. */
static void a_replaced_autoencoder_may_be_missing(void **state)
{
    char bare[4096];
    program_run r = {0};

    (void)state;
    strcpy(bare, in_folder(folder, "bare"));
    make_tiny_model(bare, false);
    unlink(in_folder(bare, "vae/config.json"));
    unlink(in_folder(bare, "vae/diffusion_pytorch_model.safetensors"));
    run_program(&r, "generate", "-m", bare, "-p", "x", "-o", picture, NULL);
    expect(&r, 1, "vae/config.json");
    run_program(&r, "generate", "-m", bare, "-p", "x", "--taesd", taesd, "-o", picture, NULL);
    expect(&r, 0, "seed");
    run_program(&r, "generate", "-m", bare, "-p", "x", "--vae", in_folder(model, "vae"), "-o", picture, NULL);
    expect(&r, 0, "seed");
    free_run(&r);
}

static void write_lonely(const char *path, const char *name)
{
    ons_safetensors_writer *w;

    assert_int_equal(ons_safetensors_writer_create(&w), ONESTEP_OK);
    assert_int_equal(ons_safetensors_writer_add(w, name, ONS_F32, 1, (int64_t[]){1}), ONESTEP_OK);
    assert_int_equal(ons_safetensors_writer_begin(w, path), ONESTEP_OK);
    assert_int_equal(ons_safetensors_writer_data(w, (float[]){1}, 4), ONESTEP_OK);
    assert_int_equal(ons_safetensors_writer_commit(w), ONESTEP_OK);
    ons_safetensors_writer_destroy(&w);
}

static void expect_refused(const char *option, const char *value, const char *word)
{
    const bool is_model = !strcmp(option, "-m");
    char none[4096];
    program_run r = {0};

    strcpy(none, in_folder(folder, "none.png"));
    run_program(&r, "generate", "-m", is_model ? value : model, "-p", "x", "-o", none, is_model ? NULL : option,
                value, NULL);
    expect(&r, 1, word);
    assert_int_equal(access(none, F_OK), -1); /* nothing half-written either */
    free_run(&r);
}

static void wrong_files_are_named(void **state)
{
    static const struct {
        const char *option, *tensor, *word;
    } table[] = {
        {"-m", "conditioner.embedders.1.model.ln_final.weight", "this is SDXL, which has two text encoders"},
        {"-m", "lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "as --lora"},
        {"-m", "control_model.input_blocks.0.0.weight", "a ControlNet"},
        {"-m", "decoder.up_blocks.0.resnets.0.conv1.weight", "as --vae"},
        {"-m", "text_model.embeddings.token_embedding.weight", "a text encoder alone"},
        {"--lora", "model.diffusion_model.input_blocks.0.0.weight", "a LoRA is expected; give it as -m"},
        {"--lora", "lora_te2_text_model_x.lora_down.weight", "a LoRA for SDXL"},
        {"--lora", "lora_unet_mid_block_attentions_0_proj_in.lokr_w1", "LoKr"},
        {"--vae", "decoder.layers.0.weight", "as --taesd"},
        {"--unet", "add_embedding.linear_1.weight", "a UNet of SDXL"},
    };
    char file[4096];

    (void)state;
    strcpy(file, in_folder(folder, "lonely.safetensors"));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        write_lonely(file, table[i].tensor);
        expect_refused(table[i].option, file, table[i].word);
    }
    expect_refused("--lora", model, "this is a whole model");
    expect_refused("-m", in_folder(model, "unet"), "as --unet");
    expect_refused("-m", "someone/some-model", "fetches nothing");
}

static void write_bytes(const char *path, const char *bytes, size_t n)
{
    assert_int_equal(ons_write_file(path, bytes, n), ONESTEP_OK);
}

static void damaged_files_are_named(void **state)
{
    char pickle[4096], cut[4096], *bytes;
    size_t n;

    (void)state;
    strcpy(pickle, in_folder(folder, "model.safetensors"));
    write_bytes(pickle, "PK\3\4 and more of it", 20);
    expect_refused("-m", pickle, "run code");
    strcpy(pickle, in_folder(folder, "model.ckpt"));
    write_bytes(pickle, "\x80\x02}q\0.", 6);
    expect_refused("-m", pickle, "safetensors.torch.save_file");
    strcpy(cut, in_folder(folder, "cut.safetensors"));
    bytes = read_file(in_folder(model, "unet/diffusion_pytorch_model.safetensors"), &n);
    write_bytes(cut, bytes, n - 1234);
    free(bytes);
    expect_refused("--unet", cut, "1234 bytes are missing");
}

/* A checkpoint in one file has no vocabulary inside. */
static void tokens_of_a_single_file(void **state)
{
    char file[4096], own[4096];
    program_run r = {0};

    (void)state;
    strcpy(file, in_folder(folder, "alone.safetensors"));
    write_lonely(file, "model.diffusion_model.input_blocks.0.0.weight");
    run_program(&r, "info", "-m", model, "--tokens", "red heart", NULL);
    expect(&r, 0, NULL);
    snprintf(own, sizeof own, "%.4000s", r.out);
    assert_non_null(strstr(own, "heart</w>"));
    run_program(&r, "info", "-m", file, "--tokens", "red heart", NULL);
    expect(&r, 1, "--tokenizer");
    run_program(&r, "info", "-m", file, "--tokenizer", in_folder(model, "tokenizer"), "--tokens", "red heart",
                NULL);
    expect(&r, 0, NULL);
    assert_string_equal(r.out, own);
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tiny_autoencoder_decodes),
        cmocka_unit_test(the_encoder_lies_beside),
        cmocka_unit_test(a_replaced_autoencoder_may_be_missing),
        cmocka_unit_test(wrong_files_are_named),
        cmocka_unit_test(damaged_files_are_named),
        cmocka_unit_test(tokens_of_a_single_file),
    };

    return cmocka_run_group_tests(tests, make_models, remove_models);
}
