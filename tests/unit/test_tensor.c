/* Conversions between storage types against exact arithmetic, shapes, tensors and layout changes. */
#include "unit_test.h"

#include <math.h>

#include "base/random.h"
#include "tensor/tensor.h"

static float float_of(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, sizeof v);
    return v;
}

static uint32_t bits_of(float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Value of a small float format, written from its definition: sign, exponent, fraction. */
static double value_of(uint16_t v, int fraction_bits, int bias)
{
    int exponent = (v & 0x7FFF) >> fraction_bits, fraction = v & ((1 << fraction_bits) - 1);
    double magnitude = exponent ? ldexp(1 + ldexp(fraction, -fraction_bits), exponent - bias)
                                : ldexp(fraction, 1 - bias - fraction_bits);

    return v & 0x8000 ? -magnitude : magnitude;
}

static void every_half_value_survives_the_round_trip(void **state)
{
    (void)state;
    for (uint32_t v = 0; v < 0x10000; v++) {
        float h = ons_f16_to_f32((uint16_t)v), b = ons_bf16_to_f32((uint16_t)v);
        if ((v & 0x7FFF) > 0x7C00) {
            assert_true(isnan(h) && (ons_f32_to_f16(h) & 0x7FFF) > 0x7C00);
        } else {
            assert_int_equal(ons_f32_to_f16(h), v);
            if ((v & 0x7FFF) < 0x7C00)
                assert_true((double)h == value_of((uint16_t)v, 10, 15));
            else
                assert_true(isinf(h));
        }
        if ((v & 0x7FFF) > 0x7F80) {
            assert_true(isnan(b) && (ons_f32_to_bf16(b) & 0x7FFF) > 0x7F80);
        } else {
            assert_int_equal(ons_f32_to_bf16(b), v);
            if ((v & 0x7FFF) < 0x7F80)
                assert_true((double)b == value_of((uint16_t)v, 7, 127));
        }
    }
}

/* Between neighbours: the nearer one; in the middle: the even one. Tests all neighbours, denormals included. */
static void check_rounding(uint16_t (*narrow)(float), int fraction_bits, int bias, uint16_t largest)
{
    for (uint16_t v = 0; v < largest; v++) {
        double low = value_of(v, fraction_bits, bias), high = value_of((uint16_t)(v + 1), fraction_bits, bias);
        float middle = (float)((low + high) / 2);
        if ((double)middle != (low + high) / 2)
            continue; /* below what f32 can hold */
        assert_int_equal(narrow(middle), v & 1 ? v + 1 : v);
        assert_int_equal(narrow(-middle), (v & 1 ? v + 1 : v) | 0x8000);
        assert_int_equal(narrow(nextafterf(middle, INFINITY)), v + 1);
        assert_int_equal(narrow(nextafterf(middle, 0)), v);
    }
}

static void narrowing_rounds_to_nearest_even(void **state)
{
    (void)state;
    check_rounding(ons_f32_to_f16, 10, 15, 0x7BFF);
    check_rounding(ons_f32_to_bf16, 7, 127, 0x7F7F);
    assert_int_equal(ons_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(ons_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(ons_f32_to_f16(-1e30f), 0xFC00);
    assert_int_equal(ons_f32_to_f16(float_of(1)), 0);
    assert_int_equal(ons_f32_to_bf16(3.4028234e38f), 0x7F80);
    assert_int_equal(ons_f32_to_bf16(float_of(0x7F800001u)) & 0x7FFF,
                     0x7FC0); /* NaN whose fraction would be cut */
    assert_true((ons_f32_to_f16(float_of(0xFF800001u)) & 0x7FFF) > 0x7C00);
}

/* f64 values a hair beside the middle of two halves: through f32 they would fall on the middle and round
 * wrongly. */
static void doubles_are_rounded_once(void **state)
{
    static const struct {
        double value;
        ons_dtype type;
        uint16_t expected;
    } cases[] = {
        {1 + 0x1p-11 + 0x1p-40, ONS_F16, 0x3C01},
        {1 + 0x1p-11, ONS_F16, 0x3C00},
        {-(1 + 0x1p-11 + 0x1p-40), ONS_F16, 0xBC01},
        {1 + 3 * 0x1p-11 - 0x1p-40, ONS_F16, 0x3C01},
        {1 + 0x1p-8 + 0x1p-40, ONS_BF16, 0x3F81},
        {1 + 3 * 0x1p-8 - 0x1p-40, ONS_BF16, 0x3F81},
        {1e300, ONS_F16, 0x7C00},
        {-1e300, ONS_BF16, 0xFF80},
        {1e-300, ONS_F16, 0},
        {65520 - 1e-9, ONS_F16, 0x7BFF},
        {INFINITY, ONS_BF16, 0x7F80},
    };
    uint16_t got;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ons_convert(&got, cases[i].type, &cases[i].value, ONS_F64, 1);
        assert_int_equal(got, cases[i].expected);
    }
    double nan = NAN;
    ons_convert(&got, ONS_F16, &nan, ONS_F64, 1);
    assert_true((got & 0x7FFF) > 0x7C00);
}

static void every_pair_of_types_converts(void **state)
{
    enum { N = 1300 };
    static const ons_dtype types[] = {ONS_F32, ONS_BF16, ONS_F16, ONS_F64};
    float values[N];
    double a[N], b[N], back[N];

    (void)state;
    ons_randn(5, 0, 0, values, N);
    for (int i = 0; i < N; i++)
        values[i] = ons_bf16_to_f32(ons_f32_to_bf16(values[i])); /* exact in all, f16's range holds them */
    for (int s = 0; s < 4; s++)
        for (int d = 0; d < 4; d++) {
            ons_convert(a, types[s], values, ONS_F32, N);
            ons_convert(b, types[d], a, types[s], N);
            ons_convert(back, ONS_F64, b, types[d], N);
            for (int i = 0; i < N; i++)
                assert_true(fabs(back[i] - (double)values[i]) <= 0x1p-25);
        }
    assert_int_equal(bits_of(-0.0f), 0x80000000u);
    assert_int_equal(ons_f32_to_f16(-0.0f), 0x8000);
}

static void shapes_are_counted_compared_and_printed(void **state)
{
    ons_shape s = ONS_SHAPE4(2, 8, 8, 64), t = ONS_SHAPE3(2, 8, 8), scalar = ONS_SHAPE0();
    ons_shape huge = ONS_SHAPE4(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX);
    char text[96];

    (void)state;
    assert_int_equal(ons_shape_count(&s), 8192);
    assert_int_equal(ons_shape_count(&scalar), 1);
    assert_true(ons_shape_equal(&s, &s));
    assert_false(ons_shape_equal(&s, &t));
    assert_string_equal(ons_shape_text(&s, text), "[2, 8, 8, 64]");
    assert_string_equal(ons_shape_text(&scalar, text), "[]");
    assert_true(strlen(ons_shape_text(&huge, text)) < sizeof text);
}

static void layouts_are_permuted(void **state)
{
    enum { N = 2, C = 19, H = 5, W = 7 };
    static float a[N * C * H * W], b[N * C * H * W], back[N * C * H * W];

    (void)state;
    for (int i = 0; i < N * C * H * W; i++)
        a[i] = (float)i;
    ons_nchw_to_nhwc(b, a, N, C, H, W);
    for (int n = 0; n < N; n++)
        for (int c = 0; c < C; c++)
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++)
                    assert_true(b[((n * H + y) * W + x) * C + c] == a[((n * C + c) * H + y) * W + x]);
    ons_nhwc_to_nchw(back, b, N, C, H, W);
    assert_memory_equal(a, back, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_value_survives_the_round_trip),
        cmocka_unit_test(narrowing_rounds_to_nearest_even),
        cmocka_unit_test(doubles_are_rounded_once),
        cmocka_unit_test(every_pair_of_types_converts),
        cmocka_unit_test(shapes_are_counted_compared_and_printed),
        cmocka_unit_test(layouts_are_permuted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
