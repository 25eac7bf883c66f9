/*
 * torch.randn on a CPU generator: MT19937 (Matsumoto and Nishimura 1998) and PyTorch's block-wise Box-Muller,
 * so that a diffusers user gets the same picture from the same seed. Here the C library's functions are right:
 * PyTorch uses them too.
 */
#include <math.h>

#include "base/random.h"

enum { WORDS = 624, MIDDLE = 397 };

typedef struct twister {
    uint32_t state[WORDS];
    int at;
} twister;

static void seed_twister(twister *t, uint32_t seed)
{
    t->state[0] = seed;
    for (int i = 1; i < WORDS; i++)
        t->state[i] = 1812433253u * (t->state[i - 1] ^ (t->state[i - 1] >> 30)) + (uint32_t)i;
    t->at = WORDS;
}

static void refill(twister *t)
{
    for (int i = 0; i < WORDS; i++) {
        uint32_t y = (t->state[i] & 0x80000000u) | (t->state[(i + 1) % WORDS] & 0x7FFFFFFFu);

        t->state[i] = t->state[(i + MIDDLE) % WORDS] ^ (y >> 1) ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    t->at = 0;
}

static uint32_t next_word(twister *t)
{
    uint32_t y;

    if (t->at == WORDS)
        refill(t);
    y = t->state[t->at++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
}

static float uniform24(twister *t)
{
    return (float)(next_word(t) & 0xFFFFFFu) * 0x1p-24f;
}

static double uniform53(twister *t)
{
    uint64_t high = next_word(t), low = next_word(t);

    return (double)((high << 32 | low) & ((1ull << 53) - 1)) * 0x1p-53;
}

static void transform_block(float d[16])
{
    for (int j = 0; j < 8; j++) {
        float u1 = 1 - d[j], u2 = d[j + 8];
        float radius = sqrtf(-2 * logf(u1)), angle = 6.283185307179586f * u2;

        d[j] = radius * cosf(angle);
        d[j + 8] = radius * sinf(angle);
    }
}

/* Fewer than 16 values: one pair of double normals at a time, the sine kept for the next value. */
static void small_randn(twister *t, float *dst, size_t n)
{
    double kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (i & 1) {
            dst[i] = (float)kept;
        } else {
            double u1 = uniform53(t), u2 = uniform53(t), radius = sqrt(-2 * log1p(-u2));

            dst[i] = (float)(radius * cos(6.28318530717958647692 * u1));
            kept = radius * sin(6.28318530717958647692 * u1);
        }
    }
}

/* The last block is drawn anew where n is no multiple of 16. */
static void large_randn(twister *t, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = uniform24(t);
    for (size_t i = 0; i + 16 <= n; i += 16)
        transform_block(dst + i);
    if (n % 16) {
        for (size_t i = n - 16; i < n; i++)
            dst[i] = uniform24(t);
        transform_block(dst + n - 16);
    }
}

void ons_torch_randn(uint64_t seed, int draw, float *dst, size_t n)
{
    twister t;

    seed_twister(&t, (uint32_t)seed);
    for (int i = 0; i <= draw; i++)
        (n < 16 ? small_randn : large_randn)(&t, dst, n);
}
