/*
 * Operators that move elements: concat, slice, pad_zero, transpose, nearest upsampling, embedding, and casts.
 * They copy bytes, so one row serves every element type (only the cast converts).
 */
#include <string.h>

#include "backend/cpu/cpu.h"

enum { GRAIN_BYTES = 32768 };

/* Around an axis: `outer` blocks of `axis` * `inner` elements. */
static void split_at(const ons_shape *s, int axis, int64_t *outer, int64_t *inner)
{
    *outer = *inner = 1;
    for (int i = 0; i < axis; i++)
        *outer *= s->d[i];
    for (int i = axis + 1; i < s->n; i++)
        *inner *= s->d[i];
}

/* `rows` copies of `bytes`, from one pitch to another. */
typedef struct copy_job {
    char *dst;
    const char *src;
    int64_t bytes, dst_pitch, src_pitch;
} copy_job;

static void copy_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const copy_job *j = context;

    (void)thread;
    for (int64_t i = begin; i < end; i++)
        memcpy(j->dst + i * j->dst_pitch, j->src + i * j->src_pitch, (size_t)j->bytes);
}

static void copy_all(const ons_prep *p, copy_job *j, int64_t n_rows)
{
    ons_parallel_for(p->n_threads, n_rows, 1 + GRAIN_BYTES / j->bytes, copy_rows, j);
}

static int64_t element_size(const ons_prep *p)
{
    return (int64_t)ons_dtype_size(p->node->out[0]->dtype);
}

static onestep_status run_concat(const ons_prep *p, const ons_args *a)
{
    const ons_node *n = p->node;
    const ons_shape *y = &n->out[0]->shape;
    int axis = n->attrs.slice.axis;
    int64_t outer, inner, at = 0, size = element_size(p);

    split_at(y, axis, &outer, &inner);
    for (int i = 0; i < n->n_in; i++) {
        int64_t bytes = n->in[i]->shape.d[axis] * inner * size;
        copy_job j = {(char *)a->out[0] + at, a->in[i], bytes, y->d[axis] * inner * size, bytes};

        copy_all(p, &j, outer);
        at += bytes;
    }
    return ONESTEP_OK;
}

static onestep_status run_slice(const ons_prep *p, const ons_args *a)
{
    const ons_attrs *at = &p->node->attrs;
    const ons_shape *x = &p->node->in[0]->shape;
    int64_t outer, inner, size = element_size(p);

    split_at(x, at->slice.axis, &outer, &inner);
    copy_job j = {a->out[0], (const char *)a->in[0] + at->slice.start * inner * size,
                  at->slice.length * inner * size, at->slice.length * inner * size,
                  x->d[at->slice.axis] * inner * size};

    copy_all(p, &j, outer);
    return ONESTEP_OK;
}

typedef struct pad_job {
    char *dst;
    const char *src;
    int64_t before, bytes, after; /* of one row */
} pad_job;

static void pad_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const pad_job *j = context;
    int64_t pitch = j->before + j->bytes + j->after;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        char *row = j->dst + i * pitch;

        memset(row, 0, (size_t)j->before);
        memcpy(row + j->before, j->src + i * j->bytes, (size_t)j->bytes);
        memset(row + j->before + j->bytes, 0, (size_t)j->after);
    }
}

static onestep_status run_pad_zero(const ons_prep *p, const ons_args *a)
{
    const ons_attrs *at = &p->node->attrs;
    int64_t outer, inner, size = element_size(p), length = p->node->in[0]->shape.d[at->slice.axis];

    split_at(&p->node->in[0]->shape, at->slice.axis, &outer, &inner);
    size *= inner;
    pad_job j = {a->out[0], a->in[0], at->slice.start * size, length * size,
                 (at->slice.full - at->slice.start - length) * size};

    ons_parallel_for(p->n_threads, outer, 1 + GRAIN_BYTES / (at->slice.full * size), pad_rows, &j);
    return ONESTEP_OK;
}

typedef struct transpose_job {
    char *dst;
    const char *src;
    int n;
    int64_t size, d[ONS_MAX_DIMS], step[ONS_MAX_DIMS]; /* of the result, steps in the source, in elements */
} transpose_job;

static void copy_strided(char *dst, const char *src, int64_t n, int64_t step, int64_t size)
{
    if (size == 4) {
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * 4, src + i * step * 4, 4);
    } else if (size == 2) {
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * 2, src + i * step * 2, 2);
    } else {
        for (int64_t i = 0; i < n; i++)
            memcpy(dst + i * size, src + i * step * size, (size_t)size);
    }
}

/* Rows of the last dimension of the result. */
static void transpose_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const transpose_job *j = context;
    int64_t length = j->d[j->n - 1], step = j->step[j->n - 1];

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        int64_t rest = row, at = 0;

        for (int i = j->n - 2; i >= 0; i--) {
            at += rest % j->d[i] * j->step[i];
            rest /= j->d[i];
        }
        if (step == 1)
            memcpy(j->dst + row * length * j->size, j->src + at * j->size, (size_t)(length * j->size));
        else
            copy_strided(j->dst + row * length * j->size, j->src + at * j->size, length, step, j->size);
    }
}

static onestep_status run_transpose(const ons_prep *p, const ons_args *a)
{
    const ons_shape *x = &p->node->in[0]->shape, *y = &p->node->out[0]->shape;
    transpose_job j = {a->out[0], a->in[0], y->n, element_size(p), {0}, {0}};
    int64_t steps[ONS_MAX_DIMS], step = 1;

    for (int i = x->n - 1; i >= 0; i--) {
        steps[i] = step;
        step *= x->d[i];
    }
    for (int i = 0; i < y->n; i++) {
        j.d[i] = y->d[i];
        j.step[i] = steps[p->node->attrs.transpose.perm[i]];
    }
    if (!j.n) {
        j.n = 1;
        j.d[0] = j.step[0] = 1;
    }
    ons_parallel_for(p->n_threads, ons_shape_count(y) / j.d[j.n - 1], 1 + GRAIN_BYTES / (j.d[j.n - 1] * j.size),
                     transpose_rows, &j);
    return ONESTEP_OK;
}

typedef struct upsample_job {
    char *dst;
    const char *src;
    int64_t in_h, in_w, out_h, out_w, bytes;
} upsample_job;

static void upsample_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const upsample_job *j = context;

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        int64_t n = row / j->out_h, y = row % j->out_h * j->in_h / j->out_h;
        const char *src = j->src + (n * j->in_h + y) * j->in_w * j->bytes;

        for (int64_t x = 0; x < j->out_w; x++)
            memcpy(j->dst + (row * j->out_w + x) * j->bytes, src + x * j->in_w / j->out_w * j->bytes,
                   (size_t)j->bytes);
    }
}

static onestep_status run_upsample(const ons_prep *p, const ons_args *a)
{
    const ons_shape *x = &p->node->in[0]->shape, *y = &p->node->out[0]->shape;
    upsample_job j = {a->out[0], a->in[0], x->d[1], x->d[2], y->d[1], y->d[2], x->d[3] * element_size(p)};

    ons_parallel_for(p->n_threads, y->d[0] * y->d[1], 1 + GRAIN_BYTES / (y->d[2] * j.bytes), upsample_rows, &j);
    return ONESTEP_OK;
}

typedef struct lookup_job {
    char *dst;
    const char *table;
    const int32_t *ids;
    int64_t bytes, rows;
} lookup_job;

/* A number outside the table reads as zeros. */
static void look_up(void *context, int64_t begin, int64_t end, int thread)
{
    const lookup_job *j = context;

    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        if (j->ids[i] >= 0 && j->ids[i] < j->rows)
            memcpy(j->dst + i * j->bytes, j->table + j->ids[i] * j->bytes, (size_t)j->bytes);
        else
            memset(j->dst + i * j->bytes, 0, (size_t)j->bytes);
    }
}

static onestep_status run_embedding(const ons_prep *p, const ons_args *a)
{
    const ons_shape *table = &p->node->in[0]->shape;
    lookup_job j = {a->out[0], a->in[0], a->in[1], table->d[1] * element_size(p), table->d[0]};

    ons_parallel_for(p->n_threads, ons_shape_count(&p->node->in[1]->shape), 1 + GRAIN_BYTES / j.bytes, look_up,
                     &j);
    return ONESTEP_OK;
}

typedef struct cast_job {
    char *dst;
    const char *src;
    ons_dtype to, from;
} cast_job;

static void cast_range(void *context, int64_t begin, int64_t end, int thread)
{
    const cast_job *j = context;

    (void)thread;
    ons_cpu_convert(j->dst + (size_t)begin * ons_dtype_size(j->to), j->to,
                    j->src + (size_t)begin * ons_dtype_size(j->from), j->from, (size_t)(end - begin));
}

static onestep_status run_cast(const ons_prep *p, const ons_args *a)
{
    cast_job j = {a->out[0], a->in[0], p->node->out[0]->dtype, p->node->in[0]->dtype};

    ons_parallel_for(p->n_threads, ons_shape_count(&p->node->out[0]->shape), 8192, cast_range, &j);
    return ONESTEP_OK;
}

static const char *refuse_mixed(const ons_node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->dtype != n->out[0]->dtype && n->in[i]->dtype != ONS_I32)
            return "operands differ in type";
    return NULL;
}

const ons_kernel *ons_cpu_move_kernels(ons_op op)
{
    static const ons_kernel concat[] = {{"copy", refuse_mixed, NULL, run_concat, NULL}, {0}};
    static const ons_kernel slice[] = {{"copy", refuse_mixed, NULL, run_slice, NULL}, {0}};
    static const ons_kernel pad[] = {{"copy", refuse_mixed, NULL, run_pad_zero, NULL}, {0}};
    static const ons_kernel transpose[] = {{"copy", refuse_mixed, NULL, run_transpose, NULL}, {0}};
    static const ons_kernel upsample[] = {{"copy", refuse_mixed, NULL, run_upsample, NULL}, {0}};
    static const ons_kernel embedding[] = {{"copy", refuse_mixed, NULL, run_embedding, NULL}, {0}};
    static const ons_kernel cast[] = {{"convert", NULL, NULL, run_cast, NULL}, {0}};

    switch (op) {
    case ONS_OP_CONCAT:
        return concat;
    case ONS_OP_SLICE:
        return slice;
    case ONS_OP_PAD_ZERO:
        return pad;
    case ONS_OP_TRANSPOSE:
        return transpose;
    case ONS_OP_UPSAMPLE2X:
    case ONS_OP_UPSAMPLE_TO:
        return upsample;
    case ONS_OP_EMBEDDING:
        return embedding;
    case ONS_OP_CAST:
        return cast;
    default:
        return NULL;
    }
}
