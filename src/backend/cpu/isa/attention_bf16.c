/*
 * Attention of bf16 operands with vectors that multiply pairs of bf16, 32 queries of one head at a time. The
 * queries lie across the vectors' places: scores are [key][query], so that the softmax over keys never reduces
 * a vector, and both products are the same loop: 8 keys (or channels of the values), a pair of which is spread
 * to all places, by 32 queries. Keys pass by in blocks whose scores stay in L1; a block's largest score
 * rescales what was summed before. Probabilities are rounded to bf16, and their sums are of what was rounded.
 * Keys and values are packed once per head and thread.
 *
 * Rejected: channels of the values across the places, where 40 of them would fill 2.5 vectors.
 */
#include <math.h>

#include "backend/cpu/isa/bf16.h"
#include "backend/cpu/isa/kernels.h"

#ifndef ROWS
enum { ROWS = 8, KEYS = 128, MOST_EXPONENT = 60 };
#endif
enum { QUERIES = 2 * VW };

typedef struct sizes {
    int64_t batch, heads, tq, tk, c, d;
    int64_t pairs; /* of a head's channels */
    int64_t tiles; /* of ROWS channels */
    float scale;
} sizes;

static sizes find_sizes(const ons_node *n)
{
    const ons_shape *q = &n->in[0]->shape, *k = &n->in[1]->shape;
    sizes s = {.batch = q->d[0],
               .heads = n->attrs.attention.n_heads,
               .tq = q->d[1],
               .tk = k->d[1],
               .c = q->d[2],
               .scale = (float)n->attrs.attention.scale};

    s.d = s.c / s.heads;
    s.pairs = (s.d + 1) / 2;
    s.tiles = (s.d + ROWS - 1) / ROWS;
    return s;
}

/* Scratch of one thread. */
typedef struct buffers {
    int32_t *keys;   /* [tk / ROWS][pairs][ROWS] pairs of channels; behind the last key stands that key again */
    int32_t *values; /* by blocks of KEYS keys [tiles][keys / 2][ROWS] pairs of keys */
    vi *queries;     /* [pairs][2] pairs of channels */
    vi *probabilities; /* [KEYS / 2][2] pairs of keys */
    vf *sums;          /* [tiles * ROWS][2] of probabilities times values */
} buffers;

static size_t lay_out(const sizes *s, buffers *b, char *base)
{
    const size_t keys = ons_cpu_align((size_t)(ons_cpu_round_up(s->tk, VW) * s->pairs) * 4),
                 values = ons_cpu_align((size_t)((s->tk + 1) / 2 * s->tiles * ROWS) * 4),
                 queries = (size_t)s->pairs * 2 * sizeof *b->queries,
                 scores = (size_t)KEYS * sizeof *b->probabilities;

    b->keys = (int32_t *)base;
    b->values = (int32_t *)(base + keys);
    b->queries = (vi *)(base + keys + values);
    b->probabilities = (vi *)(base + keys + values + queries);
    b->sums = (vf *)(base + keys + values + queries + scores);
    return keys + values + queries + scores + (size_t)(s->tiles * ROWS) * 2 * sizeof *b->sums;
}

/* Keys beyond the last are the last again. */
static void pack_keys(const sizes *s, int32_t *dst, const uint16_t *src)
{
    for (int64_t k0 = 0; k0 < s->tk; k0 += VW)
        for (int64_t p0 = 0; p0 < s->pairs; p0 += VW) {
            int32_t *at = dst + k0 * s->pairs + p0 * ROWS;
            vi x[VW];

            for (int64_t k = 0; k < VW; k++)
                x[k] =
                    v_load_halves(src + (k0 + k < s->tk ? k0 + k : s->tk - 1) * s->c + 2 * p0, s->d - 2 * p0);
            v_transpose(x);
            for (int64_t p = 0; p < VW && p0 + p < s->pairs; p++, at += ROWS) {
                memcpy(at, &x[p], ROWS * 4);
                memcpy(at + ROWS * s->pairs, (int32_t *)&x[p] + ROWS, ROWS * 4);
            }
        }
}

/* Keys [0, n) of a block; zeros behind the last key and the last channel. */
static void pack_values(const sizes *s, int32_t *dst, const uint16_t *src, int64_t n)
{
    const int64_t step = (n + 1) / 2 * ROWS;

    for (int64_t k = 0; k < n; k += 2, src += 2 * s->c, dst += ROWS)
        for (int64_t t = 0; t < s->tiles; t += 4) {
            const int64_t c = t * ROWS;
            const vi lower = v_load_halves(src + c, s->d - c),
                     upper = k + 1 < n ? v_load_halves(src + s->c + c, s->d - c) : (vi){0};
            const vi x[2] = {v_first_pairs(lower, upper), v_last_pairs(lower, upper)};

            for (int64_t i = 0; i < 4 && t + i < s->tiles; i++)
                memcpy(dst + (t + i) * step, (const int32_t *)x + i * ROWS, ROWS * 4);
        }
}

/* n queries; zeros behind. */
static void pack_queries(const sizes *s, vi *dst, const uint16_t *src, int64_t n)
{
    for (int64_t q0 = 0; q0 < QUERIES; q0 += VW)
        for (int64_t p0 = 0; p0 < s->pairs; p0 += VW) {
            vi x[VW];

            for (int64_t i = 0; i < VW; i++)
                x[i] = q0 + i < n ? v_load_halves(src + (q0 + i) * s->c + 2 * p0, s->d - 2 * p0) : (vi){0};
            v_transpose(x);
            for (int64_t p = 0; p < VW && p0 + p < s->pairs; p++)
                dst[(p0 + p) * 2 + q0 / VW] = x[p];
        }
}

/* The first n queries' sums, times what each has in `factor`. */
static void store_results(const sizes *s, uint16_t *dst, const vf *sums, const vf factor[2], int64_t n)
{
    for (int64_t q0 = 0; q0 < n; q0 += VW)
        for (int64_t p0 = 0; p0 < s->pairs; p0 += VW) {
            const vf *row = sums + 4 * p0 + q0 / VW, f = factor[q0 / VW];
            vi x[VW];

            for (int64_t p = 0; p < VW; p++)
                x[p] = p0 + p < s->pairs ? v_make_pairs(row[4 * p] * f, row[4 * p + 2] * f) : (vi){0};
            v_transpose(x);
            for (int64_t i = 0; i < VW && q0 + i < n; i++)
                v_store_halves(dst + (q0 + i) * s->c + 2 * p0, x[i], s->d - 2 * p0);
        }
}

/* sums [ROWS][2] += a [n][ROWS] b [n][2], n > 0. */
INLINE void multiply(vf sums[ROWS][2], const int32_t *a, const vi *b, int64_t n)
{
    do {
        const vi b0 = b[0], b1 = b[1];

        for (int i = 0; i < ROWS; i++) {
            const vi x = v_set_pair(a[i]);

            sums[i][0] = v_dot_pairs(sums[i][0], x, b0);
            sums[i][1] = v_dot_pairs(sums[i][1], x, b1);
        }
        a += ROWS;
        b += 2;
    } while (--n > 0);
}

/* 2^t, t < 128, to 8e-5, which bf16 cannot tell; 2^-126 below that. NaN stays. */
INLINE vf exp2_short(vf t)
{
    const vf magic = v_set(12582912.f), low = v_larger(v_set(-126.f), t), shifted = low + magic,
             f = low - (shifted - magic);
    vf q = f * v_set(5.508868e-2f) + v_set(2.4260405e-1f);

    q = q * f + v_set(6.9327624e-1f);
    q = q * f + v_set(9.9992894e-1f);
    return (vf)((vi)q + ((vi)shifted << 23));
}

/* What 32 queries have seen so far, in units of the exponent of 2: a score's probability is 2^(factor score -
 * shift). */
typedef struct seen {
    float factor;
    vf shift[2], total[2]; /* sum of the probabilities */
} seen;

/* Raises the shift to the largest of these scores where they are too large for it. */
static __attribute__((noinline)) void raise(const sizes *s, const buffers *b, seen *now, const vf most[2])
{
    for (int q = 0; q < 2; q++) {
        const vf shift = v_larger(now->shift[q], most[q] * now->factor),
                 decay = v_exp((now->shift[q] - shift) * 0.693147181f);

        for (int64_t i = 0; i < s->tiles * ROWS; i++)
            b->sums[2 * i + q] *= decay;
        now->total[q] *= decay;
        now->shift[q] = shift;
    }
}

/* Probabilities of ROWS keys, the first n of which exist. False: the shift is too small for them. */
INLINE bool find_probabilities(const int32_t *keys, const vi *queries, int64_t pairs, int64_t n,
                               const seen *now, vf total[2], vf most[2], vi *dst)
{
    vf x[ROWS][2];

    for (int i = 0; i < ROWS; i++)
        x[i][0] = x[i][1] = (vf){0};
    multiply(x, keys, queries, pairs);
    for (int q = 0; q < 2; q++) {
        most[q] = x[0][q];
        for (int i = 1; i < ROWS; i++)
            most[q] = v_larger(most[q], x[i][q]);
    }
    if (v_any_above(most[0] * now->factor - now->shift[0], MOST_EXPONENT) ||
        v_any_above(most[1] * now->factor - now->shift[1], MOST_EXPONENT))
        return false;
    if (n < ROWS)
        for (int i = 0; i < ROWS; i++)
            if (i >= n)
                x[i][0] = x[i][1] = v_set(-INFINITY);
    for (int q = 0; q < 2; q++)
        for (int i = 0; i < ROWS; i += 2) {
            const vi p = v_make_pairs(exp2_short(x[i][q] * now->factor - now->shift[q]),
                                      exp2_short(x[i + 1][q] * now->factor - now->shift[q]));

            total[q] = v_dot_pairs(total[q], p, v_set_pair(0x3f803f80));
            dst[i + q] = p;
        }
    return true;
}

/* sums += values probabilities, for ROWS channels. */
INLINE void add_values(vf *sums, const int32_t *values, const vi *probabilities, int64_t pairs)
{
    vf acc[ROWS][2];

    for (int i = 0; i < ROWS; i++)
        for (int q = 0; q < 2; q++)
            acc[i][q] = sums[2 * i + q];
    multiply(acc, values, probabilities, pairs);
    for (int i = 0; i < ROWS; i++)
        for (int q = 0; q < 2; q++)
            sums[2 * i + q] = acc[i][q];
}

/* Keys [k0, k0 + n). */
static void attend(const sizes *s, const buffers *b, seen *now, int64_t k0, int64_t n)
{
    const int64_t pairs = (n + 1) / 2;
    const int32_t *values = b->values + k0 / 2 * s->tiles * ROWS;
    vf total[2] = {{0}, {0}}, most[2];

    for (int64_t k = 0; k < n;) {
        if (find_probabilities(b->keys + (k0 + k) * s->pairs, b->queries, s->pairs, n - k, now, total, most,
                               b->probabilities + k)) {
            k += ROWS;
            continue;
        }
        raise(s, b, now, most);
        total[0] = total[1] = (vf){0};
        k = 0;
    }
    now->total[0] += total[0];
    now->total[1] += total[1];
    for (int64_t t = 0; t < s->tiles; t++)
        add_values(b->sums + 2 * t * ROWS, values + t * pairs * ROWS, b->probabilities, pairs);
}

typedef struct attention_job {
    sizes s;
    const ons_args *args;
    size_t thread_bytes;
} attention_job;

static void store_lse(float *lse, const seen *now, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        lse[i] = now->shift[i / VW][i % VW] * 0.693147181f + logf(now->total[i / VW][i % VW]);
}

/* Queries [q0, q0 + n) of one head, whose keys and values are packed. */
static void run_block(const attention_job *j, const buffers *b, int64_t head, int64_t q0, int64_t n)
{
    const sizes *s = &j->s;
    const int64_t at = (head / s->heads * s->tq + q0) * s->c + head % s->heads * s->d;
    float *lse = j->args->out[1];
    seen now = {s->scale * 1.44269504f, {v_set(-1e38f), v_set(-1e38f)}, {{0}, {0}}};

    pack_queries(s, b->queries, (const uint16_t *)j->args->in[0] + at, n);
    memset(b->sums, 0, (size_t)(s->tiles * ROWS) * 2 * sizeof *b->sums);
    for (int64_t k = 0; k < s->tk; k += KEYS)
        attend(s, b, &now, k, s->tk - k < KEYS ? s->tk - k : KEYS);
    if (lse)
        store_lse(lse + head * s->tq + q0, &now, n);
    for (int q = 0; q < 2; q++)
        now.total[q] = 1.f / now.total[q];
    store_results(s, (uint16_t *)j->args->out[0] + at, b->sums, now.total, n);
}

static void run_blocks(void *context, int64_t begin, int64_t end, int thread)
{
    const attention_job *j = context;
    const sizes *s = &j->s;
    const int64_t blocks = (s->tq + QUERIES - 1) / QUERIES;
    int64_t packed = -1;
    buffers b;

    lay_out(s, &b, (char *)j->args->scratch + j->thread_bytes * (size_t)thread);
    for (int64_t i = begin; i < end; i++) {
        const int64_t head = i / blocks, q0 = i % blocks * QUERIES, left = s->tq - q0;
        const int64_t at = head / s->heads * s->tk * s->c + head % s->heads * s->d;

        if (head != packed) {
            pack_keys(s, b.keys, (const uint16_t *)j->args->in[1] + at);
            for (int64_t k = 0; k < s->tk; k += KEYS)
                pack_values(s, b.values + k / 2 * s->tiles * ROWS,
                            (const uint16_t *)j->args->in[2] + at + k * s->c,
                            s->tk - k < KEYS ? s->tk - k : KEYS);
            packed = head;
        }
        run_block(j, &b, head, q0, left < QUERIES ? left : QUERIES);
    }
}

static void run(const ons_prep *p, const ons_args *args)
{
    attention_job j = {find_sizes(p->node), args, 0};
    buffers b;

    j.thread_bytes = lay_out(&j.s, &b, NULL);
    ons_cpu_for(p->n_threads, j.s.batch * j.s.heads * ((j.s.tq + QUERIES - 1) / QUERIES), 1, run_blocks, &j);
}

static const char *refuse(const ons_node *n)
{
    const sizes s = find_sizes(n);

    for (int i = 0; i < 3; i++)
        if (n->in[i]->dtype != ONS_BF16)
            return "an operand is not bf16";
    if (n->out[0]->dtype != ONS_BF16)
        return "the result is not bf16";
    if (n->attrs.attention.causal)
        return "it is causal";
    return s.scale <= 0 ? "its scale is not positive" : NULL;
}

static onestep_status prepare(ons_prep *p)
{
    const sizes s = find_sizes(p->node);
    buffers b;

    p->scratch_bytes = lay_out(&s, &b, NULL) * (size_t)p->n_threads;
    return ONESTEP_OK;
}

const ons_kernel ons_attention_bf16_kernels[] = {{"pairs_bf16", refuse, prepare, run, NULL}, {0}};
