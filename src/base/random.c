/*
 * Philox4x32-10 (Salmon et al., SC 2011) and normals by Box-Muller. One counter gives four words, hence four
 * uniforms or four normals; element i of a stream lives in counter i / 4, so that any slice can be drawn on its
 * own. Logarithm, sine and cosine are polynomials of our own: the C library's may differ in the last bit
 * between systems.
 */
#include "base/random.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/parallel.h"
#include "base/system.h"

enum { GRAIN = 2048 }; /* blocks of four that are worth a thread */

void ons_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void draw(uint64_t seed, uint64_t stream, uint64_t block, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                                 (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    ons_philox(counter, key, out);
}

/* Natural logarithm of x > 0: x = m 2^e with m in [sqrt(1/2), sqrt(2)), atanh series in (m - 1)/(m + 1). */
static double own_log(double x)
{
    uint64_t bits;
    int e;
    double m, s, z, sum;

    memcpy(&bits, &x, sizeof bits);
    e = (int)(bits >> 52) - 1023;
    bits = (bits & 0xFFFFFFFFFFFFFull) | 0x3FF0000000000000ull;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    s = (m - 1) / (m + 1);
    z = s * s;
    sum = 1.0 / 17;
    for (int k = 15; k >= 1; k -= 2)
        sum = sum * z + 1.0 / k;
    return 2 * s * sum + e * 0.69314718055994530942;
}

/* sin(2 pi u) and cos(2 pi u), u in [0, 1): eighth-turn reduction, then Taylor polynomials on [0, pi/4]. */
static void own_sincos(double u, double *sine, double *cosine)
{
    int octant = (int)(u * 8);
    double r = (octant & 1 ? (octant + 1) * 0.125 - u : u - octant * 0.125) * 6.28318530717958647692, z = r * r;
    double s =
        r * (1 + z * (-1.0 / 6 + z * (1.0 / 120 + z * (-1.0 / 5040 + z * (1.0 / 362880 - z / 39916800)))));
    double c =
        1 + z * (-0.5 +
                 z * (1.0 / 24 + z * (-1.0 / 720 + z * (1.0 / 40320 + z * (-1.0 / 3628800 + z / 479001600)))));
    double a = (octant + 1) & 2 ? c : s, b = (octant + 1) & 2 ? s : c;

    *sine = octant >= 4 ? -a : a;
    *cosine = octant >= 2 && octant < 6 ? -b : b;
}

static double own_sqrt(double x)
{
    return __builtin_sqrt(x); /* correctly rounded by IEEE 754 everywhere */
}

/* Two normals from two words; the first word maps to (0, 1], so that the logarithm is finite. */
static void box_muller(uint32_t w0, uint32_t w1, float *n0, float *n1)
{
    double radius = own_sqrt(-2 * own_log(((double)w0 + 1) * 0x1p-32)), s, c;

    own_sincos((double)w1 * 0x1p-32, &s, &c);
    *n0 = (float)(radius * c);
    *n1 = (float)(radius * s);
}

static void four_normals(uint64_t seed, uint64_t stream, uint64_t block, float out[4])
{
    uint32_t w[4];

    draw(seed, stream, block, w);
    box_muller(w[0], w[1], &out[0], &out[1]);
    box_muller(w[2], w[3], &out[2], &out[3]);
}

static void four_uniforms(uint64_t seed, uint64_t stream, uint64_t block, float out[4])
{
    uint32_t w[4];

    draw(seed, stream, block, w);
    for (int i = 0; i < 4; i++)
        out[i] = (float)(w[i] >> 8) * 0x1p-24f;
}

typedef struct fill_job {
    void (*four)(uint64_t seed, uint64_t stream, uint64_t block, float out[4]);
    uint64_t seed, stream, offset;
    float *dst;
    size_t n;
} fill_job;

/* Blocks of four, counted from the one that `offset` lies in. */
static void fill_blocks(void *context, int64_t begin, int64_t end, int piece)
{
    const fill_job *j = context;
    const uint64_t first = j->offset / 4;

    (void)piece;
    for (uint64_t block = first + (uint64_t)begin; block < first + (uint64_t)end; block++) {
        float v[4];

        j->four(j->seed, j->stream, block, v);
        for (uint64_t k = 0; k < 4; k++)
            if (block * 4 + k >= j->offset && block * 4 + k < j->offset + j->n)
                j->dst[block * 4 + k - j->offset] = v[k];
    }
}

static void fill(int n_threads, fill_job j)
{
    const uint64_t first = j.offset / 4, last = (j.offset + j.n + 3) / 4;

    ons_parallel_for(n_threads, (int64_t)(last - first), GRAIN, fill_blocks, &j);
}

void ons_randn(uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n)
{
    ons_randn_by(1, seed, stream, offset, dst, n);
}

void ons_randn_by(int n_threads, uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n)
{
    fill(n_threads, (fill_job){four_normals, seed, stream, offset, dst, n});
}

void ons_rand_uniform(uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n)
{
    ons_rand_uniform_by(1, seed, stream, offset, dst, n);
}

void ons_rand_uniform_by(int n_threads, uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n)
{
    fill(n_threads, (fill_job){four_uniforms, seed, stream, offset, dst, n});
}

uint64_t ons_rand_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t w[4];

    draw(seed, stream, index, w);
    return (uint64_t)w[1] << 32 | w[0];
}

/* Lemire, ACM TOMACS 2019: the high half of word * bound, redrawn where the low half would favour some values.
 */
uint64_t ons_rand_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t biased_below = (0 - bound) % bound, word = ons_rand_u64(seed, stream, index);
    wide product = (wide)word * bound;

    while ((uint64_t)product < biased_below) {
        seed += UINT64_C(0x9E3779B97F4A7C15);
        word = ons_rand_u64(seed, stream, index);
        product = (wide)word * bound;
    }
    return (uint64_t)(product >> 64);
}

uint64_t ons_random_seed(void)
{
    uint64_t seed = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, &seed, sizeof seed) != (ssize_t)sizeof seed)
        seed = (uint64_t)(ons_now_s() * 1e9);
    if (fd >= 0)
        close(fd);
    return seed >> 32; /* short enough to be typed */
}
