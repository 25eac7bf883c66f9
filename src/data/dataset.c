/*
 * The data set object: what kind `path` is, items, and the decoding of their pictures.
 *
 * Readers add items with pictures still to be decoded; decoding then runs on several threads, in batches, and
 * the items whose picture turned out broken are dropped. Everything stays in memory: at the sizes trained here
 * (64x64) a hundred thousand pictures are 1.2 GB, and no draw ever waits for a disk.
 */
#include "data/parts.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/parallel.h"
#include "base/system.h"
#include "base/text.h"
#include "data/picture.h"

enum { N_WARNINGS = 5 };

static onestep_status report_no_memory(void)
{
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the data set");
}

static onestep_status reserve(void **list, size_t n, size_t *capacity, size_t element_bytes)
{
    if (n < *capacity)
        return ONESTEP_OK;
    const size_t wanted = *capacity ? 2 * *capacity : 256;
    void *p = ons_realloc(*list, wanted * element_bytes);
    if (!p)
        return report_no_memory();
    *list = p;
    *capacity = wanted;
    return ONESTEP_OK;
}

static onestep_status push_pending(ons_dataset *d, ons_source *source)
{
    ons_pending p = {.item = d->n - 1, .bytes = source->bytes, .size = source->size};
    onestep_status st = reserve((void **)&d->pending, d->n_pending, &d->pending_capacity, sizeof p);
    if (st != ONESTEP_OK)
        return st;
    if (source->path && !(p.path = ons_strdup(source->path)))
        return report_no_memory();
    source->bytes = NULL;
    d->pending_bytes += p.size;
    d->pending[d->n_pending++] = p;
    return ONESTEP_OK;
}

/* Runs on any thread: leaves rgb or problem. */
static onestep_status decode_pending(ons_pending *p, int size)
{
    onestep_status st;
    char *file = NULL;
    const void *bytes = p->bytes;
    size_t n_bytes = p->size;

    if (p->path) {
        ONS_TRY(ons_read_file(p->path, ONS_MAX_PICTURE_FILE, &file, &n_bytes));
        bytes = file;
    }
    st = ons_picture_fit(bytes, n_bytes, p->path ? p->path : "picture", size, &p->rgb);
fail:
    ons_free(file);
    if (st != ONESTEP_OK)
        p->problem = ons_strdup(onestep_error_text());
    return st;
}

static void free_pending(ons_pending *p)
{
    ons_free(p->path);
    ons_free(p->bytes);
    ons_free(p->problem);
}

/* Hands the pictures to their items; broken ones are named and marked by an id of NULL. */
static void settle_pending(ons_dataset *d)
{
    for (size_t i = 0; i < d->n_pending; i++) {
        ons_pending *p = &d->pending[i];
        ons_item *item = &d->items[p->item];
        item->rgb = p->rgb;
        if (!p->rgb) {
            if (d->n_broken++ < N_WARNINGS)
                ons_warn("%s is left out: %s", item->id, p->problem ? p->problem : "no memory");
            item->id = NULL;
        }
        free_pending(p);
    }
    d->n_pending = d->pending_bytes = 0;
}

typedef struct decode_job {
    ons_dataset *data;
    _Atomic size_t next; /* pictures differ in size: whoever is free takes one */
    atomic_bool no_memory;
} decode_job;

static void decode_pictures(void *context, int piece, int n_pieces)
{
    decode_job *j = context;
    size_t i;

    (void)piece;
    (void)n_pieces;
    while ((i = atomic_fetch_add(&j->next, 1)) < j->data->n_pending)
        if (decode_pending(&j->data->pending[i], j->data->size) == ONESTEP_NO_MEMORY)
            atomic_store(&j->no_memory, true);
}

/* Decodes what is pending, drops the items whose picture is broken. */
static onestep_status flush_pending(ons_dataset *d)
{
    decode_job j = {.data = d};

    ons_parallel(d->n_pending > 1 ? d->n_threads : 1, decode_pictures, &j);
    settle_pending(d);
    size_t kept = 0;
    for (size_t i = 0; i < d->n; i++)
        if (d->items[i].id)
            d->items[kept++] = d->items[i];
    d->n = kept;
    return j.no_memory ? report_no_memory() : ONESTEP_OK;
}

onestep_status ons_dataset_add(ons_dataset *d, const char *id, const ons_caption_list *captions,
                               ons_traits traits, ons_source source)
{
    onestep_status st = ONESTEP_OK;
    ons_item item = {.heldout = traits.heldout,
                     .repeats = traits.repeats ? traits.repeats : 1,
                     .n_captions = (int)captions->n};

    if (captions->n == 0)
        d->n_without_caption++;
    if (captions->n == 0 || (item.heldout && !d->include_heldout))
        goto fail;
    ONS_TRY(reserve((void **)&d->items, d->n, &d->capacity, sizeof item));
    const char **list = ons_arena_alloc(d->arena, captions->n * sizeof *list);
    item.id = ons_arena_strdup(d->arena, id);
    if (!list || !item.id) {
        st = report_no_memory();
        goto fail;
    }
    memcpy(list, captions->at, captions->n * sizeof *list);
    item.captions = list;
    d->items[d->n++] = item;
    if (d->size > 0 && (source.path || source.bytes))
        ONS_TRY(push_pending(d, &source));
    if (d->pending_bytes > (size_t)64 << 20)
        ONS_TRY(flush_pending(d));
fail:
    ons_free(source.bytes);
    return st;
}

bool ons_is_picture_name(const char *name)
{
    return ons_ends_with_any_case(name, ".png") || ons_ends_with_any_case(name, ".jpg") ||
           ons_ends_with_any_case(name, ".jpeg");
}

bool ons_is_tar_name(const char *name)
{
    return ons_ends_with_any_case(name, ".tar") || ons_ends_with_any_case(name, ".tar.gz") ||
           ons_ends_with_any_case(name, ".tgz");
}

static onestep_status read_path(ons_dataset *d, const char *path)
{
    onestep_status st;
    if (!ons_path_exists(path))
        return ons_fail(ONESTEP_NOT_FOUND, "%s: no such data set", path);
    if (ons_path_is_dir(path)) {
        d->has_pictures = d->size > 0;
        ONS_TRY(ons_open_folder(d, path, 0));
        ONS_TRY(ons_read_list(d, path, "heldout.txt", &d->heldout, &d->n_heldout));
        ONS_TRY(ons_read_list(d, path, "ambiguous.txt", &d->ambiguous, &d->n_ambiguous));
    } else if (ons_is_tar_name(path)) {
        d->has_pictures = d->size > 0;
        ONS_TRY(ons_open_tar(d, path));
    } else {
        ONS_TRY(ons_open_captions(d, path));
    }
    st = flush_pending(d);
fail:
    return st;
}

/* The list that weighted draws permute; none for the usual set, whose items all repeat once. */
static onestep_status lay_out_epoch(ons_dataset *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->n; i++)
        n += (size_t)d->items[i].repeats;
    d->n_order = n;
    if (n == d->n)
        return ONESTEP_OK;
    if (n > UINT32_MAX || !(d->order = ons_calloc(n, sizeof *d->order)))
        return report_no_memory();
    n = 0;
    for (size_t i = 0; i < d->n; i++)
        for (int k = 0; k < d->items[i].repeats; k++)
            d->order[n++] = (uint32_t)i;
    return ONESTEP_OK;
}

static onestep_status report_findings(const ons_dataset *d, const char *path)
{
    if (d->n_broken > N_WARNINGS)
        ons_warn("%s: %d broken pictures left out in all", path, d->n_broken);
    if (d->n_without_caption)
        ons_warn("%s: %d pictures without a caption left out", path, d->n_without_caption);
    if (d->n == 0)
        return ons_fail(
            ONESTEP_BAD_FILE,
            "%s: nothing to use here (%d broken pictures, %d without a caption); expected PNG or JPEG files "
            "with NAME.txt beside each or a metadata.jsonl, .tar shards, or a text file of captions",
            path, d->n_broken, d->n_without_caption);
    return ONESTEP_OK;
}

onestep_status ons_dataset_open(const char *path, const ons_dataset_options *options, ons_dataset **out)
{
    onestep_status st;
    ons_dataset *d = ons_calloc(1, sizeof *d);

    *out = NULL;
    if (!d || !(d->arena = ons_arena_create())) {
        st = report_no_memory();
        goto fail;
    }
    if (options->size < 0 || options->size > 8192) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT, "pictures of %d pixels: 0 (captions alone) to 8192 are possible",
                      options->size);
        goto fail;
    }
    d->size = options->size;
    d->include_heldout = options->include_heldout;
    d->n_threads = options->n_threads > 0 ? options->n_threads : ons_physical_cores();
    ONS_TRY(read_path(d, path));
    ONS_TRY(report_findings(d, path));
    ONS_TRY(lay_out_epoch(d));
    *out = d;
    return ONESTEP_OK;
fail:
    ons_dataset_close(&d);
    return st;
}

void ons_dataset_close(ons_dataset **dataset)
{
    ons_dataset *d = dataset ? *dataset : NULL;
    if (!d)
        return;
    for (size_t i = 0; i < d->n_pending; i++)
        free_pending(&d->pending[i]);
    for (size_t i = 0; i < d->n; i++)
        ons_free((void *)d->items[i].rgb);
    ons_free(d->pending);
    ons_free(d->items);
    ons_free(d->order);
    ons_arena_destroy(&d->arena);
    ons_free(d);
    *dataset = NULL;
}

size_t ons_dataset_count(const ons_dataset *d)
{
    return d->n;
}

const ons_item *ons_dataset_at(const ons_dataset *d, size_t i)
{
    return &d->items[i];
}

bool ons_dataset_has_pictures(const ons_dataset *d)
{
    return d->has_pictures;
}

int ons_dataset_n_broken(const ons_dataset *d)
{
    return d->n_broken;
}

const char *const *ons_dataset_heldout(const ons_dataset *d, size_t *n)
{
    *n = d->n_heldout;
    return (const char *const *)d->heldout;
}

const char *const *ons_dataset_ambiguous(const ons_dataset *d, size_t *n)
{
    *n = d->n_ambiguous;
    return (const char *const *)d->ambiguous;
}
