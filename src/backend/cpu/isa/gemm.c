/*
 * The microkernels and the loops around them (see gemm.h).
 *
 * Rows: a thread owns a range of row tiles (or, for few rows, of column panels). ONS_ROW_TILES tiles share a
 * walk over B, in slices of at most ONS_KC of the common dimension, so that a slice of a panel of B stays in L1
 * while the tiles pass by. C is accumulated in place. Rejected: packing A (costs a tenth at 64 channels), and
 * whole panels from L2. Outer: all threads pack a slice of A^T together, then each walks its own panels of B.
 */
#include "backend/cpu/isa/gemm.h"

enum { MR = ONS_MR, NR = ONS_NR };

INLINE void clear_tile(vf acc[MR][2])
{
    for (int i = 0; i < MR; i++)
        acc[i][0] = acc[i][1] = (vf){0};
}

/*
 * One tile; init is added when not NULL, else what c holds. There is at least one tap and one k: loops that
 * could be empty would have the compiler keep the sums in memory too.
 */
static __attribute__((noinline)) void multiply_rows(int n_taps, int64_t kc, const float *const *a,
                                                    int64_t a_offset, const float *b, float *const *c,
                                                    int64_t c_offset, const float *init)
{
    vf acc[MR][2];

    clear_tile(acc);
    for (int i = 0; i < MR; i++) /* rows of a wide C lie pages apart: no hardware foresees them */
        for (int k = 0; k < NR; k += 16)
            __builtin_prefetch(c[i] + c_offset + k, 1);
    do {
        const float *row[MR];
        int64_t k = 0;

        for (int i = 0; i < MR; i++)
            row[i] = a[i] + a_offset;
        do {
            vf b0 = v_load(b), b1 = v_load(b + VW);

            for (int i = 0; i < MR; i++) {
                vf x = v_set(row[i][k]);

                acc[i][0] += x * b0;
                acc[i][1] += x * b1;
            }
            b += NR;
        } while (++k < kc);
        a += MR;
    } while (--n_taps > 0);
    if (init) {
        vf i0 = v_load(init), i1 = v_load(init + VW);

        for (int i = 0; i < MR; i++) {
            v_store(c[i] + c_offset, acc[i][0] + i0);
            v_store(c[i] + c_offset + VW, acc[i][1] + i1);
        }
        return;
    }
    for (int i = 0; i < MR; i++) {
        float *p = c[i] + c_offset;

        v_store(p, v_load(p) + acc[i][0]);
        v_store(p + VW, v_load(p + VW) + acc[i][1]);
    }
}

/* Scratch of one thread: row pointers, sink row, bias padded to panels, and C rows when columns do not fill the
 * last panel. */
typedef struct rows_scratch {
    const float **a;
    float **c, **c_user;
    float *sink, *bias, *block, *unpacked;
} rows_scratch;

static size_t lay_out(rows_scratch *s, char *base, int n_taps, int64_t n_cols, ons_dtype b_type)
{
    int64_t padded = ons_cpu_round_up(n_cols, NR), rows = (int64_t)ONS_ROW_TILES * MR;
    size_t at = 0;

    s->a = (const float **)(base + at);
    at += ons_cpu_align((size_t)(n_taps > 0 ? n_taps : 1) * (size_t)rows * sizeof *s->a);
    s->c = (float **)(base + at);
    at += ons_cpu_align((size_t)rows * sizeof *s->c);
    s->c_user = (float **)(base + at);
    at += ons_cpu_align((size_t)rows * sizeof *s->c);
    s->sink = (float *)(base + at);
    at += ons_cpu_align((size_t)padded * 4);
    s->bias = (float *)(base + at);
    at += ons_cpu_align((size_t)padded * 4);
    s->block = (float *)(base + at);
    if (padded != n_cols)
        at += ons_cpu_align((size_t)(padded * rows) * 4);
    s->unpacked = (float *)(base + at);
    if (b_type != ONS_F32)
        at += ons_cpu_align((size_t)ONS_KC * NR * 4);
    return at;
}

size_t ons_rows_scratch(int n_taps, int64_t n_cols, ons_dtype b_type)
{
    rows_scratch s;

    return lay_out(&s, NULL, n_taps, n_cols, b_type);
}

/* kc rows of a panel as floats: as they are, or unpacked; the tiles that pass by share the cost. */
static const float *unpack_b(const ons_rows *r, const rows_scratch *s, int64_t at, int64_t kc)
{
    const uint16_t *b = (const uint16_t *)r->b + at;

    if (r->b_type == ONS_F32)
        return (const float *)r->b + at;
    if (r->b_type == ONS_F16)
        for (int64_t i = 0; i < kc * NR; i += VW)
            v_store(s->unpacked + i, v_load_f16(b + i));
    else
        for (int64_t i = 0; i < kc * NR; i += VW)
            v_store(s->unpacked + i, v_load_bf16(b + i));
    return s->unpacked;
}

/* Slices of the common dimension: several whole taps, or a part of one tap's channels. */
typedef struct slice {
    int tap, n_taps;
    int64_t k, kc;
} slice;

static bool next_slice(const ons_rows *r, slice *s)
{
    if (r->depth <= ONS_KC) {
        int most = (int)(ONS_KC / r->depth), n_slices = (r->n_taps + most - 1) / most;

        s->tap += s->n_taps;
        s->n_taps = (r->n_taps + n_slices - 1) / n_slices;
        if (s->tap + s->n_taps > r->n_taps)
            s->n_taps = r->n_taps - s->tap;
        s->kc = r->depth;
        return s->n_taps > 0;
    }
    int64_t n_parts = (r->depth + ONS_KC - 1) / ONS_KC;

    if (s->n_taps == 0) {
        s->n_taps = 1;
    } else {
        s->k += s->kc;
        if (s->k >= r->depth) {
            s->k = 0;
            s->tap++;
        }
    }
    s->kc = (r->depth + n_parts - 1) / n_parts;
    if (s->k + s->kc > r->depth)
        s->kc = r->depth - s->k;
    return s->tap < r->n_taps;
}

static void start_rows(const ons_rows *r, const rows_scratch *s, int n_tiles, int64_t from, int64_t to)
{
    for (int i = 0; i < n_tiles * MR; i++) {
        float *c = s->c[i], *user = s->c_user[i];
        int64_t last = to * NR;

        if (!user)
            continue;
        if (last > r->n_cols)
            last = r->n_cols;
        if (r->residual) {
            const float *add = r->residual + (user - r->c_base);

            for (int64_t n = from * NR; n < last; n++)
                c[n] = add[n] + s->bias[n];
        } else {
            memcpy(c + from * NR, s->bias + from * NR, (size_t)(last - from * NR) * 4);
        }
    }
}

static void finish_rows(const ons_rows *r, const rows_scratch *s, int n_tiles, int64_t from, int64_t to)
{
    int64_t last = to * NR < r->n_cols ? to * NR : r->n_cols;

    for (int i = 0; i < n_tiles * MR; i++)
        if (s->c_user[i])
            memcpy(s->c_user[i] + from * NR, s->c[i] + from * NR, (size_t)(last - from * NR) * 4);
}

/* Rows [first, first + count) against panels [from, to). */
static void run_block(const ons_rows *r, const rows_scratch *s, int64_t first, int count, int64_t from,
                      int64_t to)
{
    int n_tiles = (count + MR - 1) / MR;
    int64_t padded = ons_cpu_round_up(r->n_cols, NR), k_total = (int64_t)r->n_taps * r->depth;
    bool partial = padded != r->n_cols, empty = k_total == 0, started = r->residual || empty;
    slice sl = {0};

    r->locate(r, first, count, s->a, s->c_user);
    for (int i = count; i < n_tiles * MR; i++) {
        for (int t = 0; t < r->n_taps; t++)
            s->a[(i / MR * r->n_taps + t) * MR + i % MR] =
                s->a[((count - 1) / MR * r->n_taps + t) * MR + (count - 1) % MR];
        s->c_user[i] = NULL;
    }
    for (int i = 0; i < n_tiles * MR; i++)
        s->c[i] = !s->c_user[i] ? s->sink : partial ? s->block + i * padded : s->c_user[i];
    if (started)
        start_rows(r, s, n_tiles, from, to);
    while (!empty && next_slice(r, &sl)) {
        for (int64_t p = from; p < to; p++) {
            const int64_t at = (p * k_total + (int64_t)sl.tap * r->depth + sl.k) * NR;
            const float *b = unpack_b(r, s, at, sl.n_taps * sl.kc);

            for (int i = 0; i < n_tiles; i++)
                multiply_rows(sl.n_taps, sl.kc, s->a + (i * r->n_taps + sl.tap) * MR, sl.k, b, s->c + i * MR,
                              p * NR, started ? NULL : s->bias + p * NR);
        }
        started = true;
    }
    if (partial)
        finish_rows(r, s, n_tiles, from, to);
}

/* Threads as a grid over tiles and panels: as even as possible, tiles first. */
static int split_threads(int64_t n_tiles, int64_t n_panels, int n_threads)
{
    int best = n_threads;
    double least = 1e300;

    for (int tm = n_threads; tm >= 1; tm--) {
        int tn = n_threads / tm;
        double work = (double)((n_tiles + tm - 1) / tm) * (double)((n_panels + tn - 1) / tn);

        if (work < least * 0.97) {
            least = work;
            best = tm;
        }
    }
    return best;
}

void ons_rows_run(const ons_rows *r, int thread, int n_threads)
{
    int64_t n_tiles = (r->n_rows + MR - 1) / MR, n_panels = (r->n_cols + NR - 1) / NR, t0, t1, from, to;
    int tm = split_threads(n_tiles, n_panels, n_threads), tn = n_threads / tm;
    rows_scratch s;

    if (thread >= tm * tn)
        return;
    lay_out(&s, r->scratch + r->thread_bytes * (size_t)thread, r->n_taps, r->n_cols, r->b_type);
    memset(s.bias, 0, (size_t)ons_cpu_round_up(r->n_cols, NR) * 4);
    if (r->bias)
        memcpy(s.bias, r->bias, (size_t)r->n_cols * 4);
    ons_partition(n_tiles, tm, thread % tm, &t0, &t1);
    ons_partition(n_panels, tn, thread / tm, &from, &to);
    if (from >= to)
        return;
    for (int64_t t = t0; t < t1; t += ONS_ROW_TILES) {
        int64_t end = t + ONS_ROW_TILES < t1 ? t + ONS_ROW_TILES : t1,
                last = end * MR < r->n_rows ? end * MR : r->n_rows;

        run_block(r, &s, t * MR, (int)(last - t * MR), from, to);
    }
}

size_t ons_pack_b_floats(int64_t k, int64_t n)
{
    return (size_t)(ons_cpu_round_up(n, NR) * k);
}

static void pack_panel_transposed(float *dst, const float *b, int64_t ld, int64_t k, int64_t width, float alpha)
{
    enum { STEP = 16 };

    if (width < NR)
        memset(dst, 0, (size_t)(k * NR) * 4);
    for (int64_t k0 = 0; k0 < k; k0 += STEP) {
        int64_t end = k0 + STEP < k ? k0 + STEP : k;

        for (int64_t j = 0; j < width; j++)
            for (int64_t i = k0; i < end; i++)
                dst[i * NR + j] = alpha * b[j * ld + i];
    }
}

static void pack_panel_plain(float *dst, const float *b, int64_t ld, int64_t k, int64_t width, float alpha)
{
    for (int64_t i = 0; i < k; i++, b += ld, dst += NR) {
        if (width >= NR) {
            v_store(dst, alpha * v_load(b));
            v_store(dst + VW, alpha * v_load(b + VW));
            continue;
        }
        memset(dst, 0, NR * 4);
        for (int64_t j = 0; j < width; j++)
            dst[j] = alpha * b[j];
    }
}

void ons_pack_b(float *dst, const float *b, int64_t ld, int64_t k, int64_t n, bool transposed, float alpha,
                int64_t from, int64_t to)
{
    for (int64_t p = from; p < to; p++) {
        int64_t width = n - p * NR < NR ? n - p * NR : NR;

        if (transposed)
            pack_panel_transposed(dst + p * NR * k, b + p * NR * ld, ld, k, width, alpha);
        else
            pack_panel_plain(dst + p * NR * k, b + p * NR, ld, k, width, alpha);
    }
}
