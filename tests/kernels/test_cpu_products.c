/* Convolutions, matrix products and attention of the cpu backend against ref. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kernel_case.h"

typedef struct conv_shape {
    int64_t n, h, w, c, o, k;
    int stride, pad, pad_end;
} conv_shape;

/* Odd sizes, then the shapes of small UNets and autoencoders with smaller batches. */
static const conv_shape conv_shapes[] = {
    {1, 1, 1, 1, 1, 1, 1, 0, 0},
    {2, 5, 7, 3, 5, 3, 1, 1, 1},
    {1, 7, 5, 4, 33, 3, 2, 1, 1},
    {3, 8, 8, 17, 16, 3, 2, 0, 1},
    {2, 6, 6, 20, 7, 1, 1, 0, 0},
    {1, 9, 9, 5, 6, 1, 2, 0, 0},
    {1, 11, 3, 2, 3, 5, 1, 2, 2},
    {1, 12, 12, 3, 48, 4, 4, 0, 0},
    {2, 16, 16, 64, 64, 3, 1, 1, 1},
    {2, 8, 8, 128, 192, 3, 1, 1, 1},
    {3, 4, 4, 256, 128, 3, 1, 1, 1},
    {2, 16, 16, 64, 64, 3, 2, 1, 1},
    {1, 32, 32, 3, 32, 3, 1, 1, 1},
    {1, 32, 32, 32, 3, 3, 1, 1, 1},
    {2, 16, 16, 96, 48, 1, 1, 0, 0},
    {1, 4, 4, 400, 24, 3, 1, 1, 1},
    {5, 10, 7, 48, 32, 3, 1, 1, 1},
    {3, 15, 9, 32, 64, 3, 1, 0, 2},
    {9, 8, 8, 96, 48, 3, 1, 2, 1},
    {2, 12, 12, 112, 144, 3, 1, 1, 1},
    /* for check-long */
    {5, 12, 12, 112, 144, 3, 1, 1, 1},
    {1, 68, 64, 144, 144, 3, 1, 1, 1},
};
enum { N_CONV_SHAPES = sizeof conv_shapes / sizeof *conv_shapes, N_LONG = 2 };

static size_t count_conv_shapes(void)
{
    return N_CONV_SHAPES - (test_every_shape() ? 0 : N_LONG);
}

static kernel_case conv_base(const conv_shape *s)
{
    kernel_case c = {.n_in = 2, .in = {ONS_SHAPE4(s->n, s->h, s->w, s->c), ONS_SHAPE4(s->o, s->k, s->k, s->c)}};

    c.attrs.conv.stride = s->stride;
    c.attrs.conv.pad_top = c.attrs.conv.pad_left = s->pad;
    c.attrs.conv.pad_bottom = c.attrs.conv.pad_right = s->pad_end;
    c.attrs.conv.in_h = s->h;
    c.attrs.conv.in_w = s->w;
    c.attrs.conv.kh = c.attrs.conv.kw = s->k;
    return c;
}

static ons_shape result_shape(const conv_shape *s)
{
    int64_t oh = (s->h + s->pad + s->pad_end - s->k) / s->stride + 1,
            ow = (s->w + s->pad + s->pad_end - s->k) / s->stride + 1;

    return ONS_SHAPE4(s->n, oh, ow, s->o);
}

static void conv_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < count_conv_shapes(); i++) {
        const conv_shape *s = &conv_shapes[i];
        kernel_case c = conv_base(s);

        c.op = ONS_OP_CONV2D;
        c.terms = (double)(s->k * s->k * s->c);
        c.attrs.conv.bias = i % 4 != 1;
        c.attrs.conv.residual = i % 3 == 0;
        c.param = i % 2;
        if (c.attrs.conv.bias)
            c.in[c.n_in++] = ONS_SHAPE1(s->o);
        if (c.attrs.conv.residual)
            c.in[c.n_in++] = result_shape(s);
        run_kernel_case(&c, true);
    }
    report_kernels(ONS_OP_CONV2D);
}

static void conv_grad_x_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < count_conv_shapes(); i++) {
        kernel_case c = conv_base(&conv_shapes[i]);

        c.op = ONS_OP_CONV2D_GRAD_X;
        c.in[0] = result_shape(&conv_shapes[i]);
        c.terms = (double)(conv_shapes[i].k * conv_shapes[i].k * conv_shapes[i].o);
        c.param = i % 2;
        run_kernel_case(&c, true);
    }
    report_kernels(ONS_OP_CONV2D_GRAD_X);
}

static void conv_grad_w_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < count_conv_shapes(); i++) {
        kernel_case c = conv_base(&conv_shapes[i]);

        c.op = ONS_OP_CONV2D_GRAD_W;
        c.in[1] = result_shape(&conv_shapes[i]);
        c.terms = (double)(c.in[1].d[0] * c.in[1].d[1] * c.in[1].d[2]);
        run_kernel_case(&c, true);
    }
    report_kernels(ONS_OP_CONV2D_GRAD_W);
}

static void run_matmul(int64_t batch, int64_t m, int64_t n, int64_t k, int flags)
{
    bool ta = flags & 1, tb = flags & 2, bias = flags & 4, residual = flags & 8, lead = flags & 16;
    kernel_case c = {.op = ONS_OP_MATMUL, .n_in = 2, .terms = (double)k};

    c.attrs.matmul.trans_a = ta;
    c.attrs.matmul.trans_b = tb;
    c.attrs.matmul.bias = bias;
    c.attrs.matmul.residual = residual;
    c.attrs.matmul.alpha = flags & 32 ? 0.3 : 1;
    c.in[0] = batch ? ONS_SHAPE3(batch, ta ? k : m, ta ? m : k) : ONS_SHAPE2(ta ? k : m, ta ? m : k);
    c.in[1] = batch && !lead ? ONS_SHAPE3(batch, tb ? n : k, tb ? k : n) : ONS_SHAPE2(tb ? n : k, tb ? k : n);
    c.param = c.in[1].n == 2 && flags & 64;
    if (bias)
        c.in[c.n_in++] = ONS_SHAPE1(n);
    if (residual)
        c.in[c.n_in++] = batch ? ONS_SHAPE3(batch, m, n) : ONS_SHAPE2(m, n);
    c.f32_result = m % 2;
    run_kernel_case(&c, true);
}

static void matmul_agrees(void **state)
{
    static const int64_t sizes[][3] = {{1, 1, 1},    {1, 17, 5},    {5, 3, 700},    {13, 33, 19},
                                       {64, 64, 64}, {257, 96, 40}, {100, 128, 512}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int flags = (int)i; flags < 128; flags += 5 + 2 * (int)i) {
            bool lead = flags & 16, ta = flags & 1;

            if (!(lead && ta))
                run_matmul(lead ? 3 : 0, sizes[i][0], sizes[i][1], sizes[i][2], flags);
            if (i < 4 && !lead)
                run_matmul(3, sizes[i][0], sizes[i][1], sizes[i][2], flags);
        }
    report_kernels(ONS_OP_MATMUL);
}

static const int64_t attention_sizes[][5] = {
    /* batch, heads, head width, queries, keys */
    {1, 1, 1, 1, 1},    {2, 3, 5, 7, 24},     {1, 4, 16, 64, 24},  {2, 2, 40, 100, 100},
    {1, 2, 8, 200, 33}, {1, 2, 40, 700, 523}, {2, 3, 40, 400, 77}, {1, 1, 160, 257, 300},
    {1, 2, 24, 1, 5},   {3, 2, 33, 65, 129},  {1, 1, 1, 33, 2},    {2, 1, 512, 40, 260},
};

static void attention_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attention_sizes / sizeof *attention_sizes; i++)
        for (int causal = 0; causal < 2; causal++) {
            const int64_t *s = attention_sizes[i];
            ons_shape q = ONS_SHAPE3(s[0], s[3], s[1] * s[2]), k = ONS_SHAPE3(s[0], s[4], s[1] * s[2]);
            kernel_case c = {
                .op = ONS_OP_ATTENTION, .n_in = 3, .in = {q, k, k}, .terms = (double)s[4], .lo = -2, .hi = 2};

            if (causal && s[3] != s[4])
                continue;
            c.attrs.attention.n_heads = (int)s[1];
            c.attrs.attention.scale = 1 / sqrt((double)s[2]);
            c.attrs.attention.causal = causal;
            run_kernel_case(&c, true);
        }
    report_kernels(ONS_OP_ATTENTION);
}

/* Scores that differ by hundreds: what was summed before a larger one counts for nothing any more. */
static void attention_of_large_scores_agrees(void **state)
{
    static const int64_t sizes[][5] = {{1, 2, 40, 70, 300}, {2, 1, 8, 33, 77}};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int64_t *s = sizes[i];
        ons_shape q = ONS_SHAPE3(s[0], s[3], s[1] * s[2]), k = ONS_SHAPE3(s[0], s[4], s[1] * s[2]);
        kernel_case c = {.op = ONS_OP_ATTENTION,
                         .n_in = 3,
                         .in = {q, k, k},
                         .terms = (double)s[4],
                         .slack = 20,
                         .lo = -40,
                         .hi = 40,
                         .own_range = {[2] = true},
                         .lo2 = -2,
                         .hi2 = 2};

        c.attrs.attention.n_heads = (int)s[1];
        c.attrs.attention.scale = 1 / sqrt((double)s[2]);
        run_kernel_case(&c, true);
    }
}

/* lse is a free operand here: both sides take the softmax as e^(score - lse). */
static void attention_grad_agrees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof attention_sizes / sizeof *attention_sizes; i++) {
        const int64_t *s = attention_sizes[i];
        ons_shape q = ONS_SHAPE3(s[0], s[3], s[1] * s[2]), k = ONS_SHAPE3(s[0], s[4], s[1] * s[2]);
        kernel_case c = {.op = ONS_OP_ATTENTION_GRAD,
                         .n_in = 6,
                         .in = {q, k, k, q, ONS_SHAPE3(s[0], s[1], s[3]), q},
                         .terms = (double)(s[4] + s[3] + s[2]),
                         .own_range = {[4] = true},
                         .lo2 = 2,
                         .hi2 = 3};

        c.attrs.attention.n_heads = (int)s[1];
        c.attrs.attention.scale = 1 / sqrt((double)s[2]);
        c.attrs.attention.causal = i == 3;
        run_kernel_case(&c, true);
    }
    report_kernels(ONS_OP_ATTENTION_GRAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv_agrees),           cmocka_unit_test(conv_grad_x_agrees),
        cmocka_unit_test(conv_grad_w_agrees),    cmocka_unit_test(matmul_agrees),
        cmocka_unit_test(attention_agrees),      cmocka_unit_test(attention_of_large_scores_agrees),
        cmocka_unit_test(attention_grad_agrees),
    };

    test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
