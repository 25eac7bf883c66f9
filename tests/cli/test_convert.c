/* onestep convert, and parts from elsewhere, as a user types them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/image.h"
#include "program.h"
#include "tiny_models.h"

/* Mean difference of the 8-bit values. */
static double compare(const char *a, const char *b)
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

static void draw(const char *model, const char *picture)
{
    program_run r = {0};

    run_program(&r, "generate", "-m", model, "-p", "red heart", "-s", "3", "--type", "f32", "-o", picture,
                NULL);
    expect(&r, 0, "seed: 3");
    free_run(&r);
}

static void a_folder_is_written_again(void **state)
{
    static const struct {
        const char *type;
        double difference;
    } rows[] = {{"same", 0}, {"f32", 0}, {"f16", 0.5}, {"bf16", 4}};
    char before[4096], after[4096], copy[4096];
    program_run r = {0};

    (void)state;
    strcpy(before, in_folder(folder, "before.png"));
    strcpy(after, in_folder(folder, "after.png"));
    draw(teacher, before);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        strcpy(copy, in_folder(folder, rows[i].type));
        run_program(&r, "convert", "-m", teacher, "--type", rows[i].type, "-o", copy, NULL);
        expect(&r, 0, "stored as");
        draw(copy, after);
        if (!(compare(before, after) <= rows[i].difference))
            fail_msg("%s: mean difference %g", rows[i].type, compare(before, after));
    }
    run_program(&r, "info", in_folder(folder, "f16/unet/diffusion_pytorch_model.safetensors"), NULL);
    expect(&r, 0, "");
    assert_non_null(strstr(r.out, "F16"));
    assert_non_null(strstr(r.out, "UNet"));
    free_run(&r);
}

static void a_full_folder_is_left_alone(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "convert", "-m", teacher, "-o", teacher, NULL);
    expect(&r, 2, "give a new folder");
    run_program(&r, "convert", "-m", in_folder(folder, "nowhere"), "-o", in_folder(folder, "new"), NULL);
    expect(&r, 1, "model_index.json");
    free_run(&r);
}

static void a_unet_may_come_from_another_model(void **state)
{
    char mixed[4096], own[4096];
    program_run r = {0};

    (void)state;
    strcpy(mixed, in_folder(folder, "mixed.png"));
    strcpy(own, in_folder(folder, "own.png"));
    draw(teacher, own);
    run_program(&r, "generate", "-m", teacher, "--unet", student, "-p", "red heart", "-s", "3", "--type", "f32",
                "-o", mixed, NULL);
    expect(&r, 0, "seed: 3");
    assert_true(compare(own, mixed) ==
                0); /* tiny models all start from one seed: the same UNet from another folder */
    run_program(&r, "generate", "-m", teacher, "--unet", in_folder(teacher, "vae"), "-p", "x", "-o", mixed,
                NULL);
    expect(&r, 1, "this is a AutoencoderKL");
    run_program(&r, "generate", "-m", in_folder(teacher, "unet/diffusion_pytorch_model.safetensors"), "-p", "x",
                NULL);
    expect(&r, 1, "--unet");
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_is_written_again),
        cmocka_unit_test(a_full_folder_is_left_alone),
        cmocka_unit_test(a_unet_may_come_from_another_model),
    };

    return cmocka_run_group_tests(tests, make_models, remove_models);
}
