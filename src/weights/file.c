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

/* Equal up to trailing dimensions of 1. */
static bool same_dims(const ons_file_tensor *t, const int64_t *dims, int n)
{
    for (int i = 0; i < n || i < t->n_dims; i++)
        if ((i < t->n_dims ? t->dims[i] : 1) != (i < n ? dims[i] : 1))
            return false;
    return true;
}

static onestep_status check_tensor(const ons_safetensors *file, const ons_param *p, const char *name,
                                   const ons_file_tensor *t)
{
    int64_t dims[ONS_MAX_DIMS];
    char have[176], want[176];
    int n = file_dims(p, dims);

    if (!t)
        return ons_fail(ONESTEP_NOT_FOUND, "%s: tensor %s is missing; the configuration asks for it",
                        ons_safetensors_path(file), name);
    if (!same_dims(t, dims, n))
        return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s has shape %s, the configuration asks for %s",
                        ons_safetensors_path(file), name, ons_file_shape_text(t->n_dims, t->dims, have),
                        ons_file_shape_text(n, dims, want));
    if (t->dtype != ONS_F32 && t->dtype != ONS_F16 && t->dtype != ONS_BF16 && t->dtype != ONS_F64)
        return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s is of type %s, a float type is expected",
                        ons_safetensors_path(file), name, ons_file_dtype_name(t->dtype));
    return ONESTEP_OK;
}

/* OIHW -> OHWI, or back: both move one axis across a plane, per output channel. */
static void permute(float *dst, const float *src, const ons_shape *ohwi, bool to_engine)
{
    int64_t o = ohwi->d[0], plane = ohwi->d[1] * ohwi->d[2], in = ohwi->d[3];

    if (to_engine)
        ons_nchw_to_nhwc(dst, src, o, in, plane, 1);
    else
        ons_nhwc_to_nchw(dst, src, o, in, plane, 1);
}

static onestep_status load_one(ons_params *p, int i, const ons_file_tensor *t)
{
    const ons_param *row = ons_params_at(p, i);
    size_t n = (size_t)ons_shape_count(&row->shape);
    float *buffer = ons_malloc(n * sizeof *buffer + 1);
    void *aligned = ons_malloc(t->size + 1);

    if (!buffer || !aligned) {
        ons_free(buffer);
        ons_free(aligned);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to read %s", row->name);
    }
    memcpy(aligned, t->data, t->size); /* the mapping gives no alignment */
    ons_convert(buffer, ONS_F32, aligned, t->dtype, n);
    if (row->kind == ONS_PARAM_CONV)
        permute(ons_params_data(p, i), buffer, &row->shape, true);
    else
        memcpy(ons_params_data(p, i), buffer, n * sizeof *buffer);
    ons_free(buffer);
    ons_free(aligned);
    return ONESTEP_OK;
}

/* The tensor of parameter `i` under its name or its alias; NULL: neither is there. */
static const ons_file_tensor *find_tensor(const ons_safetensors *file, const char *name, ons_alias_fn alias)
{
    const ons_file_tensor *t = ons_safetensors_find(file, name);
    char other[400];

    return !t && alias && alias(name, other, sizeof other) ? ons_safetensors_find(file, other) : t;
}

static onestep_status load_all(ons_params *p, const ons_safetensors *file, const char *prefix,
                               ons_alias_fn alias)
{
    for (int i = 0; i < p->n; i++) {
        char *name = ons_format("%s%s", prefix, p->rows[i].name);
        const ons_file_tensor *t = name ? find_tensor(file, name, alias) : NULL;
        onestep_status st = name ? check_tensor(file, &p->rows[i], t ? t->name : name, t)
                                 : ons_fail(ONESTEP_NO_MEMORY, "no memory for a name");

        ons_free(name);
        if (st != ONESTEP_OK || (st = load_one(p, i, t)) != ONESTEP_OK)
            return st;
    }
    if (p->n < ons_safetensors_count(file))
        ons_verbose("%s: %d tensors that nothing asks for", ons_safetensors_path(file),
                    ons_safetensors_count(file) - p->n);
    ons_params_touch(p);
    return ONESTEP_OK;
}

onestep_status ons_params_load(ons_params *p, const struct ons_safetensors *file, const char *prefix)
{
    return load_all(p, file, prefix, NULL);
}

onestep_status ons_params_load_aliased(ons_params *p, const struct ons_safetensors *file, ons_alias_fn alias)
{
    return load_all(p, file, "", alias);
}

static onestep_status write_one(const ons_params *p, int i, ons_dtype dtype, ons_safetensors_writer *w)
{
    const ons_param *row = &p->rows[i];
    const float *src = p->region + row->offset;
    size_t n = (size_t)ons_shape_count(&row->shape);
    float *buffer = ons_malloc(n * sizeof *buffer + 1);
    void *out = ons_malloc(n * ons_dtype_size(dtype) + 1);
    onestep_status st = ONESTEP_OK;

    if (!buffer || !out) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to write %s", row->name);
        goto fail;
    }
    if (row->kind == ONS_PARAM_CONV)
        permute(buffer, src, &row->shape, false);
    else
        memcpy(buffer, src, n * sizeof *buffer);
    ons_convert(out, dtype, buffer, ONS_F32, n);
    st = ons_safetensors_writer_data(w, out, n * ons_dtype_size(dtype));
fail:
    ons_free(buffer);
    ons_free(out);
    return st;
}

onestep_status ons_params_save(const ons_params *p, const char *path, ons_dtype dtype)
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
    ons_safetensors_writer_destroy(&w);
    return st;
}
