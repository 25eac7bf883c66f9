/*
 * The set itself: declaration, one region, cloning. Rows grow while models are declared; the region is laid out
 * once, each parameter starting on a cache line so that kernels may load aligned vectors.
 */
#include "weights/weights.h"

#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "base/text.h"
#include "base/system.h"
#include "weights/private.h"

enum { ALIGN_FLOATS = 16 };

onestep_status ons_params_create(ons_params **out)
{
    *out = ons_calloc(1, sizeof **out);
    return *out ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for a weight set");
}

void ons_params_destroy(ons_params **p)
{
    if (!p || !*p)
        return;
    ons_packed_destroy_all(*p);
    ons_params_leave_packed_file(*p);
    ons_params_forget_files(*p);
    ons_params_end_borrowing(*p);
    for (int i = 0; i < (*p)->n; i++)
        ons_free((void *)(*p)->rows[i].name);
    ons_free((*p)->rows);
    ons_free((*p)->slots);
    ons_free_aligned((*p)->region);
    ons_free(*p);
    *p = NULL;
}

/* Slots hold row + 1; open addressing. */
static void insert_slot(ons_params *p, int row)
{
    size_t i = ons_hash_text(p->rows[row].name) & (p->n_slots - 1);

    while (p->slots[i])
        i = (i + 1) & (p->n_slots - 1);
    p->slots[i] = row + 1;
}

static bool grow(ons_params *p)
{
    int capacity = p->capacity ? 2 * p->capacity : 64;
    ons_param *rows = ons_realloc(p->rows, (size_t)capacity * sizeof *rows);
    int *slots;

    if (!rows)
        return false;
    p->rows = rows;
    slots = ons_calloc((size_t)capacity * 2, sizeof *slots);
    if (!slots)
        return false;
    ons_free(p->slots);
    p->slots = slots;
    p->n_slots = (size_t)capacity * 2;
    p->capacity = capacity;
    for (int i = 0; i < p->n; i++)
        insert_slot(p, i);
    return true;
}

int ons_params_find(const ons_params *p, const char *name)
{
    if (!p->n_slots)
        return -1;
    for (size_t i = ons_hash_text(name) & (p->n_slots - 1); p->slots[i]; i = (i + 1) & (p->n_slots - 1))
        if (!strcmp(p->rows[p->slots[i] - 1].name, name))
            return p->slots[i] - 1;
    return -1;
}

static onestep_status check_same(const ons_param *row, ons_param_kind kind, const ons_shape *shape)
{
    char have[96], want[96];

    if (row->kind == kind && ons_shape_equal(&row->shape, shape))
        return ONESTEP_OK;
    return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: declared as %s, now asked for as %s", row->name,
                    ons_shape_text(&row->shape, have), ons_shape_text(shape, want));
}

onestep_status ons_params_require(ons_params *p, const char *name, ons_param_kind kind, const ons_shape *shape,
                                  ons_init_kind init, double init_scale, int *index)
{
    char *copy;

    *index = ons_params_find(p, name);
    if (*index >= 0)
        return check_same(&p->rows[*index], kind, shape);
    if (p->region)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: the weight set has no such tensor", name);
    copy = ons_strdup(name);
    if (!copy || (p->n == p->capacity && !grow(p))) {
        ons_free(copy);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the weight table");
    }
    p->rows[p->n] = (ons_param){
        .name = copy, .kind = kind, .shape = *shape, .offset = p->size, .init = init, .init_scale = init_scale};
    p->size += ((size_t)ons_shape_count(shape) + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
    p->n_values += (size_t)ons_shape_count(shape);
    insert_slot(p, p->n);
    *index = p->n++;
    return ONESTEP_OK;
}

onestep_status ons_params_allocate(ons_params *p)
{
    if (p->region)
        return ONESTEP_OK;
    p->region = ons_calloc_aligned((p->size ? p->size : 1) * sizeof(float));
    return p->region
               ? ONESTEP_OK
               : ons_fail(ONESTEP_NO_MEMORY, "no memory for %zu MB of weights", p->size * sizeof(float) >> 20);
}

static void init_one(ons_params *p, int i, uint64_t seed, int n_threads)
{
    float *w = ons_params_data(p, i);
    size_t n = (size_t)ons_shape_count(&p->rows[i].shape);
    uint64_t stream = ons_hash_text(p->rows[i].name) | ONS_STREAM_WEIGHTS;
    float scale = (float)p->rows[i].init_scale;

    if (p->rows[i].init == ONS_INIT_NORMAL)
        ons_randn_by(n_threads, seed, stream, 0, w, n);
    else if (p->rows[i].init == ONS_INIT_UNIFORM)
        ons_rand_uniform_by(n_threads, seed, stream, 0, w, n);
    for (size_t k = 0; k < n; k++) {
        switch (p->rows[i].init) {
        case ONS_INIT_ZERO:
            w[k] = 0;
            break;
        case ONS_INIT_ONE:
            w[k] = 1;
            break;
        case ONS_INIT_UNIFORM:
            w[k] = (2 * w[k] - 1) * scale;
            break;
        case ONS_INIT_NORMAL:
            w[k] *= scale;
        }
    }
}

void ons_params_init(ons_params *p, uint64_t seed)
{
    const int n_threads = ons_params_threads(p);

    for (int i = 0; i < p->n; i++)
        init_one(p, i, seed, n_threads);
    ons_params_touch(p);
}

onestep_status ons_params_clone(ons_params *p, bool copy, ons_params **out)
{
    onestep_status st;
    int index;

    ONS_TRY(ons_params_create(out));
    (*out)->n_threads = p->n_threads;
    for (int i = 0; i < p->n; i++) {
        const ons_param *r = &p->rows[i];

        ONS_TRY(ons_params_require(*out, r->name, r->kind, &r->shape, r->init, r->init_scale, &index));
    }
    ONS_TRY(ons_params_allocate(*out));
    if (copy && p->region)
        memcpy((*out)->region, ons_params_region(p), p->size * sizeof(float));
    ons_params_touch(*out);
    return ONESTEP_OK;
fail:
    ons_params_destroy(out);
    return st;
}

void ons_params_set_threads(ons_params *p, int n_threads)
{
    p->n_threads = n_threads;
}

int ons_params_threads(const ons_params *p)
{
    return p->n_threads > 0 ? p->n_threads : ons_physical_cores();
}

int ons_params_count(const ons_params *p)
{
    return p->n;
}

const ons_param *ons_params_at(const ons_params *p, int index)
{
    return &p->rows[index];
}

float *ons_params_data(ons_params *p, int index)
{
    if (ons_params_is_mapped(p, index))
        ons_params_fetch(p, index);
    return p->region + p->rows[index].offset;
}

float *ons_params_region(ons_params *p)
{
    if (p->origins)
        ons_expect_sparse(p->region, false);
    for (int i = 0; p->origins && i < p->n; i++)
        if (ons_params_is_mapped(p, i))
            ons_params_fetch(p, i);
    return p->region;
}

size_t ons_params_region_size(const ons_params *p)
{
    return p->size;
}

size_t ons_params_n_values(const ons_params *p)
{
    return p->n_values;
}

void ons_params_touch(ons_params *p)
{
    p->version++;
}

uint64_t ons_params_version(const ons_params *p)
{
    return p->version;
}
