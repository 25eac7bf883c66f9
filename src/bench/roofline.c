/* See roofline.h. Candidates: the backend's kernels, and what its library does at its best (ons_probe). */
#include "bench/roofline.h"

#include <stdio.h>
#include <string.h>

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

/* By the count of a 3x3 convolution or a product, as of our own. */
static void report_plain_probe(void *context, const ons_node *n, const char *library, const char *name,
                               double seconds)
{
    row *w = context;
    const double gflops = ons_node_flops(n) / seconds / 1e9;

    raise_peak(&w->r->peaks[ONS_BENCH_PLAIN][w->direction], w->inside * gflops, w->what, library, name);
    raise_peak(&w->r->peaks[ONS_BENCH_FAST][w->direction], gflops, w->what, library, name);
}

static void report_fast_probe(void *context, const ons_node *n, const char *library, const char *name,
                              double seconds)
{
    row *w = context;

    raise_peak(&w->r->peaks[ONS_BENCH_FAST][w->direction], ons_node_flops(n) / seconds / 1e9, w->what, library,
               name);
}

static void measure_convs(ons_bench_roofline *r, int n_directions, const ons_compute *c)
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
            own.bf16 = c->type != ONS_F32;
            ons_bench_probe_time(&own, c, false, report_plain_probe, &w);
            ons_bench_probe_time(&own, c, true, report_fast_probe, &w);
            ons_bench_operator_time(&own, c, report_own, &w);
        }
}

static void measure_linears(ons_bench_roofline *r, int n_directions, const ons_compute *c)
{
    static const int64_t shapes[][3] = {
        {1536, 512, 512}, {1024, 1024, 1024}, {2048, 2048, 2048}}; /* rows, in, out */

    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        for (int i = 0; i < n_directions; i++) {
            const int64_t *s = shapes[k];
            ons_bench_operator own = ons_bench_linear(i, s[0], s[1], s[2]);
            row w = {r, i, "", 1};
            ons_bench_peak fast = r->peaks[ONS_BENCH_FAST][i];

            own.bf16 = c->type != ONS_F32;
            snprintf(w.what, sizeof w.what, "linear %dx%d -> %d", (int)s[0], (int)s[1], (int)s[2]);
            ons_bench_probe_time(&own, c, false, report_plain_probe, &w);
            ons_bench_operator_time(&own, c, report_own, &w);
            r->peaks[ONS_BENCH_FAST][i] = fast;
        }
}

void ons_bench_roofline_measure(ons_bench_roofline *r, int n_directions, const ons_compute *c)
{
    measure_linears(r, n_directions, c);
    measure_convs(r, n_directions, c);
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
