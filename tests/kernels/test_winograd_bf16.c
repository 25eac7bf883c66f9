/* Frozen 3x3 convolutions of large pictures in bf16: our row against ref, and its weights from a file against
 * those from memory. */
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

typedef struct picture {
    int64_t n, h, w, c, o;
    int before, after;
    bool bias, residual;
} picture;

/* Odd sizes, half panels of result channels, every padding, more tiles than a block has. */
static const picture pictures[] = {
    {1, 32, 32, 32, 32, 1, 1, false, false}, {1, 33, 31, 32, 48, 1, 1, true, true},
    {2, 23, 25, 64, 16, 1, 1, true, false},  {3, 20, 19, 96, 80, 1, 1, false, true},
    {1, 40, 35, 32, 64, 0, 0, true, true},   {1, 31, 33, 64, 32, 2, 2, true, true},
    {1, 34, 39, 32, 32, 0, 2, true, false},  {1, 34, 37, 96, 48, 1, 1, true, true},
    {1, 1, 520, 32, 32, 1, 1, true, true},   {1, 66, 61, 160, 96, 1, 1, true, true},
};

static kernel_case make_case(const picture *p)
{
    const int64_t grow = p->before + p->after - 2;
    kernel_case c = {.op = ONS_OP_CONV2D,
                     .n_in = 2,
                     .in = {ONS_SHAPE4(p->n, p->h, p->w, p->c), ONS_SHAPE4(p->o, 3, 3, p->c)},
                     .terms = 9.0 * (double)p->c,
                     .param = true,
                     .frozen = true};

    c.attrs.conv.stride = 1;
    c.attrs.conv.pad_top = c.attrs.conv.pad_left = p->before;
    c.attrs.conv.pad_bottom = c.attrs.conv.pad_right = p->after;
    c.attrs.conv.kh = c.attrs.conv.kw = 3;
    c.attrs.conv.bias = p->bias;
    c.attrs.conv.residual = p->residual;
    if (p->bias)
        c.in[c.n_in++] = ONS_SHAPE1(p->o);
    if (p->residual)
        c.in[c.n_in++] = ONS_SHAPE4(p->n, p->h + grow, p->w + grow, p->o);
    return c;
}

/* The picture is the one before upsampling. */
static const picture small_pictures[] = {
    {1, 16, 16, 32, 32, 1, 1, false, false}, {1, 17, 23, 64, 48, 1, 1, true, false},
    {2, 13, 15, 96, 16, 1, 1, true, false},  {1, 24, 25, 96, 32, 1, 1, true, false},
    {2, 5, 7, 32, 32, 1, 1, true, false},    {1, 17, 17, 20, 24, 1, 1, true, false},
    {1, 40, 37, 160, 96, 1, 1, true, false},
};

/* The last of each list is for check-long. */
static size_t count_shapes(size_t n)
{
    return n - !test_every_shape();
}

static const ons_kernel *find_row(void)
{
    return find_kernel_row(ONS_OP_CONV2D, "winograd_bf16");
}

static void pictures_agree(void **state)
{
    (void)state;
    if (!find_row())
        skip(); /* a CPU whose vectors do not multiply bf16, or one that has AMX */
    for (size_t i = 0; i < count_shapes(sizeof pictures / sizeof *pictures); i++) {
        const kernel_case c = make_case(&pictures[i]);

        run_kernel_case(&c, true);
    }
    report_kernel(ONS_OP_CONV2D, "winograd_bf16");
}

static void upsampled_pictures_agree(void **state)
{
    (void)state;
    if (ons_cpu_has_amx())
        skip(); /* no row for it but the one that makes the picture, and the planner makes no such operator */
    for (size_t i = 0; i < count_shapes(sizeof small_pictures / sizeof *small_pictures); i++) {
        kernel_case c = make_case(&small_pictures[i]);

        c.op = ONS_OP_CONV2D_UPSAMPLED;
        run_kernel_case(&c, true);
        c.frozen = false;
        run_kernel_case(&c, true);
    }
    report_kernels(ONS_OP_CONV2D_UPSAMPLED);
    if (find_kernel_row(ONS_OP_CONV2D_UPSAMPLED, "winograd_bf16"))
        report_kernel(ONS_OP_CONV2D_UPSAMPLED, "winograd_bf16");
}

enum { SIDE = 33, C = 64, O = 48 };

typedef struct layer {
    ons_graph *graph;
    ons_params *set;
    ons_node *node;
} layer;

static void build(layer *l, bool trainable, int64_t side, int64_t c)
{
    ons_value *in[2], *y;
    const ons_shape x = ONS_SHAPE4(1, side, side, c), w = ONS_SHAPE4(O, 3, 3, c);
    ons_attrs a = {
        .conv = {.stride = 1, .pad_top = 1, .pad_left = 1, .pad_bottom = 1, .pad_right = 1, .kh = 3, .kw = 3}};
    int index;

    assert_int_equal(ons_graph_create(&l->graph), ONESTEP_OK);
    assert_int_equal(ons_params_create(&l->set), ONESTEP_OK);
    assert_int_equal(ons_params_require(l->set, "w", ONS_PARAM_CONV, &w, ONS_INIT_NORMAL, 1, &index),
                     ONESTEP_OK);
    in[0] = ons_input(l->graph, "x", ONS_BF16, &x);
    in[1] = ons_param_leaf(l->graph, "w", 0, index, &w, trainable);
    y = ons_apply(l->graph, ONS_OP_CONV2D, in, 2, &a, NULL);
    assert_false(ons_graph_failed(l->graph));
    l->node = y->node;
}

static void drop(layer *l)
{
    ons_graph_destroy(&l->graph);
    ons_params_destroy(&l->set);
}

static void run_row(const layer *l, const uint16_t *x, uint16_t *y)
{
    const ons_kernel *k = find_row();
    ons_params *sets[1] = {l->set};
    ons_prep prep = {.node = l->node, .n_threads = 2, .params = sets, .n_params = 1};
    const void *in[2] = {x, NULL};
    void *out[1] = {y}, *scratch;

    assert_null(k->refuse(l->node));
    assert_int_equal(k->prepare(&prep), ONESTEP_OK);
    assert_int_equal(prep.packed_in, 2); /* so that in[1] is not read */
    assert_int_equal(ons_params_refresh(l->set), ONESTEP_OK);
    scratch = ons_calloc_aligned(prep.scratch_bytes);
    assert_int_equal(k->run(&prep, &(ons_args){in, out, scratch}), ONESTEP_OK);
    ons_free_aligned(scratch);
    k->destroy(&prep);
}

/* The same weights, once from the store's f32 and once from the file's 16 bits. */
static void check_file(ons_dtype type)
{
    char path[] = "/tmp/onestep_winograd_XXXXXX";
    const int fd = mkstemp(path);
    const size_t n = (size_t)SIDE * SIDE * O;
    uint16_t *x = ons_calloc_aligned((size_t)SIDE * SIDE * C * 2), *got = ons_calloc_aligned(n * 2),
             *want = ons_calloc_aligned(n * 2);
    float *values = ons_malloc((size_t)SIDE * SIDE * C * 4);
    ons_safetensors *file;
    layer memory, mapped;

    assert_true(fd >= 0);
    close(fd);
    ons_randn(test_seed(), 1, 0, values, (size_t)SIDE * SIDE * C);
    ons_convert(x, ONS_BF16, values, ONS_F32, (size_t)SIDE * SIDE * C);
    build(&memory, false, SIDE, C);
    build(&mapped, false, SIDE, C);
    assert_int_equal(ons_params_allocate(memory.set), ONESTEP_OK);
    ons_params_init(memory.set, test_seed());
    assert_int_equal(ons_params_save(memory.set, path, type), ONESTEP_OK);
    assert_int_equal(ons_safetensors_open(path, &file), ONESTEP_OK);
    assert_int_equal(ons_params_load(memory.set, file, ""), ONESTEP_OK);
    assert_int_equal(ons_params_map(mapped.set, file, NULL), ONESTEP_OK);
    assert_int_equal(ons_params_value_type(mapped.set, 0), type);
    run_row(&memory, x, want);
    run_row(&mapped, x, got);
    assert_memory_equal(got, want, n * 2);
    drop(&memory);
    drop(&mapped);
    ons_safetensors_close(&file);
    unlink(path);
    ons_free(values);
    ons_free_aligned(x);
    ons_free_aligned(got);
    ons_free_aligned(want);
}

static void weights_come_from_a_file(void **state)
{
    (void)state;
    if (!find_row())
        skip();
    check_file(ONS_F16);
    check_file(ONS_BF16);
}

static bool takes(bool trainable, int64_t side, int64_t c)
{
    layer l;
    bool taken;

    build(&l, trainable, side, c);
    taken = !find_row()->refuse(l.node);
    drop(&l);
    return taken;
}

static void others_are_refused(void **state)
{
    (void)state;
    if (!find_row())
        skip();
    assert_true(takes(false, 32, 64));
    assert_false(takes(true, 32, 64));  /* weights that change would be transformed in every step */
    assert_false(takes(false, 16, 64)); /* few tiles */
    assert_false(takes(false, 32, 48));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_agree),
        cmocka_unit_test(upsampled_pictures_agree),
        cmocka_unit_test(weights_come_from_a_file),
        cmocka_unit_test(others_are_refused),
    };

    test_seed();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
