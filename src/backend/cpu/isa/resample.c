/*
 * Resampling that computes: sums and means of 2x2 blocks, maxima, and the transposes of the means, the maxima
 * and the nearest upsampling to any size. Work is split by rows of the result.
 */
#include "backend/cpu/isa/kernels.h"

typedef struct image_job {
    const ons_args *args;
    int64_t in_h, in_w, out_h, out_w, c;
    float factor;
} image_job;

static const float *in_pixel(const image_job *j, int64_t n, int64_t y, int64_t x)
{
    return (const float *)j->args->in[0] + ((n * j->in_h + y) * j->in_w + x) * j->c;
}

static float *out_row(const image_job *j, int64_t row)
{
    return (float *)j->args->out[0] + row * j->out_w * j->c;
}

static void sum_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const image_job *j = context;

    (void)thread;
    for (int64_t row = begin; row < end; row++)
        for (int64_t x = 0; x < j->out_w; x++) {
            const float *a = in_pixel(j, row / j->out_h, row % j->out_h * 2, 2 * x), *b = a + j->in_w * j->c;
            float *y = out_row(j, row) + x * j->c;

            for (int64_t c = 0; c < j->c; c++)
                y[c] = ((a[c] + a[c + j->c]) + (b[c] + b[c + j->c])) * j->factor;
        }
}

static void max_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const image_job *j = context;

    (void)thread;
    for (int64_t row = begin; row < end; row++)
        for (int64_t x = 0; x < j->out_w; x++) {
            const float *a = in_pixel(j, row / j->out_h, row % j->out_h * 2, 2 * x), *b = a + j->in_w * j->c;
            float *y = out_row(j, row) + x * j->c;

            for (int64_t c = 0; c < j->c; c++) {
                float p = a[c + j->c] > a[c] ? a[c + j->c] : a[c], q = b[c + j->c] > b[c] ? b[c + j->c] : b[c];

                y[c] = q > p ? q : p;
            }
        }
}

/* dx = dy / 4 under whole blocks, zero in an odd last row or column. Here in is the gradient, out has the size
 * of x. */
static void mean_grad_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const image_job *j = context;

    (void)thread;
    for (int64_t row = begin; row < end; row++)
        for (int64_t x = 0; x < j->out_w; x++) {
            int64_t y = row % j->out_h / 2;
            float *to = out_row(j, row) + x * j->c;

            if (y >= j->in_h || x / 2 >= j->in_w) {
                memset(to, 0, (size_t)j->c * 4);
                continue;
            }
            for (int64_t c = 0; c < j->c; c++)
                to[c] = in_pixel(j, row / j->out_h, y, x / 2)[c] * j->factor;
        }
}

/* The gradient goes to the first largest of each block, in reading order. Here in is x, out has its size. */
static void max_grad_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const image_job *j = context;
    int64_t ph = j->in_h / 2, pw = j->in_w / 2;

    (void)thread;
    for (int64_t row = begin; row < end; row++)
        for (int64_t x = 0; x < j->out_w; x++) {
            int64_t n = row / j->out_h, y = row % j->out_h;
            float *to = out_row(j, row) + x * j->c;
            const float *dy;

            if (y / 2 >= ph || x / 2 >= pw) {
                memset(to, 0, (size_t)j->c * 4);
                continue;
            }
            dy = (const float *)j->args->in[1] + ((n * ph + y / 2) * pw + x / 2) * j->c;
            for (int64_t c = 0; c < j->c; c++) {
                int best = 0, here = (int)(y % 2 * 2 + x % 2);
                float most = in_pixel(j, n, y & ~(int64_t)1, x & ~(int64_t)1)[c];

                for (int k = 1; k < 4; k++) {
                    float v = in_pixel(j, n, (y & ~(int64_t)1) + k / 2, (x & ~(int64_t)1) + k % 2)[c];

                    best = v > most ? k : best;
                    most = v > most ? v : most;
                }
                to[c] = best == here ? dy[c] : 0.f;
            }
        }
}

/* Gathers dy over the pixels that copied this one: y_out * in / out == y. Here in is dy (large), out dx. */
static void upsample_grad_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const image_job *j = context;

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        int64_t y = row % j->out_h, y0 = (y * j->in_h + j->out_h - 1) / j->out_h;
        int64_t y1 = ((y + 1) * j->in_h + j->out_h - 1) / j->out_h;

        memset(out_row(j, row), 0, (size_t)(j->out_w * j->c) * 4);
        for (int64_t v = y0; v < y1; v++)
            for (int64_t u = 0; u < j->in_w; u++) {
                const float *dy = in_pixel(j, row / j->out_h, v, u);
                float *to = out_row(j, row) + u * j->out_w / j->in_w * j->c;

                for (int64_t c = 0; c < j->c; c++)
                    to[c] += dy[c];
            }
    }
}

static onestep_status run(const ons_prep *p, const ons_args *args)
{
    const ons_shape *in = &p->node->in[0]->shape, *out = &p->node->out[0]->shape;
    image_job j = {args, in->d[1], in->d[2], out->d[1], out->d[2], out->d[3], 0.25f};
    ons_range rows = sum_rows;

    if (p->node->op == ONS_OP_DOWNSUM2X)
        j.factor = 1.f;
    else if (p->node->op == ONS_OP_MAX_POOL2X)
        rows = max_rows;
    else if (p->node->op == ONS_OP_AVG_POOL2X_GRAD)
        rows = mean_grad_rows;
    else if (p->node->op == ONS_OP_MAX_POOL2X_GRAD)
        rows = max_grad_rows;
    else if (p->node->op == ONS_OP_UPSAMPLE_TO_GRAD)
        rows = upsample_grad_rows;
    ons_parallel_for(p->n_threads, out->d[0] * out->d[1], 1 + ONS_GRAIN / (out->d[2] * out->d[3]), rows, &j);
    return ONESTEP_OK;
}

const ons_kernel ons_resample_kernels[] = {
    {"rows", ons_cpu_refuse_not_f32, NULL, run, NULL},
    {0},
};
