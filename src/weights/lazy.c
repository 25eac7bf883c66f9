/*
 * Values that are still in a file. The region is address space without memory until it is written to, so a
 * mapped set reserves it whole and fills the row that is asked for. What is only borrowed, to be packed or
 * saved, passes through one buffer of the largest row's size.
 */
#include <string.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "io/safetensors.h"
#include "weights/private.h"

enum { CHUNK = 1024, GRAIN = 32 }; /* values; chunks that are worth a thread */

bool ons_params_is_mapped(const ons_params *p, int index)
{
    return p->origins && p->origins[index].tensor;
}

ons_dtype ons_params_value_type(const ons_params *p, int index)
{
    const ons_origin *o = p->origins ? &p->origins[index] : NULL;
    const bool half =
        o && o->tensor && !o->updates && (o->tensor->dtype == ONS_F16 || o->tensor->dtype == ONS_BF16);

    return half ? o->tensor->dtype : ONS_F32;
}

const void *ons_params_file_values(const ons_params *p, int index)
{
    const ons_origin *o = &p->origins[index];

    return (const char *)o->tensor->data +
           (size_t)(o->part * ons_shape_count(&p->rows[index].shape)) * ons_dtype_size(o->tensor->dtype);
}

void ons_params_forget_pages(const ons_params *p, int index)
{
    ons_safetensors_forget(p->origins[index].file, p->origins[index].tensor);
}

ons_dtype ons_params_file_type(const ons_params *p)
{
    const ons_file_tensor *largest = NULL;

    for (int i = 0; p->origins && i < p->n; i++) {
        const ons_file_tensor *t = p->origins[i].tensor;

        if (t && (!largest || t->size > largest->size))
            largest = t;
    }
    return largest && largest->dtype != ONS_F64 ? largest->dtype : ONS_F32;
}

static int64_t plane_of(const ons_param *row)
{
    return row->kind == ONS_PARAM_CONV ? row->shape.d[1] * row->shape.d[2] : 1;
}

static int64_t inputs_of(const ons_param *row)
{
    return row->kind == ONS_PARAM_CONV ? row->shape.d[3] : ons_shape_count(&row->shape);
}

/* OIHW -> OHWI, or back: both move one axis across a plane, per output channel. */
static void from_file_order(const ons_param *row, float *dst, const float *src)
{
    const int64_t in = inputs_of(row), plane = plane_of(row), all = ons_shape_count(&row->shape);

    ons_nchw_to_nhwc(dst, src, all ? all / (in * plane) : 0, in, plane, 1);
}

void ons_param_to_file(const ons_param *row, float *dst, const float *src)
{
    const int64_t in = inputs_of(row), plane = plane_of(row), all = ons_shape_count(&row->shape);

    ons_nhwc_to_nchw(dst, src, all ? all / (in * plane) : 0, in, plane, 1);
}

/* Elements [at, at + n) of a row in file order, from `values` to their places in engine order. */
static void scatter(const ons_param *row, float *dst, int64_t at, const float *values, int n)
{
    const int64_t in = inputs_of(row), plane = plane_of(row);
    int64_t pixel = at % plane, i = at / plane % in, base = at / (plane * in) * plane * in;

    for (int k = 0; k < n; k++) {
        dst[base + pixel * in + i] = values[k];
        if (++pixel < plane)
            continue;
        pixel = 0;
        if (++i < in)
            continue;
        i = 0;
        base += plane * in;
    }
}

/* One piece of a tensor's values: converted and permuted through the stack, since nothing here may fail. */
static void read_piece(const ons_param *row, ons_dtype type, const char *src, float *dst, int64_t at, int n)
{
    const size_t size = ons_dtype_size(type);
    float values[CHUNK];
    double aligned[CHUNK]; /* the mapping gives no alignment; of the widest type */

    memcpy(aligned, src + (size_t)at * size, (size_t)n * size);
    ons_convert(values, ONS_F32, aligned, type, (size_t)n);
    if (row->kind == ONS_PARAM_CONV)
        scatter(row, dst, at, values, n);
    else
        memcpy(dst + at, values, (size_t)n * sizeof *values);
}

typedef struct read_job {
    const ons_param *row;
    ons_dtype type;
    const char *src;
    float *dst;
    int64_t count;
} read_job;

static void read_chunks(void *context, int64_t begin, int64_t end, int piece)
{
    const read_job *j = context;

    (void)piece;
    for (int64_t at = begin * CHUNK; at < end * CHUNK && at < j->count; at += CHUNK)
        read_piece(j->row, j->type, j->src, j->dst, at, j->count - at < CHUNK ? (int)(j->count - at) : CHUNK);
}

static void read_values(ons_params *p, int index, float *dst)
{
    const ons_param *row = &p->rows[index];
    read_job j = {row, p->origins[index].tensor->dtype, ons_params_file_values(p, index), dst,
                  ons_shape_count(&row->shape)};
    const int64_t n_chunks = (j.count + CHUNK - 1) / CHUNK;

    ons_parallel_for(n_chunks < 2 * GRAIN ? 1 : ons_params_threads(p), n_chunks, GRAIN, read_chunks, &j);
    ons_params_forget_pages(p, index);
}

/* W += scale up down, row by row of `up`. */
static void add_update(float *w, int64_t n_out, int64_t n_in, const ons_low_rank *u)
{
    for (int64_t o = 0; o < n_out; o++)
        for (int r = 0; r < u->rank; r++) {
            const float factor = (float)(u->scale * u->up[o * u->rank + r]);
            const float *down = u->down + (size_t)r * (size_t)n_in;
            float *row = w + (size_t)o * (size_t)n_in;

            for (int64_t i = 0; i < n_in; i++)
                row[i] += factor * down[i];
        }
}

/* The row's values as they are now, updates added, to `dst`. */
static void read_row(ons_params *p, int index, float *dst)
{
    const ons_param *row = &p->rows[index];
    const int64_t n_out = row->shape.n ? row->shape.d[0] : 1;

    read_values(p, index, dst);
    for (const ons_low_rank *u = p->origins[index].updates; u; u = u->next)
        add_update(dst, n_out, ons_shape_count(&row->shape) / (n_out ? n_out : 1), u);
}

/* Room for the largest row that is still in a file; without memory for it a row of the region serves. */
static float *borrowing_room(ons_params *p, int index)
{
    size_t largest = 0;

    for (int i = 0; !p->borrowed && i < p->n; i++)
        if (ons_params_is_mapped(p, i) && (size_t)ons_shape_count(&p->rows[i].shape) > largest)
            largest = (size_t)ons_shape_count(&p->rows[i].shape);
    if (!p->borrowed)
        p->borrowed = ons_calloc_aligned(largest * sizeof(float));
    return p->borrowed ? p->borrowed : p->region + p->rows[index].offset;
}

const float *ons_params_borrow(ons_params *p, int index)
{
    float *dst;

    if (!ons_params_is_mapped(p, index))
        return p->region + p->rows[index].offset;
    dst = borrowing_room(p, index);
    read_row(p, index, dst);
    return dst;
}

void ons_params_end_borrowing(ons_params *p)
{
    ons_free_aligned(p->borrowed);
    p->borrowed = NULL;
}

static void drop_updates(ons_origin *o)
{
    while (o->updates) {
        ons_low_rank *next = o->updates->next;

        ons_free(o->updates);
        o->updates = next;
    }
}

void ons_params_fetch(ons_params *p, int index)
{
    read_row(p, index, p->region + p->rows[index].offset);
    drop_updates(&p->origins[index]);
    p->origins[index].tensor = NULL;
}

void ons_params_forget_files(ons_params *p)
{
    for (int i = 0; p->origins && i < p->n; i++)
        drop_updates(&p->origins[i]);
    for (int i = 0; i < p->n_files; i++)
        ons_safetensors_close(&p->files[i]);
    ons_free(p->files);
    ons_free(p->origins);
    p->files = NULL;
    p->origins = NULL;
    p->n_files = 0;
}

static ons_low_rank *make_update(const ons_param *row, double scale, int rank, const float *up,
                                 const float *down)
{
    const size_t all = (size_t)ons_shape_count(&row->shape), n_out = row->shape.n ? (size_t)row->shape.d[0] : 1;
    const size_t n_up = n_out * (size_t)rank, n_in = n_out ? all / n_out : 0;
    ons_low_rank *u = ons_calloc(1, sizeof *u + (n_up + n_in * (size_t)rank) * sizeof(float));
    ons_param one = *row;

    if (!u)
        return NULL;
    u->scale = scale;
    u->rank = rank;
    u->down = u->up + n_up;
    memcpy(u->up, up, n_up * sizeof *up);
    one.shape.d[0] = rank; /* down is laid out as the parameter with `rank` output channels */
    if (row->kind == ONS_PARAM_CONV)
        from_file_order(&one, u->down, down);
    else
        memcpy(u->down, down, n_in * (size_t)rank * sizeof *down);
    return u;
}

onestep_status ons_params_add_low_rank(ons_params *p, int index, double scale, int rank, const float *up,
                                       const float *down)
{
    const ons_param *row = &p->rows[index];
    ons_low_rank *u = make_update(row, scale, rank, up, down), **end;

    if (!u)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for an update of %s", row->name);
    ons_params_touch(p);
    if (ons_params_is_mapped(p, index)) {
        for (end = &p->origins[index].updates; *end; end = &(*end)->next)
            ;
        *end = u;
        return ONESTEP_OK;
    }
    add_update(ons_params_data(p, index), row->shape.d[0], ons_shape_count(&row->shape) / row->shape.d[0], u);
    ons_free(u);
    return ONESTEP_OK;
}
