/*
 * Convolution backward-weights: dw[o][(tap, c)] = sum over pixels dy[pixel][o] x[pixel + tap][c], on the outer
 * microkernel. Columns (tap, c) are contiguous in dw, so narrow inputs (3 channels) fill panels across taps.
 * The bias gradient is a column sum.
 */
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/gemm.h"
#include "backend/cpu/isa/winograd.h"

enum { NR = ONS_NR };

typedef struct dw_job {
    const ons_prep *p;
    const ons_args *args;
    int64_t oh, ow, h, w, c, kw;
} dw_job;

/* n pixels of `width` channels, `step` floats apart, to rows of a panel. */
static void copy_pixels(float *dst, const float *src, int64_t step, int64_t n, int64_t width)
{
    if (width == NR) {
        for (int64_t i = 0; i < n; i++, src += step, dst += NR) {
            v_store(dst, v_load(src));
            v_store(dst + VW, v_load(src + VW));
        }
        return;
    }
    for (int64_t i = 0; i < n; i++, src += step, dst += NR)
        for (int64_t c = 0; c < width; c++)
            dst[c] = src[c];
}

static void clear_pixels(float *dst, int64_t n, int64_t width)
{
    for (int64_t i = 0; i < n; i++, dst += NR)
        for (int64_t c = 0; c < width; c++)
            dst[c] = 0;
}

/* Results [ox, ox + n) of a row whose tap reads columns ox * stride + dx: zeros outside the image. */
static void pack_run(const dw_job *j, const float *row, int64_t ox, int64_t n, int64_t dx, int64_t width,
                     float *dst)
{
    int64_t stride = j->p->node->attrs.conv.stride;
    int64_t first = dx < 0 ? (-dx + stride - 1) / stride : 0,
            last = j->w - dx <= 0 ? 0 : (j->w - dx - 1) / stride + 1;

    first = first < ox ? ox : first > ox + n ? ox + n : first;
    last = last < first ? first : last > ox + n ? ox + n : last;
    clear_pixels(dst, first - ox, width);
    copy_pixels(dst + (first - ox) * NR, row + (first * stride + dx) * j->c, stride * j->c, last - first,
                width);
    clear_pixels(dst + (last - ox) * NR, ox + n - last, width);
}

/* The part of a panel that lies in one tap: `width` channels from `c`. */
static void pack_segment(const dw_job *j, int64_t k0, int64_t kc, int64_t tap, int64_t c, int64_t width,
                         float *dst)
{
    const ons_attrs *at = &j->p->node->attrs;
    int64_t oy = k0 / j->ow % j->oh, ox = k0 % j->ow, n = k0 / (j->oh * j->ow);
    int64_t dy = tap / j->kw - at->conv.pad_top, dx = tap % j->kw - at->conv.pad_left;

    while (kc > 0) {
        int64_t run = j->ow - ox < kc ? j->ow - ox : kc, y = oy * at->conv.stride + dy;

        if ((uint64_t)y >= (uint64_t)j->h)
            clear_pixels(dst, run, width);
        else
            pack_run(j, (const float *)j->args->in[0] + (n * j->h + y) * j->w * j->c + c, ox, run, dx, width,
                     dst);
        dst += run * NR;
        kc -= run;
        ox = 0;
        if (++oy == j->oh) {
            oy = 0;
            n++;
        }
    }
}

static void pack_taps(const ons_outer *o, int64_t k0, int64_t kc, int64_t n0, float *dst)
{
    const dw_job *j = o->context;
    int64_t end = n0 + NR < o->n ? n0 + NR : o->n;

    if (end - n0 < NR)
        memset(dst, 0, (size_t)(kc * NR) * 4);
    for (int64_t n = n0; n < end;) {
        int64_t tap = n / j->c, c = n % j->c, width = j->c - c < end - n ? j->c - c : end - n;

        pack_segment(j, k0, kc, tap, c, width, dst + (n - n0));
        n += width;
    }
}

static void run_task(void *context, int thread, int n_threads)
{
    const dw_job *j = context;
    const ons_args *args = j->args;
    const ons_shape *dy = &j->p->node->in[1]->shape, *dw = &j->p->node->out[0]->shape;
    int64_t pixels = dy->d[0] * dy->d[1] * dy->d[2], c0, c1;
    ons_outer o = {.m = dw->d[0],
                   .n = dw->d[1] * dw->d[2] * dw->d[3],
                   .k = pixels,
                   .a = args->in[1],
                   .lda = dw->d[0],
                   .c = args->out[0],
                   .ldc = dw->d[1] * dw->d[2] * dw->d[3],
                   .alpha = 1.f,
                   .pack_b = pack_taps,
                   .context = j,
                   .scratch = args->scratch};

    if (args->out[0])
        ons_outer_run(&o, thread, n_threads);
    ons_partition((o.m + VW - 1) / VW, n_threads, thread, &c0, &c1);
    if (args->out[1])
        ons_column_sum(args->in[1], pixels, o.m, c0 * VW, c1 * VW < o.m ? c1 * VW : o.m, args->out[1]);
}

static onestep_status run_grad_w(const ons_prep *p, const ons_args *args)
{
    const ons_shape *x = &p->node->in[0]->shape, *dy = &p->node->in[1]->shape;
    dw_job j = {p, args, dy->d[1], dy->d[2], x->d[1], x->d[2], x->d[3], p->node->attrs.conv.kw};

    ons_parallel(p->n_threads, run_task, &j);
    return ONESTEP_OK;
}

static onestep_status prepare_grad_w(ons_prep *p)
{
    p->scratch_bytes = ons_outer_scratch(p->node->in[1]->shape.d[3], p->n_threads);
    return ONESTEP_OK;
}

const ons_kernel ons_conv_grad_w_kernels[] = {
    {"winograd", ons_wino_refuse, ons_wino_grad_w_prepare, ons_wino_grad_w_run, ons_wino_grad_w_destroy},
    {"tiles", ons_cpu_refuse_not_f32, prepare_grad_w, run_grad_w, NULL},
    {0},
};
