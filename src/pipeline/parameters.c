/* Texts inside a PNG. No times and no host names in them: the same seed gives the same bytes. */
#include "pipeline/parameters.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

enum { MAX_HASHED_BYTES = 1 << 30 };

/* The names by which the samplers are known there. */
static const struct {
    const char *name, *shown;
} sampler_names[] = {{"ddim", "DDIM"},        {"plms", "PLMS"}, {"euler", "Euler"}, {"euler_a", "Euler a"},
                     {"dpm++2m", "DPM++ 2M"}, {"heun", "Heun"}, {"lcm", "LCM"}};

static const char *shown_sampler(const char *name)
{
    for (size_t i = 0; i < sizeof sampler_names / sizeof *sampler_names; i++)
        if (strcmp(sampler_names[i].name, name) == 0)
            return sampler_names[i].shown;
    return name;
}

/* "sd_turbo" of "models/sd_turbo/" and of "models/sd_turbo.safetensors": pictures are passed on, and where a
 * model lay on a disk is nobody's business. */
static char *model_name(const char *folder)
{
    size_t end = strlen(folder), start;
    char *name;

    while (end > 1 && folder[end - 1] == '/')
        end--;
    for (start = end; start > 0 && folder[start - 1] != '/'; start--)
        ;
    name = ons_format("%.*s", (int)(end - start), folder + start);
    if (name)
        name[ons_length_without(name, ".safetensors")] = '\0';
    return name;
}

/* A value of the comma separated line; quoted as JSON where a comma or colon would split it. Takes `name`. */
static char *line_value(char *name)
{
    json_t *text;
    char *quoted, *out;

    if (!name || (!strchr(name, ',') && !strchr(name, ':')))
        return name;
    text = json_string(name);
    quoted = json_dumps(text, JSON_ENCODE_ANY);
    out = quoted ? ons_strdup(quoted) : NULL;
    free(quoted);
    json_decref(text);
    ons_free(name);
    return out;
}

static char *timestep_list(const ons_parameters *p)
{
    char *list = ons_strdup("");

    for (int i = 0; list && i < p->run.steps; i++) {
        char *longer = ons_format("%s%s%.6g", list, i ? ", " : "", p->run.timesteps[i]);

        ons_free(list);
        list = longer;
    }
    return list;
}

char *ons_parameters_text(const ons_parameters *p)
{
    const bool negative = p->negative && *p->negative, hash = p->model_sha256[0] != 0;
    char *model = line_value(model_name(p->model)), *times = timestep_list(p), *out = NULL, strength[64] = "";

    if (p->strength > 0)
        snprintf(strength, sizeof strength, "Denoising strength: %.6g, ", p->strength);

    if (model && times)
        out = ons_format(
            "%s\n%s%s%sSteps: %d, Sampler: %s, CFG scale: %.6g, Seed: %llu, Size: %dx%d, %s%.10s%sModel: %s, "
            "%s%s%s%s%sVersion: onestep %s",
            p->prompt, negative ? "Negative prompt: " : "", negative ? p->negative : "", negative ? "\n" : "",
            p->run.steps, shown_sampler(p->run.sampler), p->run.guidance, (unsigned long long)p->seed,
            p->run.width, p->run.height, hash ? "Model hash: " : "", p->model_sha256, hash ? ", " : "", model,
            p->noise == ONS_NOISE_TORCH ? "RNG: CPU, " : "", p->run.custom_timesteps ? "Timesteps: \"" : "",
            p->run.custom_timesteps ? times : "", p->run.custom_timesteps ? "\", " : "", strength,
            onestep_version());
    ons_free(model);
    ons_free(times);
    return out;
}

static json_t *text_value(const char *text)
{
    json_t *v = json_string(text); /* NULL for bytes that are not UTF-8 */

    return v ? v : json_string("(not UTF-8)");
}

static json_t *whole_or_real(double v)
{
    return v == (double)(json_int_t)v ? json_integer((json_int_t)v) : json_real(v);
}

json_t *ons_parameters_object(const ons_parameters *p)
{
    json_t *o = json_object(), *times = json_array();
    char *model = model_name(p->model);

    for (int i = 0; i < p->run.steps; i++)
        json_array_append_new(times, whole_or_real(p->run.timesteps[i]));
    json_object_set_new(o, "version", json_string(onestep_version()));
    json_object_set_new(o, "prompt", text_value(p->prompt));
    json_object_set_new(o, "negative", text_value(p->negative ? p->negative : ""));
    json_object_set_new(o, "model", text_value(model ? model : ""));
    ons_free(model);
    json_object_set_new(o, "model_sha256", p->model_sha256[0] ? json_string(p->model_sha256) : json_null());
    /* JSON readers keep 53 bits of a number: beyond that the seed is a string */
    json_object_set_new(o, "seed",
                        p->seed >> 53 ? json_sprintf("%llu", (unsigned long long)p->seed)
                                      : json_integer((json_int_t)p->seed));
    json_object_set_new(o, "rng", json_string(p->noise == ONS_NOISE_TORCH ? "torch" : "philox"));
    json_object_set_new(o, "width", json_integer(p->run.width));
    json_object_set_new(o, "height", json_integer(p->run.height));
    json_object_set_new(o, "steps", json_integer(p->run.steps));
    json_object_set_new(o, "timesteps", times);
    json_object_set_new(o, "sampler", json_string(p->run.sampler));
    json_object_set_new(o, "cfg_scale", json_real(p->run.guidance));
    if (p->strength > 0)
        json_object_set_new(o, "strength", json_real(p->strength));
    json_object_set_new(o, "type", json_string(ons_dtype_name(p->type)));
    return o;
}

char *ons_parameters_json(const ons_parameters *p)
{
    json_t *o = ons_parameters_object(p);
    char *text = json_dumps(o, JSON_COMPACT), *out = text ? ons_strdup(text) : NULL;

    free(text);
    json_decref(o);
    return out;
}

/*
 * SHA-256 of the UNet's weight file, by which other programs know a model. "" where the folder has no single
 * such file, or one of more than 1 GB, which would take longer to hash than to run.
 */
static onestep_status hash_model(const char *folder, char hex[65])
{
    char *path = ons_path_is_dir(folder) ? ons_format("%s/unet/diffusion_pytorch_model.safetensors", folder)
                                         : ons_strdup(folder);
    onestep_status st = ONESTEP_OK;
    struct stat info;

    hex[0] = 0;
    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (stat(path, &info) == 0 && info.st_size <= MAX_HASHED_BYTES)
        st = ons_sha256_file(path, hex);
    ons_free(path);
    return st;
}

onestep_status ons_parameters_of(ons_model *m, const ons_request *q, const ons_result *r, int i,
                                 ons_parameters *out)
{
    const ons_compute *compute = q->compute ? q->compute : &m->compute;
    const char *negative = ons_request_negative(q, i);
    onestep_status st;

    *out = (ons_parameters){.prompt = ons_request_prompt(q, i),
                            .negative = r->run.guidance != 1 && *negative ? negative : NULL,
                            .model = m->path,
                            .seed = ons_result_seed(r, q, i),
                            .strength = q->init ? q->strength : 0,
                            .noise = (ons_noise_kind)q->noise,
                            .run = r->run,
                            .type = compute->type};
    if (!m->sha256[0])
        ONS_TRY(hash_model(m->path, m->sha256));
    memcpy(out->model_sha256, m->sha256, sizeof out->model_sha256);
    return ONESTEP_OK;
fail:
    return st;
}
