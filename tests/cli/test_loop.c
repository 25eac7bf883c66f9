/*
 * The whole loop through the command line on a made-up data set: train, pairs, distill, generate; a kill in the
 * middle of training and of distilling, continued to the same bytes; and what goes wrong, with its message.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "distill/pairs.h"
#include "io/safetensors.h"
#include "pictures.h"
#include "program.h"

static char *folder;
static char recipe[512];

static int prepare(void **state)
{
    (void)state;
    folder = make_folder();
    pictures_write(in_folder(folder, "data"), true);
    snprintf(recipe, sizeof recipe, "%s/recipes/tiny.json", getenv("ONESTEP_SOURCE_ROOT"));
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

#define TRAIN                                                                                                  \
    "train", "--recipe", recipe, "--data", in_folder(folder, "data"), "-t", "2", "--type", "f32", "--set",     \
        "vae.iterations=6,vae.batch_size=4,train.iterations=12,train.batch_size=4,every.checkpoint=4,every."   \
        "log=4,every.sample=100"
#define DISTILL                                                                                                \
    "distill", "--recipe", recipe, "--data", in_folder(folder, "data"), "-t", "2", "--type", "f32", "-m",      \
        in_folder(folder, "teacher"), "--pairs", in_folder(folder, "pairs"), "--perceptual",                   \
        in_folder(folder, "perceptual"), "--set",                                                              \
        "distill.iterations=12,distill.warmup_iterations=6,distill.batch_size=2,distill.pair_batch_size=2,"    \
        "every.checkpoint=4,every.log=4,every.sample=100,every.health=6,perceptual.iterations=4,perceptual."   \
        "batch_size=4"

static void the_loop_runs(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, TRAIN, "-o", in_folder(folder, "teacher"), NULL);
    expect(&r, 0, "seed");
    run_program(&r, "pairs", "--recipe", recipe, "--data", in_folder(folder, "data"), "-m",
                in_folder(folder, "teacher"), "--count", "12", "--steps", "3", "-o", in_folder(folder, "pairs"),
                "-t", "2", NULL);
    expect(&r, 0, "");
    run_program(&r, DISTILL, "-o", in_folder(folder, "student"), NULL);
    expect(&r, 0, "");
    run_program(&r, "generate", "-m", in_folder(folder, "student"), "-p", "red square", "-s", "5", "-o",
                in_folder(folder, "picture.png"), NULL);
    expect(&r, 0, "1 evaluation");
    assert_true(ons_path_exists(in_folder(folder, "student/training/log.jsonl")));
    free_run(&r);
}

static void a_killed_training_continues_to_the_same_bytes(void **state)
{
    program_run r = {0};

    (void)state;
    program_signal(SIGKILL, in_folder(folder, "killed/training/teacher.safetensors"));
    run_program(&r, TRAIN, "-o", in_folder(folder, "killed"), NULL);
    expect(&r, 128 + SIGKILL, NULL);
    run_program(&r, TRAIN, "-o", in_folder(folder, "killed"), "--resume", NULL);
    expect(&r, 0, "");
    free_run(&r);
    assert_same_file(in_folder(folder, "killed/unet/diffusion_pytorch_model.safetensors"),
                     in_folder(folder, "teacher/unet/diffusion_pytorch_model.safetensors"));
    assert_same_file(in_folder(folder, "killed/text_encoder/model.safetensors"),
                     in_folder(folder, "teacher/text_encoder/model.safetensors"));
}

static void a_killed_distillation_continues_to_the_same_bytes(void **state)
{
    program_run r = {0};

    (void)state;
    program_signal(SIGKILL, in_folder(folder, "again/training/distill.safetensors"));
    run_program(&r, DISTILL, "-o", in_folder(folder, "again"), NULL);
    expect(&r, 128 + SIGKILL, NULL);
    run_program(&r, DISTILL, "-o", in_folder(folder, "again"), "--resume", NULL);
    expect(&r, 0, "");
    free_run(&r);
    assert_same_file(in_folder(folder, "again/unet/diffusion_pytorch_model.safetensors"),
                     in_folder(folder, "student/unet/diffusion_pytorch_model.safetensors"));
}

#define ADAPTED(recompute)                                                                                     \
    "distill", "--recipe", recipe, "--data", in_folder(folder, "data"), "-t", "2", "--type", "f32", "-m",      \
        in_folder(folder, "teacher"), "--pairs", in_folder(folder, "pairs"), "--set",                          \
        "distill.lora_rank=2,distill.iterations=8,distill.warmup_iterations=4,distill.batch_size=2,"           \
        "distill.pair_batch_size=2,distill.weight_pixel=0,perceptual.iterations=0,every.sample=4,every."       \
        "health=4,every.health_pictures=4,every.checkpoint=4,distill.recompute=" recompute

/* Adapters beside one shared network: kept as a file for diffusers and merged; killed, resumed, gone on from;
 * blocks computed twice or once, the same bytes. */
static void an_adapter_is_distilled(void **state)
{
    static const char weights[] = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight";
    program_run r = {0};
    ons_safetensors *file;

    (void)state;
    run_program(&r, ADAPTED("1"), "-o", in_folder(folder, "adapted"), NULL);
    expect(&r, 0, "");
    assert_int_equal(ons_safetensors_open(in_folder(folder, "adapted/pytorch_lora_weights.safetensors"), &file),
                     ONESTEP_OK);
    assert_non_null(ons_safetensors_find(file, weights));
    assert_non_null(ons_safetensors_find(file, "unet.conv_in.lora_B.weight"));
    ons_safetensors_close(&file);

    program_signal(SIGKILL, in_folder(folder, "adapted2/training/distill.safetensors"));
    run_program(&r, ADAPTED("0"), "-o", in_folder(folder, "adapted2"), NULL);
    expect(&r, 128 + SIGKILL, NULL);
    run_program(&r, ADAPTED("0"), "-o", in_folder(folder, "adapted2"), "--resume", NULL);
    expect(&r, 0, "");
    assert_same_file(in_folder(folder, "adapted/pytorch_lora_weights.safetensors"),
                     in_folder(folder, "adapted2/pytorch_lora_weights.safetensors"));
    assert_same_file(in_folder(folder, "adapted/unet/diffusion_pytorch_model.safetensors"),
                     in_folder(folder, "adapted2/unet/diffusion_pytorch_model.safetensors"));

    run_program(&r, ADAPTED("0,distill.accumulate=2,distill.iterations=4,distill.warmup_iterations=2"), "-o",
                in_folder(folder, "gathered"), NULL);
    expect(&r, 0, "");
    run_program(&r, ADAPTED("0,distill.accumulate=2,distill.critic_steps=2"), "-o", in_folder(folder, "x"),
                NULL);
    expect(&r, 2, "distill.accumulate");
    run_program(&r, ADAPTED("0"), "-o", in_folder(folder, "x"), "--init", in_folder(folder, "student"), NULL);
    expect(&r, 1, "pytorch_lora_weights.safetensors is missing");
    run_program(&r, "generate", "-m", in_folder(folder, "adapted"), "-p", "circle", "-s", "7", "-o",
                in_folder(folder, "adapted.png"), NULL);
    expect(&r, 0, "1 evaluation");
    free_run(&r);
}

static void what_does_not_fit_is_refused(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, DISTILL, "-o", in_folder(folder, "big"), "--max-memory", "1M", NULL);
    expect(&r, 1, "distill.lora_rank=16");
    run_program(&r, ADAPTED("-1"), "-o", in_folder(folder, "big"), "--max-memory", "1M", NULL);
    expect(&r, 1, "smaller batches");
    assert_false(ons_path_exists(in_folder(folder, "big/model_index.json")));
    free_run(&r);
}

/* Pairs are a function of seed and index: extended in two goes and made in one, the shards are the same. */
static void pairs_extend_to_the_same_latents(void **state)
{
    program_run r = {0};
    ons_pairs whole, grown;

    (void)state;
    for (int count = 5; count <= 12; count += 7) {
        char text[8];

        snprintf(text, sizeof text, "%d", count);
        run_program(&r, "pairs", "--recipe", recipe, "--data", in_folder(folder, "data"), "-m",
                    in_folder(folder, "teacher"), "--count", text, "--steps", "3", "-o",
                    in_folder(folder, "grown"), "-t", "2", NULL);
        expect(&r, 0, "");
    }
    assert_int_equal(ons_pairs_open(in_folder(folder, "pairs"), &whole), ONESTEP_OK);
    assert_int_equal(ons_pairs_open(in_folder(folder, "grown"), &grown), ONESTEP_OK);
    assert_int_equal(grown.n, 12);
    assert_memory_equal(grown.latents, whole.latents,
                        12 * (size_t)(whole.h * whole.w * whole.c) * sizeof(float));
    assert_memory_equal(grown.ids, whole.ids, 12 * (size_t)whole.context * sizeof(int32_t));
    ons_pairs_close(&whole);
    ons_pairs_close(&grown);
    run_program(&r, "pairs", "--recipe", recipe, "--data", in_folder(folder, "data"), "-m",
                in_folder(folder, "teacher"), "--count", "12", "--steps", "4", "-o", in_folder(folder, "grown"),
                "-t", "2", NULL);
    expect(&r, 2, "steps");
    free_run(&r);
}

/* No steps: what goes in as --init comes out again, rounded to 16 bits once more (no change), with its cost. */
static void a_student_is_gone_on_from(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(
        &r, DISTILL, "-o", in_folder(folder, "further"), "--init", in_folder(folder, "student"), "--set",
        "distill.iterations=0,distill.batch_size=2,distill.pair_batch_size=2,perceptual.iterations=4", NULL);
    expect(&r, 0, "");
    assert_same_file(in_folder(folder, "further/unet/diffusion_pytorch_model.safetensors"),
                     in_folder(folder, "student/unet/diffusion_pytorch_model.safetensors"));
    run_program(&r, DISTILL, "-o", in_folder(folder, "x"), "--init", in_folder(folder, "teacher"), NULL);
    expect(&r, 2, "no one-step student");
    run_program(&r, DISTILL, "-o", in_folder(folder, "x"), "--init", in_folder(folder, "student"), "--timestep",
                "500", NULL);
    expect(&r, 2, "399");
    free_run(&r);
}

static void mistakes_end_in_one_message(void **state)
{
    program_run r = {0};

    (void)state;
    run_program(&r, "train", "--data", in_folder(folder, "data"), "-o", in_folder(folder, "x"), "--set",
                "train.speed=9", NULL);
    expect(&r, 2, "train.speed");
    run_program(&r, "train", "--recipe", in_folder(folder, "none.json"), "--data", in_folder(folder, "data"),
                "-o", in_folder(folder, "x"), NULL);
    expect(&r, 1, "none.json");
    run_program(&r, "distill", "--recipe", recipe, "--data", in_folder(folder, "data"), "-m",
                in_folder(folder, "teacher"), "-o", in_folder(folder, "x"), NULL);
    expect(&r, 2, "pairs");
    run_program(&r, "distill", "--recipe", recipe, "--data", in_folder(folder, "data"), "-m",
                in_folder(folder, "teacher"), "--method", "magic", "-o", in_folder(folder, "x"), NULL);
    expect(&r, 2, "magic");
    free_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_runs),
        cmocka_unit_test(a_killed_training_continues_to_the_same_bytes),
        cmocka_unit_test(a_killed_distillation_continues_to_the_same_bytes),
        cmocka_unit_test(a_student_is_gone_on_from),
        cmocka_unit_test(an_adapter_is_distilled),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(pairs_extend_to_the_same_latents),
        cmocka_unit_test(mistakes_end_in_one_message),
    };

    return cmocka_run_group_tests(tests, prepare, clean_up);
}
