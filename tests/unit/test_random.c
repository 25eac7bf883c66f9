/* Random numbers: known answers, slices, moments, bounds, and torch's stream. */
#include "unit_test.h"

#include <math.h>

#include "base/random.h"

/* Vectors of the authors' own test suite (Random123, kat_vectors). */
static void philox_gives_the_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t out[4];
        ons_philox(cases[i].counter, cases[i].key, out);
        assert_memory_equal(out, cases[i].out, sizeof out);
    }
}

typedef void (*fill_fn)(uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n);

static void check_slices(fill_fn fill)
{
    enum { N = 1500 };
    static const uint64_t bases[] = {0, 3, (UINT64_C(1) << 34) - 700}; /* the last crosses a counter word */
    float whole[N], slice[N];

    for (size_t b = 0; b < 3; b++) {
        fill(7, 9, bases[b], whole, N);
        for (size_t at = 0, step = 1; at < N; at += step, step = step * 3 % 97 + 1) {
            size_t n = at + step <= N ? step : N - at;
            fill(7, 9, bases[b] + at, slice, n);
            assert_memory_equal(slice, whole + at, n * sizeof *slice);
        }
    }
}

static void any_slice_gives_the_same_elements(void **state)
{
    (void)state;
    check_slices(ons_randn);
    check_slices(ons_rand_uniform);
}

/* Box-Muller written down again with the C library's functions, in double. */
static void normals_follow_the_formula(void **state)
{
    enum { N = 4096 };
    float got[N];

    (void)state;
    ons_randn(123, 5, 0, got, N);
    for (uint32_t i = 0; i < N; i += 2) {
        const uint32_t counter[4] = {i / 4, 0, 5, 0}, key[2] = {123, 0};
        uint32_t w[4];
        ons_philox(counter, key, w);
        double r = sqrt(-2 * log((w[i % 4] + 1.0) * 0x1p-32)), angle = 2 * M_PI * w[i % 4 + 1] * 0x1p-32;
        assert_true(fabs(got[i] - r * cos(angle)) <= 1e-6);
        assert_true(fabs(got[i + 1] - r * sin(angle)) <= 1e-6);
    }
}

static void normals_have_the_moments(void **state)
{
    enum { N = 1 << 20 };
    float *v = malloc(N * sizeof *v);
    double sum[5] = {0}, lag = 0;

    (void)state;
    assert_non_null(v);
    ons_randn(1, 2, 0, v, N);
    for (int i = 0; i < N; i++) {
        for (int k = 1; k <= 4; k++)
            sum[k] += pow(v[i], k) / N;
        lag += i ? (double)v[i] * v[i - 1] / N : 0;
    }
    free(v);
    /* five standard errors: sqrt(var / N) with var 1, 2, 15, 96, 1 */
    assert_true(fabs(sum[1]) < 5 * sqrt(1.0 / N));
    assert_true(fabs(sum[2] - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(sum[3]) < 5 * sqrt(15.0 / N));
    assert_true(fabs(sum[4] - 3) < 5 * sqrt(96.0 / N));
    assert_true(fabs(lag) < 5 * sqrt(1.0 / N));
}

static void uniforms_stay_in_range_and_streams_differ(void **state)
{
    enum { N = 100000 };
    static float a[N], b[N];
    double mean = 0;
    int same = 0;

    (void)state;
    ons_rand_uniform(3, 0, 0, a, N);
    ons_rand_uniform(3, 1, 0, b, N);
    for (int i = 0; i < N; i++) {
        assert_true(a[i] >= 0 && a[i] < 1);
        mean += (double)a[i] / N;
        same += a[i] == b[i];
    }
    assert_true(fabs(mean - 0.5) < 5 * sqrt(1.0 / 12 / N));
    assert_true(same < 10);
    ons_rand_uniform(4, 0, 0, b, N);
    assert_memory_not_equal(a, b, sizeof a);
}

static void integers_stay_below_the_bound(void **state)
{
    int counts[7] = {0};

    (void)state;
    for (uint64_t i = 0; i < 70000; i++)
        counts[ons_rand_below(11, 0, i, 7)]++;
    for (int k = 0; k < 7; k++)
        assert_true(abs(counts[k] - 10000) < 5 * 93); /* sqrt(70000 * 1/7 * 6/7) = 93 */
    /* a bound that redraws one word in two */
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(ons_rand_below(11, 0, i, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63);
    assert_int_equal(ons_rand_below(1, 1, 1, 1), 0);
    assert_true(ons_rand_u64(1, 2, 3) == ons_rand_u64(1, 2, 3));
    assert_true(ons_rand_u64(1, 2, 3) != ons_rand_u64(1, 2, 4));
    assert_true(ons_random_seed() != ons_random_seed());
}

/* From torch.randn(n, generator=torch.Generator().manual_seed(seed)). */
static void torch_streams_are_reproduced(void **state)
{
    static const struct {
        uint64_t seed;
        size_t n;
        float first[4], last; /* last 0: not recorded */
        int draw;
    } cases[] = {
        {0, 3, {1.5409961f, -0.2934289f, -2.1787894f, 0}, -2.1787894f, 0},
        {42, 5, {0.3366904f, 0.1288094f, 0.2344624f, 0.2303330f}, -1.1228564f, 0},
        {7, 15, {-0.1467951f, 0.7861413f, 0.9468216f, -1.1143440f}, 1.3954508f, 0},
        {0, 16, {-1.1258398f, -1.1523602f, -0.2505786f, -0.4338788f}, -0.2472782f, 0},
        {42, 16384, {1.9269153f, 1.4872841f, 0.9007172f, -2.1055210f}, 0, 0},
        {7, 37, {-0.8201345f, 0.3956312f, 0.8989085f, -1.3884039f}, -0.1007343f, 0},
        {123456789012u, 64, {-0.3533599f, -0.2634964f, -1.3733620f, -3.3606706f}, 0, 0},
        {7, 20, {0.9571022f, -0.6618676f, -0.8284521f, -0.6056803f}, 0.4495094f, 1},
        {7, 20, {1.5496191f, 0.5989000f, -0.6376678f, -2.2858188f}, 1.7711380f, 2},
    };
    static float v[16384];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t n = cases[i].n;
        ons_torch_randn(cases[i].seed, cases[i].draw, v, n);
        for (size_t k = 0; k < 4 && k < n; k++)
            assert_true(fabsf(v[k] - cases[i].first[k]) <= 1e-6f);
        if (cases[i].last != 0)
            assert_true(fabsf(v[n - 1] - cases[i].last) <= 1e-6f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(any_slice_gives_the_same_elements),
        cmocka_unit_test(normals_follow_the_formula),
        cmocka_unit_test(normals_have_the_moments),
        cmocka_unit_test(uniforms_stay_in_range_and_streams_differ),
        cmocka_unit_test(integers_stay_below_the_bound),
        cmocka_unit_test(torch_streams_are_reproduced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
