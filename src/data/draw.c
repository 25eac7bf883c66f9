/*
 * Draws: which item and which caption number `index` of a training stream has, as a pure function, so that a
 * resumed run and any number of processes see the same stream.
 *
 * The order of an epoch is a Feistel network over the smallest even number of bits that holds the count, walked
 * until it lands inside (cycle walking, Black and Rogaway 2002): a permutation without a table. Rejected: a
 * shuffled list per epoch, which costs memory and a rebuild at every jump.
 */
#include "data/parts.h"

#include "base/random.h"
#include "base/streams.h"

enum { N_ROUNDS = 4 };

static uint64_t mix(uint64_t x)
{
    /* Finaliser of MurmurHash3 (Appleby, public domain). */
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdu;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

static uint64_t permute(const uint64_t keys[N_ROUNDS], uint64_t x, uint64_t n)
{
    int half = 1;
    while (half < 31 && (uint64_t)1 << 2 * half < n)
        half++;
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (int r = 0; r < N_ROUNDS; r++) {
            const uint64_t next = left ^ (mix(right ^ keys[r]) & mask);
            left = right;
            right = next;
        }
        x = left << half | right;
    } while (x >= n);
    return x;
}

static double draw_uniform(uint64_t seed, uint64_t index)
{
    return (double)(ons_rand_u64(seed, ONS_STREAM_CAPTION, 2 * index) >> 11) * 0x1p-53;
}

static ons_caption_draw draw(const ons_dataset *d, const uint32_t *order, uint64_t n, uint64_t seed,
                             uint64_t index, double p_empty, double p_keyword)
{
    const uint64_t epoch = index / n;
    uint64_t keys[N_ROUNDS];
    for (int r = 0; r < N_ROUNDS; r++)
        keys[r] = ons_rand_u64(seed, ONS_STREAM_ORDER, N_ROUNDS * epoch + (uint64_t)r);

    const size_t place = (size_t)permute(keys, index % n, n), at = order ? order[place] : place;
    const ons_item *item = &d->items[at];
    const double u = draw_uniform(seed, index);
    if (u < p_empty)
        return (ons_caption_draw){at, ""};
    if (u >= p_empty + p_keyword || item->n_captions < 2)
        return (ons_caption_draw){at, item->captions[0]};
    const uint64_t which =
        ons_rand_below(seed, ONS_STREAM_CAPTION, 2 * index + 1, (uint64_t)item->n_captions - 1);
    return (ons_caption_draw){at, item->captions[1 + which]};
}

ons_caption_draw ons_dataset_draw(const ons_dataset *d, uint64_t seed, uint64_t index, double p_empty,
                                  double p_keyword)
{
    return draw(d, d->order, d->n_order, seed, index, p_empty, p_keyword);
}

ons_caption_draw ons_dataset_draw_even(const ons_dataset *d, uint64_t seed, uint64_t index, double p_empty,
                                       double p_keyword)
{
    return draw(d, NULL, d->n, seed, index, p_empty, p_keyword);
}
