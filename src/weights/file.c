/* Weight sets from and to safetensors. Files keep convolutions as [out, in, kh, kw]; a linear weight may also
 * be [out, in, 1, 1]. */
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/safetensors.h"
#include "weights/private.h"

/* Shape in file order. */
static int file_dims(const ons_param *p, int64_t dims[ONS_MAX_DIMS])
{
    static const int to_file[] = {0, 3, 1, 2};

    for (int i = 0; i < p->shape.n; i++)
        dims[i] = p->shape.d[p->kind == ONS_PARAM_CONV ? to_file[i] : i];
    return p->shape.n;
}

/* Equal up to trailing dimensions of 1; `n_parts` times the rows. */
static bool same_dims(const ons_file_tensor *t, const int64_t *dims, int n, int n_parts)
{
    for (int i = 0; i < n || i < t->n_dims; i++)
        if ((i < t->n_dims ? t->dims[i] : 1) != (i < n ? dims[i] : 1) * (i == 0 ? n_parts : 1))
            return false;
    return true;
}

static onestep_status check_tensor(const ons_safetensors *file, const ons_param *p, const char *name,
                                   const ons_file_tensor *t, int n_parts)
{
    int64_t dims[ONS_MAX_DIMS];
    char have[176], want[176];
    int n = file_dims(p, dims);

    if (!t)
        return ons_fail(ONESTEP_NOT_FOUND, "%s: tensor %s is missing; the configuration asks for it",
                        ons_safetensors_path(file), name);
    if (!same_dims(t, dims, n, n_parts))
        return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s has shape %s, the configuration asks for %s%s",
                        ons_safetensors_path(file), name, ons_file_shape_text(t->n_dims, t->dims, have),
                        ons_file_shape_text(n, dims, want), n_parts > 1 ? " (three of these in one)" : "");
    if (t->dtype != ONS_F32 && t->dtype != ONS_F16 && t->dtype != ONS_BF16 && t->dtype != ONS_F64)
        return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s is of type %s, a float type is expected",
                        ons_safetensors_path(file), name, ons_file_dtype_name(t->dtype));
    return ONESTEP_OK;
}

/* Where parameter `name` stands, under its own name or another spelling; the name alone when it stands nowhere.
 */
static const ons_file_tensor *find_tensor(const ons_safetensors *file, const char *name,
                                          const ons_spelling *spelling, ons_place_in_file *place)
{
    const ons_file_tensor *t = ons_safetensors_find(file, name);

    *place = (ons_place_in_file){.n_parts = 1};
    for (int i = 0; !t && spelling && spelling->place(spelling->context, name, i, place); i++)
        t = ons_safetensors_find(file, place->name);
    return t;
}

static onestep_status locate(ons_params *p, int i, ons_safetensors *file, const char *name,
                             const ons_spelling *spelling)
{
    ons_place_in_file place;
    const ons_file_tensor *t = find_tensor(file, name, spelling, &place);
    onestep_status st = check_tensor(file, &p->rows[i], t ? t->name : name, t, place.n_parts);

    if (st == ONESTEP_OK)
        p->origins[i] = (ons_origin){.tensor = t, .file = file, .part = place.part};
    return st;
}

/* The set as one more owner of the file. */
static onestep_status keep_file(ons_params *p, ons_safetensors *file)
{
    ons_safetensors **grown = ons_realloc(p->files, ((size_t)p->n_files + 1) * sizeof(*grown));

    if (grown)
        p->files = grown;
    if (!p->origins)
        p->origins = ons_calloc((size_t)p->n + 1, sizeof *p->origins);
    if (!grown || !p->origins)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its weights", ons_safetensors_path(file));
    p->files[p->n_files++] = ons_safetensors_share(file);
    return ONESTEP_OK;
}

static onestep_status map_all(ons_params *p, ons_safetensors *file, const char *prefix,
                              const ons_spelling *spelling)
{
    const char *only = spelling ? spelling->only : NULL;
    onestep_status st;

    ONS_TRY(ons_params_allocate(p));
    ons_expect_sparse(p->region, true);
    ONS_TRY(keep_file(p, file));
    for (int i = 0; i < p->n; i++) {
        char *name;

        if (only && strncmp(p->rows[i].name, only, strlen(only)))
            continue;
        name = ons_format("%s%s", prefix, p->rows[i].name);
        st = name ? locate(p, i, file, name, spelling) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a name");
        ons_free(name);
        if (st != ONESTEP_OK)
            goto fail;
    }
    if (p->n < ons_safetensors_count(file) && !(spelling && spelling->among_others))
        ons_verbose("%s: %d tensors that nothing asks for", ons_safetensors_path(file),
                    ons_safetensors_count(file) - p->n);
    ons_params_touch(p);
    p->mapped_version = p->version;
    return ONESTEP_OK;
fail:
    ons_params_forget_files(p);
    return st;
}

onestep_status ons_params_load(ons_params *p, struct ons_safetensors *file, const char *prefix)
{
    onestep_status st = map_all(p, file, prefix, NULL);

    if (st != ONESTEP_OK)
        return st;
    ons_params_region(p);
    ons_params_forget_files(p);
    return ONESTEP_OK;
}

onestep_status ons_params_map(ons_params *p, struct ons_safetensors *file, const ons_spelling *spelling)
{
    return map_all(p, file, "", spelling);
}

/* The row as it is saved: borrowed for that time when it is still in a file. */
static onestep_status write_one(ons_params *p, int i, ons_dtype dtype, ons_safetensors_writer *w)
{
    const ons_param *row = &p->rows[i];
    const float *src = ons_params_borrow(p, i);
    size_t n = (size_t)ons_shape_count(&row->shape);
    float *buffer = ons_malloc(n * sizeof *buffer + 1);
    void *out = ons_malloc(n * ons_dtype_size(dtype) + 1);
    onestep_status st = ONESTEP_OK;

    if (!buffer || !out) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to write %s", row->name);
        goto fail;
    }
    if (row->kind == ONS_PARAM_CONV)
        ons_param_to_file(row, buffer, src);
    else
        memcpy(buffer, src, n * sizeof *buffer);
    ons_convert(out, dtype, buffer, ONS_F32, n);
    st = ons_safetensors_writer_data(w, out, n * ons_dtype_size(dtype));
fail:
    ons_free(buffer);
    ons_free(out);
    return st;
}

onestep_status ons_params_save(ons_params *p, const char *path, ons_dtype dtype)
{
    ons_safetensors_writer *w = NULL;
    onestep_status st;

    ONS_TRY(ons_safetensors_writer_create(&w));
    ONS_TRY(ons_safetensors_writer_metadata(w, "format", "pt"));
    for (int i = 0; i < p->n; i++) {
        int64_t dims[ONS_MAX_DIMS];
        int n = file_dims(&p->rows[i], dims);

        ONS_TRY(ons_safetensors_writer_add(w, p->rows[i].name, dtype, n, dims));
    }
    ONS_TRY(ons_safetensors_writer_begin(w, path));
    for (int i = 0; i < p->n; i++)
        ONS_TRY(write_one(p, i, dtype, w));
    st = ons_safetensors_writer_commit(w);
fail:
    ons_params_end_borrowing(p);
    ons_safetensors_writer_destroy(&w);
    return st;
}
