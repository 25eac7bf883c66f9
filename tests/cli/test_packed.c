/* onestep convert --packed, as a user types it: the same pictures, and nothing but a line when the file does
 * not fit any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/backend.h"
#include "base/file.h"
#include "io/image.h"
#include "io/safetensors.h"
#include "program.h"
#include "tiny.h"

static char *folder;
static char model[4096], other[4096], packed[4096], before[4096], after[4096];

static int make_models(void **state)
{
    (void)state;
    folder = make_folder();
    strcpy(model, in_folder(folder, "model"));
    strcpy(other, in_folder(folder, "other"));
    strcpy(packed, in_folder(model, "packed.safetensors"));
    strcpy(before, in_folder(folder, "before.png"));
    strcpy(after, in_folder(folder, "after.png"));
    make_tiny_model(model, true);
    make_tiny_model(other, true);
    return 0;
}

static int remove_models(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

/* A picture of the model, whose run must say this on stderr; NULL: whatever it says. */
static void draw(const char *type, const char *picture, const char *said)
{
    program_run r = {0};

    run_program(&r, "generate", "-m", model, "-p", "red heart", "-s", "3", "-v", "--type", type, "-o", picture,
                NULL);
    expect(&r, 0, said ? said : "");
    if (!said)
        assert_null(strstr(r.err, "packed file"));
    free_run(&r);
}

static bool same_pictures(const char *a, const char *b)
{
    ons_image x, y;
    bool same;

    assert_int_equal(ons_image_load(a, &x), ONESTEP_OK);
    assert_int_equal(ons_image_load(b, &y), ONESTEP_OK);
    assert_int_equal(x.width * x.height, y.width * y.height);
    same = memcmp(x.rgb, y.rgb, (size_t)(x.width * x.height) * 3) == 0;
    ons_image_fini(&x);
    ons_image_fini(&y);
    return same;
}

static void pack(const char *type)
{
    program_run r = {0};

    run_program(&r, "convert", "--packed", "-m", model, "--packed-type", type, NULL);
    expect(&r, 0, "packed.safetensors: ");
    free_run(&r);
}

static void write_bytes(const char *path, const char *data, size_t size)
{
    assert_int_equal(ons_write_file(path, data, size), ONESTEP_OK);
}

/* After a change of the file: the line, and the picture of before. */
static void expect_ignored(const char *why)
{
    unlink(after);
    draw("f32", after, why);
    assert_true(same_pictures(before, after));
}

static void pictures_are_the_same(void **state)
{
    static const char *const types[] = {"f32", "bf16"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        draw(types[i], before, NULL);
        pack(types[i]);
        draw(types[i], after, "MB of the UNet's packed weights");
        assert_true(same_pictures(before, after));
        unlink(packed);
    }
    draw("f32", before, NULL);
    pack("f32");
}

/* Other values in the file give another picture: its copies are what is computed with. */
static void the_copies_are_used(void **state)
{
    size_t size;
    char *data = read_file(packed, &size);

    (void)state;
    memset(data + size / 2, 0, 4096);
    memset(data + size / 4, 0, 4096);
    write_bytes(packed, data, size);
    draw("f32", after, "MB of the UNet's packed weights come from");
    assert_false(same_pictures(before, after));
    free(data);
    pack("f32");
    draw("f32", after, "come from");
    assert_true(same_pictures(before, after));
}

static void a_source_that_was_written_since_ends_it(void **state)
{
    char unet[4096];
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000}};

    (void)state;
    strcpy(unet, in_folder(model, "unet/diffusion_pytorch_model.safetensors"));
    assert_int_equal(utimensat(AT_FDCWD, unet, times, 0), 0);
    expect_ignored("not used for unet: it has been written since; convert --packed makes it anew");
    pack("f32");
    expect_ignored("come from the packed file");
}

static void replaced_and_merged_parts_are_packed_apart(void **state)
{
    static const int64_t down[] = {2, 16}, up[] = {16, 2};
    static const char zeros[256];
    const char *module = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q";
    char lora[4096], name[200];
    ons_safetensors_writer *w;
    program_run r = {0};

    (void)state;
    strcpy(lora, in_folder(folder, "lora.safetensors"));
    assert_int_equal(ons_safetensors_writer_create(&w), ONESTEP_OK);
    snprintf(name, sizeof name, "%s.lora_A.weight", module);
    assert_int_equal(ons_safetensors_writer_add(w, name, ONS_F32, 2, down), ONESTEP_OK);
    snprintf(name, sizeof name, "%s.lora_B.weight", module);
    assert_int_equal(ons_safetensors_writer_add(w, name, ONS_F32, 2, up), ONESTEP_OK);
    assert_int_equal(ons_safetensors_writer_begin(w, lora), ONESTEP_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ons_safetensors_writer_data(w, zeros, 128), ONESTEP_OK);
    assert_int_equal(ons_safetensors_writer_commit(w), ONESTEP_OK);
    ons_safetensors_writer_destroy(&w);
    run_program(&r, "generate", "-m", model, "--lora", lora, "-p", "red heart", "-s", "3", "--type", "f32",
                "-o", after, NULL);
    expect(&r, 0, "not used for unet: it has a LoRA merged into it; convert --packed with -o DIR");
    assert_true(same_pictures(before, after)); /* it adds zero */
    run_program(&r, "generate", "-m", model, "--unet", other, "-p", "red heart", "-s", "3", "--type", "f32",
                "-o", after, NULL);
    expect(&r, 0, "not used for unet: it is another one");
    assert_true(same_pictures(before, after)); /* of the same seed */
    run_program(&r, "convert", "--packed", "-m", model, "--lora", lora, NULL);
    expect(&r, 2, "-o DIR");
    run_program(&r, "convert", "--packed", "--packed-type", "f32", "-m", model, "--lora", lora, "-o",
                in_folder(folder, "merged"), NULL);
    expect(&r, 0, "merged/packed.safetensors");
    run_program(&r, "generate", "-m", in_folder(folder, "merged"), "-p", "red heart", "-s", "3", "-v", "--type",
                "f32", "-o", after, NULL);
    expect(&r, 0, "come from the packed file");
    assert_true(same_pictures(before, after));
    free_run(&r);
}

static void a_damaged_file_is_left_alone(void **state)
{
    enum { CUTS = 25 };
    size_t size;
    char *data = read_file(packed, &size), *at;

    (void)state;
    for (int i = 0; i < CUTS; i++) { /* dense in the header, then over the whole */
        const size_t n = i < 10 ? (size_t)(i * i) : size * (size_t)(i - 10) / (CUTS - 10);

        write_bytes(packed, data, n);
        expect_ignored("convert --packed makes it anew");
    }
    write_bytes(packed, data, size - 1);
    expect_ignored("1 bytes are missing");
    at = strstr(data + 8, "panels"); /* of the first layout's name */
    assert_non_null(at);
    *at = 'P';
    write_bytes(packed, data, size);
    expect_ignored("its table does not have the checksum");
    *at = 'p';
    free(data);
}

/* The same length of header, with one text replaced by another of its length. */
static void replace(const char *from, const char *to, const char *why)
{
    size_t size;
    char *data = read_file(packed, &size), *at = strstr(data + 8, from);

    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    memcpy(at, to, strlen(to));
    write_bytes(packed, data, size);
    expect_ignored(why);
    memcpy(at, from, strlen(from));
    write_bytes(packed, data, size);
    free(data);
}

static void a_lying_table_is_left_alone(void **state)
{
    (void)state;
    pack("f32");
    replace("oneDNN ", "oneDNN9", "was made on onestep");
    replace("\"packed_format\":\"1\"", "\"packed_format\":\"2\"", "is of format 2, this program's is 1");
    replace("\"shape\":[4096]", "\"shape\":[8192]", "convert --packed makes it anew");
    replace("\"shape\":[4096]", "\"shape\":[-096]", "convert --packed makes it anew");
    replace("[0,4096]", "[0,9096]", "convert --packed makes it anew");
    replace("[0,4096]", "[1,4097]", "convert --packed makes it anew");
    replace("\"U8\"", "\"I8\"", "convert --packed makes it anew");
    draw("f32", after, "come from");
}

static void another_type_or_size_is_told(void **state)
{
    (void)state; /* without bf16 in the CPU the same kernels run, on the same copies */
    draw("bf16", after,
         ons_backend_cpu.native_precision() == ONS_BF16 ? "it was made for f32, 16x16" : "come from");
}

static void a_full_disk_leaves_nothing(void **state)
{
    char **names;
    size_t n;
    program_run r = {0};

    (void)state;
    program_limit_files(100000);
    run_program(&r, "convert", "--packed", "-m", other, NULL);
    expect(&r, 1, "packed.safetensors: writing failed");
    assert_int_equal(ons_list_dir(other, &names, &n), ONESTEP_OK);
    for (size_t i = 0; i < n; i++)
        assert_null(strstr(names[i], "packed"));
    ons_free_names(names, n);
    run_program(&r, "convert", "-m", other, NULL);
    expect(&r, 2, "-o DIR, or --packed");
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_the_same),
        cmocka_unit_test(the_copies_are_used),
        cmocka_unit_test(a_source_that_was_written_since_ends_it),
        cmocka_unit_test(replaced_and_merged_parts_are_packed_apart),
        cmocka_unit_test(a_damaged_file_is_left_alone),
        cmocka_unit_test(a_lying_table_is_left_alone),
        cmocka_unit_test(another_type_or_size_is_told),
        cmocka_unit_test(a_full_disk_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, make_models, remove_models);
}
