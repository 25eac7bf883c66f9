/* Dumps: the exact text of a small graph, and a hash that follows every detail. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "graph_test.h"

/* One builder call per statement: C leaves the order of nested arguments open, and the dump shows it. */
static void build(ons_graph *g, double scale, const char *layer, const char *output)
{
    ons_value *x = input4(g, "x", 1, 4, 4, 3);
    ons_value *w = param(g, "conv.weight", 5, ONS_SHAPE4(8, 3, 3, 3));
    ons_value *c = input1(g, "c", 8);
    ons_value *two = ons_scalar(g, 2);
    ons_value *y;

    ons_graph_push(g, "%s", layer);
    y = ons_conv2d(g, x, w, NULL, NULL, same3);
    y = ons_group_norm(g, y, c, c, 4, 1e-5, ONS_ACT_SILU);
    y = ons_affine(g, y, scale, 0);
    y = ons_mul(g, y, two);
    ons_graph_pop(g);
    y = ons_clamp(g, y, -1, INFINITY);
    ons_graph_output(g, y, output);
}

static char *print(const ons_graph *g)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    assert_non_null(f);
    ons_graph_dump_text(g, f);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void test_text(void **state)
{
    ons_graph *g = *state;
    char *text;

    build(g, 0.5, "mid", "y");
    text = print(g);
    assert_string_equal(text, "%0 = input() 'x' -> f32 [1, 4, 4, 3]\n"
                              "%1 = param() 'conv.weight' slot=0 index=5 trainable=1 -> f32 [8, 3, 3, 3]\n"
                              "%2 = input() 'c' -> f32 [8]\n"
                              "%3 = constant() data=4d25b67f9dce80b5 -> f32 []\n"
                              "%4 = conv2d(%0, %1) stride=1 pad_top=1 pad_left=1 pad_bottom=1 pad_right=1 "
                              "bias=0 residual=0 -> f32 [1, 4, 4, 8] ; mid\n"
                              "%5, %6 = group_norm(%4, %2, %2) groups=4 silu=1 eps=1.0000000000000001e-05 -> "
                              "f32 [1, 4, 4, 8], f32 [1, 4, 2] ; mid\n"
                              "%7 = affine(%5) scale=0.5 shift=0 -> f32 [1, 4, 4, 8] ; mid\n"
                              "%8 = mul(%7, %3) -> f32 [1, 4, 4, 8] ; mid\n"
                              "%9 = clamp(%8) lo=-1 hi=inf -> f32 [1, 4, 4, 8]\n"
                              "output 'y' = %9\n");
    free(text);
}

static uint64_t hash_of(double scale, const char *layer, const char *output)
{
    ons_graph *g;
    uint64_t h;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    build(g, scale, layer, output);
    assert_sound(g);
    h = ons_graph_hash(g);
    ons_graph_destroy(&g);
    return h;
}

static void test_hash(void **state)
{
    uint64_t h = hash_of(0.5, "mid", "y");

    (void)state;
    assert_true(h == hash_of(0.5, "mid", "y"));
    assert_true(h != hash_of(0.5000000000000001, "mid", "y"));
    assert_true(h != hash_of(0.5, "low", "y"));
    assert_true(h != hash_of(0.5, "mid", "z"));
}

static void test_hash_sees_constants(void **state)
{
    ons_graph *g = *state, *other;

    ons_scalar(g, 1);
    assert_int_equal(ons_graph_create(&other), ONESTEP_OK);
    ons_scalar(other, 2);
    assert_true(ons_graph_hash(g) != ons_graph_hash(other));
    ons_graph_destroy(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        GRAPH_TEST(test_text),
        cmocka_unit_test(test_hash),
        GRAPH_TEST(test_hash_sees_constants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
