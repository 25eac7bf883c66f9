/*
 * 8-bit weights in a layout of oneDNN's, from f32 values in the engine's order or from a file's 16-bit ones in
 * its own. A row is one output's weights, contiguous in both; its scale is its largest magnitude / 127, and the
 * sum of its numbers is what an activation's zero adds to a product. Two sweeps: magnitudes, then numbers.
 */
#include <string.h>

#include "backend/cpu/onednn.h"

enum {
    RUN = 512,
    ROWS = 16
}; /* elements of a row per sweep, and rows together: sixteen of them share lines of the layout */

typedef struct i8_job {
    const ons_onednn_layout *l;
    int8_t *packed;
    ons_onednn_i8 at;
    const char *src;
    ons_dtype type;
    int row_dim; /* of the layout: outputs */
    int64_t n_rows, row_size;
    int64_t first, count; /* elements of each row in this sweep */
    int64_t place[RUN];
} i8_job;

/* oneDNN has outputs first in a convolution's weights, last in a matrix. */
static int find_outputs(const ons_onednn_layout *l)
{
    return l->plain.n == 2 ? 1 : 0;
}

size_t ons_onednn_i8_bytes(const ons_onednn_layout *l)
{
    return ons_cpu_align(l->bytes) + (size_t)l->plain.d[find_outputs(l)] * (sizeof(float) + sizeof(int32_t));
}

ons_onednn_i8 ons_onednn_i8_at(const ons_onednn_layout *l, const void *packed)
{
    const int64_t n = l->plain.d[find_outputs(l)];
    float *scale = (float *)((char *)packed + ons_cpu_align(l->bytes));

    return (ons_onednn_i8){scale, (int32_t *)(scale + n), n};
}

/* Part of a row in f32; a mapping gives no alignment. */
static void load(const i8_job *j, int64_t row, int64_t first, int64_t count, float *dst)
{
    const size_t size = ons_dtype_size(j->type);
    double aligned[RUN];

    memcpy(aligned, j->src + (size_t)(row * j->row_size + first) * size, (size_t)count * size);
    ons_cpu_convert(dst, ONS_F32, aligned, j->type, (size_t)count);
}

/* Magnitudes order as their bits do. */
static uint32_t find_largest(const float *x, int64_t n, uint32_t most)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most;
}

static void find_scales(void *context, int64_t begin, int64_t end, int thread)
{
    const i8_job *j = context;
    float values[RUN], most;

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        uint32_t bits = 0;

        for (int64_t i = 0; i < j->row_size; i += RUN) {
            const int64_t n = j->row_size - i < RUN ? j->row_size - i : RUN;

            load(j, row, i, n, values);
            bits = find_largest(values, n, bits);
        }
        memcpy(&most, &bits, sizeof most);
        j->at.scale[row] = most > 0 ? most / 127 : 1;
        j->at.sum[row] = 0;
    }
}

/* Rounded to even by adding 1.5 * 2^23, which -ffp-contract=off keeps apart from the product. */
static int32_t round_all(int8_t *dst, const float *src, int64_t n, float inverse)
{
    int32_t sum = 0;

    for (int64_t i = 0; i < n; i++) {
        const float shifted = src[i] * inverse + 12582912.f;
        int32_t bits;

        memcpy(&bits, &shifted, sizeof bits);
        dst[i] = (int8_t)(bits - 0x4b400000);
        sum += dst[i];
    }
    return sum;
}

static void pack_rows(const i8_job *j, int64_t first, int n)
{
    int8_t numbers[ROWS][RUN];
    int64_t at[ROWS];
    float values[RUN];

    for (int r = 0; r < n; r++) {
        load(j, first + r, j->first, j->count, values);
        at[r] = ons_onednn_place(j->l, j->row_dim, first + r);
        j->at.sum[first + r] += round_all(numbers[r], values, j->count, 1 / j->at.scale[first + r]);
    }
    for (int64_t i = 0; i < j->count; i++)
        for (int r = 0; r < n; r++)
            j->packed[at[r] + j->place[i]] = numbers[r][i];
}

static void pack_range(void *context, int64_t begin, int64_t end, int thread)
{
    const i8_job *j = context;

    (void)thread;
    for (int64_t b = begin; b < end; b++)
        pack_rows(j, b * ROWS, j->n_rows - b * ROWS < ROWS ? (int)(j->n_rows - b * ROWS) : ROWS);
}

/* `strides` in the source, by dimension of the layout. */
static void pack(i8_job *j, const int64_t *strides)
{
    const ons_onednn_tensor *t = &j->l->plain;
    const int n_threads = j->l->n_threads;

    j->row_size = 1;
    j->row_dim = find_outputs(j->l);
    j->n_rows = t->d[j->row_dim];
    for (int d = 0; d < t->n; d++)
        j->row_size *= d == j->row_dim ? 1 : t->d[d];
    j->at = ons_onednn_i8_at(j->l, j->packed);
    if ((size_t)(j->n_rows * j->row_size) != j->l->bytes)
        memset(j->packed, 0, j->l->bytes); /* what fills up blocks must be zero */
    ons_parallel_for(n_threads, j->n_rows, 1, find_scales, j);
    for (; j->first < j->row_size; j->first += RUN) {
        j->count = j->row_size - j->first < RUN ? j->row_size - j->first : RUN;
        for (int64_t i = 0; i < j->count; i++) {
            j->place[i] = 0;
            for (int d = 0; d < t->n; d++)
                if (d != j->row_dim && t->d[d] > 1)
                    j->place[i] += ons_onednn_place(j->l, d, (j->first + i) / strides[d] % t->d[d]);
        }
        ons_parallel_for(n_threads, (j->n_rows + ROWS - 1) / ROWS, 1, pack_range, j);
    }
}

void ons_onednn_i8_pack(const ons_onednn_layout *l, void *packed, const void *plain)
{
    pack(&(i8_job){.l = l, .packed = packed, .src = plain, .type = l->plain.dtype}, l->plain.stride);
}

void ons_onednn_i8_pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param,
                             const void *context)
{
    const ons_onednn_layout *l = context;
    int64_t strides[ONS_ONEDNN_MAX_DIMS];

    ons_onednn_file_strides(l, param, strides);
    pack(&(i8_job){.l = l, .packed = dst, .src = src, .type = type}, strides);
}
