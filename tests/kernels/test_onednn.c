/* What is oneDNN's alone: the precision that follows from the CPU, and weights in its layouts. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "backend/cpu/onednn.h"
#include "base/random.h"

/* Linux names the flag on x86-64; elsewhere there is none, and f32 is native. */
static bool cpu_lists_bf16(void)
{
    FILE *f = fopen("/proc/cpuinfo", "r");
    char *line = NULL;
    size_t size = 0;
    bool found = false;

    while (f && !found && getline(&line, &size, f) > 0)
        found = !strncmp(line, "flags", 5) && strstr(line, " avx512_bf16");
    free(line);
    if (f)
        fclose(f);
    return found;
}

static void native_precision_is_the_cpus(void **state)
{
    (void)state;
    if (getenv("ONEDNN_MAX_CPU_ISA") || getenv("DNNL_MAX_CPU_ISA"))
        skip();
    assert_int_equal(ons_backend_cpu.native_precision(), cpu_lists_bf16() ? ONS_BF16 : ONS_F32);
}

/* oneDNN reads the cap once in a process, so that this one starts itself again. */
static void native_precision_is_capped(void **state)
{
    char self[512], command[640];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    (void)state;
    if (n <= 0)
        skip();
    self[n] = 0;
    snprintf(command, sizeof command, "ONEDNN_MAX_CPU_ISA=AVX512_CORE '%s' capped", self);
    assert_int_equal(system(command), 0);
}

enum { K = 37, N = 45 };

typedef struct product {
    ons_graph *graph;
    ons_params *set;
    ons_node *node;
    uint16_t one[K * K]; /* the identity */
    float result[K * N];
} product;

/* y = 1 w^T, which is w^T as the product sees it. */
static void build(product *p)
{
    ons_attrs a = {.matmul = {.trans_b = true, .alpha = 1}};
    const ons_shape one = ONS_SHAPE2(K, K), w = ONS_SHAPE2(N, K);
    ons_value *in[2], *y;
    int index;

    memset(p, 0, sizeof *p);
    assert_int_equal(ons_graph_create(&p->graph), ONESTEP_OK);
    assert_int_equal(ons_params_create(&p->set), ONESTEP_OK);
    assert_int_equal(ons_params_require(p->set, "w", ONS_PARAM_MATRIX, &w, ONS_INIT_ZERO, 0, &index),
                     ONESTEP_OK);
    assert_int_equal(ons_params_allocate(p->set), ONESTEP_OK);
    in[0] = ons_input(p->graph, "one", ONS_BF16, &one);
    in[1] = ons_param_leaf(p->graph, "w", 0, index, &w, true);
    y = ons_apply(p->graph, ONS_OP_MATMUL, in, 2, &a, NULL);
    assert_false(ons_graph_failed(p->graph));
    y->dtype = ONS_F32;
    p->node = y->node;
    for (int i = 0; i < K; i++)
        p->one[i * K + i] = ons_f32_to_bf16(1);
}

static const ons_kernel *find_kernel(ons_op op, const char *name)
{
    for (const ons_kernel *k = ons_backend_cpu.kernels(op); k && k->name; k++)
        if (!strcmp(k->name, name))
            return k;
    return NULL;
}

static void check_weights(product *p, const ons_kernel *k, const ons_prep *prep, uint64_t stream)
{
    float *w = ons_params_data(p->set, 0);
    const void *in[2] = {p->one, w};
    void *out[1] = {p->result}, *scratch = ons_calloc_aligned(prep->scratch_bytes + 64);

    assert_non_null(scratch);
    ons_rand_uniform(1, stream, 0, w, K * N);
    ons_params_touch(p->set);
    assert_int_equal(ons_params_refresh(p->set), ONESTEP_OK);
    assert_int_equal(k->run(prep, &(ons_args){in, out, scratch}), ONESTEP_OK);
    for (int i = 0; i < K; i++)
        for (int j = 0; j < N; j++)
            assert_true(p->result[i * N + j] == ons_bf16_to_f32(ons_f32_to_bf16(w[j * K + i])));
    ons_free_aligned(scratch);
}

/* Packed as the nearest bf16, once for all plans, and again when the values have changed. */
static void weights_are_rounded_and_follow(void **state)
{
    const ons_kernel *k = find_kernel(ONS_OP_MATMUL, "onednn_bf16");
    ons_prep prep[2];
    ons_params *sets[1];
    product p;
    bool refused = false;

    (void)state;
    if (!k)
        skip(); /* a CPU without AVX2, or none of x86-64 */
    build(&p);
    sets[0] = p.set;
    for (int i = 0; i < 2 && !refused; i++) {
        onestep_status st;

        prep[i] = (ons_prep){.node = p.node, .n_threads = 2, .params = sets, .n_params = 1};
        st = k->prepare(&prep[i]);
        refused = st == ONESTEP_UNSUPPORTED;
        assert_true(refused || st == ONESTEP_OK);
    }
    for (uint64_t i = 0; i < 4 && !refused; i++)
        check_weights(&p, k, &prep[i % 2], i + 1);
    for (int i = 0; i < 2 && !refused; i++)
        k->destroy(&prep[i]);
    ons_graph_destroy(&p.graph);
    ons_params_destroy(&p.set);
    if (refused)
        skip();
}

/* A layout as oneDNN makes them: blocks of 16 of one dimension, the first or the second, between an outer 16
 * and an inner 2 of the other. */
static ons_onednn_layout blocked(const ons_onednn_tensor *plain, ons_dtype dtype, int middle)
{
    ons_onednn_layout l = {.plain = *plain,
                           .dtype = dtype,
                           .n_blocks = 3,
                           .block = {16, 16, 2},
                           .block_dim = {!middle, middle, !middle},
                           .n_threads = 2};
    int64_t step = 16 * 16 * 2;

    for (int d = plain->n - 1; d >= 0; d--) {
        const int64_t size = d == middle ? 16 : d < 2 ? 32 : 1;

        l.stride[d] = step;
        step *= (plain->d[d] + size - 1) / size;
    }
    l.bytes = (size_t)step * ons_dtype_size(dtype);
    return l;
}

/* From a file's 16-bit values, at an odd address, the layout is what it is from the same values in f32 and the
 * engine's order. */
static void check_file(const ons_param *param, const ons_onednn_tensor *plain, ons_dtype type, ons_dtype dtype,
                       int middle)
{
    const size_t n = (size_t)ons_shape_count(&param->shape);
    const ons_onednn_layout l = blocked(plain, dtype, middle);
    float *file = ons_malloc(n * sizeof *file), *engine = ons_malloc(n * sizeof *engine);
    char *halves = ons_malloc(2 * n + 1), *rounded = ons_malloc(2 * n), *want = ons_malloc(l.bytes),
         *got = ons_malloc(l.bytes);
    const int64_t *d = param->shape.d;

    ons_randn(3, 1, 0, file, n);
    ons_convert(rounded, type, file, ONS_F32, n);
    ons_convert(file, ONS_F32, rounded, type, n);
    memcpy(halves + 1, rounded, 2 * n);
    if (param->kind == ONS_PARAM_CONV)
        ons_nchw_to_nhwc(engine, file, d[0], d[3], d[1], d[2]);
    else
        memcpy(engine, file, n * sizeof *file);
    assert_true(ons_onednn_takes_file(&l, param));
    memset(got, 0x55, l.bytes);
    ons_onednn_pack(&l, want, engine);
    ons_onednn_pack_file(got, halves + 1, type, param, &l);
    assert_memory_equal(got, want, l.bytes);
    ons_free(file);
    ons_free(engine);
    ons_free(halves);
    ons_free(rounded);
    ons_free(want);
    ons_free(got);
}

static void weights_are_packed_straight_from_a_file(void **state)
{
    const ons_param conv = {.name = "c", .kind = ONS_PARAM_CONV, .shape = ONS_SHAPE4(37, 3, 5, 67)};
    const ons_param matrix = {.name = "m", .kind = ONS_PARAM_MATRIX, .shape = ONS_SHAPE2(45, 1037)};
    /* out, in, rows, columns of a convolution in the engine's O H W I; the same with its first two exchanged; K
     * x N of a product */
    const ons_onednn_tensor forward = {
        .n = 4, .dtype = ONS_F32, .d = {37, 67, 3, 5}, .stride = {1005, 1, 335, 67}};
    const ons_onednn_tensor backward = {
        .n = 4, .dtype = ONS_F32, .d = {67, 37, 3, 5}, .stride = {1, 1005, 335, 67}};
    const ons_onednn_tensor product = {.n = 2, .dtype = ONS_F32, .d = {1037, 45}, .stride = {1, 1037}};
    const ons_param even_conv = {.name = "c", .kind = ONS_PARAM_CONV, .shape = ONS_SHAPE4(304, 3, 5, 70)};
    const ons_param even_matrix = {.name = "m", .kind = ONS_PARAM_MATRIX, .shape = ONS_SHAPE2(48, 1234)};
    const ons_onednn_tensor even_forward = {
        .n = 4, .dtype = ONS_F32, .d = {304, 70, 3, 5}, .stride = {1050, 1, 350, 70}};
    const ons_onednn_tensor even_product = {.n = 2, .dtype = ONS_F32, .d = {1234, 48}, .stride = {1, 1234}};
    const ons_onednn_tensor other = {.n = 2, .dtype = ONS_F32, .d = {67, 555}, .stride = {1, 67}};
    const ons_dtype types[] = {ONS_F16, ONS_BF16};
    ons_onednn_layout l;

    (void)state;
    for (int i = 0; i < 4; i++) {
        const ons_dtype dtype = i < 2 ? ONS_BF16 : ONS_F32;

        for (int middle = 0; middle < 2; middle++) {
            check_file(&conv, &forward, types[i % 2], dtype, middle);
            check_file(&conv, &backward, types[i % 2], dtype, middle);
            check_file(&matrix, &product, types[i % 2], dtype, middle);
            /* whole lines */
            check_file(&even_conv, &even_forward, types[i % 2], dtype, middle);
            check_file(&even_matrix, &even_product, types[i % 2], dtype, middle);
        }
    }
    l = blocked(&other, ONS_BF16, 0);
    assert_false(ons_onednn_takes_file(&l, &conv)); /* rows and columns seen as one */
}

/* Rows that piece i has of an operand, beginning at *first. */
static int64_t piece_rows(const ons_onednn_tensor *whole, const ons_onednn_tensor *cut, size_t offset,
                          int64_t *image, int64_t *first)
{
    const int64_t at = (int64_t)(offset / ons_dtype_size(whole->dtype));

    *image = at / whole->stride[0];
    *first = at % whole->stride[0] / whole->stride[2];
    return cut->d[2];
}

/* Every row of the result is computed once, from the rows that the whole convolution takes for it. */
static void check_cut(const ons_onednn_desc *d, int n_threads)
{
    const ons_onednn_cut c = ons_onednn_choose_cut(d, n_threads);
    const int of = d->kind == ONS_ONEDNN_CONV_GRAD_X ? ONS_ONEDNN_SRC : ONS_ONEDNN_DST;
    const int64_t k = d->at[ONS_ONEDNN_WEIGHTS].d[2];
    int64_t done = 0;

    assert_true(c.n >= 1 && c.n <= 8 * n_threads);
    for (int i = 0; i < c.n; i++) {
        size_t offset[ONS_ONEDNN_N_ROLES];
        ons_onednn_desc p;
        int64_t image[2], x0, y0, h, oh;

        ons_onednn_cut_piece(d, &c, i, &p, offset);
        h = piece_rows(&d->at[ONS_ONEDNN_SRC], &p.at[ONS_ONEDNN_SRC], offset[ONS_ONEDNN_SRC], &image[0], &x0);
        oh = piece_rows(&d->at[ONS_ONEDNN_DST], &p.at[ONS_ONEDNN_DST], offset[ONS_ONEDNN_DST], &image[1], &y0);
        assert_int_equal(image[0], image[1]);
        assert_true(p.pad_before[0] >= 0 && p.pad_after[0] >= 0);
        assert_int_equal((h + p.pad_before[0] + p.pad_after[0] - k) / d->stride + 1, oh);
        assert_int_equal(x0 - p.pad_before[0], y0 * d->stride - d->pad_before[0]);
        assert_int_equal(image[0] * d->at[of].d[2] + (of == ONS_ONEDNN_SRC ? x0 : y0), done);
        done += p.at[of].d[0] * p.at[of].d[2];
    }
    assert_int_equal(done, d->at[of].d[0] * d->at[of].d[2]);
}

static ons_onednn_tensor image_tensor(int64_t n, int64_t h, int64_t c)
{
    return (ons_onednn_tensor){.n = 4, .d = {n, c, h, h}, .stride = {h * h * c, 1, h * c, c}};
}

static void pieces_are_the_whole(void **state)
{
    static const struct {
        int64_t n, h, k, stride, before, after;
    } shapes[] = {{1, 32, 3, 1, 1, 1}, {1, 33, 3, 2, 1, 1}, {1, 32, 3, 2, 0, 1}, {3, 17, 3, 1, 2, 0},
                  {2, 16, 1, 1, 0, 0}, {5, 20, 5, 1, 2, 2}, {1, 24, 4, 4, 0, 0}, {9, 8, 3, 1, 1, 1},
                  {1, 32, 1, 2, 0, 0}, {40, 9, 3, 2, 1, 1}, {1, 3, 3, 1, 1, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int n_threads = 1; n_threads <= 17; n_threads++)
            for (int kind = ONS_ONEDNN_CONV; kind <= ONS_ONEDNN_CONV_GRAD_W; kind++) {
                const int64_t h = shapes[i].h, k = shapes[i].k, s = shapes[i].stride;
                const int64_t oh = (h + shapes[i].before + shapes[i].after - k) / s + 1;
                ons_onednn_desc d = {.kind = (ons_onednn_kind)kind,
                                     .free_weights = true,
                                     .stride = s,
                                     .pad_before = {shapes[i].before, shapes[i].before},
                                     .pad_after = {shapes[i].after, shapes[i].after}};

                d.at[ONS_ONEDNN_SRC] = image_tensor(shapes[i].n, h, 64);
                d.at[ONS_ONEDNN_DST] = image_tensor(shapes[i].n, oh, 256);
                d.at[ONS_ONEDNN_WEIGHTS] = image_tensor(256, k, 64);
                check_cut(&d, n_threads);
            }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_precision_is_the_cpus),
        cmocka_unit_test(native_precision_is_capped),
        cmocka_unit_test(weights_are_rounded_and_follow),
        cmocka_unit_test(weights_are_packed_straight_from_a_file),
        cmocka_unit_test(pieces_are_the_whole),
    };

    if (argc > 1 && !strcmp(argv[1], "capped"))
        return ons_backend_cpu.native_precision() != ONS_F32;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
