/*
 * Weights from a mapped file straight into a layout of oneDNN's: read once, converted in L1 and put to their
 * places, instead of through a copy in f32.
 *
 * The file has a convolution's weights as [out][in][kh][kw] and a matrix as [out][in]; a row is one output's.
 */
#include <string.h>

#include "backend/cpu/onednn.h"

enum {
    RUN = 512,
    ROWS = 16
}; /* elements of a row per sweep, and rows together: sixteen of them share a line of the layout */

typedef struct file_job {
    const ons_onednn_layout *l;
    char *packed;
    const char *src;
    ons_dtype type; /* of the file */
    int row_dim;
    int64_t n_rows, row_size;
    int64_t first, count; /* elements of each row in this sweep */
    int64_t place[RUN];
} file_job;

/* The stride in the file of what has stride `s` in the engine's order, O H W I. */
static int64_t file_stride(const ons_param *param, int64_t s)
{
    const int64_t *d = param->shape.d, in = d[3], width = d[2], plane = d[1] * d[2];

    if (param->kind != ONS_PARAM_CONV || s == plane * in)
        return s;
    return s == 1 ? plane : s == in ? 1 : s == width * in ? width : 0;
}

bool ons_onednn_file_strides(const ons_onednn_layout *l, const ons_param *param, int64_t *strides)
{
    const int64_t count = ons_shape_count(&param->shape);
    int64_t product = 1;

    if (param->kind == ONS_PARAM_CONV && param->shape.d[3] == 1)
        return false; /* strides would be ambiguous */
    for (int d = 0; d < l->plain.n; d++) {
        const int64_t n = l->plain.d[d];

        strides[d] = n == 1 ? 0 : file_stride(param, l->plain.stride[d]);
        if (n > 1 && strides[d] == 0)
            return false;
        product *= n;
    }
    return product == count;
}

/* Rows are the dimension that is outermost in the file, and whole. */
static int find_rows(const ons_onednn_layout *l, const ons_param *param, const int64_t *strides)
{
    const int64_t row = ons_shape_count(&param->shape) / param->shape.d[0];

    for (int d = 0; d < l->plain.n; d++)
        if (strides[d] == row && l->plain.d[d] == param->shape.d[0])
            return d;
    return -1;
}

bool ons_onednn_takes_file(const ons_onednn_layout *l, const ons_param *param)
{
    int64_t strides[ONS_ONEDNN_MAX_DIMS];

    return param->shape.n >= 2 && (l->dtype == ONS_BF16 || l->dtype == ONS_F32 || l->dtype == ONS_I8) &&
           ons_onednn_file_strides(l, param, strides) && find_rows(l, param, strides) >= 0;
}

static void find_places(file_job *j, const int64_t *strides)
{
    for (int64_t i = 0; i < j->count; i++) {
        j->place[i] = 0;
        for (int d = 0; d < j->l->plain.n; d++)
            if (d != j->row_dim && strides[d])
                j->place[i] += ons_onednn_place(j->l, d, (j->first + i) / strides[d] % j->l->plain.d[d]);
    }
}

/* One row's part of the sweep in the layout's type; the mapping gives no alignment. */
static void load_row(const file_job *j, int64_t row, void *dst)
{
    const size_t size = ons_dtype_size(j->type);
    double aligned[RUN];

    memcpy(aligned, j->src + (size_t)(row * j->row_size + j->first) * size, (size_t)j->count * size);
    ons_cpu_convert(dst, j->l->dtype, aligned, j->type, (size_t)j->count);
}

#define PUT(type, values)                                                                                      \
    for (int64_t i = 0; i < j->count; i++)                                                                     \
        for (int r = 0; r < n; r++)                                                                            \
            ((type *)j->packed)[at[r] + j->place[i]] = (values)[r][i];

static void pack_rows(const file_job *j, int64_t first, int n)
{
    union {
        float wide[ROWS][RUN];
        uint16_t narrow[ROWS][RUN];
    } values;
    int64_t at[ROWS];

    for (int r = 0; r < n; r++) {
        at[r] = ons_onednn_place(j->l, j->row_dim, first + r);
        load_row(j, first + r, j->l->dtype == ONS_F32 ? (void *)values.wide[r] : values.narrow[r]);
    }
    if (j->l->dtype == ONS_F32)
        PUT(float, values.wide)
    else
        PUT(uint16_t, values.narrow)
}

static void pack_range(void *context, int64_t begin, int64_t end, int thread)
{
    const file_job *j = context;

    (void)thread;
    for (int64_t b = begin; b < end; b++)
        pack_rows(j, b * ROWS, j->n_rows - b * ROWS < ROWS ? (int)(j->n_rows - b * ROWS) : ROWS);
}

static void pack_any(file_job *j, const int64_t *strides)
{
    for (j->first = 0; j->first < j->row_size; j->first += RUN) {
        j->count = j->row_size - j->first < RUN ? j->row_size - j->first : RUN;
        find_places(j, strides);
        ons_parallel_for(j->l->n_threads, (j->n_rows + ROWS - 1) / ROWS, 1, pack_range, j);
    }
}

void ons_onednn_pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param,
                          const void *context)
{
    const ons_onednn_layout *l = context;
    const int64_t count = ons_shape_count(&param->shape), n_rows = param->shape.d[0];
    file_job j = {
        .l = l, .packed = dst, .src = src, .type = type, .n_rows = n_rows, .row_size = count / n_rows};
    int64_t strides[ONS_ONEDNN_MAX_DIMS];

    ons_onednn_file_strides(l, param, strides);
    j.row_dim = find_rows(l, param, strides);
    if ((size_t)count * ons_dtype_size(l->dtype) != l->bytes)
        memset(dst, 0, l->bytes); /* what fills up blocks must be zero */
    if (!ons_onednn_pack_lines(dst, src, type, l, strides, j.row_dim))
        pack_any(&j, strides);
}
