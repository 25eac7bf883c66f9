/*
 * Times the operators of small UNets and autoencoders on the shapes that training and sampling use, and prints
 * GFLOP/s (or GB/s for what only moves data), the share of the roofline, and which kernel ran. The roofline is
 * what oneDNN's matrix product reaches on 1024 x 1024 x 1024 in the same run: a chip's advertised peak says
 * nothing about the cores a process was given.
 *
 * Usage: bench_kernels [threads] [substring of a row's name]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <oneapi/dnnl/dnnl.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"

enum { MAX_IN = 6, ROUNDS = 7 };

typedef struct row {
    char name[64];
    ons_op op;
    int n_in;
    ons_shape in[MAX_IN];
    ons_attrs attrs;
    bool param; /* operand 1 is a weight */
} row;

static double peak_gflops;
static int n_threads;
static const char *filter;

/* With one thread its CPU time, which a busy machine disturbs less than the clock on the wall. */
static double now_s(void)
{
    struct timespec t;

    if (n_threads > 1)
        return ons_now_s();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_rounds(void (*run)(void *), void *context)
{
    double best = 1e30, spent = 0;

    for (int i = 0; i < ROUNDS && (i < 3 || spent < 0.5); i++) {
        double start = now_s(), t;

        run(context);
        t = now_s() - start;
        spent += t;
        best = t < best ? t : best;
    }
    return best;
}

static void run_square(void *context)
{
    enum { N = 1024 };
    float *x = context;

    dnnl_sgemm('N', 'N', N, N, N, 1.f, x, N, x + N * N, N, 0.f, x + 2 * N * N, N);
}

static void measure_peak(void)
{
    size_t n = 3 * 1024 * 1024;
    float *x = ons_calloc_aligned(n * sizeof *x);

    if (!x)
        return;
    ons_rand_uniform(1, 1, 0, x, n);
    peak_gflops = 2.0 * 1024 * 1024 * 1024 / time_rounds(run_square, x) / 1e9;
    printf("roofline (1024^3 product of oneDNN): %.0f GFLOP/s\n", peak_gflops);
    ons_free_aligned(x);
}

typedef struct call {
    const ons_kernel *kernel;
    ons_prep prep;
    ons_args args;
} call;

static void run_kernel(void *context)
{
    call *c = context;

    c->kernel->run(&c->prep, &c->args);
}

static void print_result(const row *r, const ons_node *n, const call *c, double seconds)
{
    double flops = ons_node_flops(n);

    if (flops > 0)
        printf("%-44s %9.3f ms %8.1f GFLOP/s %5.1f %%  %s %s\n", r->name, seconds * 1e3, flops / seconds / 1e9,
               100 * flops / seconds / 1e9 / peak_gflops, c->kernel->name,
               c->prep.detail ? c->prep.detail : "");
    else
        printf("%-44s %9.3f ms %8.1f GB/s            %s\n", r->name, seconds * 1e3,
               ons_node_bytes(n) / seconds / 1e9, c->kernel->name);
}

/* Operands filled with random numbers (token numbers and lse stay 0). */
static void *make_buffer(const ons_value *v, uint64_t stream)
{
    size_t n = (size_t)ons_shape_count(&v->shape);
    float *x = ons_calloc_aligned(n * 4 + 64);

    if (x && v->dtype == ONS_F32)
        ons_rand_uniform(1, stream, 0, x, n);
    return x;
}

static bool time_kernel(const row *r, const ons_node *n, ons_params *set, const ons_kernel *k)
{
    ons_params *sets[1] = {set};
    const void *in[MAX_IN] = {NULL};
    void *out[ONS_MAX_OUTPUTS] = {NULL};
    call c = {k, {.node = n, .n_threads = n_threads, .params = sets, .n_params = 1}, {in, out, NULL}};

    if (k->prepare && k->prepare(&c.prep) != ONESTEP_OK) {
        printf("%-44s %s\n", r->name, onestep_error_text());
        return false;
    }
    for (int i = 0; i < n->n_in; i++)
        in[i] = make_buffer(n->in[i], (uint64_t)i + 1);
    for (int i = 0; i < n->n_out; i++)
        out[i] = make_buffer(n->out[i], 9);
    c.args.scratch = ons_calloc_aligned(c.prep.scratch_bytes + 64);
    if (c.args.scratch)
        print_result(r, n, &c, time_rounds(run_kernel, &c));
    ons_free_aligned(c.args.scratch);
    for (int i = 0; i < n->n_in; i++)
        ons_free_aligned((void *)in[i]);
    for (int i = 0; i < n->n_out; i++)
        ons_free_aligned(out[i]);
    if (k->destroy)
        k->destroy(&c.prep);
    return true;
}

/* Every kernel that takes the operator, in the list's order. */
static void time_row(const row *r)
{
    ons_graph *g = NULL;
    ons_params *set = NULL;
    ons_value *in[MAX_IN], *v;

    if (filter && !strstr(r->name, filter))
        return;
    if (ons_graph_create(&g) != ONESTEP_OK || ons_params_create(&set) != ONESTEP_OK)
        goto done;
    for (int i = 0; i < r->n_in; i++) {
        char name[8];
        int index;

        snprintf(name, sizeof name, "in%d", i);
        if (r->param && i == 1) {
            if (ons_params_require(set, name, r->in[i].n == 4 ? ONS_PARAM_CONV : ONS_PARAM_MATRIX, &r->in[i],
                                   ONS_INIT_ZERO, 0, &index) != ONESTEP_OK)
                goto done;
            in[i] = ons_param_leaf(g, name, 0, index, &r->in[i], true);
        } else {
            in[i] = ons_input(g, name, ONS_F32, &r->in[i]);
        }
    }
    if (ons_params_allocate(set) != ONESTEP_OK)
        goto done;
    v = ons_apply(g, r->op, in, r->n_in, &r->attrs, NULL);
    if (ons_graph_failed(g)) {
        if (ons_graph_finish(g) != ONESTEP_OK)
            printf("%s: %s\n", r->name, onestep_error_text());
        goto done;
    }
    for (const ons_kernel *k = ons_backend_cpu.kernels(r->op); k && k->name; k++)
        if (strcmp(k->name, "convert") && (!k->refuse || !k->refuse(v->node)))
            time_kernel(r, v->node, set, k);
done:
    ons_graph_destroy(&g);
    ons_params_destroy(&set);
}

static void time_conv(int64_t n, int64_t h, int64_t c, int64_t o, int64_t k, int stride)
{
    int64_t oh = (h + 2 * (k / 2) - k) / stride + 1;
    ons_shape x = ONS_SHAPE4(n, h, h, c), w = ONS_SHAPE4(o, k, k, c), y = ONS_SHAPE4(n, oh, oh, o);
    row r = {.n_in = 2};

    r.attrs.conv.stride = stride;
    r.attrs.conv.pad_top = r.attrs.conv.pad_left = r.attrs.conv.pad_bottom = r.attrs.conv.pad_right =
        (int)(k / 2);
    r.attrs.conv.in_h = r.attrs.conv.in_w = h;
    r.attrs.conv.kh = r.attrs.conv.kw = k;
    static const ons_op ops[] = {ONS_OP_CONV2D, ONS_OP_CONV2D_GRAD_X, ONS_OP_CONV2D_GRAD_W};
    for (int i = 0; i < (n == 1 ? 1 : 3); i++) {
        r.op = ops[i];
        r.in[0] = i == 1 ? y : x;
        r.in[1] = i == 2 ? y : w;
        r.param = i != 2;
        snprintf(r.name, sizeof r.name, "%s %lldx%lldx%lldx%lld -> %lld k%lld s%d", ons_op_name(r.op),
                 (long long)n, (long long)h, (long long)h, (long long)c, (long long)o, (long long)k, stride);
        time_row(&r);
    }
}

static void time_linear(int64_t rows, int64_t in, int64_t out)
{
    const ons_shape x = ONS_SHAPE2(rows, in), w = ONS_SHAPE2(out, in), y = ONS_SHAPE2(rows, out);
    row r = {.op = ONS_OP_MATMUL, .n_in = 2, .in = {x, w}, .param = true};

    r.attrs.matmul.alpha = 1;
    r.attrs.matmul.trans_b = true;
    snprintf(r.name, sizeof r.name, "linear %lldx%lld -> %lld", (long long)rows, (long long)in, (long long)out);
    time_row(&r);
    r.in[0] = y;
    r.attrs.matmul.trans_b = false;
    snprintf(r.name, sizeof r.name, "linear dx %lldx%lld -> %lld", (long long)rows, (long long)in,
             (long long)out);
    time_row(&r);
    r.in[1] = x;
    r.param = false;
    r.attrs.matmul.trans_a = true;
    snprintf(r.name, sizeof r.name, "linear dw %lldx%lld -> %lld", (long long)rows, (long long)in,
             (long long)out);
    time_row(&r);
}

static void time_norm(ons_shape x, int groups)
{
    ons_shape c = ONS_SHAPE1(x.d[x.n - 1]), stats = ONS_SHAPE3(x.d[0], groups, 2);
    row r = {.op = groups ? ONS_OP_GROUP_NORM : ONS_OP_LAYER_NORM, .n_in = 3, .in = {x, c, c}};
    char text[96];

    if (!groups)
        stats = ONS_SHAPE2(ons_shape_count(&x) / c.d[0], 2);
    r.attrs.norm.n_groups = groups;
    r.attrs.norm.eps = 1e-5;
    r.attrs.norm.act = groups ? ONS_ACT_SILU : ONS_ACT_NONE;
    snprintf(r.name, sizeof r.name, "%s %s", ons_op_name(r.op), ons_shape_text(&x, text));
    time_row(&r);
    r.op = groups ? ONS_OP_GROUP_NORM_GRAD : ONS_OP_LAYER_NORM_GRAD;
    r.n_in = 5;
    r.in[3] = stats;
    r.in[4] = x;
    snprintf(r.name, sizeof r.name, "%s %s", ons_op_name(r.op), ons_shape_text(&x, text));
    time_row(&r);
}

static void time_attention(int64_t batch, int64_t heads, int64_t tq, int64_t tk, int64_t c)
{
    ons_shape q = ONS_SHAPE3(batch, tq, c), k = ONS_SHAPE3(batch, tk, c);
    row r = {.op = ONS_OP_ATTENTION, .n_in = 3, .in = {q, k, k}};

    r.attrs.attention.n_heads = (int)heads;
    r.attrs.attention.scale = 0.2;
    snprintf(r.name, sizeof r.name, "attention %lldx%lld %lld on %lld of %lld", (long long)batch,
             (long long)heads, (long long)tq, (long long)tk, (long long)c);
    time_row(&r);
    r.op = ONS_OP_ATTENTION_GRAD;
    r.n_in = 6;
    r.in[3] = r.in[5] = q;
    r.in[4] = ONS_SHAPE3(batch, heads, tq);
    snprintf(r.name, sizeof r.name, "attention_grad %lldx%lld %lld on %lld of %lld", (long long)batch,
             (long long)heads, (long long)tq, (long long)tk, (long long)c);
    time_row(&r);
}

static void time_elements(ons_op op, ons_shape a, ons_shape b, int n_in)
{
    row r = {.op = op, .n_in = n_in, .in = {a, b}};
    char text[96];

    r.attrs.affine.scale = 2;
    r.attrs.shape = b;
    snprintf(r.name, sizeof r.name, "%s %s", ons_op_name(op), ons_shape_text(&a, text));
    time_row(&r);
}

int main(int argc, char **argv)
{
    const ons_shape image = ONS_SHAPE4(64, 16, 16, 64);

    n_threads = argc > 1 ? atoi(argv[1]) : 0;
    n_threads = n_threads > 0 ? n_threads : ons_physical_cores();
    filter = argc > 2 ? argv[2] : NULL;
    printf("%d threads\n", n_threads);
    measure_peak();
    time_conv(64, 16, 64, 64, 3, 1);
    time_conv(64, 16, 64, 64, 3, 2);
    time_conv(64, 8, 128, 128, 3, 1);
    time_conv(64, 8, 192, 192, 3, 1);
    time_conv(64, 4, 256, 256, 3, 1);
    time_conv(64, 16, 4, 64, 3, 1);
    time_conv(64, 16, 64, 4, 3, 1);
    time_conv(64, 16, 128, 64, 1, 1);
    time_conv(64, 8, 256, 128, 1, 1);
    time_conv(32, 64, 16, 16, 3, 1);
    time_conv(32, 64, 32, 32, 3, 1);
    time_conv(32, 64, 3, 32, 3, 1);
    time_conv(32, 64, 32, 3, 3, 1);
    time_conv(32, 32, 64, 64, 3, 1);
    time_conv(32, 32, 48, 48, 3, 1);
    time_conv(32, 16, 96, 96, 3, 1);
    time_conv(1, 16, 64, 64, 3, 1);
    time_conv(1, 8, 192, 192, 3, 1);
    time_conv(1, 4, 256, 256, 3, 1);
    time_conv(1, 128, 64, 64, 3, 1);
    time_linear(4096, 128, 128);
    time_linear(1536, 128, 512);
    time_linear(4096, 192, 1536);
    time_linear(1536, 1024, 256);
    time_linear(64, 256, 256);
    time_norm(image, 16);
    time_norm(ONS_SHAPE4(64, 8, 8, 128), 16);
    time_norm(ONS_SHAPE4(32, 64, 64, 32), 8);
    time_norm(ONS_SHAPE4(1, 64, 64, 128), 32);
    time_norm(ONS_SHAPE2(4096, 128), 0);
    time_attention(64, 4, 64, 24, 128);
    time_attention(64, 4, 64, 64, 128);
    time_attention(64, 8, 256, 256, 128);
    time_attention(1, 8, 1024, 1024, 320);
    time_elements(ONS_OP_GEGLU, ONS_SHAPE2(3072, 1024), ONS_SHAPE0(), 1);
    time_elements(ONS_OP_GEGLU_GRAD, ONS_SHAPE2(3072, 1024), ONS_SHAPE2(3072, 512), 2);
    time_elements(ONS_OP_ADD, image, image, 2);
    time_elements(ONS_OP_ADD, image, ONS_SHAPE4(64, 1, 1, 64), 2);
    time_elements(ONS_OP_SILU, image, image, 1);
    time_elements(ONS_OP_GELU, image, image, 1);
    time_elements(ONS_OP_SUM_TO, image, ONS_SHAPE1(64), 1);
    time_elements(ONS_OP_SUM_TO, image, ONS_SHAPE4(64, 1, 1, 64), 1);
    time_elements(ONS_OP_SUM_TO, image, ONS_SHAPE0(), 1);
    return 0;
}
