/* Merging: every module of the file is found in the model, its shapes are checked, and its factors are handed
 * to the weight store. */
#include "model/lora.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "model/lora_kind.h"
#include "model/lora_names.h"
#include "model/lora_settings.h"

enum { MAX_RANK = 1 << 16 };

/* Dimension i in file order; 1 behind the last. */
static int64_t dim(const ons_file_tensor *t, int i)
{
    return i < t->n_dims ? t->dims[i] : 1;
}

static bool is_float(const ons_file_tensor *t)
{
    return t->dtype == ONS_F32 || t->dtype == ONS_F16 || t->dtype == ONS_BF16 || t->dtype == ONS_F64;
}

static bool has_dims(const ons_file_tensor *t, const int64_t want[4])
{
    for (int i = 0; i < 4; i++)
        if (dim(t, i) != want[i])
            return false;
    return is_float(t) && t->n_dims <= 4;
}

/*
 * For a weight [out, in(, kh, kw)] in file order: down [rank, in(, kh, kw)] and up [out, rank(, 1, 1)]; with a
 * mid [rank, rank, kh, kw], which has the kernel then, down [rank, in(, 1, 1)].
 */
static onestep_status check_shapes(const ons_safetensors *f, const ons_lora_module *m, const ons_param *p)
{
    const int64_t *d = p->shape.d, rank = dim(m->down, 0);
    const bool conv = p->kind == ONS_PARAM_CONV;
    const int64_t want[4] = {d[0], conv ? d[3] : d[1], conv ? d[1] : 1, conv ? d[2] : 1};
    const int64_t kernel[4] = {rank, rank, want[2], want[3]}, up_dims[4] = {want[0], rank, 1, 1},
                  down_dims[4] = {rank, want[1], m->mid ? 1 : want[2], m->mid ? 1 : want[3]};
    char down[176], up[176], mid[176] = "", shape[176];

    if (rank >= 1 && rank <= MAX_RANK && has_dims(m->down, down_dims) && has_dims(m->up, up_dims) &&
        (!m->mid || has_dims(m->mid, kernel)))
        return ONESTEP_OK;
    if (m->mid)
        ons_file_shape_text(m->mid->n_dims, m->mid->dims, mid);
    return ons_fail(
        ONESTEP_BAD_FILE,
        "%s: %s has factors %s, %s%s%s, which do not fit %s %s: a LoRA of another architecture, or damaged",
        ons_safetensors_path(f), m->stem, ons_file_shape_text(m->down->n_dims, m->down->dims, down),
        ons_file_shape_text(m->up->n_dims, m->up->dims, up), m->mid ? " and between them " : "", mid, p->name,
        ons_file_shape_text(4, want, shape));
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

/* alpha / rank, alpha being the rank where nothing says otherwise. */
static onestep_status find_scale(const ons_safetensors *f, const ons_lora_settings *s, const ons_lora_module *m,
                                 const ons_lora_target *t, double *scale)
{
    const double rank = (double)dim(m->down, 0);
    double alpha = rank;
    float *value;
    onestep_status st;

    ONS_TRY(ons_lora_settings_alpha(s, t->text, ons_params_at(t->set, t->index)->name, &alpha));
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
    *scale = ons_lora_settings_root(s, t->text) ? alpha / sqrt(rank) : alpha / rank;
fail:
    return st;
}

/* out[a, i, k] = sum over b of mid[a, b, k] down[b, i], k being the place in the kernel. */
static void multiply(float *out, const float *mid, const float *down, size_t rank, size_t in, size_t kernel)
{
    for (size_t a = 0; a < rank; a++)
        for (size_t b = 0; b < rank; b++)
            for (size_t i = 0; i < in; i++)
                for (size_t k = 0; k < kernel; k++)
                    out[(a * in + i) * kernel + k] += mid[(a * rank + b) * kernel + k] * down[b * in + i];
}

/* The factor next to the input as [rank, in, kh, kw], a middle factor multiplied in; NULL: no memory. */
static float *lower_factor(const ons_lora_module *m)
{
    const size_t rank = (size_t)dim(m->down, 0), in = (size_t)dim(m->down, 1);
    float *down = values_of(m->down), *mid, *out;
    size_t kernel;

    if (!m->mid)
        return down;
    kernel = (size_t)(dim(m->mid, 2) * dim(m->mid, 3));
    mid = values_of(m->mid);
    out = ons_calloc(rank * in * kernel + 1, sizeof *out);
    if (down && mid && out) {
        multiply(out, mid, down, rank, in, kernel);
    } else {
        ons_free(out);
        out = NULL;
    }
    ons_free(down);
    ons_free(mid);
    return out;
}

static onestep_status merge_module(const ons_safetensors *f, const ons_lora_settings *s,
                                   const ons_lora_module *m, const ons_lora_target *t, double weight)
{
    float *up = NULL, *down = NULL;
    double scale = 0;
    onestep_status st;

    ONS_TRY(check_shapes(f, m, ons_params_at(t->set, t->index)));
    ONS_TRY(find_scale(f, s, m, t, &scale));
    up = values_of(m->up);
    down = lower_factor(m);
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
    ons_lora_settings settings;
    double weight;
    ons_lora_report report;
    char unknown[ONS_LORA_MAX_NAME], strange[ONS_LORA_MAX_NAME]; /* the first of them */
} merging;

static onestep_status merge_known(merging *g, const ons_lora_module *m)
{
    const ons_lora_target target = ons_lora_find(m->stem, g->config, g->unet, g->text);

    if (target.index < 0) {
        if (g->report.n_unknown++ == 0)
            snprintf(g->unknown, sizeof g->unknown, "%s", m->stem);
        return ONESTEP_OK;
    }
    ++*(target.text ? &g->report.n_text : &g->report.n_unet);
    return merge_module(g->f, &g->settings, m, &target, g->weight);
}

static onestep_status merge_tensor(merging *g, const ons_file_tensor *t)
{
    ons_lora_module m;

    switch (ons_lora_role_of(g->f, t, &m)) {
    case ONS_LORA_DOWN:
        return merge_known(g, &m);
    case ONS_LORA_ALONE:
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s stands without its other factor", ons_safetensors_path(g->f),
                        t->name);
    case ONS_LORA_STRANGE:
        if (g->report.n_strange++ == 0)
            snprintf(g->strange, sizeof g->strange, "%s", t->name);
        return ONESTEP_OK;
    default:
        return ONESTEP_OK;
    }
}

static onestep_status check_matches(const merging *g)
{
    const ons_lora_report *r = &g->report;
    const int n = r->n_unknown + r->n_unet + r->n_text;

    if (n == 0)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: none of its %d tensors is a factor of a LoRA (the first is %s): another kind of change",
            ons_safetensors_path(g->f), r->n_strange, g->strange);
    if (r->n_unknown == n)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: none of its %d modules is in this model (the first is %s): a LoRA of another architecture",
            ons_safetensors_path(g->f), r->n_unknown, g->unknown);
    if (r->n_unknown)
        ons_warn("%s: %d of its %d modules are not in this model (the first is %s) and are left out",
                 ons_safetensors_path(g->f), r->n_unknown, n, g->unknown);
    if (r->n_strange)
        ons_warn("%s: %d of its tensors are no factors of a LoRA (the first is %s) and are left out: the "
                 "effect will "
                 "not be quite what it was trained to be",
                 ons_safetensors_path(g->f), r->n_strange, g->strange);
    return ONESTEP_OK;
}

/* A file, or a folder as PEFT and diffusers save a LoRA. */
static onestep_status open_file(const char *path, ons_safetensors **out)
{
    char *peft = ons_path_join(path, "adapter_config.json"), *index = ons_path_join(path, "model_index.json");
    onestep_status st;

    if (!peft || !index)
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    else if (ons_path_exists(index))
        st =
            ons_fail(ONESTEP_UNSUPPORTED, "%s: this is a whole model; a LoRA is expected; give it as -m", path);
    else if (ons_path_is_dir(path))
        st = ons_safetensors_open_part(path, ons_path_exists(peft) ? "adapter_model" : "pytorch_lora_weights",
                                       out);
    else
        st = ons_safetensors_open(path, out);
    ons_free(peft);
    ons_free(index);
    return st;
}

onestep_status ons_lora_merge(const char *path, double weight, const ons_unet_config *config, ons_params *unet,
                              ons_params *text, ons_lora_report *report)
{
    ons_safetensors *f = NULL;
    merging g = {.config = config, .unet = unet, .text = text, .weight = weight};
    onestep_status st;

    ONS_TRY(open_file(path, &f));
    ONS_TRY(ons_lora_check_kind(f, config));
    ONS_TRY(ons_lora_settings_read(f, &g.settings));
    g.f = f;
    for (int i = 0; i < ons_safetensors_count(f); i++)
        ONS_TRY(merge_tensor(&g, ons_safetensors_at(f, i)));
    st = check_matches(&g);
    *report = g.report;
fail:
    ons_lora_settings_fini(&g.settings);
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
