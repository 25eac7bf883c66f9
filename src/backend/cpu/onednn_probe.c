/* See onednn_probe.h. The product is sgemm on operands as they lie. */
#include "backend/cpu/onednn_probe.h"

#include <oneapi/dnnl/dnnl.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"
#include "base/random.h"

typedef struct product {
    ons_probe base;
    int64_t m, n, k, lda, ldb;
    char trans_a, trans_b;
    int n_threads;
    float *a, *b, *c;
} product;

static void run_product(ons_probe *p)
{
    product *s = (product *)p;
    const int before = ons_cpu_set_threads(s->n_threads);

    dnnl_sgemm(s->trans_a, s->trans_b, s->m, s->n, s->k, 1.f, s->a, s->lda, s->b, s->ldb, 0.f, s->c, s->n);
    ons_cpu_set_threads(before);
}

static void destroy_product(ons_probe *p)
{
    product *s = (product *)p;

    ons_free_aligned(s->a);
    ons_free_aligned(s->b);
    ons_free_aligned(s->c);
    ons_free(s);
}

static float *make_numbers(int64_t n, uint64_t stream)
{
    float *x = ons_calloc_aligned((size_t)n * sizeof *x);

    if (x)
        ons_rand_uniform(1, stream, 0, x, (size_t)n);
    return x;
}

static ons_probe *probe_product(const ons_node *n, int n_threads)
{
    const ons_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;
    const bool trans_a = n->attrs.matmul.trans_a, trans_b = n->attrs.matmul.trans_b;
    product *s;

    if (a->n != 2 || b->n != 2 || ons_cpu_refuse_not_f32(n) || !(s = ons_calloc(1, sizeof *s)))
        return NULL;
    *s = (product){.base = {"oneDNN", "sgemm", run_product, destroy_product},
                   .m = a->d[trans_a],
                   .n = b->d[!trans_b],
                   .k = a->d[!trans_a],
                   .lda = a->d[1],
                   .ldb = b->d[1],
                   .trans_a = trans_a ? 'T' : 'N',
                   .trans_b = trans_b ? 'T' : 'N',
                   .n_threads = n_threads};
    s->a = make_numbers(s->m * s->k, 1);
    s->b = make_numbers(s->k * s->n, 2);
    s->c = make_numbers(s->m * s->n, 3);
    if (s->a && s->b && s->c)
        return &s->base;
    destroy_product(&s->base);
    return NULL;
}

ons_probe *ons_onednn_probe(const ons_node *n, int n_threads, bool fast)
{
    switch (n->op) {
    case ONS_OP_MATMUL:
        return fast ? NULL : probe_product(n, n_threads);
    case ONS_OP_CONV2D:
    case ONS_OP_CONV2D_GRAD_X:
    case ONS_OP_CONV2D_GRAD_W:
        return ons_onednn_probe_conv(n, n_threads, fast);
    default:
        return NULL;
    }
}
