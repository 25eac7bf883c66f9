/* See roofline.h. Candidates: oneDNN's sgemm (f32), its direct and Winograd convolutions, and the cpu backend's
 * kernels. */
#include "bench/roofline.h"

#include <stdio.h>
#include <string.h>

#include <oneapi/dnnl/dnnl.h>

#include "base/memory.h"
#include "base/random.h"
#include "bench/onednn_conv.h"
#include "bench/operator.h"

const char *const ons_bench_direction_names[ONS_BENCH_DIRECTIONS] = {"forward", "backward-data",
                                                                     "backward-weights"};

static void raise_peak(ons_bench_peak *p, double gflops, const char *what, const char *who, const char *how)
{
    if (gflops <= p->gflops)
        return;
    p->gflops = gflops;
    snprintf(p->by, sizeof p->by, "%.31s, %s %.48s", what, who, how);
}

typedef struct square {
    int n;
    const float *a, *b;
    float *c;
    char trans_a, trans_b;
} square;

static void run_square(void *context)
{
    const square *s = context;

    dnnl_sgemm(s->trans_a, s->trans_b, s->n, s->n, s->n, 1.f, s->a, s->n, s->b, s->n, 0.f, s->c, s->n);
}

/* The products as the three directions transpose them: y = x w^T, dx = dy w, dw = dy^T x. */
static void measure_squares(ons_bench_roofline *r, int n_directions, int n_threads)
{
    static const char transposed[ONS_BENCH_DIRECTIONS][2] = {{'N', 'T'}, {'N', 'N'}, {'T', 'N'}};
    static const int sizes[] = {1024, 2048};
    size_t each = 2048 * 2048;
    float *x = ons_calloc_aligned(3 * each * sizeof *x);

    if (!x)
        return;
    ons_rand_uniform(1, 1, 0, x, 2 * each);
    for (int i = 0; i < n_directions; i++)
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            int n = sizes[k];
            square s = {n, x, x + each, x + 2 * each, transposed[i][0], transposed[i][1]};
            char what[32];

            snprintf(what, sizeof what, "product of %d^3", n);
            raise_peak(&r->peaks[ONS_BENCH_PLAIN][i],
                       2e-9 * n * n * n / ons_bench_time(n_threads, run_square, &s), what, "oneDNN", "sgemm");
        }
    ons_free_aligned(x);
}

typedef struct row {
    ons_bench_roofline *r;
    int direction;
    char what[32];
    double inside; /* part of the counted multiply-adds that is needed */
} row;

/* Part of a 3x3 convolution's taps that fall into a picture of side^2; the others meet zeros, which direct
 * implementations leave out. */
static double inside(int64_t side)
{
    const double part = (double)(3 * side - 2) / (double)(3 * side);

    return part * part;
}

/* Our own kernels: everything but Winograd's does the multiply-adds that are counted, or at least those inside.
 */
static void report_own(void *context, const ons_node *n, const char *kernel, const char *detail, double seconds)
{
    row *w = context;
    double gflops = ons_node_flops(n) / seconds / 1e9;

    (void)detail;
    if (strncmp(kernel, "winograd", 8) != 0)
        raise_peak(&w->r->peaks[ONS_BENCH_PLAIN][w->direction], w->inside * gflops, w->what, "cpu", kernel);
    raise_peak(&w->r->peaks[ONS_BENCH_FAST][w->direction], gflops, w->what, "cpu", kernel);
}

static void measure_onednn_conv(row *w, int n_threads, const int64_t *shape, bool winograd, bool bf16)
{
    ons_bench_onednn_conv *b =
        ons_bench_onednn_conv_create(w->direction, winograd, shape[0], shape[1], shape[2], shape[3], bf16);
    double flops = 2e-9 * (double)(shape[0] * shape[1] * shape[1] * 9 * shape[2] * shape[3]), gflops;

    if (!b)
        return;
    gflops = flops / ons_bench_time(n_threads, ons_bench_onednn_conv_run, b);
    if (!winograd)
        raise_peak(&w->r->peaks[ONS_BENCH_PLAIN][w->direction], w->inside * gflops, w->what, "oneDNN",
                   ons_bench_onednn_conv_name(b));
    raise_peak(&w->r->peaks[ONS_BENCH_FAST][w->direction], gflops, w->what, "oneDNN",
               ons_bench_onednn_conv_name(b));
    ons_bench_onednn_conv_destroy(b);
}

static void measure_convs(ons_bench_roofline *r, int n_directions, int n_threads, bool bf16)
{
    static const int64_t shapes[][4] = {
        {32, 16, 96, 96}, {64, 8, 192, 192}, {16, 32, 192, 192}, {16, 16, 384, 384}};

    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int i = 0; i < n_directions; i++) {
            const int64_t *s = shapes[k];
            ons_bench_operator own = ons_bench_conv(i, s[0], s[1], s[2], s[3], 3, 1);
            row w = {r, i, "", inside(s[1])};

            snprintf(w.what, sizeof w.what, "conv %dx%dx%dx%d -> %d", (int)s[0], (int)s[1], (int)s[1],
                     (int)s[2], (int)s[3]);
            own.bf16 = bf16;
            measure_onednn_conv(&w, n_threads, s, false, bf16);
            measure_onednn_conv(&w, n_threads, s, true, bf16);
            ons_bench_operator_time(&own, n_threads, report_own, &w);
        }
}

static void measure_linears(ons_bench_roofline *r, int n_directions, int n_threads, bool bf16)
{
    static const int64_t shapes[][3] = {
        {1536, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}}; /* rows, in, out */

    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int i = 0; i < n_directions; i++) {
            const int64_t *s = shapes[k];
            ons_bench_operator own = ons_bench_linear(i, s[0], s[1], s[2]);
            row w = {r, i, "", 1};
            ons_bench_peak fast = r->peaks[ONS_BENCH_FAST][i];

            own.bf16 = bf16;
            snprintf(w.what, sizeof w.what, "linear %dx%d -> %d", (int)s[0], (int)s[1], (int)s[2]);
            ons_bench_operator_time(&own, n_threads, report_own, &w);
            r->peaks[ONS_BENCH_FAST][i] = fast;
        }
}

void ons_bench_roofline_measure(ons_bench_roofline *r, int n_directions, int n_threads, bool bf16)
{
    if (!bf16)
        measure_squares(r, n_directions, n_threads);
    measure_linears(r, n_directions, n_threads, bf16);
    measure_convs(r, n_directions, n_threads, bf16);
}

static bool is_fast(const ons_node *n)
{
    const ons_shape *x = &n->in[0]->shape,
                    *y = n->op == ONS_OP_CONV2D_GRAD_W ? &n->in[1]->shape : &n->out[0]->shape;

    return n->attrs.conv.kh == 3 && n->attrs.conv.kw == 3 && n->attrs.conv.stride == 1 && x->d[3] >= 16 &&
           y->d[3] >= 16;
}

/* Attention's gradient has no weights: it counts as backward-data. */
static void add_node(void *context, const ons_node *n)
{
    ons_bench_work *w = context;
    double flops = ons_node_flops(n);

    switch (n->op) {
    case ONS_OP_CONV2D:
    case ONS_OP_CONV2D_UPSAMPLED:
        w->flops[is_fast(n)][ONS_BENCH_FORWARD] += flops;
        break;
    case ONS_OP_CONV2D_GRAD_X:
        w->flops[is_fast(n)][ONS_BENCH_BACKWARD_DATA] += flops;
        break;
    case ONS_OP_CONV2D_GRAD_W:
        w->flops[is_fast(n)][ONS_BENCH_BACKWARD_WEIGHTS] += flops;
        break;
    case ONS_OP_MATMUL:
        w->flops[ONS_BENCH_PLAIN][n->attrs.matmul.trans_a   ? ONS_BENCH_BACKWARD_WEIGHTS
                                  : n->attrs.matmul.trans_b ? ONS_BENCH_FORWARD
                                                            : ONS_BENCH_BACKWARD_DATA] += flops;
        break;
    case ONS_OP_ATTENTION_GRAD:
        w->flops[ONS_BENCH_PLAIN][ONS_BENCH_BACKWARD_DATA] += flops;
        break;
    default:
        w->flops[ONS_BENCH_PLAIN][ONS_BENCH_FORWARD] += flops;
    }
}

ons_bench_work ons_bench_work_of(const ons_plan *p)
{
    ons_bench_work w = {0};

    ons_plan_visit(p, add_node, &w);
    return w;
}

double ons_bench_work_total(const ons_bench_work *w)
{
    double sum = 0;

    for (int c = 0; c < ONS_BENCH_CLASSES; c++)
        for (int i = 0; i < ONS_BENCH_DIRECTIONS; i++)
            sum += w->flops[c][i];
    return sum;
}

double ons_bench_ideal_s(const ons_bench_roofline *r, const ons_bench_work *w)
{
    double sum = 0;

    for (int c = 0; c < ONS_BENCH_CLASSES; c++)
        for (int i = 0; i < ONS_BENCH_DIRECTIONS; i++)
            sum += w->flops[c][i] / (r->peaks[c][i].gflops * 1e9);
    return sum;
}

double ons_bench_ideal_plain_s(const ons_bench_roofline *r, const ons_bench_work *w)
{
    double sum = 0;

    for (int c = 0; c < ONS_BENCH_CLASSES; c++)
        for (int i = 0; i < ONS_BENCH_DIRECTIONS; i++)
            sum += w->flops[c][i] / (r->peaks[ONS_BENCH_PLAIN][i].gflops * 1e9);
    return sum;
}
