/* Writing: header first, then tensors in the declared order; the file appears under its name when it is
 * complete. */
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/json.h"
#include "io/safetensors.h"

struct ons_safetensors_writer {
    json_t *header, *metadata;
    uint64_t declared, written; /* bytes of data */
    size_t alignment;           /* of the first; 0: 8 */
    ons_writer file;
};

onestep_status ons_safetensors_writer_create(ons_safetensors_writer **out)
{
    ons_safetensors_writer *w = ons_calloc(1, sizeof *w);

    *out = w;
    if (w) {
        w->header = json_object();
        w->metadata = json_object();
    }
    if (w && w->header && w->metadata)
        return ONESTEP_OK;
    ons_safetensors_writer_destroy(out);
    return ons_fail(ONESTEP_NO_MEMORY, "no memory to write tensors");
}

void ons_safetensors_writer_destroy(ons_safetensors_writer **w)
{
    if (!w || !*w)
        return;
    json_decref((*w)->header);
    json_decref((*w)->metadata);
    ons_writer_abort(&(*w)->file);
    ons_free(*w);
    *w = NULL;
}

/* NULL: no memory. */
static json_t *make_shape(int n_dims, const int64_t *dims)
{
    json_t *shape = json_array();

    for (int i = 0; shape && i < n_dims; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)dims[i]))) {
            json_decref(shape);
            return NULL;
        }
    return shape;
}

onestep_status ons_safetensors_writer_add(ons_safetensors_writer *w, const char *name, ons_dtype dtype,
                                          int n_dims, const int64_t *dims)
{
    json_t *shape = make_shape(n_dims, dims), *entry = NULL;
    uint64_t bytes = ons_dtype_size(dtype);

    for (int i = 0; i < n_dims; i++)
        bytes *= (uint64_t)dims[i];
    if (shape) /* which the entry takes over, or releases on failure */
        entry = json_pack("{s:s, s:o, s:[I,I]}", "dtype", ons_file_dtype_name(dtype), "shape", shape,
                          "data_offsets", (json_int_t)w->declared, (json_int_t)(w->declared + bytes));
    if (!entry || json_object_set_new(w->header, name, entry))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to write tensors");
    w->declared += bytes;
    return ONESTEP_OK;
}

onestep_status ons_safetensors_writer_metadata(ons_safetensors_writer *w, const char *key, const char *value)
{
    if (json_object_set_new(w->metadata, key, json_string(value)))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to write metadata, or it is not UTF-8");
    return ONESTEP_OK;
}

void ons_safetensors_writer_align(ons_safetensors_writer *w, size_t alignment)
{
    w->alignment = alignment;
}

static onestep_status write_spaces(ons_writer *w, size_t n)
{
    static const char spaces[] = "                                ";
    onestep_status st = ONESTEP_OK;

    for (size_t part; n && st == ONESTEP_OK; n -= part) {
        part = n < sizeof spaces - 1 ? n : sizeof spaces - 1;
        st = ons_writer_write(w, spaces, part);
    }
    return st;
}

/* The header is padded with spaces so that the data starts where it is to. */
onestep_status ons_safetensors_writer_begin(ons_safetensors_writer *w, const char *path)
{
    unsigned char prefix[8];
    char *text;
    const size_t alignment = w->alignment ? w->alignment : 8;
    size_t length, padded;
    onestep_status st;

    if (json_object_size(w->metadata) && json_object_set(w->header, "__metadata__", w->metadata))
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for the header", path);
    text = ons_json_dump(w->header, JSON_COMPACT);
    if (!text)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for the header", path);
    length = strlen(text);
    padded = (sizeof prefix + length + alignment - 1) / alignment * alignment - sizeof prefix;
    for (int i = 0; i < 8; i++)
        prefix[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    ONS_TRY(ons_writer_open(path, &w->file));
    ONS_TRY(ons_writer_write(&w->file, prefix, sizeof prefix));
    ONS_TRY(ons_writer_write(&w->file, text, length));
    ONS_TRY(write_spaces(&w->file, padded - length));
fail:
    ons_free(text);
    return st;
}

onestep_status ons_safetensors_writer_data(ons_safetensors_writer *w, const void *data, size_t size)
{
    w->written += size;
    return ons_writer_write(&w->file, data, size);
}

onestep_status ons_safetensors_writer_commit(ons_safetensors_writer *w)
{
    if (w->written != w->declared)
        return ons_fail(ONESTEP_INTERNAL, "%" PRIu64 " bytes of tensors written, %" PRIu64 " declared",
                        w->written, w->declared);
    return ons_writer_commit(&w->file);
}
