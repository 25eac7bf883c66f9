/*
 * Attention of bf16 operands through oneDNN's products, a block of queries of one head at a time: scores in
 * f32, probabilities in bf16 that are not yet divided by their sums, then the product with the values. Keys and
 * values are packed once per head and thread. Every thread has primitives' memories of its own; the products
 * inside run on that thread alone. Memory is a block of scores per thread, whatever the number of queries.
 */
#include <math.h>
#include <string.h>

#include "backend/cpu/onednn.h"
#include "base/failure.h"
#include "base/memory.h"

enum { SCORE_BYTES = 1 << 20, LEAST_QUERIES = 32, MOST_QUERIES = 256, LEAST_WORK = 1 << 20 };

typedef struct sizes {
    int64_t batch, heads, tq, tk, c, d, block; /* block: queries at a time */
    float scale;
} sizes;

/* The two products over one number of queries. */
typedef struct products {
    ons_prep scores, values;
} products;

typedef struct worker {
    products whole, rest; /* rest: of the last block; not prepared when all are whole */
} worker;

typedef struct attention_state {
    sizes s;
    int n_workers;
    worker *workers; /* [n_workers] */
    const ons_onednn_layout *keys, *values;
    size_t keys_at, values_at, scores_at, probabilities_at, sums_at, product_at,
        thread_bytes; /* in a thread's scratch */
} attention_state;

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
    s.block = SCORE_BYTES / (4 * s.tk);
    s.block = s.block > MOST_QUERIES ? MOST_QUERIES : s.block < LEAST_QUERIES ? LEAST_QUERIES : s.block;
    s.block = s.block > s.tq ? s.tq : s.block;
    return s;
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
    if (s.scale <= 0)
        return "its scale is not positive";
    return s.tq * s.tk * s.d < LEAST_WORK ? "too small to gain by it" : NULL;
}

static ons_onednn_tensor matrix(int64_t rows, int64_t columns, int64_t down, int64_t right, ons_dtype dtype)
{
    return (ons_onednn_tensor){.n = 2, .dtype = dtype, .d = {rows, columns}, .stride = {down, right}};
}

/* [queries, d] [d, tk] and [queries, tk] [tk, d]; rows of a head lie c apart. */
static onestep_status prepare_products(const ons_prep *p, const sizes *s, int64_t queries, products *out)
{
    ons_onednn_desc scores = {.kind = ONS_ONEDNN_MATMUL,
                              .type = ONS_BF16,
                              .free_weights = true,
                              .packed_weights = true,
                              .alpha = 1},
                    values = scores;
    onestep_status st;

    scores.at[ONS_ONEDNN_SRC] = matrix(queries, s->d, s->c, 1, ONS_BF16);
    scores.at[ONS_ONEDNN_WEIGHTS] = matrix(s->d, s->tk, 1, s->c, ONS_BF16);
    scores.at[ONS_ONEDNN_DST] = matrix(queries, s->tk, s->tk, 1, ONS_F32);
    values.at[ONS_ONEDNN_SRC] = matrix(queries, s->tk, s->tk, 1, ONS_BF16);
    values.at[ONS_ONEDNN_WEIGHTS] = matrix(s->tk, s->d, s->c, 1, ONS_BF16);
    values.at[ONS_ONEDNN_DST] = matrix(queries, s->d, s->d, 1, ONS_F32);
    out->scores = (ons_prep){.node = p->node, .n_threads = 1};
    out->values = out->scores;
    ONS_TRY(ons_onednn_prepare(&out->scores, &scores));
    ONS_TRY(ons_onednn_prepare(&out->values, &values));
fail:
    return st;
}

static onestep_status prepare_workers(const ons_prep *p, attention_state *s)
{
    const int64_t rest = s->s.tq % s->s.block;
    onestep_status st = ONESTEP_OK;

    s->workers = ons_calloc((size_t)p->n_threads, sizeof *s->workers);
    if (!s->workers)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare attention", p->node->layer);
    s->n_workers = p->n_threads;
    for (int i = 0; i < s->n_workers; i++) {
        ONS_TRY(prepare_products(p, &s->s, s->s.block, &s->workers[i].whole));
        if (rest)
            ONS_TRY(prepare_products(p, &s->s, rest, &s->workers[i].rest));
    }
    s->keys = ons_onednn_layout_of(&s->workers[0].whole.scores);
    s->values = ons_onednn_layout_of(&s->workers[0].whole.values);
    for (int i = 0; rest && i < s->n_workers; i++) /* one packed copy serves both numbers of queries */
        if (!ons_onednn_same_layout(s->keys, ons_onednn_layout_of(&s->workers[i].rest.scores)) ||
            !ons_onednn_same_layout(s->values, ons_onednn_layout_of(&s->workers[i].rest.values)))
            return ons_fail(ONESTEP_UNSUPPORTED, "oneDNN packs keys differently for the last block of queries");
fail:
    return st;
}

static void destroy_products(products *p)
{
    ons_onednn_destroy(&p->scores);
    ons_onednn_destroy(&p->values);
}

static void destroy(ons_prep *p)
{
    attention_state *s = p->state;

    if (!s)
        return;
    for (int i = 0; i < s->n_workers; i++) {
        destroy_products(&s->workers[i].whole);
        destroy_products(&s->workers[i].rest);
    }
    ons_free(s->workers);
    ons_free(s);
    p->state = NULL;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void lay_out(attention_state *s)
{
    const products *whole = &s->workers[0].whole, *rest = &s->workers[0].rest;
    const size_t block = (size_t)s->s.block,
                 product = larger(larger(whole->scores.scratch_bytes, whole->values.scratch_bytes),
                                  larger(rest->scores.scratch_bytes, rest->values.scratch_bytes));

    s->values_at = s->keys_at + ons_cpu_align(s->keys->bytes);
    s->scores_at = s->values_at + ons_cpu_align(s->values->bytes);
    s->probabilities_at =
        s->scores_at + ons_cpu_align(block * (size_t)larger((size_t)s->s.tk, (size_t)s->s.d) * 4);
    s->sums_at = s->probabilities_at + ons_cpu_align(block * (size_t)s->s.tk * 2);
    s->product_at = s->sums_at + ons_cpu_align(block * 4);
    s->thread_bytes = s->product_at + ons_cpu_align(product);
}

static onestep_status prepare(ons_prep *p)
{
    attention_state *s = ons_calloc(1, sizeof *s);
    onestep_status st;

    p->state = s;
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare attention", p->node->layer);
    s->s = find_sizes(p->node);
    ONS_TRY(prepare_workers(p, s));
    lay_out(s);
    p->scratch_bytes = s->thread_bytes * (size_t)p->n_threads;
    p->detail = s->workers[0].whole.scores.detail;
fail:
    if (st != ONESTEP_OK)
        destroy(p);
    return st;
}

typedef struct attention_job {
    const attention_state *state;
    const ons_args *args;
    ons_failure failure;
} attention_job;

/* Softmax over each row but for the division by the sums. */
static void exponentiate(const attention_job *j, char *scratch, int64_t n, float *lse)
{
    const attention_state *s = j->state;
    const float *scores = (const float *)(scratch + s->scores_at);
    float *sums = (float *)(scratch + s->sums_at);
    uint16_t *probabilities = (uint16_t *)(scratch + s->probabilities_at);

    for (int64_t i = 0; i < n; i++) {
        float most;

        sums[i] = ons_cpu_probabilities(probabilities + i * s->s.tk, scores + i * s->s.tk, s->s.scale, s->s.tk,
                                        &most);
        if (lse)
            lse[i] = most + logf(sums[i]);
    }
}

/* Queries [q0, q0 + n) of one head, whose keys and values are packed. */
static onestep_status attend(const attention_job *j, const products *p, char *scratch, int64_t pair, int64_t q0,
                             int64_t n)
{
    const attention_state *s = j->state;
    const int64_t sample = pair / s->s.heads, head = pair % s->s.heads,
                  at = (sample * s->s.tq + q0) * s->s.c + head * s->s.d;
    const uint16_t *q = (const uint16_t *)j->args->in[0] + at;
    uint16_t *out = (uint16_t *)j->args->out[0] + at;
    float *lse = j->args->out[1] ? (float *)j->args->out[1] + pair * s->s.tq + q0 : NULL;
    float *scores = (float *)(scratch + s->scores_at), *sums = (float *)(scratch + s->sums_at);
    void *first[ONS_ONEDNN_N_ROLES] = {(void *)q, scratch + s->keys_at, NULL, scores};
    void *second[ONS_ONEDNN_N_ROLES] = {scratch + s->probabilities_at, scratch + s->values_at, NULL, scores};
    onestep_status st = ONESTEP_OK;

    ONS_TRY(ons_onednn_run(&p->scores, first, scratch + s->product_at));
    exponentiate(j, scratch, n, lse);
    ONS_TRY(
        ons_onednn_run(&p->values, second, scratch + s->product_at)); /* over the scores, which are done with */
    for (int64_t i = 0; i < n; i++) {
        float *row = scores + i * s->s.d;

        for (int64_t k = 0; k < s->s.d; k++)
            row[k] /= sums[i];
        ons_cpu_convert(out + i * s->s.c, ONS_BF16, row, ONS_F32, (size_t)s->s.d);
    }
fail:
    return st;
}

static void run_blocks(void *context, int64_t begin, int64_t end, int thread)
{
    attention_job *j = context;
    const attention_state *s = j->state;
    const worker *w = &s->workers[thread];
    const int64_t blocks = (s->s.tq + s->s.block - 1) / s->s.block;
    char *scratch = (char *)j->args->scratch + s->thread_bytes * (size_t)thread;
    int64_t packed = -1;

    for (int64_t i = begin; i < end; i++) {
        const int64_t pair = i / blocks, q0 = i % blocks * s->s.block, left = s->s.tq - q0;
        const int64_t at = pair / s->s.heads * s->s.tk * s->s.c + pair % s->s.heads * s->s.d;

        if (pair != packed) {
            ons_onednn_pack(s->keys, scratch + s->keys_at, (const uint16_t *)j->args->in[1] + at);
            ons_onednn_pack(s->values, scratch + s->values_at, (const uint16_t *)j->args->in[2] + at);
            packed = pair;
        }
        if (left >= s->s.block)
            ons_failure_note(&j->failure, attend(j, &w->whole, scratch, pair, q0, s->s.block));
        else
            ons_failure_note(&j->failure, attend(j, &w->rest, scratch, pair, q0, left));
    }
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    const attention_state *s = p->state;
    attention_job j = {.state = s, .args = args};

    ons_parallel_for(p->n_threads, s->s.batch * s->s.heads * ((s->s.tq + s->s.block - 1) / s->s.block), 1,
                     run_blocks, &j);
    return ons_failure_take(&j.failure);
}

const ons_kernel *ons_onednn_attention_kernels(ons_onednn_rows which)
{
    static const ons_kernel rows[] = {{"onednn_bf16", refuse, prepare, run, destroy}, {0}};

    return which == ONS_ONEDNN_BF16 ? rows : NULL;
}
