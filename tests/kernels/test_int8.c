/*
 * 8-bit products and what makes their operands: every kernel of every list against ref, over odd shapes.
 * Weights are parameters, in f32 or mapped from a 16-bit file, or values computed elsewhere, which are packed
 * in each run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"
#include "base/random.h"

static uint64_t next_stream = 1;

static void random_floats(float *x, int64_t n, double lo, double hi)
{
    ons_rand_uniform(1, next_stream++, 0, x, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(lo + (hi - lo) * x[i]);
}

/* Data of a value: random floats of its type, or random bytes. */
static void *make_data(const ons_value *v, double lo, double hi)
{
    const int64_t n = ons_shape_count(&v->shape);
    float *x = ons_malloc((size_t)n * sizeof *x);
    void *data = ons_calloc_aligned((size_t)n * ons_dtype_size(v->dtype) + 64);

    random_floats(x, n, v->dtype == ONS_U8 ? 0 : lo, v->dtype == ONS_U8 ? 255.99 : hi);
    if (v->dtype == ONS_U8)
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)data)[i] = (uint8_t)x[i];
    else
        ons_convert(data, v->dtype, x, ONS_F32, (size_t)n);
    ons_free(x);
    return data;
}

static void *run_kernel(const ons_kernel *k, const ons_node *n, ons_params *params, int n_threads,
                        const void *const *in, onestep_status *st)
{
    ons_params *sets[1] = {params};
    ons_prep prep = {.node = n, .n_threads = n_threads, .params = sets, .n_params = params ? 1 : 0};
    void *out[ONS_MAX_OUTPUTS] = {NULL}, *scratch;

    *st = k->prepare ? k->prepare(&prep) : ONESTEP_OK;
    if (*st != ONESTEP_OK)
        return NULL;
    if (params)
        assert_int_equal(ons_params_refresh(params), ONESTEP_OK);
    out[0] =
        ons_calloc_aligned((size_t)ons_shape_count(&n->out[0]->shape) * ons_dtype_size(n->out[0]->dtype) + 64);
    scratch = ons_calloc_aligned(prep.scratch_bytes + 64);
    assert_int_equal(k->run(&prep, &(ons_args){in, out, scratch}), ONESTEP_OK);
    ons_free_aligned(scratch);
    if (k->destroy)
        k->destroy(&prep);
    return out[0];
}

/* Within `step` in u8; in bf16 within a rounding of the largest. */
static void compare(const ons_node *n, const char *kernel, const void *got, const void *want, int step)
{
    const int64_t count = ons_shape_count(&n->out[0]->shape);
    char text[96];
    double most = 0;

    for (int64_t i = 0; i < count && n->out[0]->dtype != ONS_U8; i++)
        most = fmax(most, fabs((double)ons_bf16_to_f32(((const uint16_t *)want)[i])));
    for (int64_t i = 0; i < count; i++) {
        const bool bytes = n->out[0]->dtype == ONS_U8;
        const double g = bytes ? ((const uint8_t *)got)[i] : ons_bf16_to_f32(((const uint16_t *)got)[i]),
                     w = bytes ? ((const uint8_t *)want)[i] : ons_bf16_to_f32(((const uint16_t *)want)[i]);

        if (!(fabs(g - w) <= (bytes ? step : fabs(w) * 0x1p-8 + most * 1e-5)))
            fail_msg("%s of %s %s, element %lld: %g, expected %g", kernel, ons_op_name(n->op),
                     ons_shape_text(&n->out[0]->shape, text), (long long)i, g, w);
    }
}

/* Every kernel of a list that takes the node; how many did. */
static int check_list(const ons_kernel *k, const ons_node *n, ons_params *params, const void *const *in,
                      const void *want, int step)
{
    int ran = 0;

    for (; k && k->name; k++)
        for (int threads = 1; threads <= 3; threads++) {
            onestep_status st;
            void *got, *again;

            if (k->refuse && k->refuse(n))
                continue;
            got = run_kernel(k, n, params, threads, in, &st);
            if (st == ONESTEP_UNSUPPORTED)
                continue;
            again = run_kernel(k, n, params, threads, in, &st);
            compare(n, k->name, got, want, step);
            assert_memory_equal(got, again,
                                (size_t)ons_shape_count(&n->out[0]->shape) * ons_dtype_size(n->out[0]->dtype));
            ons_free_aligned(got);
            ons_free_aligned(again);
            ran++;
        }
    return ran;
}

typedef struct product {
    bool conv, bias, residual, param, zero_row;
    ons_shape x, w;
    int stride, zero;
} product;

static ons_value *add_weights(ons_graph *g, const product *c, ons_params *params)
{
    int index;

    if (!c->param)
        return ons_input(g, "w", ONS_BF16, &c->w);
    assert_int_equal(ons_params_require(params, "w", c->conv ? ONS_PARAM_CONV : ONS_PARAM_MATRIX, &c->w,
                                        ONS_INIT_ZERO, 0, &index),
                     ONESTEP_OK);
    assert_int_equal(ons_params_allocate(params), ONESTEP_OK);
    random_floats(ons_params_data(params, index), ons_shape_count(&c->w), -0.5, 0.5);
    if (c->zero_row)
        memset(ons_params_data(params, index), 0, (size_t)(ons_shape_count(&c->w) / c->w.d[0]) * sizeof(float));
    ons_params_touch(params);
    return ons_param_leaf(g, "w", 0, index, &c->w, false);
}

static void check_product(const product *c)
{
    ons_attrs a = {.conv = {.stride = c->stride, .bias = c->bias, .residual = c->residual},
                   .matmul = {.trans_b = true, .alpha = 1, .bias = c->bias, .residual = c->residual},
                   .quantise = {.scale = 0.037, .zero = c->zero}};
    const ons_shape row = ONS_SHAPE1(c->w.d[0]);
    const ons_op op = c->conv ? ONS_OP_CONV2D : ONS_OP_MATMUL;
    ons_params *params = NULL;
    ons_graph *g = NULL;
    ons_value *in[4], *y;
    const void *data[4];
    int n_in = 2, ran;
    onestep_status st;
    void *want;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    in[0] = ons_input(g, "x", ONS_U8, &c->x);
    in[1] = add_weights(g, c, params);
    if (c->bias)
        in[n_in++] = ons_input(g, "bias", ONS_F32, &row);
    if (c->residual) {
        ons_shape result = c->x;

        if (c->conv)
            for (int i = 1; i < 3; i++)
                result.d[i] = (c->x.d[i] - c->w.d[i]) / c->stride + 1;
        result.d[result.n - 1] = c->w.d[0];
        in[n_in++] = ons_input(g, "residual", ONS_BF16, &result);
    }
    y = ons_apply(g, op, in, n_in, &a, NULL);
    if (ons_graph_failed(g)) {
        assert_int_not_equal(ons_graph_finish(g), ONESTEP_OK);
        fail_msg("%s", onestep_error_text());
    }
    assert_int_equal(y->dtype, ONS_BF16);
    for (int i = 0; i < n_in; i++)
        data[i] = i == 1 && c->param ? ons_params_data(params, 0) : make_data(in[i], -2, 2);
    want = run_kernel(ons_backend_ref.kernels(op), y->node, NULL, 1, data, &st);
    ran = check_list(ons_backend_cpu.kernels(op), y->node, params, data, want, 0);
    assert_int_equal(ran > 0, ons_backend_cpu.multiplies_8_bits());
    for (int i = 0; i < n_in; i++)
        if (i != 1 || !c->param)
            ons_free_aligned((void *)data[i]);
    ons_free_aligned(want);
    ons_graph_destroy(&g);
    ons_params_destroy(&params);
}

static void convolutions_agree_with_ref(void **state)
{
    const product cases[] = {
        {.conv = true,
         .x = ONS_SHAPE4(1, 9, 7, 32),
         .w = ONS_SHAPE4(32, 3, 3, 32),
         .stride = 1,
         .zero = 3,
         .param = true,
         .bias = true},
        {.conv = true,
         .x = ONS_SHAPE4(2, 6, 11, 33),
         .w = ONS_SHAPE4(37, 3, 3, 33),
         .stride = 1,
         .zero = 128,
         .param = true,
         .bias = true,
         .residual = true},
        {.conv = true,
         .x = ONS_SHAPE4(1, 9, 9, 64),
         .w = ONS_SHAPE4(48, 3, 3, 64),
         .stride = 2,
         .zero = 255,
         .param = true,
         .residual = true},
        {.conv = true,
         .x = ONS_SHAPE4(1, 5, 6, 40),
         .w = ONS_SHAPE4(130, 1, 1, 40),
         .stride = 1,
         .zero = 0,
         .param = true},
        {.conv = true,
         .x = ONS_SHAPE4(1, 6, 5, 32),
         .w = ONS_SHAPE4(32, 2, 2, 32),
         .stride = 1,
         .zero = 77,
         .bias = true},
        {.conv = true,
         .x = ONS_SHAPE4(1, 5, 5, 64),
         .w = ONS_SHAPE4(64, 3, 3, 64),
         .stride = 1,
         .zero = 9,
         .param = true,
         .zero_row = true,
         .bias = true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_product(&cases[i]);
}

static void matrices_agree_with_ref(void **state)
{
    const product cases[] = {
        {.x = ONS_SHAPE3(1, 17, 32), .w = ONS_SHAPE2(32, 32), .zero = 128, .param = true, .bias = true},
        {.x = ONS_SHAPE3(2, 13, 77),
         .w = ONS_SHAPE2(129, 77),
         .zero = 0,
         .param = true,
         .bias = true,
         .residual = true},
        {.x = ONS_SHAPE3(1, 64, 320), .w = ONS_SHAPE2(35, 320), .zero = 200, .param = true, .residual = true},
        {.x = ONS_SHAPE3(1, 1, 1280), .w = ONS_SHAPE2(64, 1280), .zero = 255, .param = true, .zero_row = true},
        {.x = ONS_SHAPE3(1, 9, 48), .w = ONS_SHAPE2(48, 48), .zero = 31},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_product(&cases[i]);
}

/* Far values saturate; halves go to even. Without fused multiply-adds a half may fall to either side. */
static void check_quantise(const ons_shape *x, ons_dtype type, double scale, int zero, int pad)
{
    ons_attrs a = {
        .quantise = {.scale = scale, .zero = zero, .pad_top = pad, .pad_left = 2 * pad, .pad_right = pad}};
    ons_graph *g = NULL;
    ons_value *in, *y;
    onestep_status st;
    void *data, *want;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    in = ons_input(g, "x", type, x);
    y = ons_apply(g, ONS_OP_QUANTISE, &in, 1, &a, NULL);
    assert_false(ons_graph_failed(g));
    data = make_data(in, -300 * scale, 300 * scale);
    if (type == ONS_F32) {
        ((float *)data)[0] = 1e30f;
        ((float *)data)[1] = -1e30f;
        ((float *)data)[2] = INFINITY;
    }
    want = run_kernel(ons_backend_ref.kernels(ONS_OP_QUANTISE), y->node, NULL, 1, (const void *[]){data}, &st);
    assert_true(check_list(ons_backend_cpu.kernels(ONS_OP_QUANTISE), y->node, NULL, (const void *[]){data},
                           want, 1) > 0);
    for (const ons_cpu_variant *v = ons_cpu_variants; v->name; v++)
        if (v->supported())
            assert_true(check_list(v->kernels(ONS_OP_QUANTISE), y->node, NULL, (const void *[]){data}, want,
                                   strcmp(v->name, "generic") == 0) > 0);
    ons_free_aligned(data);
    ons_free_aligned(want);
    ons_graph_destroy(&g);
}

static void quantise_agrees_with_ref(void **state)
{
    const ons_dtype types[] = {ONS_F32, ONS_BF16};

    (void)state;
    for (int t = 0; t < 2; t++)
        for (int zero = 0; zero <= 255; zero += 51) {
            check_quantise(&ONS_SHAPE1(37), types[t], 0.25, zero, 0);
            check_quantise(&ONS_SHAPE3(2, 5, 33), types[t], 1.7e-4, zero, 0);
            check_quantise(&ONS_SHAPE4(2, 5, 7, 3), types[t], 0.5, zero, 1);
            check_quantise(&ONS_SHAPE4(1, 3, 4, 64), types[t], 31, zero, 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_agree_with_ref),
        cmocka_unit_test(matrices_agree_with_ref),
        cmocka_unit_test(quantise_agrees_with_ref),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
