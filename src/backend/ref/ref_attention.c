/*
 * Attention per head: p = softmax(scale q k^T), o = p v, lse = log sum exp of the scores. Backward with D =
 * sum_c do o: dv = p^T do,  ds = p (do v^T - D),  dq = scale ds k,  dk = scale ds^T q.
 */
#include <math.h>

#include "backend/ref/ref.h"

typedef struct heads {
    int64_t b, tq, tk, c, n, d;
} heads;

static heads shape_of(const ons_node *n)
{
    const ons_shape *q = &n->in[0]->shape, *k = &n->in[1]->shape;

    return (heads){
        q->d[0], q->d[1], k->d[1], q->d[2], n->attrs.attention.n_heads, q->d[2] / n->attrs.attention.n_heads};
}

static double score(const ons_node *n, const ons_args *a, const heads *s, int64_t b, int64_t h, int64_t i,
                    int64_t j)
{
    double sum = 0;

    if (n->attrs.attention.causal && j > i)
        return -INFINITY;
    for (int64_t c = 0; c < s->d; c++)
        sum += ref_in(n, a, 0, (b * s->tq + i) * s->c + h * s->d + c) *
               ref_in(n, a, 1, (b * s->tk + j) * s->c + h * s->d + c);
    return sum * n->attrs.attention.scale;
}

static double log_sum(const ons_node *n, const ons_args *a, const heads *s, int64_t b, int64_t h, int64_t i)
{
    double top = -INFINITY, sum = 0;

    for (int64_t j = 0; j < s->tk; j++)
        top = fmax(top, score(n, a, s, b, h, i, j));
    for (int64_t j = 0; j < s->tk; j++)
        sum += exp(score(n, a, s, b, h, i, j) - top);
    return top + log(sum);
}

/* Adds query i's share of the values, each by its probability. */
static void add_values(const ons_node *n, const ons_args *a, const heads *s, int64_t b, int64_t h, int64_t i,
                       double lse)
{
    double *o = ref_sums(n, a, 0) + (b * s->tq + i) * s->c + h * s->d;

    for (int64_t j = 0; j < s->tk; j++) {
        double p = exp(score(n, a, s, b, h, i, j) - lse);

        for (int64_t c = 0; c < s->d; c++)
            o[c] += p * ref_in(n, a, 2, (b * s->tk + j) * s->c + h * s->d + c);
    }
}

static void run_attention(const ons_node *n, const ons_args *a)
{
    heads s = shape_of(n);

    ref_sums_begin(n, a);
    for (int64_t b = 0; b < s.b; b++)
        for (int64_t h = 0; h < s.n; h++)
            for (int64_t i = 0; i < s.tq; i++) {
                double lse = log_sum(n, a, &s, b, h, i);

                add_values(n, a, &s, b, h, i, lse);
                ref_sums(n, a, 1)[(b * s.n + h) * s.tq + i] = lse;
            }
    ref_sums_end(n, a);
}

/* Adds what one (query, key) pair contributes. `delta` is sum_c do o of the query. */
static void grad_pair(const ons_node *n, const ons_args *a, const heads *s, int64_t b, int64_t h, int64_t i,
                      int64_t j, double delta)
{
    int64_t q = (b * s->tq + i) * s->c + h * s->d, k = (b * s->tk + j) * s->c + h * s->d;
    double p = exp(score(n, a, s, b, h, i, j) - ref_in(n, a, 4, (b * s->n + h) * s->tq + i)), dp = 0, ds;

    for (int64_t c = 0; c < s->d; c++)
        dp += ref_in(n, a, 5, q + c) * ref_in(n, a, 2, k + c);
    ds = p * (dp - delta) * n->attrs.attention.scale;
    for (int64_t c = 0; c < s->d; c++) {
        ref_sums(n, a, 0)[q + c] += ds * ref_in(n, a, 1, k + c);
        ref_sums(n, a, 1)[k + c] += ds * ref_in(n, a, 0, q + c);
        ref_sums(n, a, 2)[k + c] += p * ref_in(n, a, 5, q + c);
    }
}

static void run_attention_grad(const ons_node *n, const ons_args *a)
{
    heads s = shape_of(n);

    ref_sums_begin(n, a);
    for (int64_t b = 0; b < s.b; b++)
        for (int64_t h = 0; h < s.n; h++)
            for (int64_t i = 0; i < s.tq; i++) {
                double delta = 0;

                for (int64_t c = 0; c < s.d; c++)
                    delta += ref_in(n, a, 3, (b * s.tq + i) * s.c + h * s.d + c) *
                             ref_in(n, a, 5, (b * s.tq + i) * s.c + h * s.d + c);
                for (int64_t j = 0; j < s.tk; j++)
                    grad_pair(n, a, &s, b, h, i, j, delta);
            }
    ref_sums_end(n, a);
}

ref_fn REF(attention)(ons_op op)
{
    return op == ONS_OP_ATTENTION ? run_attention : op == ONS_OP_ATTENTION_GRAD ? run_attention_grad : NULL;
}
