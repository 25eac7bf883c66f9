/* onestep info: what a model folder, a safetensors file, a checkpoint or a generated picture holds; and how a
 * prompt is cut into tokens. */
#include "cli/commands.h"
#include "model/recognise.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "diffusion/schedule.h"
#include "io/json.h"
#include "io/png.h"
#include "io/safetensors.h"
#include "pipeline/folder.h"

typedef struct info_args {
    cli_common common;
    const char *model, *tokens, *tokenizer;
} info_args;

static const ons_field options[] = {
    {'m', "model", ONS_FIELD_TEXT, offsetof(info_args, model), .unit = "DIR|FILE",
     .help = "pipeline folder, or a checkpoint in one file"},
    {0, "tokens", ONS_FIELD_TEXT, offsetof(info_args, tokens), .unit = "PROMPT",
     .help = "print the prompt's token ids as JSON; needs -m"},
    {0, "tokenizer", ONS_FIELD_TEXT, offsetof(info_args, tokenizer), .unit = "DIR",
     .help = "folder with the vocabulary for --tokens, where the model has none"},
    {'v', "verbose", ONS_FIELD_FLAG, offsetof(info_args, common.verbose), .help = "list every tensor"},
    {0},
};

static json_t *tokens_object(const ons_tokenizer *t, const int32_t *ids, int used, const char *rest)
{
    json_t *o = json_object(), *id_list = json_array(), *token_list = json_array(), *text = json_string(rest);

    for (int i = 0; i < used; i++) {
        const char *token = ons_tokenizer_token(t, ids[i]);

        json_array_append_new(id_list, json_integer(ids[i]));
        json_array_append_new(token_list, json_string(token ? token : ""));
    }
    json_object_set_new(o, "ids", id_list);
    json_object_set_new(o, "tokens", token_list);
    json_object_set_new(o, "truncated", text ? text : json_string("(not UTF-8)"));
    return o;
}

static onestep_status print_tokens(const ons_model_sources *s, const char *prompt)
{
    char *text = NULL;
    ons_tokenizer *t = NULL;
    int32_t *ids = NULL;
    size_t rest = 0;
    json_t *o;
    int used = 0;
    onestep_status st;

    ONS_TRY(ons_model_open_tokenizer(s, &t));
    ids = ons_calloc((size_t)ons_tokenizer_context(t), sizeof *ids);
    if (!ids) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for %d tokens", ons_tokenizer_context(t));
        goto fail;
    }
    ONS_TRY(ons_tokenizer_encode(t, prompt, ids, &used, &rest));
    o = tokens_object(t, ids, used, prompt + rest);
    text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    puts(text ? text : "{}");
fail:
    free(text);
    ons_free(ids);
    ons_tokenizer_close(&t);
    return st;
}

static void print_tensors(const ons_safetensors *f)
{
    char shape[176];

    for (int i = 0; i < ons_safetensors_count(f); i++) {
        const ons_file_tensor *t = ons_safetensors_at(f, i);

        printf("  %-5s %-20s %s\n", ons_file_dtype_name(t->dtype),
               ons_file_shape_text(t->n_dims, t->dims, shape), t->name);
    }
}

/* One line: how many tensors, numbers and bytes, in which types. */
static void print_weights(const char *label, const ons_safetensors *f)
{
    bool has[ONS_N_DTYPES] = {false};
    double bytes = 0, values = 0;

    for (int i = 0; i < ons_safetensors_count(f); i++) {
        const ons_file_tensor *t = ons_safetensors_at(f, i);

        has[t->dtype] = true;
        bytes += (double)t->size;
        values += (double)t->size / (double)ons_dtype_size(t->dtype);
    }
    printf("%-14s %d tensors, %.4g M numbers, %.4g MB,", label, ons_safetensors_count(f), values / 1e6,
           bytes / 1e6);
    for (int d = 0; d < ONS_N_DTYPES; d++)
        if (has[d])
            printf(" %s", ons_file_dtype_name((ons_dtype)d));
    putchar('\n');
}

static onestep_status print_part(const char *model, const char *part, const char *base, bool verbose)
{
    char *folder = ons_path_join(model, part);
    ons_safetensors *f = NULL;
    onestep_status st;

    if (!folder)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_safetensors_open_part(folder, base, &f));
    print_weights(part, f);
    if (verbose)
        print_tensors(f);
fail:
    ons_safetensors_close(&f);
    ons_free(folder);
    return st;
}

static void print_spent(const ons_card *c)
{
    if (c->train_seconds > 0)
        printf("%-14s %.1f minutes", "made in", c->train_seconds / 60);
    if (c->train_seconds > 0 && c->train_joules >= 0)
        printf(", %.0f J (%s)", c->train_joules, c->energy_source);
    if (c->train_seconds > 0)
        putchar('\n');
}

static onestep_status print_card(const char *model)
{
    char *path = ons_path_join(model, "onestep.json");
    ons_card c = {0};
    onestep_status st;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_card_load(path, &c));
    printf("%-14s %s%s%s%s\n", "kind", *c.kind ? c.kind : "pipeline", *c.method ? " (" : "", c.method,
           *c.method ? ")" : "");
    printf("%-14s %d step%s, guidance %g, sampler %s", "defaults", c.steps, c.steps == 1 ? "" : "s", c.guidance,
           c.sampler);
    if (c.timestep >= 0)
        printf(", timestep %d", c.timestep);
    putchar('\n');
    print_spent(&c);
fail:
    json_decref(c.made);
    ons_free(path);
    return st;
}

static onestep_status print_schedule(const char *model)
{
    static const char *const predictions[] = {"epsilon", "v", "sample"};
    static const char *const spacings[] = {"leading", "trailing", "linspace"};
    char *path = ons_path_join(model, "scheduler/scheduler_config.json");
    ons_schedule s;
    onestep_status st;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_schedule_load(path, &s));
    printf("%-14s %s, %s prediction, %s spacing, sigma %.4g to %.4g\n", "scheduler", s.class_name,
           predictions[s.prediction], spacings[s.spacing], ons_schedule_sigma(&s, 0),
           ons_schedule_sigma(&s, s.n - 1));
fail:
    ons_free(path);
    return st;
}

static onestep_status print_tokenizer(const char *model)
{
    char *folder = ons_path_join(model, "tokenizer");
    ons_tokenizer *t = NULL;
    onestep_status st;

    if (!folder)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_tokenizer_open(folder, &t));
    printf("%-14s %d entries, %d tokens a prompt\n", "tokenizer", ons_tokenizer_vocab_size(t),
           ons_tokenizer_context(t));
fail:
    ons_tokenizer_close(&t);
    ons_free(folder);
    return st;
}

static void print_autoencoder(const ons_vae_config *c)
{
    printf("%-14s %s, latents of %d channels\n", "autoencoder",
           c->kind == ONS_VAE_TINY ? "AutoencoderTiny (TAESD)" : "AutoencoderKL", c->latent_channels);
}

static onestep_status print_pictures(const char *model)
{
    char *unet = ons_path_join(model, "unet/config.json"), *vae = ons_path_join(model, "vae/config.json");
    ons_unet_config u;
    ons_vae_config v;
    onestep_status st = ONESTEP_OK;

    if (!unet || !vae) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
        goto fail;
    }
    ONS_TRY(ons_unet_config_load(unet, &u));
    ONS_TRY(ons_vae_config_load(vae, &v));
    printf("%-14s %dx%d pixels; other sides in multiples of %d\n", "pictures",
           u.sample_size * ons_vae_factor(&v), u.sample_size * ons_vae_factor(&v), ons_vae_factor(&v));
    print_autoencoder(&v);
fail:
    ons_free(unet);
    ons_free(vae);
    return st;
}

static onestep_status print_model(const char *path, bool verbose)
{
    onestep_status st;

    printf("%-14s %s\n", "model", path);
    ONS_TRY(print_card(path));
    ONS_TRY(print_pictures(path));
    ONS_TRY(print_schedule(path));
    ONS_TRY(print_tokenizer(path));
    ONS_TRY(print_part(path, "unet", "diffusion_pytorch_model", verbose));
    ONS_TRY(print_part(path, "vae", "diffusion_pytorch_model", verbose));
    ONS_TRY(print_part(path, "text_encoder", "model", verbose));
fail:
    return st;
}

/* Tensors of a checkpoint are named SET/PARAMETER, set after set. */
static void print_sets(const ons_safetensors *f)
{
    const char *last = "";
    size_t length = 0;

    printf("%-14s", "sets");
    for (int i = 0; i < ons_safetensors_count(f); i++) {
        const char *name = ons_safetensors_at(f, i)->name;

        if (strncmp(name, last, length) == 0 && length > 0 && name[length] == '/')
            continue;
        last = name;
        length = strcspn(name, "/");
        printf(" %.*s", (int)length, name);
    }
    putchar('\n');
}

/* What training wrote: its state is a JSON object with step, counters and fingerprint. */
static void print_checkpoint(const ons_safetensors *f)
{
    json_t *state = json_loads(ons_safetensors_metadata(f, "state"), 0, NULL), *value;
    const char *key;

    printf("%-14s version %s\n", "checkpoint", ons_safetensors_metadata(f, "format_version"));
    json_object_foreach(state, key, value)
    {
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

        if (json_is_string(value))
            printf("%-14s %s\n", key, json_string_value(value));
        else if (text)
            printf("%-14s %s\n", key, text);
        free(text);
    }
    json_decref(state);
    print_sets(f);
}

/* What a checkpoint in one file is made of, as far as its tensors tell. */
static void print_parts(const ons_safetensors *f)
{
    ons_unet_config c;
    ons_vae_config v;

    if (ons_unet_config_infer(f, &c) == ONESTEP_OK)
        printf("%-14s Stable Diffusion %s, %d levels of %d to %d channels, text vectors of %d\n", "unet",
               c.use_linear_projection ? "2.x" : "1.x", c.n_levels, c.block_out_channels[0],
               c.block_out_channels[c.n_levels - 1], c.cross_attention_dim);
    if (ons_vae_config_infer(f, &v) == ONESTEP_OK)
        print_autoencoder(&v);
}

/* What the tensors make of the file: a checkpoint, a LoRA, another architecture. Nothing for what onestep alone
 * writes. */
static void print_kind(const ons_safetensors *f)
{
    const char *description;
    const ons_weights_kind kind = ons_weights_recognise(f, &description);

    if (kind != ONS_WEIGHTS_UNKNOWN)
        printf("%-14s %s\n", "holds", description);
    if (kind == ONS_WEIGHTS_CHECKPOINT)
        print_parts(f);
}

static onestep_status print_safetensors(const char *path, bool verbose)
{
    static const char *const keys[] = {"format", "kind", "version", "step", "iteration", "onestep"};
    ons_safetensors *f = NULL;
    onestep_status st;

    ONS_TRY(ons_safetensors_open(path, &f));
    print_weights("safetensors", f);
    print_kind(f);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (ons_safetensors_metadata(f, keys[i]))
            printf("%-14s %s\n", keys[i], ons_safetensors_metadata(f, keys[i]));
    if (ons_safetensors_metadata(f, "format_version") && ons_safetensors_metadata(f, "state"))
        print_checkpoint(f);
    if (verbose || ons_safetensors_count(f) <= 40)
        print_tensors(f);
    else
        printf("(-v lists the tensors)\n");
fail:
    ons_safetensors_close(&f);
    return st;
}

static onestep_status print_picture(const char *path)
{
    ons_picture_texts t = {0};
    onestep_status st;

    ONS_TRY(ons_picture_texts_read(path, &t));
    printf("%-14s %dx%d\n", "PNG", t.width, t.height);
    for (int i = 0; i < t.n; i++)
        printf("%s:\n%s\n", t.texts[i].key, t.texts[i].value);
    if (t.n == 0)
        printf("no texts in it\n");
fail:
    ons_picture_texts_fini(&t);
    return st;
}

/* The settings that all shards of a pair store share; nothing where the folder is none. */
static onestep_status print_index(const char *folder)
{
    char *path = ons_path_join(folder, "index.json"), *text = NULL;
    json_t *index = NULL;
    onestep_status st = ONESTEP_OK;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (ons_path_exists(path))
        ONS_TRY(ons_json_load(path, &index));
    text = index ? json_dumps(index, JSON_COMPACT) : NULL;
    if (text)
        printf("%-14s %s\n", "index.json", text);
fail:
    free(text);
    json_decref(index);
    ons_free(path);
    return st;
}

/* A folder of weights that is no pipeline: a checkpoint, a pair store, a part of a model. */
static onestep_status print_folder(const char *path, bool verbose)
{
    char **names = NULL, *file = NULL;
    size_t n = 0, shown = 0;
    onestep_status st;

    ONS_TRY(ons_list_dir(path, &names, &n));
    ONS_TRY(print_index(path));
    for (size_t i = 0; i < n; i++) {
        if (!ons_ends_with(names[i], ".safetensors"))
            continue;
        ons_free(file);
        file = ons_path_join(path, names[i]);
        if (!file) {
            st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
            goto fail;
        }
        printf("%s\n", names[i]);
        ONS_TRY(print_safetensors(file, verbose));
        shown++;
    }
    if (shown == 0)
        st = ons_fail(ONESTEP_BAD_FILE, "%s: holds neither model_index.json nor safetensors files", path);
fail:
    ons_free(file);
    ons_free_names(names, n);
    return st;
}

static onestep_status print_file(const char *path, bool verbose)
{
    static const unsigned char signature[] = {0x89, 'P', 'N', 'G'};
    ons_map map = {0};
    bool png;
    onestep_status st;

    ONS_TRY(ons_map_open(path, &map));
    png = ons_ends_with(path, ".png") ||
          (map.size >= sizeof signature && memcmp(map.data, signature, sizeof signature) == 0);
    ons_map_close(&map);
    return png ? print_picture(path) : print_safetensors(path, verbose);
fail:
    return st;
}

static onestep_status print_path(const char *path, bool verbose)
{
    char *index;
    bool model;

    if (!ons_path_is_dir(path))
        return print_file(path, verbose);
    index = ons_path_join(path, "model_index.json");
    if (!index)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    model = ons_path_exists(index);
    ons_free(index);
    return model ? print_model(path, verbose) : print_folder(path, verbose);
}

static int run(const cli_call *call)
{
    const info_args *a = call->values;
    const char *path = call->n_operands ? call->operands[0] : a->model;

    cli_apply_common(&a->common);
    if (a->tokens && !a->model)
        return cli_usage(call->command, "--tokens needs a model: -m DIR or FILE");
    if (a->tokens)
        return cli_finish(
            print_tokens(&(ons_model_sources){.model = a->model, .tokenizer = a->tokenizer}, a->tokens));
    if (!path)
        return cli_usage(call->command, "PATH is missing: a model folder, a safetensors file or a PNG");
    return cli_finish(print_path(path, a->common.verbose));
}

static const cli_group groups[] = {{.options = options}, {0}};

const cli_command cli_cmd_info = {
    .name = "info",
    .summary = "say what a model, a weight file, a checkpoint or a picture holds",
    .operands = "[PATH]",
    .max_operands = 1,
    .groups = groups,
    .values_size = sizeof(info_args),
    .run = run,
};
