/*
 * The cpu backend's tables, composed once, on first use. Per operator: our own and then oneDNN's bf16 rows
 * where the CPU multiplies bf16, oneDNN's f32 rows for shapes that it does better, our f32 kernels of the best
 * instruction set, oneDNN's f32 rows for all shapes, then the rows that convert. Without bf16 in the CPU oneDNN
 * would emulate it, which is slower than converting: its bf16 rows then stand last, for the tests. Where our
 * build is the generic one oneDNN has no rows: with SSE4.1 the kernel tests found 2.6.3's convolution plus
 * residual wrong.
 */
#include <pthread.h>

#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn_probe.h"

enum { MAX_ROWS = 12 };

static ons_kernel lists[ONS_N_OPS][MAX_ROWS];
static pthread_once_t composed = PTHREAD_ONCE_INIT;
static const ons_cpu_variant *best_variant; /* once composed */

const ons_cpu_variant *ons_cpu_variant_best(void)
{
    const ons_cpu_variant *v = ons_cpu_variants;

    while (v[1].name && !v->supported())
        v++;
    return v;
}

const char *ons_cpu_refuse_not_f32(const ons_node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->dtype != ONS_F32 && n->in[i]->dtype != ONS_I32)
            return "an operand is not f32";
    for (int i = 0; i < n->n_out; i++)
        if (n->out[i] && n->out[i]->dtype != ONS_F32)
            return "a result is not f32";
    return NULL;
}

static int append(ons_kernel *list, int n, const ons_kernel *rows)
{
    for (; rows && rows->name && n < MAX_ROWS - 1; rows++)
        list[n++] = *rows;
    return n;
}

static void compose_list(ons_kernel *list, ons_op op)
{
    const ons_kernel convert[] = {ons_cpu_convert_kernel, {0}},
                     upsampled[] = {ons_cpu_conv_upsampled_kernel, {0}};
    const ons_kernel *rows[ONS_ONEDNN_F32 + 1] = {NULL};
    bool native = ons_cpu_has_bf16();
    int n;

    for (int i = 0; best_variant[1].name && i <= ONS_ONEDNN_F32; i++)
        rows[i] = ons_cpu_onednn_kernels(op, (ons_onednn_rows)i);
    n = append(list, 0, op == ONS_OP_EMBEDDING ? ons_cpu_rows_kernels : NULL);
    n = append(list, n, ons_cpu_move_kernels(op));
    n = append(list, n, rows[ONS_ONEDNN_U8]);
    n = append(list, n, native && !ons_cpu_has_amx() ? ons_cpu_bf16_kernels(op) : NULL);
    n = append(list, n, native ? rows[ONS_ONEDNN_BF16] : NULL);
    n = append(list, n, rows[ONS_ONEDNN_BETTER]);
    n = append(list, n, best_variant->kernels(op));
    n = append(list, n, rows[ONS_ONEDNN_F32]);
    n = append(list, n, ons_cpu_slices_kernels(op));
    n = append(list, n, op == ONS_OP_CONV2D_UPSAMPLED ? upsampled : NULL);
    if (n && list[n - 1].refuse)
        n = append(list, n, convert);
    append(list, n, native ? NULL : rows[ONS_ONEDNN_BF16]);
}

static void compose(void)
{
    best_variant = ons_cpu_variant_best();
    for (int op = 0; op < ONS_N_OPS; op++)
        compose_list(lists[op], (ons_op)op);
}

static const ons_kernel *find_kernels(ons_op op)
{
    pthread_once(&composed, compose);
    return lists[op][0].name ? lists[op] : NULL;
}

const ons_kernel *ons_cpu_pick_f32(const ons_node *n, const ons_kernel *tried)
{
    const ons_kernel *k = tried ? tried + 1 : find_kernels(n->op);

    for (; k && k->name && k->prepare != ons_cpu_convert_kernel.prepare; k++)
        if (!k->refuse || !k->refuse(n))
            return k;
    return NULL;
}

void ons_cpu_convert(void *dst, ons_dtype to, const void *src, ons_dtype from, size_t n)
{
    pthread_once(&composed, compose);
    best_variant->convert(dst, to, src, from, n);
}

float ons_cpu_probabilities(uint16_t *p, const float *x, float scale, int64_t n, float *max)
{
    pthread_once(&composed, compose);
    return best_variant->probabilities(p, x, scale, n, max);
}

static ons_dtype find_native(void)
{
    return ons_cpu_has_bf16() ? ONS_BF16 : ONS_F32;
}

/* The kernel is asked about the node that the planner would make. */
static bool fuses_upsampling(const ons_node *conv)
{
    ons_value x = *conv->in[0]->node->in[0], y = *conv->out[0],
              *in[] = {&x, conv->in[1], conv->n_in > 2 ? conv->in[2] : NULL};
    const ons_kernel *best = find_kernels(ONS_OP_CONV2D_UPSAMPLED);
    ons_node n = *conv;

    n.op = ONS_OP_CONV2D_UPSAMPLED;
    n.in = in;
    n.out[0] = &y;
    x.dtype = y.dtype = ONS_BF16;
    return best->refuse &&
           !best->refuse(&n); /* the last row, which makes the picture after all, refuses nothing */
}

/* Winograd's algorithm does in bf16 what 8-bit products do directly. */
static bool keeps_16_bits(const ons_node *n)
{
    const ons_kernel *own =
        n->op == ONS_OP_CONV2D && ons_cpu_has_bf16() && !ons_cpu_has_amx() ? ons_cpu_bf16_kernels(n->op) : NULL;

    return own && !own->refuse(n);
}

const ons_backend ons_backend_cpu = {.name = "cpu",
                                     .memory = &ons_host_memory,
                                     .kernels = find_kernels,
                                     .real = ONS_F32,
                                     .native_precision = find_native,
                                     .fuses_upsampling = fuses_upsampling,
                                     .multiplies_8_bits = ons_cpu_has_int8,
                                     .keeps_16_bits = keeps_16_bits,
                                     .machine = ons_cpu_machine,
                                     .probe = ons_onednn_probe};
