/*
 * What ends a long run before its time: Ctrl-C, and a disk that is full (a limit on the size of files stands in
 * for it). Either way there is one message that says how to go on, what lies under a final name is whole, and
 * the run that goes on ends with the bytes of one that was never stopped.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "pictures.h"
#include "program.h"

enum { INTERRUPTED = 130, SMALL_FILES = 256 << 10, TINY_FILES = 6 << 10 };

#define UNET "unet/diffusion_pytorch_model.safetensors"
#define SETTINGS                                                                                               \
    "vae.iterations=12,vae.batch_size=4,train.iterations=24,train.batch_size=4,every.checkpoint=4,every."      \
    "log=4,every.sample=100,every.health=12,sample.steps=2,distill.iterations=16,distill.warmup_"              \
    "iterations=8,distill.batch_size=2,distill.pair_batch_size=2,perceptual.iterations=0,distill.weight_"      \
    "pixel=0"
#define LONG_RUN                                                                                               \
    "--recipe", recipe, "--data", in_folder(folder, "data"), "-t", "2", "--type", "f32", "--set", SETTINGS
#define TRAIN "train", LONG_RUN
#define PAIRS "pairs", LONG_RUN, "-m", in_folder(folder, "teacher"), "--count", "12", "--steps", "2"
#define DISTILL "distill", LONG_RUN, "-m", in_folder(folder, "teacher"), "--pairs", in_folder(folder, "pairs")

static char *folder;
static char recipe[512];

/* The data, and each run once without a stop. */
static int prepare(void **state)
{
    program_run r = {0};

    (void)state;
    folder = make_folder();
    pictures_write(in_folder(folder, "data"), true);
    snprintf(recipe, sizeof recipe, "%s/recipes/tiny.json", getenv("ONESTEP_SOURCE_ROOT"));
    run_program(&r, TRAIN, "-o", in_folder(folder, "teacher"), NULL);
    expect(&r, 0, "");
    run_program(&r, PAIRS, "-o", in_folder(folder, "pairs"), NULL);
    expect(&r, 0, "");
    run_program(&r, DISTILL, "-o", in_folder(folder, "student"), NULL);
    expect(&r, 0, "");
    free_run(&r);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static int refuse_temporary(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    if (strstr(path, ".tmp-"))
        fail_msg("%s was left behind", path);
    return 0;
}

/* A full disk: exit code 1 and one message with these words; no temporary file anywhere. */
static void expect_full_disk(const program_run *r, const char *words)
{
    const char *message;

    expect(r, 1, "writing failed: File too large");
    expect(r, 1, words);
    message = strstr(r->err, "onestep: ");
    assert_non_null(message);
    assert_int_equal(strcspn(message, "\n"), strlen(message) - 1); /* the last line, and the only such one */
    nftw(folder, refuse_temporary, 16, FTW_PHYS);
}

static void assert_teacher(const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "%s/" UNET, name);
    assert_same_file(in_folder(folder, path), in_folder(folder, "teacher/" UNET));
    snprintf(path, sizeof path, "%s/text_encoder/model.safetensors", name);
    assert_same_file(in_folder(folder, path), in_folder(folder, "teacher/text_encoder/model.safetensors"));
    snprintf(path, sizeof path, "%s/vae/diffusion_pytorch_model.safetensors", name);
    assert_same_file(in_folder(folder, path),
                     in_folder(folder, "teacher/vae/diffusion_pytorch_model.safetensors"));
}

/* Ctrl-C as soon as `checkpoint` is there, then on to the same teacher. */
static void interrupt_training(const char *name, const char *checkpoint)
{
    program_run r = {0};
    char path[64];

    snprintf(path, sizeof path, "%s/training/%s", name, checkpoint);
    program_signal(SIGINT, in_folder(folder, path));
    run_program(&r, TRAIN, "-o", in_folder(folder, name), NULL);
    expect(&r, INTERRUPTED, "interrupted: stopped at step");
    expect(&r, INTERRUPTED, "--resume");
    snprintf(path, sizeof path, "%s/model_index.json", name);
    assert_false(ons_path_exists(in_folder(folder, path)));
    run_program(&r, TRAIN, "-o", in_folder(folder, name), "--resume", NULL);
    expect(&r, 0, "");
    assert_teacher(name);
    free_run(&r);
}

static void interrupted_autoencoder(void **state)
{
    (void)state;
    interrupt_training("vae-stopped", "autoencoder.safetensors");
}

static void interrupted_teacher(void **state)
{
    (void)state;
    interrupt_training("stopped", "teacher.safetensors");
}

static void interrupted_distillation(void **state)
{
    program_run r = {0};

    (void)state;
    program_signal(SIGINT, in_folder(folder, "halfway/training/distill.safetensors"));
    run_program(&r, DISTILL, "-o", in_folder(folder, "halfway"), NULL);
    expect(&r, INTERRUPTED, "interrupted: stopped at step");
    expect(&r, INTERRUPTED, "--resume");
    assert_false(ons_path_exists(in_folder(folder, "halfway/model_index.json")));
    run_program(&r, DISTILL, "-o", in_folder(folder, "halfway"), "--resume", NULL);
    expect(&r, 0, "");
    assert_same_file(in_folder(folder, "halfway/" UNET), in_folder(folder, "student/" UNET));
    free_run(&r);
}

/* Ctrl-C while a sample sheet is drawn: the step before it is saved all the same. */
static void interrupted_sample_sheet(void **state)
{
    program_run r = {0};

    (void)state;
    program_signal(SIGINT, in_folder(folder, "sheet/training/samples"));
    run_program(&r, DISTILL, "--set", SETTINGS ",every.sample=3,every.checkpoint=1000", "-o",
                in_folder(folder, "sheet"), NULL);
    expect(&r, INTERRUPTED, "interrupted: stopped at step");
    assert_true(ons_path_exists(in_folder(folder, "sheet/training/distill.safetensors")));
    free_run(&r);
}

/* Nothing of a checkpoint remains when not even the first could be written. */
static void full_disk_from_the_start(void **state)
{
    program_run r = {0};

    (void)state;
    program_limit_files(SMALL_FILES);
    run_program(&r, TRAIN, "-o", in_folder(folder, "none"), NULL);
    expect_full_disk(&r, "autoencoder.safetensors");
    assert_false(ons_path_exists(in_folder(folder, "none/training/autoencoder.safetensors")));
    assert_false(ons_path_exists(in_folder(folder, "none/model_index.json")));
    free_run(&r);
}

/* A run that is going on finds the disk full: its checkpoint stays as it was, and is good for going on later.
 */
static void full_disk_while_training(void **state)
{
    const char *checkpoint = "full/training/teacher.safetensors";
    program_run r = {0};

    (void)state;
    program_signal(SIGINT, in_folder(folder, checkpoint));
    run_program(&r, TRAIN, "-o", in_folder(folder, "full"), NULL);
    expect(&r, INTERRUPTED, NULL);
    copy_file(in_folder(folder, checkpoint), in_folder(folder, "kept"));
    program_limit_files(SMALL_FILES);
    run_program(&r, TRAIN, "-o", in_folder(folder, "full"), "--resume", NULL);
    expect_full_disk(&r, "intact: --resume goes on");
    assert_same_file(in_folder(folder, checkpoint), in_folder(folder, "kept"));
    assert_false(ons_path_exists(in_folder(folder, "full/model_index.json")));
    run_program(&r, TRAIN, "-o", in_folder(folder, "full"), "--resume", NULL);
    expect(&r, 0, "");
    assert_teacher("full");
    free_run(&r);
}

static void full_disk_while_distilling(void **state)
{
    const char *checkpoint = "crammed/training/distill.safetensors";
    program_run r = {0};

    (void)state;
    program_signal(SIGINT, in_folder(folder, checkpoint));
    run_program(&r, DISTILL, "-o", in_folder(folder, "crammed"), NULL);
    expect(&r, INTERRUPTED, NULL);
    copy_file(in_folder(folder, checkpoint), in_folder(folder, "kept"));
    program_limit_files(SMALL_FILES);
    run_program(&r, DISTILL, "-o", in_folder(folder, "crammed"), "--resume", NULL);
    expect_full_disk(&r, "");
    assert_same_file(in_folder(folder, checkpoint), in_folder(folder, "kept"));
    assert_false(ons_path_exists(in_folder(folder, "crammed/model_index.json")));
    run_program(&r, DISTILL, "-o", in_folder(folder, "crammed"), "--resume", NULL);
    expect(&r, 0, "");
    assert_same_file(in_folder(folder, "crammed/" UNET), in_folder(folder, "student/" UNET));
    free_run(&r);
}

static void full_disk_while_making_pairs(void **state)
{
    program_run r = {0};

    (void)state;
    program_limit_files(TINY_FILES);
    run_program(&r, PAIRS, "-o", in_folder(folder, "few"), NULL);
    expect_full_disk(&r, "pairs-000000.safetensors");
    assert_false(ons_path_exists(in_folder(folder, "few/pairs-000000.safetensors")));
    run_program(&r, PAIRS, "-o", in_folder(folder, "few"), NULL);
    expect(&r, 0, "");
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interrupted_autoencoder),    cmocka_unit_test(interrupted_teacher),
        cmocka_unit_test(interrupted_distillation),   cmocka_unit_test(interrupted_sample_sheet),
        cmocka_unit_test(full_disk_from_the_start),   cmocka_unit_test(full_disk_while_training),
        cmocka_unit_test(full_disk_while_distilling), cmocka_unit_test(full_disk_while_making_pairs),
    };

    return cmocka_run_group_tests(tests, prepare, clean_up);
}
