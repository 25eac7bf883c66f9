/*
 * Attention and its gradient, one (sample, head) per task on the microkernels: scores of a block of queries
 * against all keys in the thread's scratch, softmax there, then the product with the values. Memory is QUERIES
 * x keys per thread, whatever the number of queries. Rejected: online softmax over blocks of keys, which
 * rescales the sums and gains nothing below some thousand keys.
 */
#include <math.h>

#include "backend/cpu/isa/gemm.h"
#include "backend/cpu/isa/kernels.h"

enum { MR = ONS_MR, NR = ONS_NR, QUERIES = 96 };

typedef struct sizes {
    int64_t batch, heads, tq, tk, c, d, pitch; /* pitch: floats of a row of scores */
    float scale;
    bool causal;
} sizes;

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
    s.pitch = ons_cpu_round_up(s.tk, NR);
    return s;
}

/* Scratch of one thread. Packed: keys transposed, keys, values (forward) or values transposed (gradient). */
typedef struct buffers {
    float *keys_t, *keys, *values, *scores, *grads, *outer;
    char *rows;
} buffers;

static size_t lay_out(const sizes *s, bool grad, buffers *b, char *base)
{
    size_t at = 0, by_key = ons_cpu_align(ons_pack_b_floats(s->d, s->tk) * 4);
    size_t by_depth = ons_cpu_align(ons_pack_b_floats(s->tk, s->d) * 4);
    size_t scores = ons_cpu_align((size_t)(QUERIES * s->pitch) * 4);
    int64_t widest = s->pitch > s->d ? s->pitch : s->d;

    b->keys_t = (float *)(base + at);
    at += by_key;
    b->values = (float *)(base + at);
    at += grad ? by_key : by_depth;
    b->scores = (float *)(base + at);
    at += scores;
    b->rows = base + at;
    at += ons_rows_scratch(1, s->d, ONS_F32) + ons_rows_scratch(1, widest, ONS_F32);
    if (!grad)
        return at;
    b->keys = (float *)(base + at);
    at += by_depth;
    b->grads = (float *)(base + at);
    at += scores;
    b->outer = (float *)(base + at);
    return at + ons_cpu_align(ons_outer_scratch(s->tk, 1));
}

typedef struct plain_rows {
    const float *a;
    float *c;
    int64_t lda, ldc;
} plain_rows;

static void locate(const ons_rows *r, int64_t first, int count, const float **a, float **c)
{
    const plain_rows *p = r->context;

    for (int i = 0; i < count; i++) {
        a[i] = p->a + (first + i) * p->lda;
        c[i] = p->c + (first + i) * p->ldc;
    }
}

/* c [m, n] = a [m, k] b, b packed. */
static void multiply(const float *a, int64_t lda, const float *b, float *c, int64_t ldc, int64_t m, int64_t n,
                     int64_t k, char *scratch)
{
    plain_rows p = {a, c, lda, ldc};
    ons_rows r = {.n_rows = m,
                  .depth = k,
                  .n_cols = n,
                  .n_taps = 1,
                  .b = b,
                  .locate = locate,
                  .context = &p,
                  .scratch = scratch};

    ons_rows_run(&r, 0, 1);
}

/* e^(scale x - m) over n scores, zeros behind up to `all`; returns the sum. */
static float exp_scores(float *x, float scale, float m, int64_t n, int64_t all)
{
    vf sum = {0}, vs = v_set(scale), vm = v_set(m);
    int64_t i = 0;

    for (; i + VW <= n; i += VW) {
        vf e = v_exp(v_load(x + i) * vs - vm);

        v_store(x + i, e);
        sum += e;
    }
    if (i < n) {
        vf e = v_exp(v_load(x + i) * vs - vm);

        for (int64_t k = 0; k < VW; k++)
            e[k] = i + k < n ? e[k] : 0.f;
        v_store(x + i, e);
        sum += e;
        i += VW;
    }
    for (; i < all; i++)
        x[i] = 0;
    return v_sum(sum);
}

static float max_score(const float *x, int64_t n)
{
    vf most = v_set(-INFINITY);
    int64_t i = 0;
    float m;

    for (; i + VW <= n; i += VW)
        most = v_max(most, v_load(x + i));
    m = v_max_lanes(most);
    for (; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

float ons_isa_probabilities(uint16_t *p, const float *x, float scale, int64_t n, float *max);

/*
 * 2^t for t <= 0 as precisely as bf16 can hold it: 2^k q(f) with k + f = t, |f| <= 1/2, q the exponential
 * series to f^4 (4e-5). Below 2^-126 it is 0 or nearly so; NaN stays.
 */
INLINE vf exp2_short(vf t)
{
    const vf magic = v_set(12582912.f), low = v_max(t, v_set(-126.f)), shifted = low + magic,
             f = low - (shifted - magic);
    const vi k = (vi)shifted - 0x4b400000;
    vf q = f * v_set(9.6181291e-3f) + v_set(5.5504109e-2f);

    q = q * f + v_set(2.4022651e-1f);
    q = q * f + v_set(6.9314718e-1f);
    q = q * f + v_set(1.f);
    return q * (vf)((k + 127) << 23);
}

/* The halves that are stored, and what they are worth: rounded to nearest, halves away from zero. */
INLINE vi round_bf16(vf x)
{
    return ((vi)x + 0x8000) & (vi)((vi){0} - 0x10000);
}

float ons_isa_probabilities(uint16_t *p, const float *x, float scale, int64_t n, float *max)
{
    const float log2_e = 1.44269504089f, most = max_score(x, n) * scale;
    const vf factor = v_set(scale * log2_e), shift = v_set(most * log2_e);
    vf sum = {0};
    int64_t i = 0;

    *max = most;
    for (; i + VW <= n; i += VW) {
        vi bits = round_bf16(exp2_short(v_load(x + i) * factor - shift));

        sum += (vf)bits;
        *(vh_any *)(p + i) = __builtin_convertvector((bits >> 16) & 0xffff, vh_any);
    }
    if (i < n) {
        vi bits = round_bf16(exp2_short(v_load_part(x + i, n - i) * factor - shift));

        for (int64_t k = 0; k < n - i; k++) {
            p[i + k] = (uint16_t)(bits[k] >> 16);
            sum[k] += ((vf)bits)[k];
        }
    }
    return v_sum(sum);
}

typedef struct attention_job {
    sizes s;
    const ons_args *args;
    size_t thread_bytes;
} attention_job;

/* Queries [q0, q0 + n) of one head; keys and values are packed. */
static void attend(const attention_job *j, const buffers *b, int64_t sample, int64_t head, int64_t q0,
                   int64_t n)
{
    const sizes *s = &j->s;
    const float *q = (const float *)j->args->in[0] + (sample * s->tq + q0) * s->c + head * s->d;
    float *o = (float *)j->args->out[0] + (sample * s->tq + q0) * s->c + head * s->d;
    float *lse = j->args->out[1], inverse[QUERIES];

    multiply(q, s->c, b->keys_t, b->scores, s->pitch, n, s->pitch, s->d, b->rows);
    for (int64_t i = 0; i < n; i++) {
        float *row = b->scores + i * s->pitch, m, sum;
        int64_t seen = s->causal ? q0 + i + 1 : s->tk;

        /* A negative scale turns the order around. */
        m = s->scale >= 0 ? max_score(row, seen) * s->scale : 0;
        if (s->scale < 0)
            for (int64_t t = 0; t < seen; t++)
                m = t == 0 || row[t] * s->scale > m ? row[t] * s->scale : m;
        sum = exp_scores(row, s->scale, m, seen, s->tk);
        inverse[i] = 1.f / sum;
        if (lse)
            lse[(sample * s->heads + head) * s->tq + q0 + i] = m + logf(sum);
    }
    multiply(b->scores, s->pitch, b->values, o, s->c, n, s->d, s->tk, b->rows);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < s->d; k++)
            o[i * s->c + k] *= inverse[i];
}

static void run_blocks(void *context, int64_t begin, int64_t end, int thread)
{
    const attention_job *j = context;
    const sizes *s = &j->s;
    int64_t blocks = (s->tq + QUERIES - 1) / QUERIES, packed = -1;
    buffers b;

    lay_out(s, false, &b, (char *)j->args->scratch + j->thread_bytes * (size_t)thread);
    for (int64_t i = begin; i < end; i++) {
        int64_t pair = i / blocks, sample = pair / s->heads, head = pair % s->heads, q0 = i % blocks * QUERIES;
        int64_t at = sample * s->tk * s->c + head * s->d;

        if (pair != packed) {
            ons_pack_b(b.keys_t, (const float *)j->args->in[1] + at, s->c, s->d, s->tk, true, 1.f, 0,
                       s->pitch / NR);
            ons_pack_b(b.values, (const float *)j->args->in[2] + at, s->c, s->tk, s->d, false, 1.f, 0,
                       (s->d + NR - 1) / NR);
            packed = pair;
        }
        attend(j, &b, sample, head, q0, s->tq - q0 < QUERIES ? s->tq - q0 : QUERIES);
    }
}

static onestep_status run_attention(const ons_prep *p, const ons_args *args)
{
    attention_job j = {find_sizes(p->node), args, 0};
    buffers b;

    j.thread_bytes = lay_out(&j.s, false, &b, NULL);
    ons_parallel_for(p->n_threads, j.s.batch * j.s.heads * ((j.s.tq + QUERIES - 1) / QUERIES), 1, run_blocks,
                     &j);
    return ONESTEP_OK;
}

/* dst [tk, d] (+)= a^T b over n queries. */
static void multiply_transposed(const sizes *s, const float *a, const float *rows, float *dst, int64_t n,
                                bool add, float *scratch)
{
    ons_outer o = {.m = s->tk,
                   .n = s->d,
                   .k = n,
                   .a = a,
                   .lda = s->pitch,
                   .c = dst,
                   .ldc = s->c,
                   .alpha = 1.f,
                   .add = add,
                   .pack_b = ons_outer_pack_plain,
                   .b = rows,
                   .ldb = s->c,
                   .scratch = scratch};

    ons_outer_run(&o, 0, 1);
}

/* With P = e^(scale q k - lse) and delta = sum(do o): dP = do v^T, dS = scale P (dP - delta). */
static void differentiate_scores(const attention_job *j, const buffers *b, int64_t at, int64_t lse_at,
                                 int64_t q0, int64_t n)
{
    const sizes *s = &j->s;
    const float *o = (const float *)j->args->in[3] + at, *lse = (const float *)j->args->in[4] + lse_at;
    const float *d_o = (const float *)j->args->in[5] + at;

    for (int64_t i = 0; i < n; i++) {
        float *p = b->scores + i * s->pitch, *g = b->grads + i * s->pitch, delta = 0;
        int64_t seen = s->causal ? q0 + i + 1 : s->tk;
        vf vd, vs = v_set(s->scale);

        for (int64_t k = 0; k < s->d; k++)
            delta += o[i * s->c + k] * d_o[i * s->c + k];
        exp_scores(p, s->scale, lse[i], seen, s->tk);
        vd = v_set(delta);
        for (int64_t t = 0; t < s->pitch; t += VW)
            v_store(g + t, vs * v_load(p + t) * (v_load(g + t) - vd));
    }
}

static void run_grad_heads(void *context, int64_t begin, int64_t end, int thread)
{
    const attention_job *j = context;
    const sizes *s = &j->s;
    buffers b;

    lay_out(s, true, &b, (char *)j->args->scratch + j->thread_bytes * (size_t)thread);
    for (int64_t i = begin; i < end; i++) {
        int64_t sample = i / s->heads, head = i % s->heads, key_at = sample * s->tk * s->c + head * s->d;
        const float *k = (const float *)j->args->in[1] + key_at;
        float *dq = j->args->out[0], *dk = j->args->out[1], *dv = j->args->out[2];

        ons_pack_b(b.keys_t, k, s->c, s->d, s->tk, true, 1.f, 0, s->pitch / NR);
        ons_pack_b(b.values, (const float *)j->args->in[2] + key_at, s->c, s->d, s->tk, true, 1.f, 0,
                   s->pitch / NR);
        ons_pack_b(b.keys, k, s->c, s->tk, s->d, false, 1.f, 0, (s->d + NR - 1) / NR);
        for (int64_t q0 = 0; q0 < s->tq; q0 += QUERIES) {
            int64_t n = s->tq - q0 < QUERIES ? s->tq - q0 : QUERIES,
                    at = (sample * s->tq + q0) * s->c + head * s->d;
            const float *q = (const float *)j->args->in[0] + at, *d_o = (const float *)j->args->in[5] + at;

            multiply(q, s->c, b.keys_t, b.scores, s->pitch, n, s->pitch, s->d, b.rows);
            multiply(d_o, s->c, b.values, b.grads, s->pitch, n, s->pitch, s->d, b.rows);
            differentiate_scores(j, &b, at, (sample * s->heads + head) * s->tq + q0, q0, n);
            if (dq)
                multiply(b.grads, s->pitch, b.keys, dq + at, s->c, n, s->d, s->tk, b.rows);
            if (dk)
                multiply_transposed(s, b.grads, q, dk + key_at, n, q0 > 0, b.outer);
            if (dv)
                multiply_transposed(s, b.scores, d_o, dv + key_at, n, q0 > 0, b.outer);
        }
    }
}

static onestep_status run_attention_grad(const ons_prep *p, const ons_args *args)
{
    attention_job j = {find_sizes(p->node), args, 0};
    buffers b;

    j.thread_bytes = lay_out(&j.s, true, &b, NULL);
    ons_parallel_for(p->n_threads, j.s.batch * j.s.heads, 1, run_grad_heads, &j);
    return ONESTEP_OK;
}

static onestep_status prepare_attention(ons_prep *p)
{
    sizes s = find_sizes(p->node);
    buffers b;

    p->scratch_bytes = lay_out(&s, p->node->op == ONS_OP_ATTENTION_GRAD, &b, NULL) * (size_t)p->n_threads;
    return ONESTEP_OK;
}

const ons_kernel ons_attention_kernels[] = {
    {"blocks", ons_cpu_refuse_not_f32, prepare_attention, run_attention, NULL},
    {0},
};

const ons_kernel ons_attention_grad_kernels[] = {
    {"blocks", ons_cpu_refuse_not_f32, prepare_attention, run_attention_grad, NULL},
    {0},
};
