/*
 * onestep generate: pictures from prompts. This file has the options and the run; where the pictures go is
 * generate_output.c's.
 */
#include "cli/generate.h"

#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "cli/show.h"
#include "io/field_json.h"
#include "io/json.h"

static const ons_field output[] = {
    {'o', "output", ONS_FIELD_TEXT, offsetof(generate_args, output), .unit = "FILE|DIR|-",
     .help =
         "PNG file, folder for several, or - for standard output; default onestep-SEED.png, none with --show"},
    {0, "prompts", ONS_FIELD_TEXT, offsetof(generate_args, prompts), .unit = "FILE",
     .help =
         "one prompt a line; makes 00000.png, 00001.png, ... and a contact sheet sheet.png in the folder -o"},
    {0, "title", ONS_FIELD_TEXT, offsetof(generate_args, title), .help = "line above the contact sheet"},
    {'i', "init-img", ONS_FIELD_TEXT, offsetof(generate_args, init), .unit = "FILE",
     .help = "image to image: begin with this PNG or JPEG"},
    {0, "settings", ONS_FIELD_TEXT, offsetof(generate_args, settings), .unit = "FILE",
     .help =
         "JSON object of settings by the names of these options: {\"prompt\": \"red heart\", \"steps\": 4}; "
         "options that are given as well count more"},
    {0, "show", ONS_FIELD_FLAG, offsetof(generate_args, show), .help = "draw in the terminal as well"},
    {0, "json", ONS_FIELD_FLAG, offsetof(generate_args, json),
     .help = "print settings, files and times as JSON on standard output"},
    {0},
};

static const ons_field memory[] = {
    {0, "max-memory", ONS_FIELD_SIZE, offsetof(generate_args, max_memory),
     .help = "bytes for weights and buffers, such as 3G; default what can be had without swapping. More is "
             "refused, after trying tiles"},
    {0},
};

static void warn_unknown(void *user, const char *key)
{
    ons_warn("%s: there is no setting %s", (const char *)user, key);
}

/* Options that were given, over what the file says. */
static void take_given(generate_job *j)
{
    for (const ons_field *f = ons_request_fields; f->name; f++)
        if (cli_given(j->call, f->name))
            memcpy((char *)&j->request + f->offset, (const char *)&j->args->request + f->offset,
                   ons_field_size(f));
}

static onestep_status read_settings(generate_job *j)
{
    const char *path = j->args->settings;
    onestep_status st;

    if (!path)
        return ONESTEP_OK;
    ONS_TRY(ons_json_load(path, &j->settings));
    ONS_TRY(
        ons_fields_read_json(ons_request_fields, &j->request, j->settings, path, warn_unknown, (void *)path));
    take_given(j);
fail:
    return st;
}

static int check_arguments(const generate_job *j)
{
    const generate_args *a = j->args;
    const cli_call *call = j->call;
    const ons_request *q = &j->request;

    if (a->init && q->strength == 0)
        return cli_usage(call->command, "--strength 0 would take no step");
    if (!q->prompt == !a->prompts)
        return cli_usage(call->command, q->prompt ? "-p and --prompts exclude each other"
                                                  : "nothing to draw: -p PROMPT or --prompts FILE is missing");
    if (q->timesteps.n && q->steps && q->steps != q->timesteps.n)
        return cli_usage(call->command, "--steps %d and %d --timesteps contradict each other", q->steps,
                         q->timesteps.n);
    return 0;
}

/* What was typed but cannot matter, whatever the model. */
static void point_out(const generate_job *j)
{
    if (!j->args->init && cli_given(j->call, "strength"))
        ons_warn("--strength has no effect without -i");
    if (j->args->title && !j->to_folder)
        ons_warn("--title has no effect: there is no contact sheet");
}

/* One per picture: `count` of each text. */
static onestep_status repeat_prompts(generate_job *j)
{
    ons_request *q = &j->request;
    const int count = q->count;

    j->prompts = ons_calloc((size_t)j->texts.n * (size_t)count, sizeof *j->prompts);
    if (!j->prompts)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d prompts", j->texts.n);
    for (int i = 0; i < j->texts.n; i++)
        for (int k = 0; k < count; k++)
            j->prompts[q->n++] = j->texts.texts[i];
    q->prompts = j->prompts;
    return ONESTEP_OK;
}

static onestep_status collect_prompts(generate_job *j)
{
    const char *prompt = j->request.prompt, *negative = j->request.negative;
    onestep_status st;

    if (j->args->prompts)
        ONS_TRY(cli_prompts_read(j->args->prompts, &j->texts));
    else
        ONS_TRY(cli_prompts_add(&j->texts, "the prompt", prompt, strlen(prompt)));
    if (negative) {
        ONS_TRY(cli_prompts_add(&j->negatives, "the negative prompt", negative, strlen(negative)));
        j->request.negative = j->negatives.texts[0];
    }
    ONS_TRY(repeat_prompts(j));
fail:
    return st;
}

static bool count_step(void *user, int done, int total)
{
    generate_job *j = user;

    j->progress.total = total;
    ons_progress_update(&j->progress, done, "%s", "");
    return !ons_interrupted();
}

static void warn_of(void *user, const char *text)
{
    (void)user;
    ons_warn("%s", text);
}

static onestep_status keep_picture(void *user, int i, const uint8_t *rgb)
{
    return generate_write_picture(user, i, rgb);
}

static onestep_status draw(generate_job *j)
{
    const int n = j->request.n;
    onestep_status st;

    ons_progress_begin(&j->progress, "generate", "step", 0, 1);
    st = ons_draw(j->model, &j->request, &j->result);
    ons_progress_end(&j->progress);
    if (st == ONESTEP_OK)
        ons_verbose("batch %d, %s, %.1f MB of buffers, %.2f GFLOP a picture", j->result.run.batch,
                    ons_dtype_name(j->compute.type), (double)ons_draw_buffer_bytes(j->model) / 1e6,
                    j->result.stats.flops / 1e9 / n);
    return st;
}

static void print_summary(const generate_job *j)
{
    const ons_result *r = &j->result;
    char *file = j->to_folder ? ons_strdup(j->args->output) : ons_strdup(j->file ? j->file : "picture");

    ons_info("%s: %d picture%s of %dx%d in %.3g s (text %.3g, %d evaluation%s %.3g, decoder %.3g)",
             j->to_stdout ? "standard output"
             : file       ? file
                          : "",
             r->n, r->n == 1 ? "" : "s", r->run.width, r->run.height, r->stats.total_s, r->stats.text_s,
             r->stats.n_evaluations, r->stats.n_evaluations == 1 ? "" : "s", r->stats.unet_s,
             r->stats.decoder_s);
    ons_free(file);
}

static onestep_status prepare(generate_job *j)
{
    const generate_args *a = j->args;
    ons_resolved run;
    onestep_status st;

    ONS_TRY(generate_prepare_output(j));
    ONS_TRY(cli_open_to_run(&a->model, &a->common, &j->model));
    j->compute = j->model->compute;
    j->compute.memory = a->max_memory;
    j->request.compute = &j->compute;
    j->request.once = true;
    j->request.progress = count_step;
    j->request.note = warn_of;
    j->request.picture = keep_picture;
    j->request.user = j;
    point_out(j);
    ONS_TRY(generate_load_init(j));
    st = ons_request_resolve(j->model, &j->request, &run); /* before the seed is said */
fail:
    return st;
}

static onestep_status generate(generate_job *j)
{
    const ons_result *r = &j->result;
    onestep_status st;

    ONS_TRY(prepare(j));
    fprintf(stderr, "seed: %llu\n", (unsigned long long)j->request.seed.value);
    ONS_TRY(draw(j));
    if (j->to_folder && r->n > 1)
        ONS_TRY(generate_write_sheet(j));
    if (j->args->json)
        ONS_TRY(generate_print_json(j));
    for (int i = 0; j->args->show && i < r->n; i++)
        cli_show(r->rgb + (size_t)i * (size_t)r->run.width * (size_t)r->run.height * 3, r->run.width,
                 r->run.height, j->args->json || j->to_stdout ? stderr : stdout);
    print_summary(j);
    return ONESTEP_OK;
fail:
    return st;
}

static int run(const cli_call *call)
{
    const generate_args *a = call->values;
    generate_job j = {.call = call, .args = a, .request = a->request};
    int code;

    cli_apply_common(&a->common);
    code = cli_finish(read_settings(&j));
    if (code == 0)
        code = check_arguments(&j);
    j.request.seed = (ons_seed){.value = cli_seed_value(&j.request.seed)};
    if (code == 0)
        code = cli_finish(collect_prompts(&j));
    if (code == 0)
        code = generate_plan_output(&j);
    if (code == 0)
        code = cli_finish(generate(&j));
    ons_result_fini(&j.result);
    ons_model_close(&j.model);
    cli_prompts_fini(&j.texts);
    cli_prompts_fini(&j.negatives);
    ons_free(j.prompts);
    ons_free(j.file);
    ons_free(j.init);
    json_decref(j.settings);
    return code;
}

static const char *const picture[] = {"prompt", "negative", "width", "height", "seed", "count", NULL};
static const char *const sampling[] = {"steps", "timesteps",  "cfg-scale",  "sampler", "strength",
                                       "rng",   "batch-size", "vae-tiling", NULL};
static const cli_group groups[] = {
    {.title = "Picture",
     .options = ons_request_fields,
     .offset = offsetof(generate_args, request),
     .only = picture},
    {.options = output},
    {.title = "Model", .options = cli_model_options, .offset = offsetof(generate_args, model)},
    {.title = "Sampling",
     .options = ons_request_fields,
     .offset = offsetof(generate_args, request),
     .only = sampling},
    {.title = "Running", .options = cli_running_options, .offset = offsetof(generate_args, common)},
    {.title = "Memory", .options = memory},
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
