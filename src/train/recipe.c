/* The table of settings, and reading and writing by it. */
#include "train/recipe.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

typedef enum row_type { ROW_INT, ROW_REAL, ROW_BOOL, ROW_TEXT, ROW_U64, ROW_OBJECT } row_type;

typedef struct row {
    const char *path;
    row_type type;
    size_t offset;
    double preset, min, max;
    const char *preset_text; /* ROW_TEXT */
    const char *help;
} row;

#define AT(field) offsetof(ons_recipe, field)

static const row rows[] = {
    {"name", ROW_TEXT, AT(name), .preset_text = "unnamed", .help = "for people"},
    {"resolution", ROW_INT, AT(resolution), 64, 8, 2048, .help = "pixels per side"},
    {"seed", ROW_U64, AT(seed), 1, 0, 9e18, .help = "of everything random in the run"},
    {"tokenizer.vocab_size", ROW_INT, AT(tokenizer.vocab_size), 2235, 514, 200000, .help = "entries at most"},
    {"tokenizer.context", ROW_INT, AT(tokenizer.context), 24, 3, 1024,
     .help = "tokens per caption, start and end included"},
    {"captions.p_empty", ROW_REAL, AT(captions.p_empty), 0.1, 0, 1,
     .help = "share of draws without caption (for guidance)"},
    {"captions.p_keyword", ROW_REAL, AT(captions.p_keyword), 0.35, 0, 1,
     .help = "share of draws with a keyword"},
    {"vae.iterations", ROW_INT, AT(vae.iterations), 1200, 0, 1e9, .help = "autoencoder steps"},
    {"vae.batch_size", ROW_INT, AT(vae.batch_size), 32, 1, 65536, .help = "pictures per step"},
    {"vae.warmup", ROW_INT, AT(vae.warmup), 50, 0, 1e9, .help = "steps of rising learning rate"},
    {"vae.shift", ROW_INT, AT(vae.shift), 3, 0, 64, .help = "random shifts up to this many pixels"},
    {"vae.lr", ROW_REAL, AT(vae.lr), 1e-3, 0, 1, .help = "learning rate"},
    {"vae.kl_weight", ROW_REAL, AT(vae.kl_weight), 3e-4, 0, 1e3,
     .help = "weight of the KL term per latent value"},
    {"vae.flip", ROW_BOOL, AT(vae.flip), 1, 0, 1, .help = "mirror half of the pictures"},
    {"train.iterations", ROW_INT, AT(train.iterations), 6000, 0, 1e9, .help = "teacher steps"},
    {"train.batch_size", ROW_INT, AT(train.batch_size), 64, 1, 65536, .help = "pictures per step"},
    {"train.warmup", ROW_INT, AT(train.warmup), 200, 0, 1e9, .help = "steps of rising learning rate"},
    {"train.lr", ROW_REAL, AT(train.lr), 6e-4, 0, 1, .help = "learning rate"},
    {"train.flat", ROW_REAL, AT(train.flat), 0.4, 0, 1,
     .help = "share of the run before the linear decay to 0"},
    {"train.weight_decay", ROW_REAL, AT(train.weight_decay), 0.01, 0, 10, .help = "AdamW decay"},
    {"train.clip", ROW_REAL, AT(train.clip), 1, 0, 1e9, .help = "gradient norm limit, 0 none"},
    {"train.ema", ROW_REAL, AT(train.ema), 0.999, 0, 1, .help = "decay of the averaged weights"},
    {"train.min_snr", ROW_REAL, AT(train.min_snr), 5, 0, 1e9, .help = "loss weight min(SNR, x)/SNR; 0: none"},
    {"train.low_snr_boost", ROW_REAL, AT(train.low_snr_boost), 1, 1, 1e3,
     .help = "loss weight min(SNR^-1/2, x) where SNR is below 1"},
    {"sample.steps", ROW_INT, AT(sample.steps), 50, 1, 1000, .help = "the teacher's default steps"},
    {"sample.guidance", ROW_REAL, AT(sample.guidance), 3, 0, 100,
     .help = "the teacher's default guidance scale"},
    {"sample.sampler", ROW_TEXT, AT(sample.sampler), .preset_text = "ddim",
     .help = "the teacher's default sampler"},
    {"pairs.count", ROW_INT, AT(pairs.count), 4096, 1, 1e9, .help = "noise-latent pairs"},
    {"pairs.steps", ROW_INT, AT(pairs.steps), 20, 1, 1000, .help = "teacher steps per pair"},
    {"pairs.per_shard", ROW_INT, AT(pairs.per_shard), 256, 1, 65536,
     .help = "pairs of one file; an interruption loses those of the one at work"},
    {"pairs.guidance", ROW_REAL, AT(pairs.guidance), 3, 0, 100, .help = "guidance for names"},
    {"pairs.guidance_keyword", ROW_REAL, AT(pairs.guidance_keyword), 3, 0, 100,
     .help = "guidance for keywords"},
    {"pairs.sampler", ROW_TEXT, AT(pairs.sampler), .preset_text = "ddim", .help = "deterministic sampler"},
    {"distill.method", ROW_TEXT, AT(distill.method), .preset_text = "dmd", .help = "distillation method"},
    {"distill.iterations", ROW_INT, AT(distill.iterations), 2000, 0, 1e9, .help = "steps, warm-up included"},
    {"distill.warmup_iterations", ROW_INT, AT(distill.warmup_iterations), 600, 0, 1e9,
     .help = "regression-only steps in which the fake score learns"},
    {"distill.batch_size", ROW_INT, AT(distill.batch_size), 32, 1, 65536, .help = "fresh noise per step"},
    {"distill.pair_batch_size", ROW_INT, AT(distill.pair_batch_size), 32, 1, 65536, .help = "pairs per step"},
    {"distill.timestep", ROW_INT, AT(distill.timestep), 399, 0, 999,
     .help = "conditioning timestep of the generator"},
    {"distill.min_timestep", ROW_INT, AT(distill.min_timestep), 20, 0, 999,
     .help = "lowest t of the matching term"},
    {"distill.max_timestep", ROW_INT, AT(distill.max_timestep), 980, 0, 999,
     .help = "highest t of the matching term"},
    {"distill.critic_steps", ROW_INT, AT(distill.critic_steps), 1, 1, 100,
     .help = "fake-score updates per generator update"},
    {"distill.accumulate", ROW_INT, AT(distill.accumulate), 1, 1, 100000,
     .help = "batches whose gradients make one step: larger steps in the same memory"},
    {"distill.lora_rank", ROW_INT, AT(distill.lora_rank), 0, 0, 1024,
     .help = "train adapters of this rank beside the teacher's frozen network; 0: all weights"},
    {"distill.recompute", ROW_INT, AT(distill.recompute), -1, -1, 1,
     .help = "compute blocks again for gradients, less memory for more time: 1 yes, 0 no, -1 where memory is "
             "short"},
    {"distill.late_iterations", ROW_INT, AT(distill.late_iterations), 0, 0, 1e9,
     .help = "last steps that use late_max_timestep"},
    {"distill.late_max_timestep", ROW_INT, AT(distill.late_max_timestep), 500, 0, 999,
     .help = "highest t of the matching term in the last steps"},
    {"distill.lr", ROW_REAL, AT(distill.lr), 1e-4, 0, 1, .help = "generator learning rate"},
    {"distill.match_lr", ROW_REAL, AT(distill.match_lr), 0, 0, 1,
     .help = "generator learning rate after the warm-up; 0: the same"},
    {"distill.fake_lr", ROW_REAL, AT(distill.fake_lr), 1e-4, 0, 1, .help = "fake-score learning rate"},
    {"distill.low_snr_boost", ROW_REAL, AT(distill.low_snr_boost), 1, 1, 1e3,
     .help = "fake-score loss weight min(SNR^-1/2, x) where SNR is below 1"},
    {"distill.weight_dm", ROW_REAL, AT(distill.weight_dm), 1, 0, 1e6,
     .help = "weight of the matching term; 0: regression alone"},
    {"distill.weight_reg", ROW_REAL, AT(distill.weight_reg), 1, 0, 1e6,
     .help = "weight of the pair regression; 0: matching alone"},
    {"distill.weight_latent", ROW_REAL, AT(distill.weight_latent), 0.1, 0, 1e6,
     .help = "latent L2 within the regression"},
    {"distill.weight_pixel", ROW_REAL, AT(distill.weight_pixel), 0.1, 0, 1e6,
     .help = "pixel L1 within the regression"},
    {"distill.guidance", ROW_REAL, AT(distill.guidance), 3, 0, 100,
     .help = "guidance of the real score for names"},
    {"distill.guidance_keyword", ROW_REAL, AT(distill.guidance_keyword), 3, 0, 100,
     .help = "guidance of the real score for keywords"},
    {"distill.ema", ROW_REAL, AT(distill.ema), 0.998, 0, 1, .help = "decay of the averaged generator"},
    {"distill.clip", ROW_REAL, AT(distill.clip), 10, 0, 1e9, .help = "gradient norm limit"},
    {"distill.weight_decay", ROW_REAL, AT(distill.weight_decay), 0.01, 0, 10, .help = "AdamW decay"},
    {"perceptual.iterations", ROW_INT, AT(perceptual.iterations), 600, 0, 1e9,
     .help = "steps of the perceptual network; 0: distance in latent space"},
    {"perceptual.batch_size", ROW_INT, AT(perceptual.batch_size), 64, 2, 65536, .help = "pictures per step"},
    {"perceptual.embed_dim", ROW_INT, AT(perceptual.embed_dim), 64, 8, 4096, .help = "embedding width"},
    {"perceptual.lr", ROW_REAL, AT(perceptual.lr), 1e-3, 0, 1, .help = "learning rate"},
    {"perceptual.channels", ROW_TEXT, AT(perceptual.channels), .preset_text = "16,32,64,96",
     .help = "channels per level"},
    {"every.checkpoint", ROW_INT, AT(every.checkpoint_every), 500, 1, 1e9, .help = "steps between checkpoints"},
    {"every.log", ROW_INT, AT(every.log_every), 20, 1, 1e9, .help = "steps between log lines"},
    {"every.sample", ROW_INT, AT(every.sample_every), 1000, 0, 1e9,
     .help = "steps between sample sheets; 0: none"},
    {"every.health", ROW_INT, AT(every.health_every), 250, 1, 1e9,
     .help = "steps between health checks of a distillation"},
    {"every.health_pictures", ROW_INT, AT(every.health_pictures), 512, 0, 1e6,
     .help = "pictures of a health check; 0: none is made"},
    {"vae.config", ROW_OBJECT, AT(vae_config), .help = "AutoencoderKL config.json"},
    {"unet.config", ROW_OBJECT, AT(unet_config), .help = "UNet2DConditionModel config.json"},
    {"text_encoder.config", ROW_OBJECT, AT(text_config), .help = "CLIPTextModel config.json"},
};

enum { N_ROWS = sizeof rows / sizeof rows[0], TEXT_ROW_SIZE = 32 };

static size_t text_size(const row *r)
{
    return r->offset == AT(name) || r->offset == AT(perceptual.channels) ? 64 : TEXT_ROW_SIZE;
}

static void *field(ons_recipe *r, const row *row)
{
    return (char *)r + row->offset;
}

static void store_number(ons_recipe *r, const row *row, double v)
{
    if (row->type == ROW_INT)
        *(int *)field(r, row) = (int)v;
    else if (row->type == ROW_U64)
        *(uint64_t *)field(r, row) = (uint64_t)v;
    else if (row->type == ROW_BOOL)
        *(bool *)field(r, row) = v != 0;
    else
        *(double *)field(r, row) = v;
}

void ons_recipe_init(ons_recipe *r)
{
    memset(r, 0, sizeof *r);
    for (int i = 0; i < N_ROWS; i++) {
        if (rows[i].type == ROW_TEXT)
            strncpy(field(r, &rows[i]), rows[i].preset_text, text_size(&rows[i]) - 1);
        else if (rows[i].type != ROW_OBJECT)
            store_number(r, &rows[i], rows[i].preset);
    }
}

void ons_recipe_fini(ons_recipe *r)
{
    json_decref(r->vae_config);
    json_decref(r->unet_config);
    json_decref(r->text_config);
    r->vae_config = r->unet_config = r->text_config = NULL;
}

static const row *find_row(const char *path)
{
    for (int i = 0; i < N_ROWS; i++)
        if (!strcmp(rows[i].path, path))
            return &rows[i];
    return NULL;
}

static onestep_status set_number(ons_recipe *r, const row *row, const char *where, double v)
{
    if (!(v >= row->min && v <= row->max))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: %s is %g, expected %g to %g (%s)", where, row->path, v,
                        row->min, row->max, row->help);
    if (row->type != ROW_REAL && v != (double)(int64_t)v)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: %s is %g, expected a whole number", where, row->path, v);
    store_number(r, row, v);
    return ONESTEP_OK;
}

static onestep_status set_text(ons_recipe *r, const row *row, const char *where, const char *text)
{
    if (strlen(text) >= text_size(row))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: %s is longer than %zu characters", where, row->path,
                        text_size(row) - 1);
    memset(field(r, row), 0, text_size(row));
    memcpy(field(r, row), text, strlen(text));
    return ONESTEP_OK;
}

onestep_status ons_recipe_set(ons_recipe *r, const char *path, const char *value)
{
    const row *row = find_row(path);
    char *end = NULL;
    double v;

    if (!row || row->type == ROW_OBJECT)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: no such recipe setting", path);
    if (row->type == ROW_TEXT)
        return set_text(r, row, "recipe", value);
    if (row->type == ROW_U64) { /* a double would lose the low bits of a 64-bit seed */
        errno = 0;
        *(uint64_t *)field(r, row) = strtoull(value, &end, 10);
        if (errno || end == value || *end)
            return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: '%s' is not a whole number", path, value);
        return ONESTEP_OK;
    }
    v = strtod(value, &end);
    if (end == value || *end)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: '%s' is not a number", path, value);
    return set_number(r, row, "recipe", v);
}

static onestep_status read_value(ons_recipe *r, const row *row, const char *file, json_t *v)
{
    switch (row->type) {
    case ROW_OBJECT:
        if (!json_is_object(v))
            break;
        json_decref(*(json_t **)field(r, row));
        *(json_t **)field(r, row) = json_incref(v);
        return ONESTEP_OK;
    case ROW_TEXT:
        if (!json_is_string(v))
            break;
        return set_text(r, row, file, json_string_value(v));
    case ROW_BOOL:
        if (!json_is_boolean(v))
            break;
        store_number(r, row, json_is_true(v));
        return ONESTEP_OK;
    case ROW_U64:
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            break;
        *(uint64_t *)field(r, row) = (uint64_t)json_integer_value(v);
        return ONESTEP_OK;
    default:
        if (!json_is_number(v))
            break;
        return set_number(r, row, file, json_number_value(v));
    }
    return ons_fail(ONESTEP_BAD_FILE, "%s: %s has the wrong type (%s)", file, row->path, row->help);
}

static onestep_status read_section(ons_recipe *r, const char *file, const char *prefix, json_t *section)
{
    const char *key;
    json_t *v;

    json_object_foreach(section, key, v)
    {
        char path[160];
        const row *row;
        onestep_status st;

        snprintf(path, sizeof path, "%s%s%s", prefix, *prefix ? "." : "", key);
        row = find_row(path);
        if (row)
            st = read_value(r, row, file, v);
        else if (!*prefix && json_is_object(v))
            st = read_section(r, file, key, v);
        else
            st = ons_fail(ONESTEP_BAD_FILE, "%s: unknown setting '%s'; 'onestep train --help-recipe' lists all",
                          file, path);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

onestep_status ons_recipe_load(const char *path, ons_recipe *r)
{
    json_t *root;
    onestep_status st = ons_json_load(path, &root);

    if (st != ONESTEP_OK)
        return st;
    st = json_is_object(root) ? read_section(r, path, "", root)
                              : ons_fail(ONESTEP_BAD_FILE, "%s: not a JSON object of settings", path);
    json_decref(root);
    return st;
}

static json_t *value_to_json(const ons_recipe *r, const row *row)
{
    const void *p = (const char *)r + row->offset;

    switch (row->type) {
    case ROW_INT:
        return json_integer(*(const int *)p);
    case ROW_U64:
        return json_integer((json_int_t) * (const uint64_t *)p);
    case ROW_BOOL:
        return json_boolean(*(const bool *)p);
    case ROW_TEXT:
        return json_string(p);
    case ROW_OBJECT:
        return *(json_t *const *)p ? json_incref(*(json_t *const *)p) : NULL;
    default:
        return json_real(*(const double *)p);
    }
}

struct json_t *ons_recipe_to_json(const ons_recipe *r)
{
    json_t *root = json_object();

    for (int i = 0; i < N_ROWS && root; i++) {
        const char *dot = strchr(rows[i].path, '.');
        json_t *v = value_to_json(r, &rows[i]), *section = root;
        char name[64] = "";

        if (!v)
            continue;
        if (dot) {
            memcpy(name, rows[i].path, (size_t)(dot - rows[i].path));
            section = json_object_get(root, name);
            if (!section) {
                section = json_object();
                json_object_set_new(root, name, section);
            }
        }
        json_object_set_new(section, dot ? dot + 1 : rows[i].path, v);
    }
    return root;
}

onestep_status ons_recipe_save(const ons_recipe *r, const char *path)
{
    json_t *root = ons_recipe_to_json(r);
    onestep_status st;

    if (!root)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to write the recipe");
    st = ons_json_save(root, path);
    json_decref(root);
    return st;
}

void ons_recipe_describe(FILE *f)
{
    for (int i = 0; i < N_ROWS; i++) {
        if (rows[i].type == ROW_OBJECT)
            fprintf(f, "  %-28s %-10s %s\n", rows[i].path, "object", rows[i].help);
        else if (rows[i].type == ROW_TEXT)
            fprintf(f, "  %-28s %-10s %s\n", rows[i].path, rows[i].preset_text, rows[i].help);
        else
            fprintf(f, "  %-28s %-10g %s\n", rows[i].path, rows[i].preset, rows[i].help);
    }
}
