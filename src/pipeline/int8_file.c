/* int8.json: reading with everything checked, and writing. */
#include <math.h>
#include <float.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/json.h"
#include "pipeline/int8.h"

static onestep_status read_layer(const json_t *value, const char *what, const char *name, ons_int8_layer *out)
{
    onestep_status st;

    if (!json_is_object(value))
        return ons_fail(ONESTEP_BAD_FILE, "%s: layer %s is no object with a scale", what, name);
    ONS_TRY(ons_json_real(value, what, "scale", 0, &out->scale));
    ONS_TRY(ons_json_int(value, what, "zero", 0, 0, 255, &out->zero));
    ONS_TRY(ons_json_real(value, what, "error", -1, &out->error));
    if (!(out->scale >= FLT_MIN && out->scale <= FLT_MAX) || !isfinite(out->error))
        return ons_fail(
            ONESTEP_BAD_FILE,
            "%s: layer %s has the scale %g; a positive number is needed. Make the file again with onestep "
            "calibrate",
            what, name, out->scale);
    out->layer = ons_strdup(name);
    if (!out->layer)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to read it", what);
fail:
    return st;
}

static ons_int8_layer *find_layer(const ons_int8_network *net, const char *name)
{
    for (int i = 0; i < net->n; i++)
        if (!strcmp(net->layers[i].layer, name))
            return &net->layers[i];
    return NULL;
}

static onestep_status read_kept(const json_t *root, const char *what, const char *part,
                                const ons_int8_network *net)
{
    const json_t *keep = json_object_get(root, "keep"), *names = json_object_get(keep, part), *name;
    size_t i;

    if ((keep && !json_is_object(keep)) || (names && !json_is_array(names)))
        return ons_fail(ONESTEP_BAD_FILE, "%s: keep must hold a list of layers per network", what);
    json_array_foreach(names, i, name)
    {
        ons_int8_layer *l = json_is_string(name) ? find_layer(net, json_string_value(name)) : NULL;

        if (!l)
            return ons_fail(ONESTEP_BAD_FILE, "%s: keep.%s names a layer (%s) that the file has no scale of",
                            what, part, json_is_string(name) ? json_string_value(name) : "no text");
        l->keep = true;
    }
    return ONESTEP_OK;
}

static onestep_status read_part(const json_t *root, const char *what, const char *part, ons_int8_network *net)
{
    json_t *layers = json_object_get(root, part), *value;
    const char *name;
    onestep_status st = ONESTEP_OK;

    if (!layers)
        return ONESTEP_OK;
    if (!json_is_object(layers))
        return ons_fail(ONESTEP_BAD_FILE, "%s: %s must be an object with one entry per layer", what, part);
    net->known = true;
    net->layers = ons_calloc(json_object_size(layers) + 1, sizeof *net->layers);
    if (!net->layers)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to read it", what);
    json_object_foreach(layers, name, value)
    {
        ONS_TRY(read_layer(value, what, name, &net->layers[net->n]));
        net->n++;
    }
    ONS_TRY(read_kept(root, what, part, net));
fail:
    return st;
}

static onestep_status read_all(const json_t *root, const char *what, ons_int8 *s)
{
    int version;
    onestep_status st;

    if (!json_is_object(root))
        return ons_fail(ONESTEP_BAD_FILE, "%s: no JSON object with scales", what);
    ONS_TRY(ons_json_int(root, what, "version", 0, 0, 1 << 30, &version));
    if (version != ONS_INT8_VERSION)
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: version %d of scales, this program reads %d; make it again with onestep "
                        "calibrate",
                        what, version, ONS_INT8_VERSION);
    for (int p = 0; p < ONS_INT8_PARTS; p++)
        ONS_TRY(read_part(root, what, ons_int8_part_names[p], &s->parts[p]));
    ONS_TRY(ons_int8_settle(s));
fail:
    return st;
}

/* Takes over the reference to root. */
static onestep_status from_json(json_t *root, const char *what, ons_int8 **out)
{
    ons_int8 *s = ons_calloc(1, sizeof *s);
    onestep_status st;

    if (s)
        s->source = ons_strdup(what);
    if (s && s->source)
        st = read_all(root, what, s);
    else
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to read it", what);
    json_decref(root);
    if (st != ONESTEP_OK)
        ons_int8_destroy(&s);
    *out = s;
    return st;
}

onestep_status ons_int8_parse(const char *text, size_t size, const char *what, ons_int8 **out)
{
    json_t *root = NULL;
    onestep_status st = ons_json_parse(text, size, what, &root);

    *out = NULL;
    return st == ONESTEP_OK ? from_json(root, what, out) : st;
}

onestep_status ons_int8_load(const char *path, ons_int8 **out)
{
    json_t *root = NULL;
    onestep_status st = ons_json_load(path, &root);

    *out = NULL;
    return st == ONESTEP_OK ? from_json(root, path, out) : st;
}

static void write_part(json_t *root, json_t *keep, const char *part, const ons_int8_network *net)
{
    json_t *layers = json_object(), *kept = json_array();

    for (int i = 0; i < net->n; i++) {
        const ons_int8_layer *l = &net->layers[i];
        json_t *o = json_pack("{s:f, s:i}", "scale", l->scale, "zero", l->zero);

        if (o && l->error >= 0)
            json_object_set_new(o, "error", json_real(l->error));
        json_object_set_new(layers, l->layer, o);
        if (l->keep)
            json_array_append_new(kept, json_string(l->layer));
    }
    json_object_set_new(root, part, layers);
    json_object_set_new(keep, part, kept);
}

onestep_status ons_int8_save(const ons_int8 *s, const char *path)
{
    json_t *root = json_pack("{s:i}", "version", ONS_INT8_VERSION), *keep = json_object();
    ons_int8 *before = NULL;
    onestep_status st;

    if (ons_path_exists(path) && ons_int8_load(path, &before) != ONESTEP_OK)
        before = NULL;
    for (int p = 0; p < ONS_INT8_PARTS; p++) {
        const ons_int8_network *net = s->parts[p].known || !before ? &s->parts[p] : &before->parts[p];

        if (net->known)
            write_part(root, keep, ons_int8_part_names[p], net);
    }
    json_object_set_new(root, "keep", keep);
    st = root ? ons_json_save(root, path) : ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    json_decref(root);
    ons_int8_destroy(&before);
    return st;
}
