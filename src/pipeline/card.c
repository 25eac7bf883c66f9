/* onestep.json: what diffusers has no place for. */
#include <string.h>

#include "base/file.h"
#include "io/json.h"
#include "pipeline/folder.h"

static onestep_status copy_text(const json_t *root, const char *path, const char *key, const char *preset,
                                char *dst, size_t size)
{
    const char *text;
    onestep_status st = ons_json_text(root, path, key, preset, &text);

    if (st == ONESTEP_OK && strlen(text) >= size)
        st = ons_fail(ONESTEP_BAD_FILE, "%s: %s is longer than %zu characters", path, key, size - 1);
    if (st == ONESTEP_OK)
        strcpy(dst, text);
    return st;
}

static onestep_status read_card(const json_t *root, const char *path, ons_card *c)
{
    onestep_status st;

    ONS_TRY(ons_json_int(root, path, "steps", 20, 1, 1000, &c->steps));
    ONS_TRY(ons_json_real(root, path, "guidance", 7.5, &c->guidance));
    ONS_TRY(copy_text(root, path, "sampler", "ddim", c->sampler, sizeof c->sampler));
    ONS_TRY(ons_json_int(root, path, "timestep", -1, -1, 999, &c->timestep));
    ONS_TRY(copy_text(root, path, "kind", "teacher", c->kind, sizeof c->kind));
    ONS_TRY(copy_text(root, path, "method", "", c->method, sizeof c->method));
    ONS_TRY(ons_json_real(root, path, "train_seconds", 0, &c->train_seconds));
    ONS_TRY(ons_json_real(root, path, "train_joules", -1, &c->train_joules));
    ONS_TRY(copy_text(root, path, "energy_source", "", c->energy_source, sizeof c->energy_source));
    if (json_object_get(root, "made"))
        c->made = json_incref(json_object_get(root, "made"));
fail:
    return st;
}

onestep_status ons_card_load(const char *path, ons_card *out)
{
    json_t *root = NULL;
    onestep_status st = ONESTEP_OK;

    *out = (ons_card){.stated = ons_path_exists(path)};
    if (out->stated)
        ONS_TRY(ons_json_load(path, &root));
    st = read_card(root, path, out);
fail:
    json_decref(root);
    return st;
}

onestep_status ons_card_save(const ons_card *c, const char *path)
{
    json_t *root =
        json_pack("{s:i, s:f, s:s, s:s, s:s, s:f, s:f, s:s}", "steps", c->steps, "guidance", c->guidance,
                  "sampler", c->sampler, "kind", c->kind, "method", c->method, "train_seconds",
                  c->train_seconds, "train_joules", c->train_joules, "energy_source", c->energy_source);
    onestep_status st;

    if (!root)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    if (c->timestep >= 0)
        json_object_set_new(root, "timestep", json_integer(c->timestep));
    if (c->made)
        json_object_set(root, "made", c->made);
    st = ons_json_save(root, path);
    json_decref(root);
    return st;
}
