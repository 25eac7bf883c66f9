/*
 * Packed weights beside a model. A file that does not fit any more is never an error: the weights are packed as
 * without it, and one line says why and how to make it anew.
 */
#include "pipeline/packed.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/safetensors.h"
#include "pipeline/open_impl.h"
#include "weights/packed_file.h"

enum { N_SETS = 3 };

/* In the order in which a picture needs them. */
static void list_sets(const ons_model *m, ons_packed_set sets[N_SETS])
{
    sets[0] = (ons_packed_set){"text_encoder", m->clip};
    sets[1] = (ons_packed_set){"unet", m->unet};
    sets[2] = (ons_packed_set){"vae", m->vae};
}

/* NULL: no memory. */
static char *packed_path(const char *model)
{
    if (ons_path_is_dir(model))
        return ons_path_join(model, "packed.safetensors");
    return ons_format("%.*s.packed.safetensors", (int)ons_length_without(model, ".safetensors"), model);
}

/* NULL: no memory. */
static char *describe_machine(void)
{
    return ons_format("onestep %s, %s", onestep_version(), ons_backend_default()->machine());
}

static void use_sets(const ons_model *m, const ons_model_sources *s, const char *path, ons_safetensors *file)
{
    ons_packed_set sets[N_SETS];
    const bool replaced[N_SETS] = {false, s->unet != NULL, s->vae || s->taesd};

    list_sets(m, sets);
    for (int i = 0; i < N_SETS; i++) {
        if (ons_params_use_packed_file(sets[i].params, sets[i].name, file) == ONESTEP_OK)
            continue;
        if (replaced[i] && sets[i].params == m->vae) /* the least of the three: not worth a line */
            ons_verbose("%s: not used for another autoencoder", path);
        else
            ons_info("%s: not used for %s: it %s; convert --packed %s", path, sets[i].name,
                     s->n_loras    ? "has a LoRA merged into it"
                     : replaced[i] ? "is another one"
                                   : "has been written since",
                     s->n_loras || replaced[i] ? "with -o DIR makes a folder with both" : "makes it anew");
    }
}

void ons_model_use_packed(ons_model *m, const ons_model_sources *s)
{
    char *path = packed_path(s->model), *machine = describe_machine();
    ons_safetensors *file = NULL;

    if (path && machine && !s->no_packed && ons_path_exists(path)) {
        if (ons_packed_file_open(path, machine, &file) == ONESTEP_OK)
            use_sets(m, s, path, file);
        else
            ons_info("not used: %s; convert --packed makes it anew", onestep_error_text());
    }
    ons_safetensors_close(&file);
    ons_free(path);
    ons_free(machine);
}

static onestep_status announce_guided(ons_model *m, ons_runner *r, double guidance)
{
    ons_request q;
    ons_resolved set;
    onestep_status st;

    ons_request_init(&q);
    q.guidance = guidance;
    ONS_TRY(ons_request_resolve(m, &q, &set));
    st = ons_runner_announce(r, &set);
fail:
    return st;
}

/* As generate would run it; where that is with guidance, without it as well. */
static onestep_status announce(ons_model *m, ons_runner *r)
{
    onestep_status st;

    ONS_TRY(announce_guided(m, r, -1));
    if (m->card.guidance != 0 && m->card.guidance != 1)
        st = announce_guided(m, r, 1);
fail:
    return st;
}

static onestep_status write_file(const ons_model *m, const ons_runner_options *o, const char *path)
{
    int width = o->width, height = o->height;
    char *machine = describe_machine(), *made_for = NULL;
    ons_packed_set sets[N_SETS];
    onestep_status st;

    list_sets(m, sets);
    ONS_TRY(ons_size_resolve(m, &width, &height));
    made_for = ons_format("%s, %dx%d", ons_dtype_name(o->compute.type), width, height);
    st = machine && made_for ? ons_packed_file_write(path, machine, made_for, sets, N_SETS)
                             : ons_fail(ONESTEP_NO_MEMORY, "no memory to describe packed weights");
fail:
    ons_free(machine);
    ons_free(made_for);
    return st;
}

onestep_status ons_model_write_packed(ons_model *m, const ons_runner_options *o, char **path, size_t *bytes)
{
    ons_runner *r = NULL;
    onestep_status st;

    *path = packed_path(m->path);
    if (!*path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_runner_create(m, o, &r));
    ONS_TRY(announce(m, r));
    *bytes =
        ons_params_packed_bytes(m->clip) + ons_params_packed_bytes(m->unet) + ons_params_packed_bytes(m->vae);
    st = write_file(m, o, *path);
fail:
    ons_runner_destroy(&r);
    if (st != ONESTEP_OK) {
        ons_free(*path);
        *path = NULL;
    }
    return st;
}
