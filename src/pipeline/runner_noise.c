/*
 * Starting noise of one picture. The engine's order is [h, w, c]; torch draws [c, h, w], which is permuted in
 * place by following the cycles, so that drawing noise cannot fail for lack of memory.
 */
#include "base/random.h"
#include "base/streams.h"
#include "pipeline/runner.h"

/* Where the value that belongs at i of [pixel, channel] lies in [channel, pixel]. */
static size_t source_of(size_t i, size_t pixels, size_t channels)
{
    return i % channels * pixels + i / channels;
}

static void channels_last(float *v, size_t pixels, size_t channels)
{
    for (size_t start = 0; start < pixels * channels; start++) {
        size_t i = source_of(start, pixels, channels), next;
        float first = v[start];

        while (i > start)
            i = source_of(i, pixels, channels);
        if (i < start)
            continue; /* this cycle went through a smaller index */
        for (i = start; (next = source_of(i, pixels, channels)) != start; i = next)
            v[i] = v[next];
        v[i] = first;
    }
}

void ons_picture_noise(ons_noise_kind kind, uint64_t seed, int64_t h, int64_t w, int64_t c, float *dst)
{
    const size_t pixels = (size_t)(h * w), channels = (size_t)c;

    if (kind == ONS_NOISE_PHILOX) {
        ons_randn(seed, ONS_STREAM_NOISE, 0, dst, pixels * channels);
        return;
    }
    ons_torch_randn(seed, 0, dst, pixels * channels);
    channels_last(dst, pixels, channels);
}
