/*
 * Reading. Tensors are sorted by offset to find overlaps in one sweep; names are found by binary search over a
 * sorted index. Several mappings may stand behind one handle (sharded weights).
 */
#include "io/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/memory.h"
#include "io/foreign.h"
#include "io/json.h"

enum { MAX_HEADER = 100 << 20 };

struct ons_safetensors {
    char *path;
    int n_owners;
    ons_map *maps;
    json_t **headers; /* own the names */
    int n_maps;
    ons_file_tensor *tensors;
    int n, capacity;
    int *by_name; /* sorted index */
};

static const struct {
    const char *name;
    ons_dtype type;
} dtypes[] = {
    {"F32", ONS_F32}, {"F16", ONS_F16}, {"BF16", ONS_BF16}, {"F64", ONS_F64},
    {"I32", ONS_I32}, {"I64", ONS_I64}, {"U8", ONS_U8},
};

const char *ons_file_dtype_name(ons_dtype t)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (dtypes[i].type == t)
            return dtypes[i].name;
    return "?";
}

char *ons_file_shape_text(int n_dims, const int64_t *dims, char *buf)
{
    int at = sprintf(buf, "[");

    for (int i = 0; i < n_dims; i++)
        at += sprintf(buf + at, "%s%" PRId64, i ? ", " : "", dims[i]);
    sprintf(buf + at, "]");
    return buf;
}

/* As announced, of a file of 8 bytes at least. */
static uint64_t header_bytes(const ons_map *map)
{
    uint64_t length = 0;

    for (int i = 0; i < 8; i++)
        length |= (uint64_t)map->data[i] << (8 * i);
    return length;
}

static onestep_status read_header(const ons_map *map, json_t **header, uint64_t *data_start)
{
    uint64_t length;
    onestep_status st = ons_refuse_foreign(map);

    *header = NULL;
    if (st != ONESTEP_OK)
        return st;
    if (map->size < 8)
        return ons_fail(ONESTEP_BAD_FILE, "%s: %zu bytes, a safetensors file has at least 8", map->path,
                        map->size);
    length = header_bytes(map);
    if (length > MAX_HEADER)
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: announces a header of %" PRIu64 " bytes, at most %d are accepted: not a "
                        "safetensors file, or damaged",
                        map->path, length, MAX_HEADER);
    if (length > map->size - 8)
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: header of %" PRIu64 " bytes announced, %zu present: cut short, %" PRIu64
                        " bytes are missing; fetch it again",
                        map->path, length, map->size - 8, length - (map->size - 8));
    if ((st = ons_json_parse((const char *)map->data + 8, (size_t)length, map->path, header)) != ONESTEP_OK)
        return st;
    *data_start = 8 + length;
    if (json_is_object(*header))
        return ONESTEP_OK;
    return ons_fail(ONESTEP_BAD_FILE, "%s: the header is no JSON object", map->path);
}

static bool read_dtype(const char *name, ons_dtype *out)
{
    for (size_t i = 0; name && i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (!strcmp(dtypes[i].name, name)) {
            *out = dtypes[i].type;
            return true;
        }
    return false;
}

static onestep_status read_shape(const ons_map *map, const char *name, const json_t *shape, ons_file_tensor *t,
                                 uint64_t *bytes)
{
    if (!json_is_array(shape) || json_array_size(shape) > ONS_FILE_MAX_DIMS)
        return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s has no shape of at most %d dimensions", map->path,
                        name, ONS_FILE_MAX_DIMS);
    *bytes = ons_dtype_size(t->dtype);
    t->n_dims = (int)json_array_size(shape);
    for (int i = 0; i < t->n_dims; i++) {
        const json_t *d = json_array_get(shape, (size_t)i);

        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s has a dimension that is no size", map->path, name);
        t->dims[i] = json_integer_value(d);
        if (!ons_mul_u64(*bytes, (uint64_t)t->dims[i], bytes))
            return ons_fail(ONESTEP_BAD_FILE, "%s: the size of tensor %s overflows", map->path, name);
    }
    return ONESTEP_OK;
}

static onestep_status read_tensor(const ons_map *map, uint64_t data_start, const char *name, const json_t *v,
                                  ons_file_tensor *t)
{
    const json_t *offsets = json_object_get(v, "data_offsets");
    const json_t *b = json_array_get(offsets, 0), *e = json_array_get(offsets, 1);
    uint64_t begin, end, bytes = 0;
    onestep_status st;

    *t = (ons_file_tensor){.name = name};
    if (!read_dtype(json_string_value(json_object_get(v, "dtype")), &t->dtype)) {
        const char *type = json_string_value(json_object_get(v, "dtype"));

        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: tensor %s has type %s; F32, F16, BF16, F64, I32, I64 and U8 are known", map->path,
                        name, type ? type : "(none)");
    }
    if ((st = read_shape(map, name, json_object_get(v, "shape"), t, &bytes)) != ONESTEP_OK)
        return st;
    if (!json_is_integer(b) || !json_is_integer(e) || json_array_size(offsets) != 2 ||
        json_integer_value(b) < 0 || json_integer_value(e) < json_integer_value(b))
        return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s has no valid data_offsets", map->path, name);
    begin = (uint64_t)json_integer_value(b);
    end = (uint64_t)json_integer_value(e);
    if (end - begin != bytes)
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: tensor %s has %" PRIu64 " bytes, its shape and type need %" PRIu64, map->path,
                        name, end - begin, bytes);
    t->data = map->data + data_start + begin;
    t->size = (size_t)bytes;
    return ONESTEP_OK;
}

/* Before a tensor is looked at, so that what is missing of the file is told as a whole. */
static onestep_status check_length(const ons_map *map, uint64_t data_start, const json_t *header)
{
    const uint64_t room = map->size - data_start;
    uint64_t needed = 0;
    const char *name;
    json_t *v;

    json_object_foreach((json_t *)header, name, v)
    {
        const json_t *end = json_array_get(json_object_get(v, "data_offsets"), 1);

        if (json_is_integer(end) && json_integer_value(end) > 0 && (uint64_t)json_integer_value(end) > needed)
            needed = (uint64_t)json_integer_value(end);
    }
    if (needed <= room)
        return ONESTEP_OK;
    return ons_fail(ONESTEP_BAD_FILE,
                    "%s: its tensors take %" PRIu64 " bytes, %" PRIu64 " are there: cut short, %" PRIu64
                    " bytes are missing; fetch it again",
                    map->path, needed, room, needed - room);
}

static onestep_status append(ons_safetensors *f, const ons_file_tensor *t)
{
    if (f->n == f->capacity) {
        int capacity = f->capacity ? 2 * f->capacity : 256;
        ons_file_tensor *grown = ons_realloc(f->tensors, (size_t)capacity * sizeof *grown);

        if (!grown)
            return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its index", f->path);
        f->tensors = grown;
        f->capacity = capacity;
    }
    f->tensors[f->n++] = *t;
    return ONESTEP_OK;
}

static int by_address(const void *a, const void *b)
{
    const ons_file_tensor *x = a, *y = b;

    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return x->size < y->size ? -1 : x->size > y->size;
}

static onestep_status check_overlaps(ons_safetensors *f, int first)
{
    if (f->n == first)
        return ONESTEP_OK;
    qsort(f->tensors + first, (size_t)(f->n - first), sizeof *f->tensors, by_address);
    for (int i = first + 1; i < f->n; i++) {
        const ons_file_tensor *a = &f->tensors[i - 1], *b = &f->tensors[i];

        if ((const char *)a->data + a->size > (const char *)b->data)
            return ons_fail(ONESTEP_BAD_FILE, "%s: tensors %s and %s overlap", f->path, a->name, b->name);
    }
    return ONESTEP_OK;
}

static onestep_status add_file(ons_safetensors *f, const char *path)
{
    int k = f->n_maps, first = f->n;
    uint64_t data_start = 0;
    const char *name;
    json_t *v;
    onestep_status st = ons_map_open(path, &f->maps[k]);

    if (st != ONESTEP_OK)
        return st;
    f->n_maps++;
    if ((st = read_header(&f->maps[k], &f->headers[k], &data_start)) != ONESTEP_OK ||
        (st = check_length(&f->maps[k], data_start, f->headers[k])) != ONESTEP_OK)
        return st;
    json_object_foreach(f->headers[k], name, v)
    {
        ons_file_tensor t;

        if (!strcmp(name, "__metadata__"))
            continue;
        if ((st = read_tensor(&f->maps[k], data_start, name, v, &t)) != ONESTEP_OK ||
            (st = append(f, &t)) != ONESTEP_OK)
            return st;
    }
    return check_overlaps(f, first);
}

static _Thread_local const ons_file_tensor *sorting; /* qsort takes no context */

static int by_name(const void *a, const void *b)
{
    return strcmp(sorting[*(const int *)a].name, sorting[*(const int *)b].name);
}

static onestep_status build_index(ons_safetensors *f)
{
    f->by_name = ons_malloc(((size_t)f->n + 1) * sizeof *f->by_name);
    if (!f->by_name)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its index", f->path);
    for (int i = 0; i < f->n; i++)
        f->by_name[i] = i;
    sorting = f->tensors;
    qsort(f->by_name, (size_t)f->n, sizeof *f->by_name, by_name);
    for (int i = 1; i < f->n; i++)
        if (!strcmp(f->tensors[f->by_name[i]].name, f->tensors[f->by_name[i - 1]].name))
            return ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s occurs twice", f->path,
                            f->tensors[f->by_name[i]].name);
    return ONESTEP_OK;
}

static onestep_status create(const char *path, int n_files, ons_safetensors **out)
{
    ons_safetensors *f = ons_calloc(1, sizeof *f);

    *out = f;
    if (f) {
        f->n_owners = 1;
        f->path = ons_strdup(path);
        f->maps = ons_calloc((size_t)n_files, sizeof *f->maps);
        f->headers = ons_calloc((size_t)n_files, sizeof *f->headers);
    }
    if (f && f->path && f->maps && f->headers)
        return ONESTEP_OK;
    ons_safetensors_close(out);
    return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to open it", path);
}

onestep_status ons_safetensors_open(const char *path, ons_safetensors **out)
{
    onestep_status st;

    ONS_TRY(create(path, 1, out));
    ONS_TRY(add_file(*out, path));
    ONS_TRY(build_index(*out));
    return ONESTEP_OK;
fail:
    ons_safetensors_close(out);
    return st;
}

/* The distinct shard names of an index, each opened once. */
static onestep_status add_shards(ons_safetensors *f, const char *folder, const json_t *map)
{
    json_t *seen = json_object();
    const char *name;
    json_t *v;
    onestep_status st = ONESTEP_OK;

    json_object_foreach((json_t *)map, name, v)
    {
        const char *shard = json_string_value(v);
        char *path;

        if (!shard || strchr(shard, '/') || !strcmp(shard, "..")) {
            st = ons_fail(ONESTEP_BAD_FILE, "%s: tensor %s names no file beside the index", f->path, name);
            break;
        }
        if (json_object_get(seen, shard))
            continue;
        if (json_object_set_new(seen, shard, json_true())) {
            st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its shards", f->path);
            break;
        }
        path = ons_path_join(folder, shard);
        st = path ? add_file(f, path) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
        ons_free(path);
        if (st != ONESTEP_OK)
            break;
    }
    json_decref(seen);
    return st;
}

static onestep_status open_index(const char *folder, const char *index, ons_safetensors **out)
{
    json_t *root = NULL, *map;
    onestep_status st;

    *out = NULL;
    ONS_TRY(ons_json_load(index, &root));
    map = json_object_get(root, "weight_map");
    if (!json_is_object(map)) {
        st = ons_fail(ONESTEP_BAD_FILE, "%s: no weight_map in the index", index);
        goto fail;
    }
    ONS_TRY(create(index, (int)json_object_size(map) + 1, out));
    ONS_TRY(add_shards(*out, folder, map));
    ONS_TRY(build_index(*out));
    json_decref(root);
    return ONESTEP_OK;
fail:
    json_decref(root);
    ons_safetensors_close(out);
    return st;
}

onestep_status ons_safetensors_open_part(const char *folder, const char *base, ons_safetensors **out)
{
    static const char *const endings[] = {".safetensors", ".safetensors.index.json", ".fp16.safetensors",
                                          ".safetensors.index.fp16.json", ".fp16.safetensors.index.json"};
    static const char *const pickles[] = {".bin", ".ckpt", ".pt"};

    *out = NULL;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        char *path = ons_format("%s/%s%s", folder, base, endings[i]);
        bool found = path && ons_path_exists(path);
        onestep_status st = ONESTEP_OK;

        if (!path)
            st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
        else if (found)
            st = strstr(endings[i], ".json") ? open_index(folder, path, out) : ons_safetensors_open(path, out);
        ons_free(path);
        if (found || st != ONESTEP_OK)
            return st;
    }
    for (int i = 0; i < 3; i++) {
        char *path = ons_format("%s/%s%s", folder, base, pickles[i]);
        bool found = path && ons_path_exists(path);

        ons_free(path);
        if (found)
            return ons_fail(
                ONESTEP_BAD_FILE,
                "%s holds %s%s, a Python pickle, which can run code when it is read, so it is never "
                "opened; get the safetensors file, or convert it in Python with safetensors.torch.save_file",
                folder, base, pickles[i]);
    }
    return ons_fail(ONESTEP_NOT_FOUND, "%s: no %s.safetensors", folder, base);
}

void ons_safetensors_close(ons_safetensors **out)
{
    ons_safetensors *f = out ? *out : NULL;

    if (!f)
        return;
    *out = NULL;
    if (--f->n_owners > 0)
        return;
    for (int i = 0; i < f->n_maps; i++) {
        json_decref(f->headers[i]);
        ons_map_close(&f->maps[i]);
    }
    ons_free(f->maps);
    ons_free(f->headers);
    ons_free(f->tensors);
    ons_free(f->by_name);
    ons_free(f->path);
    ons_free(f);
}

ons_safetensors *ons_safetensors_share(ons_safetensors *f)
{
    f->n_owners++;
    return f;
}

void ons_safetensors_forget(const ons_safetensors *f, const ons_file_tensor *t)
{
    for (int i = 0; i < f->n_maps; i++) {
        const ons_map *map = &f->maps[i];
        const uintptr_t start = (uintptr_t)map->data, at = (uintptr_t)t->data;

        if (map->size && at >= start && at < start + map->size)
            ons_map_forget(map, at - start, t->size);
    }
}

void ons_safetensors_fingerprint(const ons_safetensors *f, char hex[65])
{
    ons_sha256 hash;

    ons_sha256_begin(&hash);
    for (int i = 0; i < f->n_maps; i++) {
        const ons_map *map = &f->maps[i];
        const uint64_t size = map->size;

        ons_sha256_add(&hash, &size, sizeof size);
        ons_sha256_add(&hash, &map->modified_ns, sizeof map->modified_ns);
        ons_sha256_add(&hash, map->data, 8 + (size_t)header_bytes(map));
    }
    ons_sha256_end(&hash, hex);
}

const char *ons_safetensors_path(const ons_safetensors *f)
{
    return f->path;
}

int ons_safetensors_count(const ons_safetensors *f)
{
    return f->n;
}

const ons_file_tensor *ons_safetensors_at(const ons_safetensors *f, int i)
{
    return &f->tensors[i];
}

const ons_file_tensor *ons_safetensors_find(const ons_safetensors *f, const char *name)
{
    int low = 0, high = f->n;

    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(f->tensors[f->by_name[middle]].name, name);

        if (order == 0)
            return &f->tensors[f->by_name[middle]];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *ons_safetensors_metadata(const ons_safetensors *f, const char *key)
{
    return json_string_value(json_object_get(json_object_get(f->headers[0], "__metadata__"), key));
}
