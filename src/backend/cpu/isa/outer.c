/*
 * Products over a long common dimension, c[m][n] = sum_k a[k][m] b[k][n]: weight gradients (k runs over pixels
 * or rows). Slices of ONS_KC_OUTER: A^T is packed once for all threads, each thread packs the panels of B it
 * owns. C is accumulated in place in the order of k, so the result does not depend on the number of threads.
 * Rejected: splitting k over threads, which needs a copy of C per thread and an order that depends on their
 * number.
 */
#include "backend/cpu/isa/gemm.h"

enum { MR = ONS_MR, NR = ONS_NR };

/* kc > 0: a loop that could be empty would have the compiler keep the sums in memory too. */
static __attribute__((noinline)) void multiply_outer(int64_t kc, const float *a, int64_t lda, const float *b,
                                                     float *c, int64_t ldc, bool first)
{
    vf acc[MR][2];

    for (int i = 0; i < MR; i++)
        acc[i][0] = acc[i][1] = (vf){0};
    do {
        vf b0 = v_load(b), b1 = v_load(b + VW);

        for (int i = 0; i < MR; i++) {
            vf x = v_set(a[i]);

            acc[i][0] += x * b0;
            acc[i][1] += x * b1;
        }
        a += lda;
        b += NR;
    } while (--kc > 0);
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
static void multiply_edge(int64_t kc, const float *a, int64_t lda, const float *b, float *c, int64_t ldc,
                          bool first, int64_t rows, int64_t cols)
{
    float tile[MR * NR];

    multiply_outer(kc, a, lda, b, tile, NR, true);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            c[i * ldc + j] = first ? tile[i * NR + j] : c[i * ldc + j] + tile[i * NR + j];
}

/*
 * a[k0 .. k0 + kc)[m0 ..] -> [kc][MR], zeros beyond m. Whole vectors where a row of A has them: what sticks out
 * of a row of the tile is overwritten by the next one, and the buffer ends in room for the last.
 */
static void pack_a(const ons_outer *o, int64_t k0, int64_t kc, int64_t m0, float *dst)
{
    const float *src = o->a + k0 * o->lda + m0;
    int64_t rows = o->m - m0 < MR ? o->m - m0 : MR;

    if (VW >= MR && m0 + VW <= o->m) {
        vf alpha = v_set(o->alpha);

        for (int64_t k = 0; k < kc; k++, src += o->lda, dst += MR)
            v_store(dst, alpha * v_load(src));
        return;
    }
    if (rows < MR)
        memset(dst, 0, (size_t)(kc * MR) * 4);
    for (int64_t k = 0; k < kc; k++)
        for (int64_t i = 0; i < rows; i++)
            dst[k * MR + i] = o->alpha * src[k * o->lda + i];
}

void ons_outer_pack_plain(const ons_outer *o, int64_t k0, int64_t kc, int64_t n0, float *dst)
{
    ons_pack_b(dst, o->b + k0 * o->ldb + n0, o->ldb, kc, o->n - n0 < NR ? o->n - n0 : NR, false, 1.f, 0, 1);
}

/* Floats of one thread: its slice of A^T, then one panel of B. */
static size_t a_floats(int64_t m)
{
    return ons_cpu_align(((size_t)(ons_cpu_round_up(m, MR) * ONS_KC_OUTER) + VW) * 4) / 4;
}

size_t ons_outer_scratch(int64_t m, int n_threads)
{
    return (size_t)n_threads * (a_floats(m) + ONS_KC_OUTER * NR) * 4;
}

static void run_panel(const ons_outer *o, int64_t kc, const float *a, const float *b, int64_t n0, int64_t from,
                      int64_t to, bool first)
{
    int64_t cols = o->n - n0 < NR ? o->n - n0 : NR;

    for (int64_t t = from; t < to; t++) {
        int64_t rows = o->m - t * MR < MR ? o->m - t * MR : MR;
        float *c = o->c + t * MR * o->ldc + n0;

        if (rows == MR && cols == NR)
            multiply_outer(kc, a + (t - from) * MR * kc, MR, b, c, o->ldc, first);
        else
            multiply_edge(kc, a + (t - from) * MR * kc, MR, b, c, o->ldc, first, rows, cols);
    }
}

/*
 * Threads as a grid over tiles and panels. Each packs what it needs by itself, so the split is the one that
 * packs least; a tile costs about twice a panel's share, because a vector of A fills one row of it. No thread
 * waits for another: barriers per slice cost a time slice each on a busy machine.
 */
static int split_threads(int64_t n_tiles, int64_t n_panels, int n_threads)
{
    int best = 1;
    double least = 1e300;

    for (int tm = 1; tm <= n_threads; tm++) {
        int tn = n_threads / tm;
        double tiles = (double)((n_tiles + tm - 1) / tm), panels = (double)((n_panels + tn - 1) / tn);
        double cost = 6 * tiles * panels + 2 * tiles + 3 * panels;

        if (cost < least) {
            least = cost;
            best = tm;
        }
    }
    return best;
}

void ons_outer_run(const ons_outer *o, int thread, int n_threads)
{
    int64_t n_tiles = (o->m + MR - 1) / MR, n_panels = (o->n + NR - 1) / NR, p0, p1, t0, t1;
    int tm = split_threads(n_tiles, n_panels, n_threads), tn = n_threads / tm;
    float *a = o->scratch + (a_floats(o->m) + ONS_KC_OUTER * NR) * (size_t)thread, *b = a + a_floats(o->m);

    if (thread >= tm * tn)
        return;
    ons_partition(n_tiles, tm, thread % tm, &t0, &t1);
    ons_partition(n_panels, tn, thread / tm, &p0, &p1);
    if (t0 >= t1 || p0 >= p1)
        return;
    for (int64_t k = 0; k < o->k; k += ONS_KC_OUTER) {
        int64_t kc = o->k - k < ONS_KC_OUTER ? o->k - k : ONS_KC_OUTER;

        for (int64_t t = t0; t < t1; t++)
            pack_a(o, k, kc, t * MR, a + (t - t0) * MR * kc);
        for (int64_t p = p0; p < p1; p++) {
            o->pack_b(o, k, kc, p * NR, b);
            run_panel(o, kc, a, b, p * NR, t0, t1, k == 0 && !o->add);
        }
    }
}

void ons_outer_tiles(int64_t kc, const float *a, int64_t lda, const float *b, float *c, int64_t ldc, int64_t m,
                     int64_t cols, bool first)
{
    for (int64_t i = 0; i < m; i += MR, a += MR, c += MR * ldc) {
        if (m - i >= MR && cols == NR)
            multiply_outer(kc, a, lda, b, c, ldc, first);
        else
            multiply_edge(kc, a, lda, b, c, ldc, first, m - i < MR ? m - i : MR, cols);
    }
}
