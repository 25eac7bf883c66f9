/* Packed copies in a file: writing, checking, finding. */
#include "weights/packed_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/safetensors.h"
#include "weights/private.h"

enum { PAGE = 4096, ALIGNMENT = 64 };

/* NULL: no memory. */
static char *copy_name(const ons_params *p, const char *set, const ons_packed *k)
{
    return ons_format("%s/%s/%s/%zu", set, p->rows[k->index].name, k->layout, k->size_bytes);
}

static size_t whole_pages(size_t bytes)
{
    return (bytes + PAGE - 1) / PAGE * PAGE;
}

static void hash_text(ons_sha256 *h, const char *text)
{
    ons_sha256_add(h, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void hash_copy(ons_sha256 *h, const char *name, uint64_t size)
{
    hash_text(h, name);
    ons_sha256_add(h, &size, sizeof size);
}

/* Values as they were when the last of the set's files was mapped. */
static bool is_as_mapped(const ons_params *p)
{
    return p->n_files && p->version == p->mapped_version;
}

static void fingerprint(const ons_params *p, char hex[65])
{
    ons_sha256 hash;

    ons_sha256_begin(&hash);
    for (int i = 0; i < p->n_files; i++) {
        ons_safetensors_fingerprint(p->files[i], hex);
        hash_text(&hash, hex);
    }
    ons_sha256_end(&hash, hex);
}

static onestep_status add_metadata(ons_safetensors_writer *w, ons_sha256 *table, const char *key,
                                   const char *value)
{
    hash_text(table, value);
    return ons_safetensors_writer_metadata(w, key, value);
}

static onestep_status declare_source(ons_safetensors_writer *w, const ons_packed_set *s)
{
    char *key = ons_format("source %s", s->name), hex[65];
    onestep_status st;

    if (!key)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a name");
    fingerprint(s->params, hex);
    st = ons_safetensors_writer_metadata(w, key, hex);
    ons_free(key);
    return st;
}

static onestep_status declare_copies(ons_safetensors_writer *w, ons_sha256 *table, const ons_packed_set *s)
{
    onestep_status st = ONESTEP_OK;

    for (const ons_packed *k = s->params->packed; k && st == ONESTEP_OK; k = k->next) {
        const int64_t size = (int64_t)whole_pages(k->size_bytes);
        char *name = copy_name(s->params, s->name, k);

        st = name ? ons_safetensors_writer_add(w, name, ONS_U8, 1, &size)
                  : ons_fail(ONESTEP_NO_MEMORY, "no memory for a name");
        if (name)
            hash_copy(table, name, (uint64_t)size);
        ons_free(name);
    }
    return st;
}

/* The whole table, its checksum last. */
static onestep_status declare(ons_safetensors_writer *w, const char *machine, const char *made_for,
                              const ons_packed_set *sets, int n_sets)
{
    char hex[65], format[16];
    ons_sha256 table;
    onestep_status st;

    ons_sha256_begin(&table);
    snprintf(format, sizeof format, "%d", ONS_PACKED_FORMAT);
    ONS_TRY(add_metadata(w, &table, "packed_format", format));
    ONS_TRY(add_metadata(w, &table, "machine", machine));
    ONS_TRY(add_metadata(w, &table, "made_for", made_for));
    for (int i = 0; i < n_sets; i++)
        ONS_TRY(declare_source(w, &sets[i]));
    for (int i = 0; i < n_sets; i++)
        ONS_TRY(declare_copies(w, &table, &sets[i]));
    ons_sha256_end(&table, hex);
    st = ons_safetensors_writer_metadata(w, "table", hex);
fail:
    return st;
}

static onestep_status write_copies(ons_safetensors_writer *w, ons_params *p)
{
    size_t largest = 0;
    char *buffer;
    onestep_status st = ONESTEP_OK;

    for (const ons_packed *k = p->packed; k; k = k->next)
        if (whole_pages(k->size_bytes) > largest)
            largest = whole_pages(k->size_bytes);
    buffer = ons_calloc_aligned(largest);
    if (!buffer)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to pack weights (%zu bytes)", largest);
    for (const ons_packed *k = p->packed; k && st == ONESTEP_OK; k = k->next) {
        memset(buffer, 0, whole_pages(k->size_bytes)); /* packers leave gaps alone */
        ons_packed_fill(p, k, buffer);
        st = ons_safetensors_writer_data(w, buffer, whole_pages(k->size_bytes));
    }
    ons_params_end_borrowing(p);
    ons_free_aligned(buffer);
    return st;
}

onestep_status ons_packed_file_write(const char *path, const char *machine, const char *made_for,
                                     const ons_packed_set *sets, int n_sets)
{
    ons_safetensors_writer *w = NULL;
    onestep_status st;

    for (int i = 0; i < n_sets; i++)
        if (!is_as_mapped(sets[i].params))
            return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: the weights of %s are not those of a file any more",
                            path, sets[i].name);
    ONS_TRY(ons_safetensors_writer_create(&w));
    ONS_TRY(declare(w, machine, made_for, sets, n_sets));
    ons_safetensors_writer_align(w, PAGE);
    ONS_TRY(ons_safetensors_writer_begin(w, path));
    for (int i = 0; i < n_sets; i++)
        ONS_TRY(write_copies(w, sets[i].params));
    st = ons_safetensors_writer_commit(w);
fail:
    ons_safetensors_writer_destroy(&w);
    return st;
}

static onestep_status check_table(const ons_safetensors *f, const char *path)
{
    const char *stated = ons_safetensors_metadata(f, "table");
    ons_sha256 table;
    char hex[65];

    ons_sha256_begin(&table);
    hash_text(&table, ons_safetensors_metadata(f, "packed_format"));
    hash_text(&table, ons_safetensors_metadata(f, "machine"));
    hash_text(&table, ons_safetensors_metadata(f, "made_for"));
    for (int i = 0; i < ons_safetensors_count(f); i++) {
        const ons_file_tensor *t = ons_safetensors_at(f, i);

        if (t->dtype != ONS_U8 || !t->size || t->size % PAGE || (uintptr_t)t->data % ALIGNMENT)
            return ons_fail(ONESTEP_BAD_FILE, "%s: damaged: %s is not a run of whole pages", path, t->name);
        hash_copy(&table, t->name, t->size);
    }
    ons_sha256_end(&table, hex);
    if (stated && !strcmp(stated, hex))
        return ONESTEP_OK;
    return ons_fail(ONESTEP_BAD_FILE, "%s: damaged: its table does not have the checksum that it states", path);
}

static onestep_status check(const ons_safetensors *f, const char *path, const char *machine)
{
    const char *format = ons_safetensors_metadata(f, "packed_format"),
               *other = ons_safetensors_metadata(f, "machine");
    char own[16];

    if (!format || !other)
        return ons_fail(ONESTEP_BAD_FILE, "%s: holds no packed weights", path);
    snprintf(own, sizeof own, "%d", ONS_PACKED_FORMAT);
    if (strcmp(format, own))
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: is of format %s, this program's is %s", path, format, own);
    if (strcmp(other, machine))
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: was made on %s, this is %s", path, other, machine);
    return check_table(f, path);
}

onestep_status ons_packed_file_open(const char *path, const char *machine, ons_safetensors **out)
{
    onestep_status st = ons_safetensors_open(path, out);

    if (st == ONESTEP_OK && (st = check(*out, path, machine)) != ONESTEP_OK)
        ons_safetensors_close(out);
    return st;
}

onestep_status ons_params_use_packed_file(ons_params *p, const char *set, ons_safetensors *file)
{
    char *key = ons_format("source %s", set), hex[65];
    const char *source = key ? ons_safetensors_metadata(file, key) : NULL;

    ons_free(key);
    if (!is_as_mapped(p))
        return ons_fail(ONESTEP_UNSUPPORTED, "%s was changed after it was read", set);
    fingerprint(p, hex);
    if (!source || strcmp(source, hex))
        return ons_fail(ONESTEP_UNSUPPORTED, "%s comes from another file, or from one that was written since",
                        set);
    ons_params_leave_packed_file(p);
    p->stock_set = ons_strdup(set);
    if (!p->stock_set)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a name");
    p->stock = ons_safetensors_share(file);
    p->stock_version = p->version;
    return ONESTEP_OK;
}

void ons_params_leave_packed_file(ons_params *p)
{
    ons_free(p->stock_set);
    ons_safetensors_close(&p->stock);
    p->stock_set = NULL;
}

const ons_file_tensor *ons_packed_stocked(const ons_params *p, const ons_packed *k)
{
    const bool current = p->stock && p->stock_version == p->version;
    char *name = current ? copy_name(p, p->stock_set, k) : NULL;
    const ons_file_tensor *t = name ? ons_safetensors_find(p->stock, name) : NULL;

    ons_free(name);
    return t && t->size >= k->size_bytes ? t : NULL;
}

size_t ons_params_stocked_bytes(const ons_params *p, const char **made_for)
{
    size_t bytes = 0;

    *made_for = p->stock ? ons_safetensors_metadata(p->stock, "made_for") : NULL;
    for (const ons_packed *k = p->packed; k; k = k->next)
        if (ons_packed_stocked(p, k))
            bytes += k->size_bytes;
    return bytes;
}
