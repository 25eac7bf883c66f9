/* One safetensors file: written beside and renamed, so that the last good one survives a full disk and a kill.
 */
#include "train/checkpoint.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/file.h"
#include "base/memory.h"
#include "io/json.h"
#include "io/safetensors.h"

static onestep_status declare_set(ons_safetensors_writer *w, const ons_checkpoint_set *set)
{
    for (int i = 0; i < ons_params_count(set->params); i++) {
        const ons_param *p = ons_params_at(set->params, i);
        char *name = ons_format("%s/%s", set->name, p->name);
        onestep_status st = name ? ons_safetensors_writer_add(w, name, ONS_F32, p->shape.n, p->shape.d)
                                 : ons_fail(ONESTEP_NO_MEMORY, "no memory to write a checkpoint");

        ons_free(name);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static onestep_status write_set(ons_safetensors_writer *w, const ons_checkpoint_set *set)
{
    for (int i = 0; i < ons_params_count(set->params); i++) {
        size_t size = (size_t)ons_shape_count(&ons_params_at(set->params, i)->shape) * sizeof(float);
        onestep_status st = ons_safetensors_writer_data(w, ons_params_data(set->params, i), size);

        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static onestep_status add_metadata(ons_safetensors_writer *w, const json_t *state)
{
    char *text = json_dumps(state, JSON_COMPACT | JSON_REAL_PRECISION(17)), version[16];
    onestep_status st;

    snprintf(version, sizeof version, "%d", ONS_CHECKPOINT_VERSION);
    st = text ? ons_safetensors_writer_metadata(w, "state", text)
              : ons_fail(ONESTEP_NO_MEMORY, "no memory to write a checkpoint");
    free(text);
    return st == ONESTEP_OK ? ons_safetensors_writer_metadata(w, "format_version", version) : st;
}

static onestep_status write_checkpoint(const char *path, const ons_checkpoint_set *sets, int n_sets,
                                       const json_t *state)
{
    ons_safetensors_writer *w = NULL;
    onestep_status st;

    ONS_TRY(ons_safetensors_writer_create(&w));
    ONS_TRY(add_metadata(w, state));
    for (int i = 0; i < n_sets; i++)
        ONS_TRY(declare_set(w, &sets[i]));
    ONS_TRY(ons_safetensors_writer_begin(w, path));
    for (int i = 0; i < n_sets; i++)
        ONS_TRY(write_set(w, &sets[i]));
    st = ons_safetensors_writer_commit(w);
fail:
    ons_safetensors_writer_destroy(&w);
    return st;
}

onestep_status ons_checkpoint_save(const char *path, const ons_checkpoint_set *sets, int n_sets,
                                   const json_t *state)
{
    onestep_status st = write_checkpoint(path, sets, n_sets, state);

    if (st == ONESTEP_IO && ons_path_exists(path))
        return ons_fail(st, "%s; the checkpoint before this one is intact: --resume goes on from there",
                        onestep_error_text());
    return st;
}

static bool same_shape(const ons_file_tensor *t, const ons_param *p)
{
    if (t->dtype != ONS_F32 || t->n_dims != p->shape.n)
        return false;
    for (int i = 0; i < t->n_dims; i++)
        if (t->dims[i] != p->shape.d[i])
            return false;
    return true;
}

static onestep_status read_set(const ons_safetensors *file, const ons_checkpoint_set *set)
{
    for (int i = 0; i < ons_params_count(set->params); i++) {
        const ons_param *p = ons_params_at(set->params, i);
        char *name = ons_format("%s/%s", set->name, p->name);
        const ons_file_tensor *t = name ? ons_safetensors_find(file, name) : NULL;
        bool fits = t && same_shape(t, p);
        onestep_status st =
            !name  ? ons_fail(ONESTEP_NO_MEMORY, "no memory to read a checkpoint")
            : fits ? ONESTEP_OK
                   : ons_fail(ONESTEP_BAD_FILE,
                              "%s: tensor %s is missing or of another shape: this checkpoint belongs to "
                              "another recipe",
                              ons_safetensors_path(file), name);

        ons_free(name);
        if (st != ONESTEP_OK)
            return st;
        memcpy(ons_params_data(set->params, i), t->data, t->size);
    }
    ons_params_touch(set->params);
    return ONESTEP_OK;
}

static onestep_status read_state(const ons_safetensors *file, const char *path, json_t **state)
{
    const char *version = ons_safetensors_metadata(file, "format_version"),
               *text = ons_safetensors_metadata(file, "state");

    if (!version || !text)
        return ons_fail(ONESTEP_BAD_FILE, "%s: this is no checkpoint of onestep", path);
    if (atoi(version) != ONS_CHECKPOINT_VERSION)
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: checkpoint format %s, this program reads %d", path, version,
                        ONS_CHECKPOINT_VERSION);
    return ons_json_parse(text, strlen(text), path, state);
}

onestep_status ons_checkpoint_load(const char *path, const ons_checkpoint_set *sets, int n_sets, json_t **state)
{
    ons_safetensors *file = NULL;
    onestep_status st;

    *state = NULL;
    ONS_TRY(ons_safetensors_open(path, &file));
    ONS_TRY(read_state(file, path, state));
    for (int i = 0; i < n_sets; i++)
        ONS_TRY(read_set(file, &sets[i]));
fail:
    if (st != ONESTEP_OK) {
        json_decref(*state);
        *state = NULL;
    }
    ons_safetensors_close(&file);
    return st;
}

const char *ons_fingerprint(const ons_compute *c)
{
    static _Thread_local char text[224];
    const ons_backend *backend = ons_compute_backend(c);

    snprintf(text, sizeof text, "%s, %s, %d threads", backend->name, backend->machine(),
             ons_compute_threads(c));
    return text;
}
