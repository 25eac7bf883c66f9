/*
 * The layouts that oneDNN's bf16 kernels want, fast: pairs of neighbouring inputs, sixteen outputs of them to a
 * line of the cache. Sixteen rows of the file are converted side by side in L1 and leave it as whole lines;
 * every thread takes its rows to their end, so that a weight costs one parallel region.
 */
#include <string.h>

#include "backend/cpu/onednn.h"

enum {
    ROWS = 16,    /* outputs of a line */
    RUN = 576,    /* elements of each row at a time: 64 inputs of a 3x3 convolution */
    GROUPS = 8,   /* of ROWS rows that share a table of places */
    AHEAD = 8,    /* rows that are fetched beforehand */
    MAX_TAPS = 49 /* 7x7 */
};

typedef struct lines_job {
    const ons_onednn_layout *l;
    uint16_t *packed;
    const char *src;
    ons_dtype type; /* of the file */
    int row_dim, in_dim;
    int64_t n_rows, n_in, taps;
    int64_t tap_place[MAX_TAPS];
} lines_job;

/* The dimension of the inputs, whose stride in the file is the number of taps: the largest of the strides but
 * the rows'. */
static int find_inputs(const ons_onednn_layout *l, const int64_t *strides, int row_dim)
{
    int in = -1;

    for (int d = 0; d < l->plain.n; d++)
        if (d != row_dim && strides[d] && (in < 0 || strides[d] > strides[in]))
            in = d;
    return in;
}

/* [...][16 n outputs][2 inputs], all of them filled, and the inputs outside of the taps. */
static bool has_lines(const ons_onednn_layout *l, const int64_t *strides, const lines_job *j)
{
    const int last = l->n_blocks - 1;

    if (l->dtype != ONS_BF16 || (j->type != ONS_F16 && j->type != ONS_BF16) || last < 1 || j->in_dim < 0)
        return false;
    return l->block[last] == 2 && l->block_dim[last] == j->in_dim && l->block_dim[last - 1] == j->row_dim &&
           l->block[last - 1] % ROWS == 0 && j->n_rows % ROWS == 0 && j->n_in % 2 == 0 && j->taps <= MAX_TAPS &&
           strides[j->row_dim] == j->n_in * j->taps;
}

static void find_tap_places(lines_job *j, const int64_t *strides)
{
    for (int64_t t = 0; t < j->taps; t++) {
        j->tap_place[t] = 0;
        for (int d = 0; d < j->l->plain.n; d++)
            if (d != j->row_dim && d != j->in_dim && strides[d])
                j->tap_place[t] += ons_onednn_place(j->l, d, t / strides[d] % j->l->plain.d[d]);
    }
}

/* A row's part of the sweep in the file, of any alignment. */
static const char *find_row(const lines_job *j, int64_t row, int64_t first_in)
{
    return j->src + (size_t)((row * j->n_in + first_in) * j->taps) * 2;
}

/* Rows are far apart, which the processor does not foresee. */
static void fetch(const char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64)
        __builtin_prefetch(p + i);
}

/* Sixteen rows' part of the sweep in bf16. */
static void load_rows(const lines_job *j, int64_t row, int64_t first_in, int64_t n_in,
                      uint16_t values[ROWS][RUN])
{
    const size_t count = (size_t)(n_in * j->taps);
    uint16_t aligned[RUN];

    for (int r = 0; r < ROWS; r++) {
        if (row + r + AHEAD < j->n_rows)
            fetch(find_row(j, row + r + AHEAD, first_in), count * 2);
        memcpy(aligned, find_row(j, row + r, first_in), count * 2);
        ons_cpu_convert(values[r], ONS_BF16, aligned, j->type, count);
    }
}

/* Elements i and k of every row, side by side. */
static void store_line(uint16_t *dst, uint16_t values[ROWS][RUN], int64_t i, int64_t k)
{
    for (int r = 0; r < ROWS; r++) {
        dst[2 * r] = values[r][i];
        dst[2 * r + 1] = values[r][k];
    }
}

/* Rows [begin, end), a few inputs at a time: [first_in, first_in + n_in). */
static void pack_sweep(const lines_job *j, int64_t begin, int64_t end, int64_t first_in, int64_t n_in)
{
    uint16_t values[ROWS][RUN];
    int64_t place[RUN / 2];

    for (int64_t p = 0; p < n_in / 2; p++)
        place[p] = ons_onednn_place(j->l, j->in_dim, first_in + 2 * p);
    for (int64_t row = begin; row < end; row += ROWS) {
        uint16_t *dst = j->packed + ons_onednn_place(j->l, j->row_dim, row);

        load_rows(j, row, first_in, n_in, values);
        for (int64_t t = 0; t < j->taps; t++)
            for (int64_t p = 0; p < n_in / 2; p++)
                store_line(dst + place[p] + j->tap_place[t], values, 2 * p * j->taps + t,
                           (2 * p + 1) * j->taps + t);
    }
}

/* In units of ROWS rows. */
static void pack_range(void *context, int64_t begin, int64_t end, int thread)
{
    const lines_job *j = context;
    const int64_t step = RUN / j->taps / 2 * 2;

    (void)thread;
    for (int64_t g = begin; g < end; g += GROUPS) {
        const int64_t stop = g + GROUPS < end ? g + GROUPS : end;

        for (int64_t c = 0; c < j->n_in; c += step)
            pack_sweep(j, g * ROWS, stop * ROWS, c, j->n_in - c < step ? j->n_in - c : step);
    }
}

bool ons_onednn_pack_lines(void *dst, const void *src, ons_dtype type, const ons_onednn_layout *l,
                           const int64_t *strides, int row_dim)
{
    const int in = find_inputs(l, strides, row_dim);
    lines_job j = {.l = l, .packed = dst, .src = src, .type = type, .row_dim = row_dim, .in_dim = in};

    if (in < 0)
        return false;
    j.n_rows = l->plain.d[row_dim];
    j.n_in = l->plain.d[in];
    j.taps = strides[in];
    if (!has_lines(l, strides, &j))
        return false;
    find_tap_places(&j, strides);
    ons_parallel_for(l->n_threads, j.n_rows / ROWS, 1, pack_range, &j);
    return true;
}
