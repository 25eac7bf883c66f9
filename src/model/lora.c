/* Merging: every module of the file is found in the model, its shapes are checked, and its factors are handed
 * to the weight store. */
#include "model/lora.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "model/lora_names.h"
#include "model/recognise.h"

enum { MAX_RANK = 1 << 16 };

static const struct {
    const char *part, *what;
} foreign[] = {
    {"hada_", "LoHa (products of two low ranks)"},
    {"lokr_", "LoKr (Kronecker products)"},
    {"dora_scale", "DoRA (weights renormalised)"},
    {"lora_mid", "LoCon with a middle factor"},
    {"lora_magnitude_vector", "DoRA (weights renormalised)"},
    {".oft_", "OFT (rotations)"},
    {"lora_te2_", "LoRA for SDXL"},
    {"text_encoder_2.", "LoRA for SDXL"},
};

static onestep_status check_kind(const ons_safetensors *f)
{
    for (int i = 0; i < ons_safetensors_count(f); i++)
        for (size_t k = 0; k < sizeof foreign / sizeof *foreign; k++)
            if (strstr(ons_safetensors_at(f, i)->name, foreign[k].part))
                return ons_fail(ONESTEP_UNSUPPORTED,
                                "%s: this is a %s (tensor %s); plain LoRA for Stable Diffusion 1.x and 2.x is "
                                "read: merge it into a model "
                                "with the program that made it, and give that model",
                                ons_safetensors_path(f), foreign[k].what, ons_safetensors_at(f, i)->name);
    return ons_weights_expect(f, ONS_WEIGHTS_LORA);
}

/* Dimension i in file order; 1 behind the last. */
static int64_t dim(const ons_file_tensor *t, int i)
{
    return i < t->n_dims ? t->dims[i] : 1;
}

static bool is_float(const ons_file_tensor *t)
{
    return t->dtype == ONS_F32 || t->dtype == ONS_F16 || t->dtype == ONS_BF16 || t->dtype == ONS_F64;
}

/* down [rank, in(, kh, kw)], up [out, rank(, 1, 1)] for a weight [out, in(, kh, kw)] in file order. */
static onestep_status check_shapes(const ons_safetensors *f, const ons_lora_module *m, const ons_param *p)
{
    const int64_t *d = p->shape.d;
    const bool conv = p->kind == ONS_PARAM_CONV;
    const int64_t want[4] = {d[0], conv ? d[3] : d[1], conv ? d[1] : 1, conv ? d[2] : 1},
                  rank = dim(m->down, 0);
    char down[176], up[176], shape[176];

    if (is_float(m->down) && is_float(m->up) && rank >= 1 && rank <= MAX_RANK && m->down->n_dims <= 4 &&
        m->up->n_dims <= 4 && dim(m->down, 1) == want[1] && dim(m->down, 2) == want[2] &&
        dim(m->down, 3) == want[3] && dim(m->up, 0) == want[0] && dim(m->up, 1) == rank && dim(m->up, 2) == 1 &&
        dim(m->up, 3) == 1)
        return ONESTEP_OK;
    return ons_fail(
        ONESTEP_BAD_FILE,
        "%s: %s has factors %s and %s, which do not fit %s %s: a LoRA of another architecture, or damaged",
        ons_safetensors_path(f), m->stem, ons_file_shape_text(m->down->n_dims, m->down->dims, down),
        ons_file_shape_text(m->up->n_dims, m->up->dims, up), p->name, ons_file_shape_text(4, want, shape));
}

/* A tensor's values as floats; NULL: no memory. Freed with ons_free. */
static float *values_of(const ons_file_tensor *t)
{
    const size_t n = t->size / ons_dtype_size(t->dtype);
    float *out = ons_malloc(n * sizeof *out + 1);
    void *aligned = ons_malloc(t->size + 1);

    if (out && aligned) {
        memcpy(aligned, t->data, t->size);
        ons_convert(out, ONS_F32, aligned, t->dtype, n);
    } else {
        ons_free(out);
        out = NULL;
    }
    ons_free(aligned);
    return out;
}

/* Settings that PEFT keeps in the metadata: strength, and whether it is divided by the root of the rank. */
typedef struct settings {
    json_t *metadata; /* NULL: none */
} settings;

static const json_t *setting(const settings *s, bool text, const char *name)
{
    char key[64];

    snprintf(key, sizeof key, "%s.%s", text ? "text_encoder" : "unet", name);
    return json_object_get(s->metadata, key);
}

/* alpha / rank, alpha being the rank where nothing says otherwise. */
static onestep_status find_scale(const ons_safetensors *f, const settings *s, const ons_lora_module *m,
                                 bool text, double *scale)
{
    const double rank = (double)dim(m->down, 0);
    const json_t *stated = setting(s, text, "lora_alpha");
    double alpha = json_is_number(stated) ? json_number_value(stated) : rank;
    float *value;

    if (m->alpha) {
        if (!is_float(m->alpha) || m->alpha->size != ons_dtype_size(m->alpha->dtype))
            return ons_fail(ONESTEP_BAD_FILE, "%s: %s.alpha is not one number", ons_safetensors_path(f),
                            m->stem);
        value = values_of(m->alpha);
        if (!value)
            return ons_fail(ONESTEP_NO_MEMORY, "no memory for %s", m->stem);
        alpha = value[0];
        ons_free(value);
    }
    if (!isfinite(alpha))
        return ons_fail(ONESTEP_BAD_FILE, "%s: the alpha of %s is not a number", ons_safetensors_path(f),
                        m->stem);
    *scale = json_is_true(setting(s, text, "use_rslora")) ? alpha / sqrt(rank) : alpha / rank;
    return ONESTEP_OK;
}

static onestep_status merge_module(const ons_safetensors *f, const settings *s, const ons_lora_module *m,
                                   const ons_lora_target *t, double weight)
{
    float *up = NULL, *down = NULL;
    double scale = 0;
    onestep_status st;

    ONS_TRY(check_shapes(f, m, ons_params_at(t->set, t->index)));
    ONS_TRY(find_scale(f, s, m, t->text, &scale));
    up = values_of(m->up);
    down = values_of(m->down);
    st = up && down ? ons_params_add_low_rank(t->set, t->index, weight * scale, (int)dim(m->down, 0), up, down)
                    : ons_fail(ONESTEP_NO_MEMORY, "no memory for %s", m->stem);
fail:
    ons_free(up);
    ons_free(down);
    return st;
}

typedef struct merging {
    const ons_safetensors *f;
    const ons_unet_config *config;
    ons_params *unet, *text;
    settings settings;
    double weight;
    ons_lora_report report;
    char unknown[ONS_LORA_MAX_NAME]; /* the first of them */
} merging;

static onestep_status merge_tensor(merging *g, const ons_file_tensor *t)
{
    ons_lora_module m;
    ons_lora_target target;
    bool missing;

    if (!ons_lora_module_of(g->f, t, &m, &missing))
        return missing ? ons_fail(ONESTEP_BAD_FILE, "%s: %s stands without its other factor",
                                  ons_safetensors_path(g->f), t->name)
                       : ONESTEP_OK;
    target = ons_lora_find(m.stem, g->config, g->unet, g->text);
    if (target.index < 0) {
        if (g->report.n_unknown++ == 0)
            snprintf(g->unknown, sizeof g->unknown, "%s", m.stem);
        return ONESTEP_OK;
    }
    ++*(target.text ? &g->report.n_text : &g->report.n_unet);
    return merge_module(g->f, &g->settings, &m, &target, g->weight);
}

static onestep_status check_matches(const merging *g)
{
    const ons_lora_report *r = &g->report;

    if (r->n_unet + r->n_text == 0)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: none of its %d modules is in this model (the first is %s): a LoRA of another architecture",
            ons_safetensors_path(g->f), r->n_unknown, g->unknown);
    if (r->n_unknown)
        ons_warn("%s: %d of its %d modules are not in this model (the first is %s) and are left out",
                 ons_safetensors_path(g->f), r->n_unknown, r->n_unknown + r->n_unet + r->n_text, g->unknown);
    return ONESTEP_OK;
}

onestep_status ons_lora_merge(const char *path, double weight, const ons_unet_config *config, ons_params *unet,
                              ons_params *text, ons_lora_report *report)
{
    ons_safetensors *f = NULL;
    merging g = {.config = config, .unet = unet, .text = text, .weight = weight};
    const char *metadata;
    onestep_status st;

    ONS_TRY(ons_safetensors_open(path, &f));
    ONS_TRY(check_kind(f));
    metadata = ons_safetensors_metadata(f, "lora_adapter_metadata");
    g.f = f;
    g.settings.metadata = metadata ? json_loads(metadata, 0, NULL) : NULL;
    for (int i = 0; i < ons_safetensors_count(f); i++)
        ONS_TRY(merge_tensor(&g, ons_safetensors_at(f, i)));
    st = check_matches(&g);
    *report = g.report;
fail:
    json_decref(g.settings.metadata);
    ons_safetensors_close(&f);
    return st;
}

onestep_status ons_lora_parse(const char *text, char **path, double *weight)
{
    const char *colon = strrchr(text, ':');
    char *end = NULL;

    *weight = 1;
    if (colon && !ons_path_exists(text)) {
        *weight = strtod(colon + 1, &end);
        if (end == colon + 1 || *end || !isfinite(*weight))
            return ons_fail(ONESTEP_BAD_ARGUMENT,
                            "--lora %s: behind the colon a number such as 0.8 is expected", text);
    }
    *path = end ? ons_format("%.*s", (int)(colon - text), text) : ons_strdup(text);
    return *path ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
}
