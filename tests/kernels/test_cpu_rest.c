/* Element-wise operators, reductions, norms, softmax and everything that moves elements: the cpu backend
 * against ref. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "io/safetensors.h"
#include "kernel_case.h"

static const int64_t counts[] = {1, 3, 8, 17, 64, 1001, 40000};
enum { N_COUNTS = sizeof counts / sizeof *counts };

static void run_unary(ons_op op, double lo, double hi)
{
    for (int i = 0; i < N_COUNTS; i++) {
        kernel_case c = {.op = op, .n_in = 1, .in = {ONS_SHAPE1(counts[i])}, .lo = lo, .hi = hi, .slack = 2};

        c.attrs.affine.scale = 1.7;
        c.attrs.affine.shift = -0.3;
        c.attrs.clamp.lo = -0.5;
        c.attrs.clamp.hi = 0.75;
        run_kernel_case(&c, true);
        if (i == 0) { /* rows enough for slices of samples, also for three threads */
            c.in[0] = ONS_SHAPE4(6, 12, 5, 131);
            run_kernel_case(&c, true);
        }
    }
    report_kernels(op);
}

static void unary_agrees(void **state)
{
    static const ons_op wide[] = {ONS_OP_AFFINE, ONS_OP_SILU, ONS_OP_GELU,  ONS_OP_QUICK_GELU,
                                  ONS_OP_RELU,   ONS_OP_TANH, ONS_OP_EXP,   ONS_OP_SQUARE,
                                  ONS_OP_ABS,    ONS_OP_SIGN, ONS_OP_CLAMP, ONS_OP_CLEAN};
    (void)state;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        run_unary(wide[i], -9, 9);
    run_unary(ONS_OP_LOG, 0.01, 4);
    run_unary(ONS_OP_SQRT, 0, 4);
    run_unary(ONS_OP_RECIPROCAL, 0.1, 4);
}

static void unary_grad_agrees(void **state)
{
    static const ons_op ops[] = {ONS_OP_SILU_GRAD, ONS_OP_GELU_GRAD, ONS_OP_QUICK_GELU_GRAD, ONS_OP_RELU_GRAD,
                                 ONS_OP_CLAMP_GRAD};
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        for (int k = 0; k < N_COUNTS; k++) {
            kernel_case c = {.op = ops[i],
                             .n_in = 2,
                             .in = {ONS_SHAPE1(counts[k]), ONS_SHAPE1(counts[k])},
                             .lo = -6,
                             .hi = 6,
                             .slack = 4};

            c.attrs.clamp.lo = -2;
            c.attrs.clamp.hi = 3;
            run_kernel_case(&c, true);
            if (k == 0) {
                c.in[0] = c.in[1] = ONS_SHAPE4(6, 12, 5, 131);
                run_kernel_case(&c, true);
            }
        }
        report_kernels(ops[i]);
    }
}

static void binary_agrees(void **state)
{
    static const ons_op ops[] = {ONS_OP_ADD, ONS_OP_SUB, ONS_OP_MUL};
    const ons_shape pairs[][2] = {
        {ONS_SHAPE0(), ONS_SHAPE0()},
        {ONS_SHAPE1(1001), ONS_SHAPE1(1001)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE1(7)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE4(2, 1, 1, 7)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE4(2, 1, 5, 1)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE3(3, 1, 7)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE0()},
        {ONS_SHAPE4(4, 16, 16, 64), ONS_SHAPE4(4, 1, 1, 64)},
        {ONS_SHAPE4(4, 16, 16, 64), ONS_SHAPE4(4, 16, 16, 64)},
        {ONS_SHAPE2(300, 130), ONS_SHAPE2(300, 1)},
        {ONS_SHAPE4(6, 9, 5, 131), ONS_SHAPE1(131)},
    };
    (void)state;
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
            kernel_case c = {.op = ops[i], .n_in = 2, .in = {pairs[k][0], pairs[k][1]}};

            run_kernel_case(&c, true);
        }
        report_kernels(ops[i]);
    }
}

static void broadcasts_agree(void **state)
{
    const ons_shape pairs[][2] = {
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE1(7)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE4(2, 1, 1, 7)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE0()},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE4(1, 3, 1, 7)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE4(2, 1, 5, 1)},
        {ONS_SHAPE4(2, 3, 5, 7), ONS_SHAPE4(2, 3, 5, 7)},
        {ONS_SHAPE2(300, 130), ONS_SHAPE2(300, 1)},
        {ONS_SHAPE4(4, 16, 16, 64), ONS_SHAPE1(64)},
        {ONS_SHAPE1(100000), ONS_SHAPE0()},
        {ONS_SHAPE2(4000, 33), ONS_SHAPE1(33)},
        {ONS_SHAPE3(40, 33, 12), ONS_SHAPE3(40, 1, 12)},
    };
    (void)state;
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        kernel_case c = {.op = ONS_OP_SUM_TO, .n_in = 1, .in = {pairs[k][0]}};

        c.attrs.shape = pairs[k][1];
        c.terms = (double)(ons_shape_count(&pairs[k][0]) / ons_shape_count(&pairs[k][1]));
        run_kernel_case(&c, true);
        c.op = ONS_OP_BROADCAST_TO;
        c.in[0] = pairs[k][1];
        c.attrs.shape = pairs[k][0];
        run_kernel_case(&c, true);
    }
    report_kernels(ONS_OP_SUM_TO);
    report_kernels(ONS_OP_BROADCAST_TO);
}

static void run_norm(ons_op op, ons_shape x, int groups, ons_activation act)
{
    int64_t channels = x.d[x.n - 1], count = ons_shape_count(&x);
    bool group = op == ONS_OP_GROUP_NORM || op == ONS_OP_GROUP_NORM_GRAD;
    bool grad = op == ONS_OP_GROUP_NORM_GRAD || op == ONS_OP_LAYER_NORM_GRAD;
    kernel_case c = {.op = op,
                     .n_in = grad ? 5 : 3,
                     .in = {x, ONS_SHAPE1(channels), ONS_SHAPE1(channels)},
                     .slack = 2,
                     .terms = grad ? (double)count / (double)channels : 1,
                     .own_range = {[3] = true},
                     .lo2 = 0.5,
                     .hi2 = 1.5};

    c.attrs.norm.n_groups = groups;
    c.attrs.norm.eps = 1e-5;
    c.attrs.norm.act = act;
    c.in[3] = group ? ONS_SHAPE3(x.d[0], groups, 2) : ONS_SHAPE2(count / channels, 2);
    c.in[4] = x;
    run_kernel_case(&c, true);
}

static void norms_agree(void **state)
{
    static const ons_op ops[] = {ONS_OP_GROUP_NORM, ONS_OP_GROUP_NORM_GRAD};
    (void)state;
    for (int i = 0; i < 2; i++) {
        for (int act = 0; act < 2; act++) {
            run_norm(ops[i], ONS_SHAPE4(1, 1, 2, 4), 2, (ons_activation)act);
            run_norm(ops[i], ONS_SHAPE4(2, 5, 3, 33), 3, (ons_activation)act);
            run_norm(ops[i], ONS_SHAPE4(3, 8, 8, 96), 32, (ons_activation)act);
            run_norm(ops[i], ONS_SHAPE4(2, 32, 32, 40), 8, (ons_activation)act);
            run_norm(ops[i], ONS_SHAPE4(17, 4, 4, 64), 16, (ons_activation)act);
            run_norm(ops[i], ONS_SHAPE3(2, 7, 12), 1, (ons_activation)act);
            run_norm(ops[i], ONS_SHAPE4(12, 7, 9, 36), 4, (ons_activation)act);
        }
        report_kernels(ops[i]);
    }
    for (int i = 0; i < 2; i++) {
        ons_op op = i ? ONS_OP_LAYER_NORM_GRAD : ONS_OP_LAYER_NORM;

        run_norm(op, ONS_SHAPE1(5), 1, ONS_ACT_NONE);
        run_norm(op, ONS_SHAPE2(7, 33), 1, ONS_ACT_NONE);
        run_norm(op, ONS_SHAPE3(3, 24, 128), 1, ONS_ACT_NONE);
        run_norm(op, ONS_SHAPE2(500, 100), 1, ONS_ACT_NONE);
        run_norm(op, ONS_SHAPE3(36, 25, 77), 1, ONS_ACT_NONE);
        report_kernels(op);
    }
}

static void rows_agree(void **state)
{
    static const ons_op ops[] = {ONS_OP_SOFTMAX,          ONS_OP_LOG_SOFTMAX, ONS_OP_SOFTMAX_GRAD,
                                 ONS_OP_LOG_SOFTMAX_GRAD, ONS_OP_GEGLU,       ONS_OP_GEGLU_GRAD};
    const ons_shape shapes[] = {ONS_SHAPE1(2), ONS_SHAPE2(5, 34), ONS_SHAPE3(3, 7, 128), ONS_SHAPE2(400, 66),
                                ONS_SHAPE3(12, 25, 130)};
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            bool geglu = ops[i] == ONS_OP_GEGLU_GRAD;
            kernel_case c = {.op = ops[i],
                             .n_in = i == 2 || i == 3 || geglu ? 2 : 1,
                             .in = {shapes[k], shapes[k]},
                             .lo = -3,
                             .hi = 3,
                             .terms = 64,
                             .slack = 2};

            if (geglu)
                c.in[1].d[c.in[1].n - 1] /= 2;
            run_kernel_case(&c, true);
        }
        report_kernels(ops[i]);
    }
}

static void images_agree(void **state)
{
    static const ons_op ops[] = {ONS_OP_UPSAMPLE2X,      ONS_OP_DOWNSUM2X,       ONS_OP_AVG_POOL2X,
                                 ONS_OP_AVG_POOL2X_GRAD, ONS_OP_MAX_POOL2X,      ONS_OP_MAX_POOL2X_GRAD,
                                 ONS_OP_UPSAMPLE_TO,     ONS_OP_UPSAMPLE_TO_GRAD};
    const ons_shape even = ONS_SHAPE4(2, 6, 4, 5), odd = ONS_SHAPE4(2, 7, 9, 17),
                    large = ONS_SHAPE4(6, 12, 12, 37);
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        for (int k = 0; k < 2; k++) {
            ons_op op = ops[i];
            ons_shape x = !k ? even : op == ONS_OP_DOWNSUM2X ? large : odd;
            kernel_case c = {.op = op, .n_in = 1, .in = {x}, .terms = 4};

            c.attrs.size.h = 11;
            c.attrs.size.w = 13;
            if (op == ONS_OP_AVG_POOL2X_GRAD) {
                c.attrs.size.h = 2 * x.d[1] + k;
                c.attrs.size.w = 2 * x.d[2] + k;
            }
            if (op == ONS_OP_UPSAMPLE_TO_GRAD) {
                c.attrs.size.h = k ? 5 : x.d[1] / 2;
                c.attrs.size.w = k ? 4 : x.d[2] / 2;
            }
            if (op == ONS_OP_MAX_POOL2X_GRAD) {
                c.n_in = 2;
                c.in[1] = ONS_SHAPE4(x.d[0], x.d[1] / 2, x.d[2] / 2, x.d[3]);
            }
            run_kernel_case(&c, true);
        }
        report_kernels(ops[i]);
    }
}

static void moves_agree(void **state)
{
    const ons_shape x = ONS_SHAPE4(2, 3, 5, 7);
    static const int perms[][4] = {{0, 2, 1, 3}, {3, 2, 1, 0}, {0, 1, 3, 2}, {1, 0, 2, 3}};
    (void)state;
    for (int axis = 0; axis < 4; axis++) {
        kernel_case c = {.op = ONS_OP_CONCAT, .n_in = 3, .in = {x, x, x}};

        c.in[1].d[axis] = 4;
        c.attrs.slice.axis = axis;
        run_kernel_case(&c, true);
        c = (kernel_case){.op = ONS_OP_SLICE, .n_in = 1, .in = {x}};
        c.attrs.slice.axis = axis;
        c.attrs.slice.start = 1;
        c.attrs.slice.length = x.d[axis] - 1;
        run_kernel_case(&c, true);
        c.op = ONS_OP_PAD_ZERO;
        c.attrs.slice.full = x.d[axis] + 3;
        run_kernel_case(&c, true);
        c = (kernel_case){.op = ONS_OP_TRANSPOSE, .n_in = 1, .in = {x}};
        memcpy(c.attrs.transpose.perm, perms[axis], sizeof perms[axis]);
        run_kernel_case(&c, true);
        c = (kernel_case){.op = ONS_OP_CAST, .n_in = 1, .in = {x}};
        c.attrs.dtype = ONS_F32;
        run_kernel_case(&c, true);
    }
    report_kernels(ONS_OP_CONCAT);
    report_kernels(ONS_OP_SLICE);
    report_kernels(ONS_OP_PAD_ZERO);
    report_kernels(ONS_OP_TRANSPOSE);
    report_kernels(ONS_OP_CAST);
}

static void embeddings_agree(void **state)
{
    (void)state;
    for (int64_t n = 1; n < 60; n += 29) {
        kernel_case c = {.op = ONS_OP_EMBEDDING, .n_in = 2, .in = {ONS_SHAPE2(11, 21), ONS_SHAPE2(2, n)}};

        run_kernel_case(&c, true);
        c = (kernel_case){.op = ONS_OP_EMBEDDING_GRAD,
                          .n_in = 2,
                          .in = {ONS_SHAPE2(2, n), ONS_SHAPE3(2, n, 21)},
                          .terms = (double)n};
        c.attrs.shape = ONS_SHAPE2(11, 21);
        run_kernel_case(&c, true);
        c = (kernel_case){
            .op = ONS_OP_TIMESTEP_EMBEDDING, .n_in = 1, .in = {ONS_SHAPE1(n)}, .lo = 0, .hi = 999, .slack = 4};
        c.attrs.timestep.dim = 64;
        c.attrs.timestep.flip_sin_to_cos = n > 1;
        c.attrs.timestep.max_period = 10000;
        run_kernel_case(&c, false);
    }
    report_kernels(ONS_OP_EMBEDDING);
    report_kernels(ONS_OP_EMBEDDING_GRAD);
    report_kernels(ONS_OP_TIMESTEP_EMBEDDING);
}

enum { ROWS = 11, WIDTH = 21 };

/* A set whose table stands in a file in 16 bits. */
static ons_params *map_table(ons_dtype type, const float *values)
{
    char path[] = "/tmp/onestep-table-XXXXXX";
    ons_params *set[2];
    ons_safetensors *file;
    int index;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(ons_params_create(&set[i]), ONESTEP_OK);
        assert_int_equal(ons_params_require(set[i], "table", ONS_PARAM_MATRIX, &ONS_SHAPE2(ROWS, WIDTH),
                                            ONS_INIT_ZERO, 0, &index),
                         ONESTEP_OK);
        assert_int_equal(ons_params_allocate(set[i]), ONESTEP_OK);
    }
    memcpy(ons_params_data(set[0], 0), values, ROWS * WIDTH * sizeof *values);
    close(mkstemp(path));
    assert_int_equal(ons_params_save(set[0], path, type), ONESTEP_OK);
    assert_int_equal(ons_safetensors_open(path, &file), ONESTEP_OK);
    assert_int_equal(ons_params_map(set[1], file, NULL), ONESTEP_OK);
    ons_safetensors_close(&file);
    unlink(path);
    ons_params_destroy(&set[0]);
    return set[1];
}

static void check_table(ons_dtype type)
{
    static const int32_t ids[] = {3, 0, 10, -1, 11, 3};
    const ons_kernel *k = ons_backend_cpu.kernels(ONS_OP_EMBEDDING);
    float values[ROWS * WIDTH], got[6 * WIDTH];
    const void *in[] = {NULL, ids};
    void *out[] = {got};
    ons_params *sets[1];
    ons_graph *g;
    ons_prep prep;

    ons_randn(1, 2, 3, values, ROWS * WIDTH);
    sets[0] = map_table(type, values);
    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    prep =
        (ons_prep){.node = ons_embedding(g, ons_param_leaf(g, "table", 0, 0, &ONS_SHAPE2(ROWS, WIDTH), false),
                                         ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(1, 6)))
                               ->node,
                   .n_threads = 2,
                   .params = sets,
                   .n_params = 1};
    assert_string_equal(k->name, "rows");
    assert_null(k->refuse(prep.node));
    assert_int_equal(k->prepare(&prep), type == ONS_F32 ? ONESTEP_UNSUPPORTED : ONESTEP_OK);
    if (type != ONS_F32) {
        assert_int_equal(prep.packed_in, 1);
        assert_int_equal(ons_params_packed_bytes(sets[0]), 2 * ROWS * WIDTH);
        assert_int_equal(ons_params_refresh(sets[0]), ONESTEP_OK);
        assert_int_equal(k->run(&prep, &(ons_args){in, out, NULL}), ONESTEP_OK);
        for (int i = 0; i < 6; i++)
            for (int c = 0; c < WIDTH; c++)
                assert_true(
                    got[i * WIDTH + c] ==
                    (ids[i] < 0 || ids[i] >= ROWS ? 0 : ons_params_data(sets[0], 0)[ids[i] * WIDTH + c]));
        k->destroy(&prep);
    }
    ons_graph_destroy(&g);
    ons_params_destroy(&sets[0]);
}

static void tables_are_read_as_their_file_has_them(void **state)
{
    (void)state;
    check_table(ONS_F16);
    check_table(ONS_BF16);
    check_table(ONS_F32);
}

static bool is_nan(uint32_t bits)
{
    return (bits & 0x7fffffff) > 0x7f800000;
}

/* Every 16-bit pattern to f32, f16 to bf16, and to bf16 every float about the middle of two: the bits of
 * ons_convert. */
static void conversions_agree(void **state)
{
    enum { N = 1 << 16, NEAR = 5, ODD = 3 /* so that not all loads are aligned */ };
    static const uint32_t near[NEAR] = {0, 1, 0x7fff, 0x8000, 0x8001};
    static const ons_dtype halves[] = {ONS_BF16, ONS_F16};
    uint16_t *half = ons_malloc(N * sizeof *half), *got16 = ons_malloc(N * sizeof *got16),
             *want16 = ons_malloc(N * sizeof *want16);
    uint32_t *bits = ons_malloc(N * sizeof *bits), *got = ons_malloc(N * sizeof *got),
             *want = ons_malloc(N * sizeof *want);

    (void)state;
    assert_true(half && got16 && want16 && bits && got && want);
    for (uint32_t i = 0; i < N; i++)
        half[i] = (uint16_t)i;
    for (const ons_cpu_variant *v = ons_cpu_variants; v->name; v++) {
        if (!v->supported())
            continue;
        for (int h = 0; h < 2; h++) {
            v->convert(got, ONS_F32, half + ODD, halves[h], N - ODD);
            ons_convert(want, ONS_F32, half + ODD, halves[h], N - ODD);
            for (int i = 0; i < N - ODD; i++)
                if (got[i] != want[i] &&
                    !(is_nan(got[i]) && is_nan(want[i]))) /* some make signalling ones quiet */
                    fail_msg("%s: %s %04x becomes %08x, not %08x", v->name, ons_dtype_name(halves[h]), i + ODD,
                             got[i], want[i]);
        }
        v->convert(got16, ONS_BF16, half + ODD, ONS_F16, N - ODD);
        ons_convert(want16, ONS_BF16, half + ODD, ONS_F16, N - ODD);
        for (int i = 0; i < N - ODD; i++)
            if (got16[i] != want16[i])
                fail_msg("%s: f16 %04x becomes bf16 %04x, not %04x", v->name, i + ODD, got16[i], want16[i]);
        for (int k = 0; k < NEAR; k++) {
            for (uint32_t i = 0; i < N; i++)
                bits[i] = (i << 16) + near[k];
            v->convert(got16, ONS_BF16, bits + ODD, ONS_F32, N - ODD);
            ons_convert(want16, ONS_BF16, bits + ODD, ONS_F32, N - ODD);
            for (int i = 0; i < N - ODD; i++)
                if (got16[i] != want16[i])
                    fail_msg("%s: f32 %08x becomes %04x, not %04x", v->name, bits[i + ODD], got16[i],
                             want16[i]);
        }
    }
    ons_free(half);
    ons_free(got16);
    ons_free(want16);
    ons_free(bits);
    ons_free(got);
    ons_free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_agrees),
        cmocka_unit_test(unary_grad_agrees),
        cmocka_unit_test(binary_agrees),
        cmocka_unit_test(broadcasts_agree),
        cmocka_unit_test(norms_agree),
        cmocka_unit_test(rows_agree),
        cmocka_unit_test(images_agree),
        cmocka_unit_test(moves_agree),
        cmocka_unit_test(embeddings_agree),
        cmocka_unit_test(conversions_agree),
        cmocka_unit_test(tables_are_read_as_their_file_has_them),
    };

    test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
