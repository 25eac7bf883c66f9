/*
 * The public C interface: opening, drawing and what a caller may ask about a model. Structs come in with the
 * size that they had when the caller was compiled; what lies beyond it has its default.
 */
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "pipeline/api_impl.h"

struct onestep_pipeline {
    ons_model *model;
};

struct onestep_cancel {
    ons_stop stop;
};

static onestep_status missing(const char *what)
{
    return ons_fail(ONESTEP_BAD_ARGUMENT, "%s is NULL", what);
}

/* The caller's struct of `size` bytes over a full one with every default. */
static bool take_over(void *full, size_t full_size, const void *given, size_t size)
{
    if (size < sizeof(size_t) || size > full_size)
        return false;
    memcpy(full, given, size);
    memcpy(full, &full_size, sizeof full_size);
    return true;
}

static onestep_status wrong_size(const char *name, size_t size)
{
    return ons_fail(
        ONESTEP_BAD_ARGUMENT,
        "a %s that says it has %zu bytes: its size must be set first, to sizeof(%s); or this program was "
        "compiled for a later version than %s",
        name, size, name, onestep_version());
}

void onestep_options_init(onestep_options *options, size_t size)
{
    const onestep_options all = {.size = size};

    if (options)
        memcpy(options, &all, size < sizeof all ? size : sizeof all);
}

static onestep_status choose_type(onestep_type type, ons_compute *c)
{
    switch (type) {
    case ONESTEP_TYPE_AUTO:
        c->type = ons_compute_native_type(c);
        return ONESTEP_OK;
    case ONESTEP_TYPE_F32:
        c->type = ONS_F32;
        return ONESTEP_OK;
    case ONESTEP_TYPE_BF16:
        c->type = ONS_BF16;
        return ONESTEP_OK;
    case ONESTEP_TYPE_INT8:
        c->type = ONS_I8;
        return ONESTEP_OK;
    }
    return ons_fail(ONESTEP_BAD_ARGUMENT, "type %d: see onestep_type", (int)type);
}

static onestep_status read_options(const char *path, const onestep_options *given, ons_model_sources *s,
                                   ons_compute *c)
{
    static const ons_prediction predictions[] = {ONS_PREDICT_EPSILON, ONS_PREDICT_V};
    onestep_options o = {.size = sizeof o};

    if (given && !take_over(&o, sizeof o, given, given->size))
        return wrong_size("onestep_options", given->size);
    if (o.prediction < ONESTEP_PREDICTION_AUTO || o.prediction > ONESTEP_PREDICTION_V)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "prediction %d: see onestep_prediction", (int)o.prediction);
    if (o.n_loras < 0 || (o.n_loras && !o.loras))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d LoRAs, and no list of them", o.n_loras);
    *s = (ons_model_sources){.model = path,
                             .unet = o.unet,
                             .vae = o.vae,
                             .taesd = o.taesd,
                             .tokenizer = o.tokenizer,
                             .loras = o.loras,
                             .n_loras = o.n_loras,
                             .prediction = o.prediction ? &predictions[o.prediction - 1] : NULL,
                             .int8_scales = o.int8_scales};
    *c = (ons_compute){.n_threads = o.n_threads, .memory = o.max_memory};
    return choose_type(o.type, c);
}

onestep_status onestep_pipeline_open(const char *path, const onestep_options *options, onestep_pipeline **out)
{
    onestep_pipeline *p = NULL;
    ons_model_sources s;
    ons_compute c;
    onestep_status st;

    if (!out)
        return missing("where the pipeline goes");
    *out = NULL;
    if (!path)
        return missing("the path of the pipeline");
    ONS_TRY(read_options(path, options, &s, &c));
    p = ons_calloc(1, sizeof *p);
    if (!p)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a pipeline");
    ONS_TRY(ons_model_open_to_run(&s, &c, &p->model));
    *out = p;
    return ONESTEP_OK;
fail:
    onestep_pipeline_close(&p);
    return st;
}

void onestep_pipeline_close(onestep_pipeline **p)
{
    if (!p || !*p)
        return;
    ons_model_close(&(*p)->model);
    ons_free(*p);
    *p = NULL;
}

onestep_status onestep_pipeline_defaults(const onestep_pipeline *p, onestep_defaults *out)
{
    onestep_defaults all;
    ons_request q;
    ons_resolved run;
    onestep_status st;

    if (!p || !out)
        return missing(p ? "where the defaults go" : "the pipeline");
    if (out->size < sizeof out->size || out->size > sizeof all)
        return wrong_size("onestep_defaults", out->size);
    ons_request_init(&q);
    ONS_TRY(ons_request_resolve(p->model, &q, &run));
    all = (onestep_defaults){.size = out->size,
                             .width = run.width,
                             .height = run.height,
                             .multiple = ons_vae_factor(&p->model->vae_config),
                             .steps = run.steps,
                             .guidance = run.guidance,
                             .sampler = p->model->card.sampler,
                             .one_step = p->model->card.timestep >= 0,
                             .takes_picture = !p->model->vae_config.no_encoder};
    memcpy(out, &all, out->size);
fail:
    return st;
}

onestep_status onestep_cancel_create(onestep_cancel **out)
{
    if (!out)
        return missing("where the token goes");
    *out = ons_calloc(1, sizeof **out);
    return *out ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for a token");
}

void onestep_cancel_ask(onestep_cancel *cancel)
{
    if (cancel)
        ons_stop_ask(&cancel->stop);
}

void onestep_cancel_clear(onestep_cancel *cancel)
{
    if (cancel)
        ons_stop_clear(&cancel->stop);
}

void onestep_cancel_destroy(onestep_cancel **cancel)
{
    if (!cancel)
        return;
    ons_free(*cancel);
    *cancel = NULL;
}

void onestep_params_init(onestep_params *params, size_t size)
{
    ons_request q;
    onestep_params all;

    ons_request_init(&q);
    all = (onestep_params){.size = size, .guidance = q.guidance, .count = q.count, .strength = q.strength};
    if (params)
        memcpy(params, &all, size < sizeof all ? size : sizeof all);
}

static onestep_status take_timesteps(const onestep_params *p, ons_request *q)
{
    if (!p->timesteps)
        return ONESTEP_OK;
    if (p->steps < 1)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "timesteps are given without their number in steps");
    if (p->steps > ONS_FIELD_MAX_LIST)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d timesteps; at most %d are possible", p->steps,
                        ONS_FIELD_MAX_LIST);
    for (int i = 0; i < p->steps; i++)
        q->timesteps.values[q->timesteps.n++] = p->timesteps[i];
    return ONESTEP_OK;
}

static onestep_status make_request(const onestep_params *p, ons_request *q)
{
    ons_request_init(q);
    q->prompt = p->prompt;
    q->negative = p->negative;
    q->width = p->width;
    q->height = p->height;
    q->steps = p->steps;
    q->guidance = p->guidance;
    q->sampler = p->sampler;
    q->noise = (int)p->noise;
    q->seed = (ons_seed){.value = p->seed};
    q->count = p->count;
    q->batch_size = p->batch_size;
    q->tiling = p->tiling;
    q->strength = p->strength;
    q->progress = p->progress;
    q->note = p->note;
    q->preview = p->preview;
    q->preview_every = p->preview_every;
    q->user = p->user;
    q->stop = p->cancel ? &p->cancel->stop : NULL;
    return take_timesteps(p, q);
}

onestep_status onestep_pipeline_generate(onestep_pipeline *p, const onestep_params *params, onestep_image **out)
{
    onestep_params all;
    uint8_t *init = NULL;
    ons_result r = {0};
    ons_request q;
    onestep_status st;

    if (!out)
        return missing("where the pictures go");
    *out = NULL;
    if (!p || !params)
        return missing(p ? "what to draw" : "the pipeline");
    onestep_params_init(&all, sizeof all);
    if (!take_over(&all, sizeof all, params, params->size))
        return wrong_size("onestep_params", params->size);
    ONS_TRY(make_request(&all, &q));
    ONS_TRY(ons_api_fit_init(p->model, &all, &q, &init));
    ONS_TRY(ons_draw(p->model, &q, &r));
    st = ons_api_make_image(p->model, &q, &r, out);
fail:
    ons_result_fini(&r);
    ons_free(init);
    return st;
}

const char *onestep_sampler_name(int index)
{
    return ons_sampler_name(index);
}

onestep_status onestep_setting_at(int index, onestep_setting *out)
{
    const ons_field *f = ons_request_fields;
    onestep_setting all;

    if (!out)
        return missing("where the setting goes");
    if (out->size < sizeof out->size || out->size > sizeof all)
        return wrong_size("onestep_setting", out->size);
    for (int i = 0; f->name && i < index; i++)
        f++;
    if (index < 0 || !f->name)
        return ons_fail(ONESTEP_NOT_FOUND, "there is no setting %d", index);
    all = (onestep_setting){.size = out->size,
                            .name = f->name,
                            .synonym = f->synonym,
                            .value = ons_field_word(f),
                            .min = f->min,
                            .max = f->max,
                            .preset = f->preset,
                            .help = f->help};
    memcpy(out, &all, out->size);
    return ONESTEP_OK;
}

void onestep_set_log(onestep_log log, void *user, onestep_log_level most)
{
    ons_log_set_hook((ons_log_hook)log, user);
    ons_log_set_level(log ? (ons_log_level)most : ONS_LOG_QUIET);
}

void onestep_free(void *memory)
{
    ons_free(memory);
}
