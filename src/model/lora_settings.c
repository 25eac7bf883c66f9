/*
 * PEFT's configuration: lora_alpha for all modules, alpha_pattern for some. Its keys are regular expressions
 * for module names; those that are plain names, as diffusers writes them, are compared, others refused, since
 * what a file from anywhere puts into a matcher is not to be trusted. Ranks are not read: the factors' shapes
 * have them.
 */
#include "model/lora_settings.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/json.h"
#include "model/lora_kind.h"

static const json_t *setting(const ons_lora_settings *s, bool text, const char *name)
{
    char key[64];

    snprintf(key, sizeof key, "%s%s", !s->prefixed ? "" : text ? "text_encoder." : "unet.", name);
    return json_object_get(s->root, key);
}

/* adapter_config.json in the file's folder; NULL: no memory. */
static char *name_beside(const char *file)
{
    const char *slash = strrchr(file, '/');

    return ons_format("%.*sadapter_config.json", slash ? (int)(slash - file) + 1 : 0, file);
}

/* Only files with PEFT's names: such a config may lie beside other LoRAs in a folder of them. */
static bool has_peft_names(const ons_safetensors *f)
{
    for (int i = 0; i < ons_safetensors_count(f); i++)
        if (strstr(ons_safetensors_at(f, i)->name, ".lora_A."))
            return true;
    return false;
}

static onestep_status read_source(const ons_safetensors *f, ons_lora_settings *s)
{
    const char *metadata = ons_safetensors_metadata(f, "lora_adapter_metadata");

    s->prefixed = metadata != NULL;
    s->path = metadata ? ons_format("%s: lora_adapter_metadata", ons_safetensors_path(f))
                       : name_beside(ons_safetensors_path(f));
    if (!s->path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (metadata)
        return ons_json_parse(metadata, strlen(metadata), s->path, &s->root);
    return has_peft_names(f) && ons_path_exists(s->path) ? ons_json_load(s->path, &s->root) : ONESTEP_OK;
}

onestep_status ons_lora_settings_read(const ons_safetensors *f, ons_lora_settings *out)
{
    onestep_status st;

    *out = (ons_lora_settings){0};
    ONS_TRY(read_source(f, out));
    if (json_is_true(setting(out, false, "use_dora")) || json_is_true(setting(out, true, "use_dora")))
        st = ons_lora_refuse_kind(out->path, "DoRA (weights renormalised)", "use_dora");
fail:
    return st;
}

void ons_lora_settings_fini(ons_lora_settings *s)
{
    json_decref(s->root);
    ons_free(s->path);
    *s = (ons_lora_settings){0};
}

static bool is_whole(const char *module, const char *key, size_t n)
{
    return !strncmp(module, key, n) && (!module[n] || !strcmp(module + n, ".weight"));
}

/* A key names a module by its whole name, or, unless it begins with ^, by the end of it from a dot on. */
static bool names_module(const char *key, const char *module)
{
    const bool whole = key[0] == '^';
    const size_t n = strlen(key + whole);

    for (const char *at = module; at; at = strchr(at, '.')) {
        at += *at == '.';
        if (is_whole(at, key + whole, n))
            return true;
        if (whole)
            return false;
    }
    return false;
}

onestep_status ons_lora_settings_alpha(const ons_lora_settings *s, bool text, const char *module, double *alpha)
{
    const json_t *all = setting(s, text, "lora_alpha"), *v;
    const char *key;

    if (json_is_number(all))
        *alpha = json_number_value(all);
    json_object_foreach((json_t *)setting(s, text, "alpha_pattern"), key, v)
    {
        if (strpbrk(key + (key[0] == '^'), "*+?()[]{}|\\$^"))
            return ons_fail(
                ONESTEP_UNSUPPORTED,
                "%s: alpha_pattern has the key \"%.80s\"; names of modules are supported, other regular "
                "expressions are not",
                s->path, key);
        if (!names_module(key, module))
            continue;
        if (!json_is_number(v))
            return ons_fail(ONESTEP_BAD_FILE, "%s: the alpha of \"%.80s\" is not a number", s->path, key);
        *alpha = json_number_value(v);
        return ONESTEP_OK;
    }
    return ONESTEP_OK;
}

bool ons_lora_settings_root(const ons_lora_settings *s, bool text)
{
    return json_is_true(setting(s, text, "use_rslora"));
}
