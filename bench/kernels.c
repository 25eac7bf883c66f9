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

#include "bench/operator.h"

static double peak_gflops;
static ons_compute compute;
static const char *filter;

static void keep_rate(void *context, const ons_node *n, const char *library, const char *name, double seconds)
{
    (void)context;
    peak_gflops = ons_node_flops(n) / seconds / 1e9;
    printf("roofline (1024^3 product, %s %s): %.0f GFLOP/s\n", library, name, peak_gflops);
}

static void measure_peak(void)
{
    const ons_bench_operator o = ons_bench_linear(1, 1024, 1024, 1024);

    ons_bench_probe_time(&o, &compute, false, keep_rate, NULL);
}

static void print_result(void *context, const ons_node *n, const char *kernel, const char *detail,
                         double seconds)
{
    const char *name = context;
    double flops = ons_node_flops(n);

    if (flops > 0)
        printf("%-44s %9.3f ms %8.1f GFLOP/s %5.1f %%  %s %s\n", name, seconds * 1e3, flops / seconds / 1e9,
               100 * flops / seconds / 1e9 / peak_gflops, kernel, detail ? detail : "");
    else
        printf("%-44s %9.3f ms %8.1f GB/s            %s\n", name, seconds * 1e3,
               ons_node_bytes(n) / seconds / 1e9, kernel);
}

static void time_row(const ons_bench_operator *o, char *name)
{
    if (!filter || strstr(name, filter))
        ons_bench_operator_time(o, &compute, print_result, name);
}

static void time_conv(int64_t n, int64_t h, int64_t c, int64_t o, int64_t k, int stride)
{
    for (int i = 0; i < (n == 1 ? 1 : 3); i++) {
        ons_bench_operator b = ons_bench_conv(i, n, h, c, o, k, stride);
        char name[96];

        snprintf(name, sizeof name, "%s %lldx%lldx%lldx%lld -> %lld k%lld s%d", ons_op_name(b.op), (long long)n,
                 (long long)h, (long long)h, (long long)c, (long long)o, (long long)k, stride);
        time_row(&b, name);
    }
}

/* Frozen weights and a residual, in bf16, as pictures of Stable Diffusion's size ask for them. */
static void time_conv_bf16(int64_t h, int64_t c, int64_t o)
{
    ons_bench_operator b = ons_bench_conv(0, 1, h, c, o, 3, 1);
    char name[96];

    b.bf16 = b.frozen = true;
    snprintf(name, sizeof name, "conv2d bf16 %lldx%lldx%lld -> %lld", (long long)h, (long long)h, (long long)c,
             (long long)o);
    time_row(&b, name);
}

static void time_linear(int64_t rows, int64_t in, int64_t out)
{
    static const char *const kinds[] = {"linear", "linear dx", "linear dw"};

    for (int i = 0; i < 3; i++) {
        ons_bench_operator b = ons_bench_linear(i, rows, in, out);
        char name[96];

        snprintf(name, sizeof name, "%s %lldx%lld -> %lld", kinds[i], (long long)rows, (long long)in,
                 (long long)out);
        time_row(&b, name);
    }
}

static void time_norm(ons_shape x, int groups)
{
    ons_shape c = ONS_SHAPE1(x.d[x.n - 1]), stats = ONS_SHAPE3(x.d[0], groups, 2);
    ons_bench_operator r = {.op = groups ? ONS_OP_GROUP_NORM : ONS_OP_LAYER_NORM, .n_in = 3, .in = {x, c, c}};
    char text[96], name[160];

    if (!groups)
        stats = ONS_SHAPE2(ons_shape_count(&x) / c.d[0], 2);
    r.attrs.norm.n_groups = groups;
    r.attrs.norm.eps = 1e-5;
    r.attrs.norm.act = groups ? ONS_ACT_SILU : ONS_ACT_NONE;
    snprintf(name, sizeof name, "%s %s", ons_op_name(r.op), ons_shape_text(&x, text));
    time_row(&r, name);
    r.op = groups ? ONS_OP_GROUP_NORM_GRAD : ONS_OP_LAYER_NORM_GRAD;
    r.n_in = 5;
    r.in[3] = stats;
    r.in[4] = x;
    snprintf(name, sizeof name, "%s %s", ons_op_name(r.op), ons_shape_text(&x, text));
    time_row(&r, name);
}

static void time_attention(int64_t batch, int64_t heads, int64_t tq, int64_t tk, int64_t c)
{
    ons_shape q = ONS_SHAPE3(batch, tq, c), k = ONS_SHAPE3(batch, tk, c);
    ons_bench_operator r = {.op = ONS_OP_ATTENTION, .n_in = 3, .in = {q, k, k}};
    char name[160];

    r.attrs.attention.n_heads = (int)heads;
    r.attrs.attention.scale = 0.2;
    snprintf(name, sizeof name, "attention %lldx%lld %lld on %lld of %lld", (long long)batch, (long long)heads,
             (long long)tq, (long long)tk, (long long)c);
    time_row(&r, name);
    r.op = ONS_OP_ATTENTION_GRAD;
    r.n_in = 6;
    r.in[3] = r.in[5] = q;
    r.in[4] = ONS_SHAPE3(batch, heads, tq);
    snprintf(name, sizeof name, "attention_grad %lldx%lld %lld on %lld of %lld", (long long)batch,
             (long long)heads, (long long)tq, (long long)tk, (long long)c);
    time_row(&r, name);
}

/* Without a gradient: in bf16, as pictures of Stable Diffusion's size ask for it. */
static void time_attention_bf16(int64_t batch, int64_t heads, int64_t tq, int64_t tk, int64_t d)
{
    ons_shape q = ONS_SHAPE3(batch, tq, heads * d), k = ONS_SHAPE3(batch, tk, heads * d);
    ons_bench_operator r = {.op = ONS_OP_ATTENTION, .n_in = 3, .in = {q, k, k}, .bf16 = true};
    char name[160];

    r.attrs.attention.n_heads = (int)heads;
    r.attrs.attention.scale = 0.2;
    snprintf(name, sizeof name, "attention bf16 %lldx%lldx%lld %lld on %lld", (long long)batch,
             (long long)heads, (long long)d, (long long)tq, (long long)tk);
    time_row(&r, name);
}

static void time_elements(ons_op op, ons_shape a, ons_shape b, int n_in)
{
    ons_bench_operator r = {.op = op, .n_in = n_in, .in = {a, b}};
    char text[96], name[160];

    r.attrs.affine.scale = 2;
    r.attrs.shape = b;
    snprintf(name, sizeof name, "%s %s", ons_op_name(op), ons_shape_text(&a, text));
    time_row(&r, name);
}

static const int bf16_convs[][3] = {
    {64, 512, 512},  {128, 512, 512}, {256, 512, 256}, {256, 256, 256},  {512, 256, 128},  {512, 128, 128},
    {64, 320, 320},  {64, 640, 320},  {64, 960, 320},  {32, 320, 640},   {32, 640, 640},   {32, 960, 640},
    {32, 1280, 640}, {32, 1920, 640}, {64, 640, 640},  {32, 1280, 1280}, {16, 1280, 1280}, {16, 2560, 1280}};

int main(int argc, char **argv)
{
    const ons_shape image = ONS_SHAPE4(64, 16, 16, 64);

    compute.n_threads = argc > 1 ? atoi(argv[1]) : 0;
    filter = argc > 2 ? argv[2] : NULL;
    printf("%d threads\n", ons_compute_threads(&compute));
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
    time_conv(16, 32, 192, 192, 3, 1);
    time_conv(16, 16, 384, 384, 3, 1);
    time_conv(16, 8, 576, 576, 3, 1);
    time_conv(1, 16, 64, 64, 3, 1);
    time_conv(1, 8, 192, 192, 3, 1);
    time_conv(1, 4, 256, 256, 3, 1);
    time_conv(1, 128, 64, 64, 3, 1);
    for (size_t i = 0; i < sizeof bf16_convs / sizeof *bf16_convs; i++)
        time_conv_bf16(bf16_convs[i][0], bf16_convs[i][1], bf16_convs[i][2]);
    time_linear(4096, 128, 128);
    time_linear(1536, 128, 512);
    time_linear(4096, 192, 1536);
    time_linear(1536, 1024, 256);
    time_linear(4096, 384, 3072);
    time_linear(1232, 512, 2048);
    time_linear(1024, 576, 576);
    time_linear(64, 256, 256);
    time_norm(image, 16);
    time_norm(ONS_SHAPE4(64, 8, 8, 128), 16);
    time_norm(ONS_SHAPE4(32, 64, 64, 32), 8);
    time_norm(ONS_SHAPE4(1, 64, 64, 128), 32);
    time_norm(ONS_SHAPE2(4096, 128), 0);
    time_attention(64, 4, 64, 24, 128);
    time_attention(64, 4, 64, 64, 128);
    time_attention(64, 8, 256, 256, 128);
    time_attention(16, 6, 256, 256, 384);
    time_attention(1, 8, 1024, 1024, 320);
    time_attention(1, 8, 4096, 4096, 320);
    time_attention_bf16(1, 8, 4096, 4096, 40);
    time_attention_bf16(1, 8, 1024, 1024, 80);
    time_attention_bf16(1, 8, 256, 256, 160);
    time_attention_bf16(1, 8, 64, 64, 160);
    time_attention_bf16(1, 8, 4096, 77, 40);
    time_attention_bf16(1, 8, 1024, 77, 80);
    time_attention_bf16(1, 8, 256, 77, 160);
    time_attention_bf16(1, 8, 64, 77, 160);
    time_attention_bf16(1, 12, 77, 77, 64);
    time_attention_bf16(1, 10, 4096, 4096, 64);
    time_attention_bf16(1, 1, 4096, 4096, 512);
    time_attention_bf16(16, 6, 256, 256, 64);
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
