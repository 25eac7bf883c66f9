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
    k->run(prep, &(ons_args){in, out, scratch});
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(native_precision_is_the_cpus),
        cmocka_unit_test(native_precision_is_capped),
        cmocka_unit_test(weights_are_rounded_and_follow),
    };

    if (argc > 1 && !strcmp(argv[1], "capped"))
        return ons_backend_cpu.native_precision() != ONS_F32;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
