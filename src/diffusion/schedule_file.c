/*
 * scheduler_config.json in and out.
 *
 * Many scheduler classes describe the same forward process and differ only in how they integrate it, which is
 * the sampler's business here: so a class is one row with the defaults that its config may leave out. When
 * saving, the betas are recovered from Abar and written in the shortest form that reproduces them.
 */
#include "diffusion/schedule_impl.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

typedef struct scheduler_class {
    const char *name;
    const char *sampler; /* that integrates as the class does; */
    bool relative;       /* or only in a like way */
    ons_spacing spacing;
    bool set_alpha_to_one; /* where the class has no such key: the value that its last step amounts to */
    bool sd_range;         /* default betas from 0.00085 to 0.012, else from 0.0001 to 0.02; */
    bool scaled_linear;    /* their roots evenly spaced, else they */
} scheduler_class;

static const scheduler_class classes[] = {
    {.name = "DDIMScheduler", .sampler = "ddim", .spacing = ONS_SPACING_LEADING, .set_alpha_to_one = true},
    {.name = "PNDMScheduler", .sampler = "plms", .spacing = ONS_SPACING_LEADING},
    {.name = "LCMScheduler",
     .sampler = "lcm",
     .spacing = ONS_SPACING_LEADING,
     .set_alpha_to_one = true,
     .sd_range = true,
     .scaled_linear = true},
    {.name = "EulerDiscreteScheduler",
     .sampler = "euler",
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true},
    {.name = "EulerAncestralDiscreteScheduler",
     .sampler = "euler_a",
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true},
    {.name = "HeunDiscreteScheduler",
     .sampler = "heun",
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true,
     .sd_range = true},
    {.name = "DPMSolverMultistepScheduler",
     .sampler = "dpm++2m",
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true},
    {.name = "DDPMScheduler",
     .sampler = "euler_a",
     .relative = true,
     .spacing = ONS_SPACING_LEADING,
     .set_alpha_to_one = true},
    {.name = "LMSDiscreteScheduler",
     .sampler = "euler",
     .relative = true,
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true},
    {.name = "KDPM2DiscreteScheduler",
     .sampler = "heun",
     .relative = true,
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true,
     .sd_range = true},
    {.name = "UniPCMultistepScheduler",
     .sampler = "dpm++2m",
     .relative = true,
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true},
    {.name = "DEISMultistepScheduler",
     .sampler = "dpm++2m",
     .relative = true,
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true},
    {.name = "DPMSolverSinglestepScheduler",
     .sampler = "dpm++2m",
     .relative = true,
     .spacing = ONS_SPACING_LINSPACE,
     .set_alpha_to_one = true},
};
enum { N_CLASSES = sizeof classes / sizeof *classes };

static const char *const prediction_names[] = {"epsilon", "v_prediction", "sample"};
static const char *const spacing_names[] = {"leading", "trailing", "linspace"};

typedef struct config {
    const json_t *json;
    const char *path;
} config;

static onestep_status read_number(const config *c, const char *key, double *value)
{
    const json_t *v = json_object_get(c->json, key);

    if (!v || json_is_null(v))
        return ONESTEP_OK;
    if (!json_is_number(v))
        return ons_fail(ONESTEP_BAD_FILE, "%s: \"%s\" must be a number", c->path, key);
    *value = json_number_value(v);
    return ONESTEP_OK;
}

static onestep_status read_bool(const config *c, const char *key, bool *value)
{
    const json_t *v = json_object_get(c->json, key);

    if (!v || json_is_null(v))
        return ONESTEP_OK;
    if (!json_is_boolean(v))
        return ons_fail(ONESTEP_BAD_FILE, "%s: \"%s\" must be true or false", c->path, key);
    *value = json_is_true(v);
    return ONESTEP_OK;
}

/* One of `n` names into *value; *value unchanged when the key is absent. */
static onestep_status read_choice(const config *c, const char *key, const char *const *names, int n, int *value)
{
    const json_t *v = json_object_get(c->json, key);

    if (!v || json_is_null(v))
        return ONESTEP_OK;
    for (int i = 0; json_is_string(v) && i < n; i++)
        if (strcmp(json_string_value(v), names[i]) == 0) {
            *value = i;
            return ONESTEP_OK;
        }
    return ons_fail(ONESTEP_UNSUPPORTED, "%s: \"%s\" is %s, known are %s, %s%s%s", c->path, key,
                    json_is_string(v) ? json_string_value(v) : "not a string", names[0], names[1],
                    n > 2 ? ", " : "", n > 2 ? names[2] : "");
}

static onestep_status find_class(const config *c, const scheduler_class **out)
{
    const char *name = json_string_value(json_object_get(c->json, "_class_name"));
    char known[1024] = "";

    for (int i = 0; i < N_CLASSES; i++) {
        if (name && strcmp(name, classes[i].name) == 0) {
            *out = &classes[i];
            return ONESTEP_OK;
        }
        strcat(strcat(known, i ? ", " : ""), classes[i].name);
    }
    return ons_fail(ONESTEP_UNSUPPORTED, "%s: scheduler class %s is not known; known are %s", c->path,
                    name ? name : "(missing)", known);
}

const char *ons_schedule_sampler(const ons_schedule *s, bool *exact)
{
    for (int i = 0; i < N_CLASSES; i++)
        if (strcmp(s->class_name, classes[i].name) == 0) {
            *exact = !classes[i].relative;
            return classes[i].sampler;
        }
    *exact = false;
    return "ddim";
}

static onestep_status read_trained_betas(const config *c, const json_t *list, double *betas, int *n)
{
    const size_t count = json_array_size(list);

    if (!json_is_array(list) || count < 1 || count > ONS_MAX_TIMESTEPS)
        return ons_fail(ONESTEP_BAD_FILE, "%s: \"trained_betas\" must be a list of 1 to %d numbers", c->path,
                        ONS_MAX_TIMESTEPS);
    for (size_t i = 0; i < count; i++)
        betas[i] = json_number_value(json_array_get(list, i));
    *n = (int)count;
    return ONESTEP_OK;
}

static onestep_status read_betas(const config *c, const scheduler_class *class, double *betas, int *n)
{
    static const char *const kinds[] = {"linear", "scaled_linear"};
    const json_t *trained = json_object_get(c->json, "trained_betas");
    double start = class->sd_range ? 0.00085 : 0.0001, end = class->sd_range ? 0.012 : 0.02, count = 1000;
    int kind = class->scaled_linear;
    onestep_status st;

    if (trained && !json_is_null(trained))
        return read_trained_betas(c, trained, betas, n);
    ONS_TRY(read_number(c, "num_train_timesteps", &count));
    ONS_TRY(read_number(c, "beta_start", &start));
    ONS_TRY(read_number(c, "beta_end", &end));
    ONS_TRY(read_choice(c, "beta_schedule", kinds, 2, &kind));
    if (!(count >= 1 && count <= ONS_MAX_TIMESTEPS))
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: %g training timesteps, at most %d are possible", c->path,
                        count, ONS_MAX_TIMESTEPS);
    *n = (int)count;
    (kind ? ons_betas_scaled_linear : ons_betas_linear)(start, end, *n, betas);
    return ONESTEP_OK;
fail:
    return st;
}

/* The last beta may be 1 (no signal is left); nearer to 0 or 1 than this, a beta is lost in Abar's rounding. */
static const double MIN_BETA = 1e-9, MAX_BETA = 1 - 1e-6;

static onestep_status check_betas(const config *c, const double *betas, int n)
{
    for (int t = 0; t < n; t++)
        if (!(betas[t] >= MIN_BETA && betas[t] <= (t == n - 1 ? 1 : MAX_BETA)))
            return ons_fail(ONESTEP_BAD_FILE, "%s: beta of timestep %d is %g, must lie between 0 and 1",
                            c->path, t, betas[t]);
    return ONESTEP_OK;
}

/* Saving recovers the betas from ratios of Abar, and a signal below double's range has none. */
static onestep_status check_signal(const config *c, const ons_schedule *s, bool zero_snr)
{
    if (s->n > 1 && !(s->abar[s->n - 2] >= DBL_MIN))
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: these betas leave no signal long before timestep %d; expected "
                        "ones such as 0.00085 to 0.012",
                        c->path, s->n - 1);
    if (zero_snr && s->n < 2)
        return ons_fail(ONESTEP_BAD_FILE, "%s: rescale_betas_zero_snr needs at least 2 training timesteps",
                        c->path);
    return ONESTEP_OK;
}

static onestep_status parse_config(const config *c, ons_schedule *out)
{
    const scheduler_class *class = NULL;
    double betas[ONS_MAX_TIMESTEPS], offset = 0;
    int n = 0, prediction = ONS_PREDICT_EPSILON, spacing;
    bool zero_snr = false, karras = false;
    onestep_status st;

    ONS_TRY(find_class(c, &class));
    ONS_TRY(read_betas(c, class, betas, &n));
    ONS_TRY(check_betas(c, betas, n));
    ons_schedule_from_betas(out, betas, n);
    spacing = class->spacing;
    out->set_alpha_to_one = class->set_alpha_to_one;
    ONS_TRY(read_bool(c, "set_alpha_to_one", &out->set_alpha_to_one));
    ONS_TRY(read_choice(c, "prediction_type", prediction_names, 3, &prediction));
    ONS_TRY(read_choice(c, "timestep_spacing", spacing_names, 3, &spacing));
    ONS_TRY(read_number(c, "steps_offset", &offset));
    ONS_TRY(read_bool(c, "rescale_betas_zero_snr", &zero_snr));
    ONS_TRY(read_bool(c, "use_karras_sigmas", &karras));
    if (!(offset >= 0 && offset < n))
        return ons_fail(ONESTEP_BAD_FILE, "%s: steps_offset %g must lie between 0 and %d", c->path, offset,
                        n - 1);
    ONS_TRY(check_signal(c, out, zero_snr));
    if (zero_snr)
        ons_schedule_rescale_zero_snr(out);
    if (karras)
        ons_warn("%s asks for Karras noise levels; onestep's samplers keep the trained timesteps", c->path);
    out->prediction = (ons_prediction)prediction;
    out->spacing = (ons_spacing)spacing;
    out->spacing_stated = json_is_string(json_object_get(c->json, "timestep_spacing"));
    out->steps_offset = (int)offset;
    strcpy(out->class_name, class->name);
    return ONESTEP_OK;
fail:
    return st;
}

onestep_status ons_schedule_load(const char *path, ons_schedule *out)
{
    json_error_t error;
    json_t *json = NULL;
    char *text = NULL;
    size_t size = 0;
    onestep_status st;

    memset(out, 0, sizeof *out);
    ONS_TRY(ons_read_file(path, 1 << 20, &text, &size));
    json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json)) {
        st = ons_fail(ONESTEP_BAD_FILE, "%s:%d: not a scheduler config: %s", path, error.line,
                      json ? "an object was expected" : error.text);
        goto fail;
    }
    ONS_TRY(parse_config(&(config){json, path}, out));
fail:
    json_decref(json);
    ons_free(text);
    return st;
}

/* Twelve digits hide the rounding of recovering a beta from a product. */
static double round_digits(double v)
{
    char text[32];

    snprintf(text, sizeof text, "%.12g", v);
    return strtod(text, NULL);
}

static bool table_matches(const ons_schedule *s, const double *betas)
{
    ons_schedule other = {0};

    ons_schedule_from_betas(&other, betas, s->n);
    for (int t = 0; t < s->n; t++)
        if (!(fabs(other.abar[t] - s->abar[t]) <= 1e-9 * s->abar[t]))
            return false;
    return true;
}

static void put_betas(const ons_schedule *s, json_t *o)
{
    double betas[ONS_MAX_TIMESTEPS], start = round_digits(1 - s->abar[0]), end;
    json_t *list;

    end = s->n > 1 && s->abar[s->n - 2] > 0 ? round_digits(1 - s->abar[s->n - 1] / s->abar[s->n - 2]) : start;
    json_object_set_new(o, "num_train_timesteps", json_integer(s->n));
    json_object_set_new(o, "beta_start", json_real(start));
    json_object_set_new(o, "beta_end", json_real(end));
    for (int scaled = 0; scaled < 2; scaled++) {
        (scaled ? ons_betas_scaled_linear : ons_betas_linear)(start, end, s->n, betas);
        if (table_matches(s, betas)) {
            json_object_set_new(o, "beta_schedule", json_string(scaled ? "scaled_linear" : "linear"));
            json_object_set_new(o, "trained_betas", json_null());
            return;
        }
    }
    list = json_array();
    for (int t = 0; t < s->n; t++)
        json_array_append_new(list, json_real(1 - s->abar[t] / (t ? s->abar[t - 1] : 1)));
    json_object_set_new(o, "beta_schedule", json_string("linear"));
    json_object_set_new(o, "trained_betas", list);
}

onestep_status ons_schedule_save(const ons_schedule *s, const char *path)
{
    json_t *o = json_object();
    char *text;
    onestep_status st;

    json_object_set_new(o, "_class_name", json_string(s->class_name));
    json_object_set_new(o, "_diffusers_version", json_string("0.30.0"));
    put_betas(s, o);
    json_object_set_new(o, "prediction_type", json_string(prediction_names[s->prediction]));
    if (s->spacing_stated)
        json_object_set_new(o, "timestep_spacing", json_string(spacing_names[s->spacing]));
    json_object_set_new(o, "steps_offset", json_integer(s->steps_offset));
    json_object_set_new(o, "set_alpha_to_one", json_boolean(s->set_alpha_to_one));
    json_object_set_new(o, "clip_sample", json_false());
    if (strcmp(s->class_name, "PNDMScheduler") ==
        0) /* without it diffusers starts with Runge-Kutta steps, which no such model wants */
        json_object_set_new(o, "skip_prk_steps", json_true());
    text = json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(o);
    if (!text)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    st = ons_write_file(path, text, strlen(text));
    free(text);
    return st;
}
