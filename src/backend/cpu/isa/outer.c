/*
 * Products over a long common dimension, c[m][n] = sum_k a[k][m] b[k][n]: weight gradients (k runs over pixels
 * or rows). Slices of ONS_KC_OUTER: A^T is packed once for all threads, each thread packs the panels of B it
 * owns. C is accumulated in place in the order of k, so the result does not depend on the number of threads.
 * Rejected: splitting k over threads, which needs a copy of C per thread and an order that depends on their
 * number.
 */
#include "backend/cpu/isa/gemm.h"

enum { MR = ONS_MR, NR = ONS_NR };

static __attribute__((noinline)) void multiply_outer(int64_t kc, const float *a, const float *b, float *c,
                                                     int64_t ldc, bool first)
{
    vf acc[MR][2];

    for (int i = 0; i < MR; i++)
        acc[i][0] = acc[i][1] = (vf){0};
    for (int64_t k = 0; k < kc; k++, a += MR, b += NR) {
        vf b0 = v_load(b), b1 = v_load(b + VW);

        for (int i = 0; i < MR; i++) {
            vf x = v_set(a[i]);

            acc[i][0] += x * b0;
            acc[i][1] += x * b1;
        }
    }
    for (int i = 0; i < MR; i++, c += ldc) {
        if (!first) {
            acc[i][0] += v_load(c);
            acc[i][1] += v_load(c + VW);
        }
        v_store(c, acc[i][0]);
        v_store(c + VW, acc[i][1]);
    }
}

/* A tile that sticks out of C goes through a buffer. */
static void multiply_edge(int64_t kc, const float *a, const float *b, float *c, int64_t ldc, bool first,
                          int64_t rows, int64_t cols)
{
    float tile[MR * NR];

    multiply_outer(kc, a, b, tile, NR, true);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            c[i * ldc + j] = first ? tile[i * NR + j] : c[i * ldc + j] + tile[i * NR + j];
}

/* a[k0 .. k0 + kc)[m0 ..] -> [kc][MR], zeros beyond m. */
static void pack_a(const ons_outer *o, int64_t k0, int64_t kc, int64_t m0, float *dst)
{
    const float *src = o->a + k0 * o->lda + m0;
    int64_t rows = o->m - m0 < MR ? o->m - m0 : MR;

    if (rows == MR) {
        for (int64_t k = 0; k < kc; k++, src += o->lda, dst += MR)
            for (int i = 0; i < MR; i++)
                dst[i] = o->alpha * src[i];
        return;
    }
    memset(dst, 0, (size_t)(kc * MR) * 4);
    for (int64_t k = 0; k < kc; k++)
        for (int64_t i = 0; i < rows; i++)
            dst[k * MR + i] = o->alpha * src[k * o->lda + i];
}

void ons_outer_pack_plain(const ons_outer *o, int64_t k0, int64_t kc, int64_t n0, float *dst)
{
    ons_pack_b(dst, o->b + k0 * o->ldb + n0, o->ldb, kc, o->n - n0 < NR ? o->n - n0 : NR, false, 1.f, 0, 1);
}

static size_t a_floats(int64_t m)
{
    return (size_t)(ons_cpu_round_up(m, MR) * ONS_KC_OUTER);
}

/* Each thread packs for itself: a barrier per block of k costs more than packing the narrow operand twice. */
static size_t thread_floats(int64_t m)
{
    return ons_cpu_align((a_floats(m) + ONS_KC_OUTER * NR) * 4) / 4;
}

size_t ons_outer_scratch(int64_t m, int n_threads)
{
    return (size_t)n_threads * thread_floats(m) * 4;
}

static void run_panel(const ons_outer *o, int64_t kc, const float *a, const float *b, int64_t n0, int64_t from,
                      int64_t to, bool first)
{
    int64_t cols = o->n - n0 < NR ? o->n - n0 : NR;

    for (int64_t t = from; t < to; t++) {
        int64_t rows = o->m - t * MR < MR ? o->m - t * MR : MR;
        float *c = o->c + t * MR * o->ldc + n0;

        if (rows == MR && cols == NR)
            multiply_outer(kc, a + t * MR * kc, b, c, o->ldc, first);
        else
            multiply_edge(kc, a + t * MR * kc, b, c, o->ldc, first, rows, cols);
    }
}

/* Who does what: panels and tiles of C. */
typedef struct share {
    int64_t p0, p1, t0, t1;
} share;

static share split_work(const ons_outer *o, int thread, int n_threads)
{
    int64_t n_tiles = (o->m + MR - 1) / MR, n_panels = (o->n + NR - 1) / NR;
    int tn = n_panels < n_threads ? (int)n_panels : n_threads, tm = n_threads / tn;
    share s;

    ons_partition(n_panels, tn, thread % tn, &s.p0, &s.p1);
    ons_partition(n_tiles, tm, thread / tn < tm ? thread / tn : 0, &s.t0, &s.t1);
    if (thread >= tn * tm)
        s.p0 = s.p1 = 0;
    return s;
}

static void run_share(const ons_outer *o, const share *s, float *scratch)
{
    float *b = scratch + a_floats(o->m);

    for (int64_t k = 0; k < o->k && s->p0 < s->p1; k += ONS_KC_OUTER) {
        int64_t kc = o->k - k < ONS_KC_OUTER ? o->k - k : ONS_KC_OUTER;

        for (int64_t t = s->t0; t < s->t1; t++)
            pack_a(o, k, kc, t * MR, scratch + t * MR * kc);
        for (int64_t p = s->p0; p < s->p1; p++) {
            o->pack_b(o, k, kc, p * NR, b);
            run_panel(o, kc, scratch, b, p * NR, s->t0, s->t1, k == 0 && !o->add);
        }
    }
}

void ons_outer_run(const ons_outer *o, int thread, int n_threads)
{
    share s = split_work(o, thread, n_threads);

    run_share(o, &s, (float *)o->scratch + (size_t)thread * thread_floats(o->m));
}

void ons_outer_run_alone(const ons_outer *o)
{
    share s = split_work(o, 0, 1);

    run_share(o, &s, o->scratch);
}
