/*
 * Attention of bf16 operands, 32 queries of one head at a time. Keys pass by in tiles whose scores never leave
 * the registers: a probability is taken against a shift, which is an earlier score of the same query, and is
 * raised, all sums being rescaled, when a score lies too far above it for a float's exponent. bf16 has that
 * exponent: nothing is lost between. Probabilities are rounded to bf16, and their sums are of what was rounded;
 * those of a block of keys stay in L1 until they meet the values. Keys and values are packed once per head and
 * thread.
 *
 * Rejected: channels of the values across the places, where 40 of them would fill 2.5 vectors; scores in L1
 * with their exponentials in a loop of their own (a tenth slower); a tile's exponentials between the products
 * of the next (tiles are then 4 keys, and it gains 4 % for heads of 40 channels, 1 % for 80).
 */
#include <math.h>

#include "backend/cpu/isa/attention_bf16.h"

enum {
    ROWS = ONS_AB_ROWS,
    KEYS = ONS_AB_KEYS,
    QUERIES = ONS_AB_QUERIES,
    MOST_EXPONENT = 60,
    ONES = 0x3f803f80
};

#define LN_2 0.693147181f
#define LOG2_E 1.44269504f

typedef ons_ab_sizes sizes;

static sizes find_sizes(const ons_node *n)
{
    const ons_shape *q = &n->in[0]->shape, *k = &n->in[1]->shape;
    sizes s = {.batch = q->d[0],
               .heads = n->attrs.attention.n_heads,
               .tq = q->d[1],
               .tk = k->d[1],
               .c = q->d[2],
               .scale = (float)n->attrs.attention.scale,
               .causal = n->attrs.attention.causal};

    s.d = s.c / s.heads;
    s.pairs = (s.d + 1) / 2;
    s.tiles = (s.d + ROWS - 1) / ROWS;
    return s;
}

/* Scratch of one thread. */
typedef struct buffers {
    int32_t *keys, *values; /* packed */
    vi *queries;            /* packed */
    vi *probabilities;      /* [KEYS / 2][2] pairs of keys */
    vf *sums;               /* [tiles * ROWS][2] of probabilities times values */
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

/* A block of queries and what it has seen so far. A score's probability is 2^(factor score - shift). */
typedef struct block {
    float factor;
    vf shift[2], total[2]; /* total: of the probabilities */
    vi keys[2];            /* how many each query sees */
    int64_t least_keys;
} block;

/* Raises the shift to the largest of these scores, and rescales what was summed. */
static __attribute__((noinline)) void raise(const sizes *s, const buffers *b, block *q, const vf most[2])
{
    for (int h = 0; h < 2; h++) {
        const vf shift = v_larger(q->shift[h], most[h] * q->factor),
                 decay = v_exp((q->shift[h] - shift) * LN_2);

        for (int64_t i = 0; i < s->tiles * ROWS; i++)
            b->sums[2 * i + h] *= decay;
        q->total[h] *= decay;
        q->shift[h] = shift;
    }
}

/* Scores of keys from k on that a query does not see. */
INLINE void hide_keys(vf x[ROWS][2], const block *q, int64_t k)
{
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < ROWS; i++)
            x[i][h] = v_select(q->keys[h] > (int32_t)k + i, x[i][h], v_set(-INFINITY));
}

/* Probabilities of keys [k, k + ROWS). False: the shift is too small for `most`, the largest scores. */
INLINE bool find_probabilities(const sizes *s, const buffers *b, const block *q, int64_t k, vf total[2],
                               vf most[2], vi *dst)
{
    vf x[ROWS][2];

    for (int i = 0; i < ROWS; i++)
        x[i][0] = x[i][1] = (vf){0};
    multiply(x, b->keys + k * s->pairs, b->queries, s->pairs);
    if (k + ROWS > q->least_keys)
        hide_keys(x, q, k);
    for (int h = 0; h < 2; h++) {
        most[h] = x[0][h];
        for (int i = 1; i < ROWS; i++)
            most[h] = v_larger(most[h], x[i][h]);
    }
    if (v_any_above(most[0] * q->factor - q->shift[0], MOST_EXPONENT) ||
        v_any_above(most[1] * q->factor - q->shift[1], MOST_EXPONENT))
        return false;
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < ROWS; i += 2) {
            const vi p = v_make_pairs(exp2_short(x[i][h] * q->factor - q->shift[h]),
                                      exp2_short(x[i + 1][h] * q->factor - q->shift[h]));

            total[h] = v_dot_pairs(total[h], p, v_set_pair(ONES));
            dst[i + h] = p;
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
static void attend(const sizes *s, const buffers *b, block *q, int64_t k0, int64_t n)
{
    const int64_t pairs = (n + 1) / 2;
    const int32_t *values = b->values + k0 / 2 * s->tiles * ROWS;
    vf total[2] = {{0}, {0}}, most[2];

    for (int64_t k = 0; k < n;) {
        if (find_probabilities(s, b, q, k0 + k, total, most, b->probabilities + k)) {
            k += ROWS;
            continue;
        }
        raise(s, b, q, most);
        total[0] = total[1] = (vf){0};
        k = 0;
    }
    q->total[0] += total[0];
    q->total[1] += total[1];
    for (int64_t t = 0; t < s->tiles; t++)
        add_values(b->sums + 2 * t * ROWS, values + t * pairs * ROWS, b->probabilities, pairs);
}

/* Queries from q0 on, which have seen nothing yet. */
static block start_block(const sizes *s, const buffers *b, int64_t q0)
{
    block q = {.factor = s->scale * LOG2_E, .least_keys = s->causal ? q0 + 1 : s->tk};

    for (int h = 0; h < 2; h++) {
        q.shift[h] = v_set(-1e38f);
        for (int i = 0; i < VW; i++)
            q.keys[h][i] = (int32_t)(s->causal ? q0 + h * VW + i + 1 : s->tk);
    }
    memset(b->sums, 0, (size_t)(s->tiles * ROWS) * 2 * sizeof *b->sums);
    return q;
}

static void store_lse(float *lse, const block *q, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        lse[i] = q->shift[i / VW][i % VW] * LN_2 + logf(q->total[i / VW][i % VW]);
}

typedef struct attention_job {
    sizes s;
    const ons_args *args;
    size_t thread_bytes;
} attention_job;

/* Queries [q0, q0 + n) of one head, whose keys and values are packed. */
static void run_block(const attention_job *j, const buffers *b, int64_t head, int64_t q0, int64_t n)
{
    const sizes *s = &j->s;
    const int64_t at = (head / s->heads * s->tq + q0) * s->c + head % s->heads * s->d,
                  seen = s->causal ? q0 + n : s->tk;
    float *lse = j->args->out[1];
    block q = start_block(s, b, q0);

    ons_ab_pack_queries(s, b->queries, (const uint16_t *)j->args->in[0] + at, n);
    for (int64_t k = 0; k < seen; k += KEYS)
        attend(s, b, &q, k, s->tk - k < KEYS ? s->tk - k : KEYS);
    if (lse)
        store_lse(lse + head * s->tq + q0, &q, n);
    for (int h = 0; h < 2; h++)
        q.total[h] = 1.f / q.total[h];
    ons_ab_store_results(s, (uint16_t *)j->args->out[0] + at, b->sums, q.total, n);
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
            ons_ab_pack_keys(s, b.keys, (const uint16_t *)j->args->in[1] + at);
            ons_ab_pack_values(s, b.values, (const uint16_t *)j->args->in[2] + at);
            packed = head;
        }
        run_block(j, &b, head, q0, left < QUERIES ? left : QUERIES);
    }
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    attention_job j = {find_sizes(p->node), args, 0};
    buffers b;

    j.thread_bytes = lay_out(&j.s, &b, NULL);
    ons_parallel_for(p->n_threads, j.s.batch * j.s.heads * ((j.s.tq + QUERIES - 1) / QUERIES), 1, run_blocks,
                     &j);
    return ONESTEP_OK;
}

static const char *refuse(const ons_node *n)
{
    const sizes s = find_sizes(n);

    for (int i = 0; i < 3; i++)
        if (n->in[i]->dtype != ONS_BF16)
            return "an operand is not bf16";
    if (n->out[0]->dtype != ONS_BF16)
        return "the result is not bf16";
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
