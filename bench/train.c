/*
 * Throughput of the teacher's training step of a recipe (noising, UNet and text encoder forward and backward,
 * clipping, AdamW, averages: the step that `onestep train` runs) on made-up latents and captions, and its share
 * of a roofline that is measured in the same process before and after the steps. See bench/roofline.h for what
 * counts as the roofline.
 */
#include <getopt.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "bench/roofline.h"
#include "train/teacher_step.h"
#include "train/train.h"

enum { MAX_STEPS = 1000, N_PICTURES = 8 };

typedef struct bench {
    const char *recipe_path;
    int n_steps, n_warmup;
    bool json, profile, no_roofline;
    ons_compute compute;
    ons_recipe recipe;
    ons_model model;
    ons_teacher_step *step;
    float *latents; /* [N_PICTURES][2][size]: means, deviations */
    double seconds[MAX_STEPS];
    ons_teacher_result sums; /* of the times of the measured steps */
    ons_bench_roofline roofline;
} bench;

static const char usage[] = "usage: bench_train [options] recipe.json\n"
                            "  --steps N        measured steps (10)\n"
                            "  --warmup N       steps before (2)\n"
                            "  --threads N      (physical cores)\n"
                            "  --type T         f32 or bf16 (what the CPU multiplies natively, as in train)\n"
                            "  --json           one JSON object instead of text\n"
                            "  --profile        time per kernel as well, which costs a little of it\n"
                            "  --no-roofline    steps alone\n";

static int read_int(const char *text, int least, int most)
{
    char *end;
    long v = strtol(text, &end, 10);

    return end == text || *end || v < least || v > most ? -1 : (int)v;
}

static bool parse(int argc, char **argv, bench *b)
{
    static const struct option options[] = {
        {"steps", required_argument, NULL, 's'},   {"warmup", required_argument, NULL, 'w'},
        {"threads", required_argument, NULL, 't'}, {"type", required_argument, NULL, 'T'},
        {"json", no_argument, NULL, 'j'},          {"profile", no_argument, NULL, 'p'},
        {"no-roofline", no_argument, NULL, 'n'},   {0}};
    int c;

    *b = (bench){.n_steps = 10, .n_warmup = 2, .compute.n_threads = ons_physical_cores()};
    b->compute.type = ons_compute_native_type(&b->compute);
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (c) {
        case 's':
            b->n_steps = read_int(optarg, 1, MAX_STEPS);
            break;
        case 'w':
            b->n_warmup = read_int(optarg, 0, MAX_STEPS);
            break;
        case 't':
            b->compute.n_threads = read_int(optarg, 1, 4096);
            break;
        case 'T':
            if (strcmp(optarg, "f32") && strcmp(optarg, "bf16"))
                return false;
            b->compute.type = strcmp(optarg, "f32") ? ONS_BF16 : ONS_F32;
            break;
        case 'j':
            b->json = true;
            break;
        case 'p':
            b->profile = true;
            break;
        case 'n':
            b->no_roofline = true;
            break;
        default:
            return false;
        }
    b->recipe_path = argv[optind];
    return optind + 1 == argc && b->n_steps > 0 && b->n_warmup >= 0 && b->compute.n_threads > 0;
}

/* Models read their configuration from files: through a folder that is gone afterwards. */
static onestep_status configure(bench *b)
{
    static const char *const parts[] = {"vae", "unet", "text_encoder"};
    char folder[] = "/tmp/bench_train.XXXXXX";
    onestep_status st;

    if (!mkdtemp(folder))
        return ons_fail(ONESTEP_IO, "%s: cannot be created", folder);
    st = ons_train_configure(&b->recipe, folder, &b->model);
    for (int i = 0; i < 3; i++) {
        char *part = ons_path_join(folder, parts[i]), *file = part ? ons_path_join(part, "config.json") : NULL;

        if (file) {
            unlink(file);
            rmdir(part);
        }
        ons_free(file);
        ons_free(part);
    }
    rmdir(folder);
    return st;
}

static onestep_status make_latents(bench *b)
{
    size_t size = ons_teacher_step_latent_size(b->step);

    b->latents = ons_malloc(N_PICTURES * 2 * size * sizeof *b->latents);
    if (!b->latents)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for latents");
    for (size_t i = 0; i < N_PICTURES; i++) {
        ons_randn(b->recipe.seed, 1, 2 * i * size, b->latents + 2 * i * size, size);
        ons_rand_uniform(b->recipe.seed, 2, 2 * i * size, b->latents + (2 * i + 1) * size, size);
    }
    return ONESTEP_OK;
}

static onestep_status pick(void *context, uint64_t draw, int32_t *ids, const float **mean, const float **std)
{
    bench *b = context;
    size_t size = ons_teacher_step_latent_size(b->step);
    int n = b->model.clip_config.max_position_embeddings;

    for (int i = 0; i < n; i++) {
        float u;

        ons_rand_uniform(b->recipe.seed, 3, draw * (uint64_t)n + (uint64_t)i, &u, 1);
        ids[i] = (int32_t)fminf(u * (float)b->model.clip_config.vocab_size,
                                (float)(b->model.clip_config.vocab_size - 1));
    }
    *mean = b->latents + draw % N_PICTURES * 2 * size;
    *std = *mean + size;
    return ONESTEP_OK;
}

static onestep_status prepare(bench *b)
{
    onestep_status st;

    ons_recipe_init(&b->recipe);
    ONS_TRY(ons_recipe_load(b->recipe_path, &b->recipe));
    ons_schedule_init_sd(&b->model.schedule);
    ONS_TRY(configure(b));
    ONS_TRY(ons_params_create(&b->model.unet));
    ONS_TRY(ons_params_create(&b->model.clip));
    ONS_TRY(ons_unet_declare(&b->model.unet_config, b->model.unet));
    ONS_TRY(ons_clip_declare(&b->model.clip_config, b->model.clip));
    ons_params_init(b->model.unet, b->recipe.seed + 1);
    ons_params_init(b->model.clip, b->recipe.seed + 2);
    ONS_TRY(ons_teacher_step_create(
        &b->recipe, &b->model,
        &(ons_teacher_step_options){b->model.clip_config.max_position_embeddings, b->compute}, &b->step));
    ONS_TRY(ons_teacher_step_plan(b->step));
    st = make_latents(b);
fail:
    return st;
}

static onestep_status run_steps(bench *b)
{
    ons_teacher_result result;

    for (int i = 0; i < b->n_warmup + b->n_steps; i++) {
        double start = ons_now_s();
        onestep_status st;

        if (i == b->n_warmup && b->profile)
            ons_plan_profile(ons_teacher_step_get_plan(b->step), true);
        if ((st = ons_teacher_step_run(b->step, i, pick, b, &result)) != ONESTEP_OK)
            return st;
        if (!result.taken)
            return ons_fail(ONESTEP_INTERNAL, "step %d: the gradient is not finite", i);
        if (i < b->n_warmup)
            continue;
        b->seconds[i - b->n_warmup] = ons_now_s() - start;
        b->sums.load_s += result.load_s;
        b->sums.network_s += result.network_s;
        b->sums.optimize_s += result.optimize_s;
    }
    b->sums.loss = result.loss;
    return ONESTEP_OK;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

typedef struct figures {
    double median_s, least_s, most_s, gflop, gflops, share, plain_share;
    size_t n_parameters;
    ons_bench_work work;
} figures;

static figures evaluate(bench *b)
{
    figures f = {.work = ons_bench_work_of(ons_teacher_step_get_plan(b->step)),
                 .n_parameters = ons_params_n_values(b->model.unet) + ons_params_n_values(b->model.clip)};
    int n = b->n_steps;

    qsort(b->seconds, (size_t)n, sizeof *b->seconds, by_size);
    f.least_s = b->seconds[0];
    f.most_s = b->seconds[n - 1];
    f.median_s = 0.5 * (b->seconds[(n - 1) / 2] + b->seconds[n / 2]);
    f.gflop = ons_bench_work_total(&f.work) / 1e9;
    f.gflops = f.gflop / f.median_s;
    if (!b->no_roofline) {
        f.share = ons_bench_ideal_s(&b->roofline, &f.work) / f.median_s;
        f.plain_share = ons_bench_ideal_plain_s(&b->roofline, &f.work) / f.median_s;
    }
    return f;
}

static const char *const class_names[ONS_BENCH_CLASSES] = {"products and the like", "3x3 convolutions"};

static void print_roofline(const bench *b, const figures *f)
{
    printf("\n%-17s %-22s %12s %14s  %s\n", "direction", "work", "GFLOP/step", "peak GFLOP/s", "reached by");
    for (int i = 0; i < ONS_BENCH_DIRECTIONS; i++)
        for (int c = 0; c < ONS_BENCH_CLASSES; c++)
            printf("%-17s %-22s %12.2f %14.1f  %s\n", ons_bench_direction_names[i], class_names[c],
                   f->work.flops[c][i] / 1e9, b->roofline.peaks[c][i].gflops, b->roofline.peaks[c][i].by);
    printf("roofline by the work: %.1f GFLOP/s; this step: %.1f GFLOP/s, %.1f %% of it\n", f->gflops / f->share,
           f->gflops, 100 * f->share);
    printf("without fast algorithms the roofline would be %.1f GFLOP/s, and this step %.1f %% of it\n",
           f->gflops / f->plain_share, 100 * f->plain_share);
}

static void print_profile(const bench *b)
{
    ons_profile profile;

    if (ons_plan_profile_read(ons_teacher_step_get_plan(b->step), &profile) != ONESTEP_OK)
        ons_warn("%s", onestep_error_text());
    ons_profile_print(&profile, profile.seconds, stdout);
    ons_profile_fini(&profile);
}

static void print_text(bench *b, const figures *f)
{
    double n = b->n_steps;

    if (b->profile)
        print_profile(b);
    printf("%s: %zu parameters, batch %d, %d threads, %s, %.1f GFLOP a step by the direct count\n",
           b->recipe.name, f->n_parameters, b->recipe.train.batch_size, b->compute.n_threads,
           ons_dtype_name(b->compute.type), f->gflop);
    printf("%.2f pictures/s, %.1f ms a step (median of %d; %.1f to %.1f), %.1f GFLOP/s\n",
           b->recipe.train.batch_size / f->median_s, f->median_s * 1e3, b->n_steps, f->least_s * 1e3,
           f->most_s * 1e3, f->gflops);
    printf("of a step: %.1f ms noising, %.1f ms networks, %.1f ms clipping, AdamW and averages\n",
           b->sums.load_s / n * 1e3, b->sums.network_s / n * 1e3, b->sums.optimize_s / n * 1e3);
    if (!b->no_roofline)
        print_roofline(b, f);
}

static json_t *peaks_to_json(const bench *b, const figures *f)
{
    json_t *list = json_array();

    for (int i = 0; i < ONS_BENCH_DIRECTIONS; i++)
        for (int c = 0; c < ONS_BENCH_CLASSES; c++)
            json_array_append_new(
                list, json_pack("{s:s, s:s, s:f, s:f, s:s}", "direction", ons_bench_direction_names[i], "work",
                                class_names[c], "gflop_per_step", f->work.flops[c][i] / 1e9, "peak_gflops",
                                b->roofline.peaks[c][i].gflops, "by", b->roofline.peaks[c][i].by));
    return list;
}

static onestep_status print_json(const bench *b, const figures *f)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:I, s:i, s:f, s:f, s:f, s:f, s:f, s:f}", "program", "onestep", "recipe",
        b->recipe.name, "type", ons_dtype_name(b->compute.type), "batch", b->recipe.train.batch_size, "threads",
        b->compute.n_threads, "parameters", (json_int_t)f->n_parameters, "steps", b->n_steps, "ms_per_step",
        f->median_s * 1e3, "ms_least", f->least_s * 1e3, "ms_most", f->most_s * 1e3, "pictures_per_s",
        b->recipe.train.batch_size / f->median_s, "gflop_per_step", f->gflop, "gflops", f->gflops);

    if (root && !b->no_roofline) {
        json_object_set_new(root, "roofline_gflops", json_real(f->gflops / f->share));
        json_object_set_new(root, "share", json_real(f->share));
        json_object_set_new(root, "share_without_fast_algorithms", json_real(f->plain_share));
        json_object_set_new(root, "peaks", peaks_to_json(b, f));
    }
    if (!root || json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the result");
    printf("\n");
    json_decref(root);
    return ONESTEP_OK;
}

static onestep_status run(bench *b)
{
    figures f;
    onestep_status st;

    ONS_TRY(prepare(b));
    if (!b->no_roofline)
        ons_bench_roofline_measure(&b->roofline, ONS_BENCH_DIRECTIONS, &b->compute);
    ONS_TRY(run_steps(b));
    if (!b->no_roofline)
        ons_bench_roofline_measure(&b->roofline, ONS_BENCH_DIRECTIONS, &b->compute);
    f = evaluate(b);
    if (b->json)
        ONS_TRY(print_json(b, &f));
    else
        print_text(b, &f);
fail:
    return st;
}

int main(int argc, char **argv)
{
    static bench b;
    onestep_status st;

    if (!parse(argc, argv, &b)) {
        fputs(usage, stderr);
        return 2;
    }
    st = run(&b);
    if (st != ONESTEP_OK)
        fprintf(stderr, "%s\n", onestep_error_text());
    ons_teacher_step_destroy(&b.step);
    ons_params_destroy(&b.model.unet);
    ons_params_destroy(&b.model.clip);
    ons_recipe_fini(&b.recipe);
    ons_free(b.latents);
    return st == ONESTEP_OK ? 0 : 1;
}
