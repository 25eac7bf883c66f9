/* Packed weights: see weights.h. */
#include <stdio.h>

#include "backend/cpu/isa/weights.h"
#include "backend/cpu/isa/winograd.h"

enum { NR = ONS_NR };

size_t ons_b_floats(const ons_pack_shape *s)
{
    if (!s->stride)
        return (s->winograd ? ONS_WINO_POINTS : 1) * ons_pack_b_floats(s->k, s->n);
    return ons_pack_b_floats(s->kh * s->kw * s->o, s->c);
}

/* One panel of each phase of a backward-data weight. */
static void pack_phases(float *dst, const float *w, const ons_pack_shape *s, int64_t panel)
{
    int64_t n_panels = (s->c + NR - 1) / NR, width = s->c - panel * NR < NR ? s->c - panel * NR : NR;

    for (int64_t py = 0; py < s->stride; py++)
        for (int64_t px = 0; px < s->stride; px++) {
            int ny = ons_phase_taps(s->kh, s->stride, py), nx = ons_phase_taps(s->kw, s->stride, px);
            int64_t k = (int64_t)ny * nx * s->o;
            float *to = dst + panel * k * NR;

            for (int64_t r = py; r < s->kh; r += s->stride)
                for (int64_t q = px; q < s->kw; q += s->stride, to += s->o * NR)
                    ons_pack_b(to, w + (r * s->kw + q) * s->c + panel * NR, s->kh * s->kw * s->c, s->o, width,
                               false, 1.f, 0, 1);
            dst += n_panels * k * NR;
        }
}

/* Plain panels in 16 bits, a few rows at a time through floats. */
static void pack_half(uint16_t *dst, const float *src, const ons_pack_shape *s, int64_t panel)
{
    enum { STEP = 64 };
    const int64_t width = s->n - panel * NR < NR ? s->n - panel * NR : NR;
    const float *from = src + panel * NR * (s->transposed ? s->ld : 1);
    float rows[STEP * NR];

    dst += panel * NR * s->k;
    for (int64_t k = 0; k < s->k; k += STEP) {
        const int64_t n = s->k - k < STEP ? s->k - k : STEP;

        ons_pack_b(rows, from + k * (s->transposed ? 1 : s->ld), s->ld, n, width, s->transposed, s->alpha, 0,
                   1);
        ons_convert(dst + k * NR, s->type, rows, ONS_F32, (size_t)(n * NR));
    }
}

static void pack_panels(float *dst, const float *src, const ons_pack_shape *s, int64_t from, int64_t to)
{
    if (s->type != ONS_F32) {
        for (int64_t p = from; p < to; p++)
            pack_half((uint16_t *)dst, src, s, p);
        return;
    }
    if (s->winograd) {
        for (int64_t p = from; p < to; p++)
            ons_wino_pack(dst, src, s, p);
        return;
    }
    if (!s->stride) {
        ons_pack_b(dst, src, s->ld, s->k, s->n, s->transposed, s->alpha, from, to);
        return;
    }
    for (int64_t p = from; p < to; p++)
        pack_phases(dst, src, s, p);
}

static int64_t count_panels(const ons_pack_shape *s)
{
    return ((s->stride ? s->c : s->n) + NR - 1) / NR;
}

typedef struct pack_job {
    float *dst;
    const float *src;
    const ons_pack_shape *shape;
} pack_job;

static void pack_range(void *context, int64_t begin, int64_t end, int thread)
{
    const pack_job *job = context;

    (void)thread;
    pack_panels(job->dst, job->src, job->shape, begin, end);
}

/*
 * Plain panels straight from 16-bit values [out][in][taps]: row (tap, in) of a panel holds NR outputs. A few
 * inputs at a time, so that the rows that are being written stay in L1.
 */
static void pack_file_panel(uint16_t *dst, const char *src, const ons_pack_shape *s, int64_t n_in, int64_t taps,
                            int64_t panel)
{
    enum { STEP = 16 };
    const int64_t width = s->n - panel * NR < NR ? s->n - panel * NR : NR;

    dst += panel * NR * s->k;
    src += (size_t)(panel * NR * s->k) * 2;
    if (width < NR)
        memset(dst, 0, (size_t)(s->k * NR) * 2);
    for (int64_t c0 = 0; c0 < n_in; c0 += STEP) {
        const int64_t c1 = c0 + STEP < n_in ? c0 + STEP : n_in;

        for (int64_t j = 0; j < width; j++) {
            const char *from = src + (size_t)(j * s->k + c0 * taps) * 2;

            for (int64_t c = c0; c < c1; c++)
                for (int64_t t = 0; t < taps; t++, from += 2)
                    memcpy(dst + (t * n_in + c) * NR + j, from, 2);
        }
    }
}

typedef struct file_job {
    uint16_t *dst;
    const char *src;
    const ons_pack_shape *shape;
    int64_t n_in, taps;
} file_job;

static void pack_file_range(void *context, int64_t begin, int64_t end, int thread)
{
    const file_job *j = context;

    (void)thread;
    for (int64_t p = begin; p < end; p++)
        pack_file_panel(j->dst, j->src, j->shape, j->n_in, j->taps, p);
}

static void pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param, const void *context)
{
    file_job job = {dst, src, context, 0, 1};

    (void)type; /* the copy keeps it */
    if (param->kind == ONS_PARAM_CONV)
        job.taps = param->shape.d[1] * param->shape.d[2];
    job.n_in = job.shape->k / job.taps;
    ons_parallel_for(job.shape->n_threads, count_panels(job.shape), 1, pack_file_range, &job);
}

static void pack_param(void *dst, const float *src, const ons_param *param, const void *context)
{
    pack_job job = {dst, src, context};

    (void)param;
    ons_parallel_for(job.shape->n_threads, count_panels(job.shape), 1, pack_range, &job);
}

/* Weights that stand in a file in 16 bits are kept so, where only their order changes: half the memory, and
 * half the reading. */
static ons_dtype choose_type(const ons_params *set, int index, const ons_pack_shape *s)
{
    return s->winograd || s->stride || s->alpha != 1 ? ONS_F32 : ons_params_value_type(set, index);
}

onestep_status ons_b_prepare(ons_b_source *b, ons_prep *p, int operand, const ons_pack_shape *shape,
                             size_t *scratch_bytes)
{
    const ons_node *leaf = p->node->in[operand]->node;
    size_t bytes = ons_b_floats(shape) * 4;
    char layout[96];
    ons_params *set = NULL;

    b->packed = NULL;
    b->shape = *shape;
    b->shape.type = ONS_F32;
    b->operand = operand;
    *scratch_bytes = 0;
    if (leaf->op == ONS_OP_PARAM && leaf->attrs.param.slot < p->n_params)
        set = p->params[leaf->attrs.param.slot];
    if (!set) {
        *scratch_bytes = ons_cpu_align(bytes);
        return ONESTEP_OK;
    }
    b->shape.type = choose_type(set, leaf->attrs.param.index, shape);
    bytes = ons_b_floats(shape) * ons_dtype_size(b->shape.type);
    snprintf(layout, sizeof layout, "%s%d %s %s k%lld n%lld s%lld a%.9g",
             shape->winograd ? "winograd" : "panels", NR, ons_dtype_name(b->shape.type),
             shape->transposed ? "t" : "n", (long long)shape->k, (long long)shape->n, (long long)shape->stride,
             (double)shape->alpha);
    b->packed = ons_params_packed(
        set, leaf->attrs.param.index, layout, bytes,
        (ons_packer){pack_param, b->shape.type != ONS_F32 && shape->transposed ? pack_file : NULL}, &b->shape,
        sizeof b->shape);
    if (!b->packed)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a packed copy (%zu bytes) of its weight",
                        p->node->layer, bytes);
    p->packed_in |= 1u << operand;
    return ONESTEP_OK;
}

void ons_b_fill(const ons_b_source *b, const float *values, void *scratch)
{
    pack_job job = {scratch, values, &b->shape};

    if (!b->packed)
        ons_parallel_for(b->shape.n_threads, count_panels(&b->shape), 1, pack_range, &job);
}

const void *ons_b_data(const ons_b_source *b, const void *scratch)
{
    return b->packed ? ons_packed_data(b->packed) : scratch;
}
