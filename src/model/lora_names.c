/*
 * Whose weight is it? Kohya's names have underscores where modules have dots, and words have underscores of
 * their own, so names are not taken apart but compared with the model's, the two characters counting as one.
 */
#include "model/lora_names.h"

#include <stdio.h>
#include <string.h>

#include "model/names.h"

static const char *const suffixes[][2] = {
    {".lora_down.weight", ".lora_up.weight"},
    {".lora_A.weight", ".lora_B.weight"},
    {".lora_A.default.weight", ".lora_B.default.weight"},
    {".lora_A.default_0.weight", ".lora_B.default_0.weight"},
    {".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"},
    {".lora.down.weight", ".lora.up.weight"},
    {"_lora.down.weight", "_lora.up.weight"},
};
enum { N_SUFFIXES = sizeof suffixes / sizeof *suffixes };

/* Length of `name` without `suffix`; 0: it does not end so. */
static size_t without_suffix(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);

    return n > m && strcmp(name + n - m, suffix) == 0 ? n - m : 0;
}

static const ons_file_tensor *find_beside(const ons_safetensors *f, const char *stem, const char *suffix)
{
    char name[ONS_LORA_MAX_NAME + 40];

    snprintf(name, sizeof name, "%s%s", stem, suffix);
    return ons_safetensors_find(f, name);
}

/* Whether the name is a module's with one of these endings, and that module has a factor. */
static bool follows(const ons_safetensors *f, const char *name)
{
    static const char *const endings[] = {".alpha", ".lora_mid.weight"};
    char stem[ONS_LORA_MAX_NAME];

    for (size_t k = 0; k < sizeof endings / sizeof *endings; k++) {
        const size_t n = without_suffix(name, endings[k]);

        if (!n || n >= sizeof stem)
            continue;
        snprintf(stem, sizeof stem, "%.*s", (int)n, name);
        for (int i = 0; i < N_SUFFIXES; i++)
            if (find_beside(f, stem, suffixes[i][0]))
                return true;
    }
    return false;
}

ons_lora_role ons_lora_role_of(const ons_safetensors *f, const ons_file_tensor *t, ons_lora_module *out)
{
    *out = (ons_lora_module){0};
    for (int i = 0; i < N_SUFFIXES; i++)
        for (int half = 0; half < 2; half++) {
            const size_t n = without_suffix(t->name, suffixes[i][half]);
            const ons_file_tensor *other;

            if (!n || n >= sizeof out->stem)
                continue;
            snprintf(out->stem, sizeof out->stem, "%.*s", (int)n, t->name);
            other = find_beside(f, out->stem, suffixes[i][!half]);
            if (!other)
                return ONS_LORA_ALONE;
            out->down = half ? other : t;
            out->up = half ? t : other;
            out->mid = find_beside(f, out->stem, ".lora_mid.weight");
            out->alpha = find_beside(f, out->stem, ".alpha");
            return half ? ONS_LORA_FOLLOWS : ONS_LORA_DOWN;
        }
    return follows(f, t->name) ? ONS_LORA_FOLLOWS : ONS_LORA_STRANGE;
}

/* A prefix counts as taken when it is there, dots and underscores alike. */
static bool take(const char **name, const char *prefix)
{
    size_t i = 0;

    while (prefix[i] && (prefix[i] == (*name)[i] || (prefix[i] == '.' && (*name)[i] == '_')))
        i++;
    if (prefix[i])
        return false;
    *name += i;
    return true;
}

static char plain(char c)
{
    return c == '_' ? '.' : c;
}

/* "down_blocks.0.proj_in.weight" against "down_blocks_0_proj_in". */
static bool is_module(const char *parameter, const char *module)
{
    while (*module && plain(*parameter) == plain(*module)) {
        parameter++;
        module++;
    }
    return !*module && strcmp(parameter, ".weight") == 0;
}

/*
 * Early diffusers: attn1.processor.to_q for attn1.to_q, to_out for to_out.0; and the UNet's names of
 * projections in the text encoder too: self_attn.to_q for self_attn.q_proj.
 */
static void modernise(const char *module, bool text, char *out, size_t size)
{
    static const char *const projections[][3] = {{".to_q", ".to_q", ".q_proj"},
                                                 {".to_k", ".to_k", ".k_proj"},
                                                 {".to_v", ".to_v", ".v_proj"},
                                                 {".to_out", ".to_out.0", ".out_proj"}};
    const char *at = strstr(module, ".processor."), *rest = at ? at + strlen(".processor") : "", *last = "";
    size_t n = at ? (size_t)(at - module) : strlen(module), m = strlen(rest);

    for (size_t i = 0; i < sizeof projections / sizeof *projections; i++)
        if (without_suffix(module, projections[i][0])) {
            last = projections[i][text ? 2 : 1];
            *(at ? &m : &n) -= strlen(projections[i][0]);
            break;
        }
    snprintf(out, size, "%.*s%.*s%s", (int)n, module, (int)m, rest, last);
}

/* Under diffusers' names or, with a config, under those of the original code. */
static int find_parameter(ons_params *set, const char *module, const ons_unet_config *original)
{
    ons_place_in_file place;

    for (int i = 0; i < ons_params_count(set); i++) {
        const char *name = ons_params_at(set, i)->name;

        if (ons_params_at(set, i)->kind == ONS_PARAM_VECTOR) /* a norm has no inputs that a factor could read */
            continue;
        if (original && ons_unet_original_name(original, name, &place) && is_module(place.name, module))
            return i;
        if (!original &&
            (is_module(name, module) || (!strncmp(name, "text_model.", 11) && is_module(name + 11, module))))
            return i;
    }
    return -1;
}

static bool take_one(const char **name, const char *const *prefixes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (take(name, prefixes[i]))
            return true;
    return false;
}

ons_lora_target ons_lora_find(const char *stem, const ons_unet_config *config, ons_params *unet,
                              ons_params *text)
{
    static const char *const text_prefixes[] = {"lora_te1_", "lora_te_", "text_encoder.",
                                                "cond_stage_model.transformer."};
    static const char *const unet_prefixes[] = {"lora_unet_", "unet.", "model.diffusion_model.",
                                                "diffusion_model."};
    char module[ONS_LORA_MAX_NAME + 8];
    ons_lora_target t = {.index = -1};

    take(&stem, "base_model.model.");
    t.text = take_one(&stem, text_prefixes, sizeof text_prefixes / sizeof *text_prefixes) ||
             strncmp(stem, "text_model.", 11) == 0 || strncmp(stem, "encoder.layers.", 15) == 0;
    if (!t.text)
        take_one(&stem, unet_prefixes, sizeof unet_prefixes / sizeof *unet_prefixes);
    modernise(stem, t.text, module, sizeof module);
    t.set = t.text ? text : unet;
    if (t.set)
        t.index = find_parameter(t.set, module, NULL);
    if (t.set && t.index < 0 && !t.text)
        t.index = find_parameter(t.set, module, config);
    return t;
}
