/*
 * onestep generate: pictures from prompts. This file has the options and the run; where the pictures go is
 * generate_output.c's.
 *
 * Settings that a model cannot use are pointed out instead of being applied: most bad pictures of one-step
 * models come from guidance or steps carried over from the model before.
 */
#include "cli/generate.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/show.h"

static const ons_field options[] = {
    {'p', "prompt", ONS_FIELD_TEXT, offsetof(generate_args, prompt), .help = "what to draw"},
    {'n', "negative", ONS_FIELD_TEXT, offsetof(generate_args, negative),
     .help = "what to keep away from; needs guidance", .synonym = "negative-prompt"},
    {'i', "init-img", ONS_FIELD_TEXT, offsetof(generate_args, init), .unit = "FILE",
     .help = "image to image: begin with this PNG or JPEG"},
    {0, "strength", ONS_FIELD_REAL, offsetof(generate_args, strength), .min = 0, .max = 1, .preset = "0.75",
     .help = "of image to image: the part of the steps that is taken; 1 keeps nothing of the picture"},
    {'o', "output", ONS_FIELD_TEXT, offsetof(generate_args, output), .unit = "FILE|DIR|-",
     .help =
         "PNG file, folder for several, or - for standard output; default onestep-SEED.png, none with --show"},
    {'W', "width", ONS_FIELD_INT, offsetof(generate_args, width), .max = 8192,
     .help = "pixels; default the model's own, with -i the picture's"},
    {'H', "height", ONS_FIELD_INT, offsetof(generate_args, height), .max = 8192,
     .help = "pixels; default the model's own, with -i the picture's"},
    {'s', "seed", ONS_FIELD_SEED, offsetof(generate_args, seed), .preset = "-1",
     .help = "seed of the first picture, further ones count up; -1: random. Always printed"},
    {'b', "count", ONS_FIELD_INT, offsetof(generate_args, count), .min = 1, .max = 4096, .preset = "1",
     .help = "pictures per prompt", .synonym = "batch-count"},
    {0, "prompts", ONS_FIELD_TEXT, offsetof(generate_args, prompts), .unit = "FILE",
     .help =
         "one prompt a line; makes 00000.png, 00001.png, ... and a contact sheet sheet.png in the folder -o"},
    {0, "title", ONS_FIELD_TEXT, offsetof(generate_args, title), .help = "line above the contact sheet"},
    {0, "show", ONS_FIELD_FLAG, offsetof(generate_args, show), .help = "draw in the terminal as well"},
    {0, "json", ONS_FIELD_FLAG, offsetof(generate_args, json),
     .help = "print settings, files and times as JSON on standard output"},
    {0},
};

static const ons_field sampling[] = {
    {0, "steps", ONS_FIELD_INT, offsetof(generate_args, steps), .min = 1, .max = 1000,
     .help = "steps of the sampler; default the model's own"},
    {0, "timesteps", ONS_FIELD_LIST, offsetof(generate_args, timesteps), .max = 999,
     .help = "the very timesteps, descending, instead of --steps: 999,749,499,249"},
    {0, "cfg-scale", ONS_FIELD_REAL, offsetof(generate_args, cfg_scale), .max = 100,
     .help = "guidance; 0 and 1 are off; default the model's own, off for a student",
     .synonym = "guidance-scale"},
    {0, "sampler", ONS_FIELD_TEXT, offsetof(generate_args, sampler), .unit = "NAME",
     .help = "ddim, plms, euler, euler_a, heun, dpm++2m or lcm; default the model's own",
     .synonym = "sampling-method"},
    {0, "rng", ONS_FIELD_CHOICE, offsetof(generate_args, rng), .choices = "philox|torch", .preset = "philox",
     .help = "starting noise; torch: what torch.randn gives for the seed on a CPU"},
    {0, "batch-size", ONS_FIELD_INT, offsetof(generate_args, batch_size), .max = 1024, .preset = "0",
     .help = "pictures computed together; 0: by size"},
    {0, "max-memory", ONS_FIELD_SIZE, offsetof(generate_args, common.max_memory),
     .help = "bytes for weights and buffers, such as 3G; default what can be had without swapping. More is "
             "refused, after trying tiles"},
    {0, "vae-tiling", ONS_FIELD_FLAG, offsetof(generate_args, vae_tiling),
     .help = "decode tile by tile, whatever memory there is"},
    {0},
};

static int check_arguments(const cli_call *call)
{
    const generate_args *a = call->values;

    if (a->init && a->strength == 0)
        return cli_usage(call->command, "--strength 0 would take no step");
    if (!a->prompt == !a->prompts)
        return cli_usage(call->command, a->prompt ? "-p and --prompts exclude each other"
                                                  : "nothing to draw: -p PROMPT or --prompts FILE is missing");
    if (a->timesteps.n && cli_given(call, "steps") && a->steps != a->timesteps.n)
        return cli_usage(call->command, "--steps %d and %d --timesteps contradict each other", a->steps,
                         a->timesteps.n);
    return 0;
}

static bool is_student(const ons_model *m)
{
    return m->card.timestep >= 0;
}

/* What was typed but cannot matter, or is known to do harm. */
static void point_out(const generate_job *j, ons_run_settings *s)
{
    const generate_args *a = j->args;
    const bool off = cli_given(j->call, "cfg-scale")
                         ? a->cfg_scale == 0 || a->cfg_scale == 1
                         : j->model->card.guidance == 0 || j->model->card.guidance == 1;

    if (is_student(j->model) && !off) {
        ons_warn("guidance is built into this one-step model: --cfg-scale %g is ignored", a->cfg_scale);
        s->guidance = 1;
    }
    if (strcmp(j->model->card.kind, "few-step") == 0 && cli_given(j->call, "cfg-scale") && !off)
        ons_warn(
            "this model was distilled to run without guidance; --cfg-scale %g is known to spoil its pictures",
            a->cfg_scale);
    if (a->negative && (off || is_student(j->model)))
        ons_warn("--negative has no effect: guidance is %s",
                 is_student(j->model) ? "built into this model" : "off");
    if (is_student(j->model) && (cli_given(j->call, "steps") || a->timesteps.n) && s->steps != 1)
        ons_warn("this model was trained for one step at timestep %d; %d steps are not what it learned",
                 j->model->card.timestep, s->steps);
    if (is_student(j->model) && a->timesteps.n == 1 && a->timesteps.values[0] != j->model->card.timestep)
        ons_warn("this model was trained at timestep %d, not %d", j->model->card.timestep,
                 a->timesteps.values[0]);
    if (!a->init && cli_given(j->call, "strength"))
        ons_warn("--strength has no effect without -i");
    if (a->title && !j->to_folder)
        ons_warn("--title has no effect: there is no contact sheet");
}

/* One per picture: `count` of each text. */
static onestep_status repeat_prompts(generate_job *j)
{
    const int count = j->args->count;

    j->prompts = ons_calloc((size_t)j->texts.n * (size_t)count, sizeof *j->prompts);
    if (!j->prompts)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d prompts", j->texts.n);
    for (int i = 0; i < j->texts.n; i++)
        for (int k = 0; k < count; k++)
            j->prompts[j->n++] = j->texts.texts[i];
    return ONESTEP_OK;
}

static onestep_status collect_prompts(generate_job *j)
{
    const generate_args *a = j->args;
    onestep_status st;

    if (a->prompts)
        ONS_TRY(cli_prompts_read(a->prompts, &j->texts));
    else
        ONS_TRY(cli_prompts_add(&j->texts, "the prompt", a->prompt, strlen(a->prompt)));
    if (a->negative) {
        ONS_TRY(cli_prompts_add(&j->negatives, "the negative prompt", a->negative, strlen(a->negative)));
        j->negative = j->negatives.texts[0];
    }
    ONS_TRY(repeat_prompts(j));
fail:
    return st;
}

/* A prompt that is longer than the context is drawn as far as it fits; the rest is shown. */
static onestep_status check_length(const ons_tokenizer *t, const char *what, const char *prompt)
{
    const int context = ons_tokenizer_context(t);
    int32_t *ids = ons_calloc((size_t)context, sizeof *ids);
    size_t rest = 0;
    onestep_status st;

    if (!ids)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d tokens", context);
    st = ons_tokenizer_encode(t, prompt, ids, NULL, &rest);
    if (st == ONESTEP_OK && prompt[rest])
        ons_warn("%s is longer than the %d tokens that this model reads; not used: \"%s\"", what, context - 2,
                 prompt + rest + strspn(prompt + rest, " "));
    ons_free(ids);
    return st;
}

static onestep_status check_lengths(const generate_job *j)
{
    onestep_status st;

    for (int i = 0; i < j->n; i += j->args->count)
        ONS_TRY(check_length(j->model->tokenizer, "the prompt", j->prompts[i]));
    if (j->negative)
        ONS_TRY(check_length(j->model->tokenizer, "the negative prompt", j->negative));
    return ONESTEP_OK;
fail:
    return st;
}

/* About 16 pictures of 128x128 at a time: enough to fill the cores, small enough for memory. */
static int choose_batch(const generate_job *j)
{
    int64_t fit = (int64_t)16 * 128 * 128 / ((int64_t)j->width * j->height);

    if (j->args->batch_size > 0)
        fit = j->args->batch_size;
    fit = fit < 1 ? 1 : fit > 16 && j->args->batch_size == 0 ? 16 : fit;
    return fit < j->n ? (int)fit : j->n;
}

typedef struct step_counter {
    ons_progress progress;
    long done;
} step_counter;

static bool count_step(void *user, int step, int n_steps)
{
    step_counter *c = user;

    (void)step;
    (void)n_steps;
    ons_progress_update(&c->progress, ++c->done, "%s", "");
    return !ons_interrupted();
}

static void add_times(ons_run_stats *sum, ons_run_stats s)
{
    sum->text_s += s.text_s;
    sum->unet_s += s.unet_s;
    sum->decoder_s += s.decoder_s;
    sum->total_s += s.total_s;
    sum->n_evaluations += s.n_evaluations;
    sum->flops += s.flops;
}

/* A black picture would say nothing about its cause. */
static onestep_status check_numbers(const generate_job *j, const ons_runner *r)
{
    if (!ons_runner_stats(r).not_numbers)
        return ONESTEP_OK;
    return ons_fail(ONESTEP_BAD_FILE,
                    "%s: its pictures are not numbers (NaN or infinite): damaged weights%s; run it with "
                    "ONESTEP_CHECK_NAN=1 to see where it begins",
                    j->args->model.model,
                    j->compute.type == ONS_BF16 ? ", or values that bf16 cannot hold (try --type f32)" : "");
}

static onestep_status run_batch(generate_job *j, ons_runner *r, ons_run_settings *s, int at, int n,
                                float *noise, float *clean, uint64_t *seeds, const char **negatives)
{
    const size_t size = (size_t)ons_runner_latent_size(r);
    int64_t h, w, c;
    onestep_status st;

    ons_runner_latent_shape(r, &h, &w, &c);
    for (int i = 0; i < n; i++) {
        seeds[i] = j->seed + (uint64_t)(at + i);
        negatives[i] = j->negative ? j->negative : "";
        if (j->init)
            ONS_TRY(ons_runner_draw_encoded(r, s->noise, seeds[i], clean + (size_t)i * size,
                                            noise + (size_t)i * size));
        else
            ons_picture_noise(s->noise, seeds[i], h, w, c, noise + (size_t)i * size);
    }
    s->clean = j->init ? clean : NULL;
    ONS_TRY(ons_runner_run(r, s, n, j->prompts + at, negatives, noise, seeds, NULL,
                           j->rgb + (size_t)at * (size_t)j->width * (size_t)j->height * 3));
    add_times(&j->times, ons_runner_stats(r));
    ONS_TRY(check_numbers(j, r));
    for (int i = at; i < at + n; i++)
        ONS_TRY(generate_write_picture(j, i));
    return ONESTEP_OK;
fail:
    return st;
}

static onestep_status run_all(generate_job *j, ons_runner *r, ons_run_settings *s, int batch)
{
    float *noise = ons_malloc((size_t)batch * (size_t)ons_runner_latent_size(r) * sizeof *noise);
    float *clean =
        j->init ? ons_malloc((size_t)batch * (size_t)ons_runner_latent_size(r) * sizeof *clean) : NULL;
    uint64_t *seeds = ons_calloc((size_t)batch, sizeof *seeds);
    const char **negatives = ons_calloc((size_t)batch, sizeof *negatives);
    const long n_runs = (j->n + batch - 1) / batch;
    step_counter counter = {.done = 0};
    bool begun = false;
    onestep_status st = ONESTEP_OK;

    j->rgb = ons_malloc((size_t)j->n * (size_t)j->width * (size_t)j->height * 3);
    if (!noise || (j->init && !clean) || !seeds || !negatives || !j->rgb) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures of %dx%d", j->n, j->width, j->height);
        goto fail;
    }
    if (j->init)
        ONS_TRY(ons_runner_encode_picture(r, j->init));
    ons_progress_begin(&counter.progress, "generate", "step", 0, n_runs * j->run.evaluations);
    begun = true;
    s->progress = count_step;
    s->user = &counter;
    for (int at = 0; at < j->n; at += batch)
        ONS_TRY(run_batch(j, r, s, at, j->n - at < batch ? j->n - at : batch, noise, clean, seeds, negatives));
fail:
    if (begun)
        ons_progress_end(&counter.progress);
    ons_free(noise);
    ons_free(clean);
    ons_free(seeds);
    ons_free(negatives);
    return st;
}

static onestep_status compute(generate_job *j, ons_run_settings *s)
{
    ons_runner_options o = {.width = j->width,
                            .height = j->height,
                            .compute = j->compute,
                            .tiling = j->args->vae_tiling ? ONS_TILING_ON : ONS_TILING_AUTO};
    ons_runner *r = NULL;
    onestep_status st;

    o.batch = choose_batch(j);
    o.one_shot = o.batch == j->n;
    ONS_TRY(ons_runner_create(j->model, &o, &r));
    ONS_TRY(run_all(j, r, s, o.batch));
    ons_verbose("batch %d, %s, %.1f MB of buffers, %.2f GFLOP a picture", o.batch,
                ons_dtype_name(j->compute.type), (double)ons_runner_peak_bytes(r) / 1e6,
                j->times.flops / 1e9 / j->n);
fail:
    ons_runner_destroy(&r);
    return st;
}

static void print_summary(const generate_job *j)
{
    char *file = j->to_folder ? ons_strdup(j->args->output) : ons_strdup(j->file ? j->file : "picture");

    ons_info("%s: %d picture%s of %dx%d in %.3g s (text %.3g, %d evaluation%s %.3g, decoder %.3g)",
             j->to_stdout ? "standard output"
             : file       ? file
                          : "",
             j->n, j->n == 1 ? "" : "s", j->width, j->height, j->times.total_s, j->times.text_s,
             j->times.n_evaluations, j->times.n_evaluations == 1 ? "" : "s", j->times.unet_s,
             j->times.decoder_s);
    ons_free(file);
}

static onestep_status prepare(generate_job *j, ons_run_settings *s)
{
    const generate_args *a = j->args;
    onestep_status st;

    ONS_TRY(generate_prepare_output(j));
    ONS_TRY(cli_open_to_run(&a->model, &a->common, &j->model));
    *s = (ons_run_settings){.steps = a->timesteps.n ? a->timesteps.n : a->steps,
                            .timesteps = a->timesteps.n ? a->timesteps.values : NULL,
                            .guidance = cli_given(j->call, "cfg-scale") ? a->cfg_scale : -1,
                            .sampler = a->sampler,
                            .strength = a->init ? a->strength : 0,
                            .noise = a->rng ? ONS_NOISE_TORCH : ONS_NOISE_PHILOX};
    point_out(j, s);
    ONS_TRY(ons_run_resolve(j->model, s, &j->run));
    if (a->init && j->run.steps * a->strength < 1)
        ons_warn("--strength %g of %d step%s is less than one step; one is taken", a->strength, j->run.steps,
                 j->run.steps == 1 ? "" : "s");
    ONS_TRY(generate_load_init(j));
    ONS_TRY(ons_size_resolve(j->model, &j->width, &j->height));
    ONS_TRY(check_lengths(j));
    ONS_TRY(ons_model_hash(a->model.model, j->model_sha256));
    return ONESTEP_OK;
fail:
    return st;
}

static onestep_status generate(generate_job *j)
{
    ons_run_settings s;
    onestep_status st;

    ONS_TRY(prepare(j, &s));
    fprintf(stderr, "seed: %llu\n", (unsigned long long)j->seed);
    ONS_TRY(compute(j, &s));
    if (j->to_folder && j->n > 1)
        ONS_TRY(generate_write_sheet(j));
    if (j->args->json)
        ONS_TRY(generate_print_json(j));
    for (int i = 0; j->args->show && i < j->n; i++)
        cli_show(j->rgb + (size_t)i * (size_t)j->width * (size_t)j->height * 3, j->width, j->height,
                 j->args->json || j->to_stdout ? stderr : stdout);
    print_summary(j);
    return ONESTEP_OK;
fail:
    return st;
}

static int run(const cli_call *call)
{
    const generate_args *a = call->values;
    generate_job j = {.call = call, .args = a, .width = a->width, .height = a->height};
    int code = check_arguments(call);

    if (code)
        return code;
    cli_apply_common(&a->common);
    j.compute = cli_compute(&a->common);
    j.seed = cli_seed_value(&a->seed);
    code = cli_finish(collect_prompts(&j));
    if (code == 0)
        code = generate_plan_output(&j);
    if (code == 0)
        code = cli_finish(generate(&j));
    ons_model_close(&j.model);
    cli_prompts_fini(&j.texts);
    cli_prompts_fini(&j.negatives);
    ons_free(j.prompts);
    ons_free(j.file);
    ons_free(j.init);
    ons_free(j.rgb);
    return code;
}

static const cli_group groups[] = {
    {.options = options},
    {.title = "Model", .options = cli_model_options, .offset = offsetof(generate_args, model)},
    {.title = "Sampling", .options = sampling},
    {.title = "Running", .options = cli_running_options, .offset = offsetof(generate_args, common)},
    {0}};

const cli_command cli_cmd_generate = {
    .name = "generate",
    .summary = "make pictures from prompts",
    .details = "Steps, guidance and sampler come from the model: a one-step model makes one network evaluation "
               "without "
               "guidance. The PNG carries its settings (see: onestep info FILE.png).",
    .groups = groups,
    .values_size = sizeof(generate_args),
    .run = run,
};
