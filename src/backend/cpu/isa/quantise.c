/*
 * Floats to 8-bit numbers, row of an image by row, with a border of `zero` where the operator asks for one. One
 * multiply-add rounds to the nearest integer, ties to even, by adding 1.5 * 2^23.
 */
#include "backend/cpu/isa/kernels.h"

typedef uint8_t vb __attribute__((vector_size(VW), aligned(1), may_alias));

typedef struct job {
    uint8_t *dst;
    const char *src;
    ons_dtype type;
    float inverse, low, high; /* 1 / scale; what stays within 0..255 and a little more */
    int zero;
    int64_t rows, size; /* of the source, without border */
    int64_t top, left, right, out_rows;
} job;

/* The same by one formula everywhere, so that an element's number does not depend on where it lies. */
INLINE vb quantise_one(vf x, const job *j)
{
    const vi most = (vi){0} + 255, least = {0};
    vi q;

    x = v_min(v_max(x, v_set(j->low)), v_set(j->high));
    q = (vi)(x * v_set(j->inverse) + v_set(12582912.f)) - 0x4b400000 + j->zero;
    q = ((q > most) & most) | (~(q > most) & q);
    q = ~(q < least) & q;
    return __builtin_convertvector(q, vb);
}

static void quantise_f32(uint8_t *dst, const float *src, int64_t n, const job *j)
{
    int64_t i = 0;

    for (; i + VW <= n; i += VW)
        *(vb *)(dst + i) = quantise_one(v_load(src + i), j);
    if (i < n) {
        const vb q = quantise_one(v_load_part(src + i, n - i), j);

        memcpy(dst + i, &q, (size_t)(n - i));
    }
}

static void quantise_bf16(uint8_t *dst, const uint16_t *src, int64_t n, const job *j)
{
    int64_t i = 0;

    for (; i + VW <= n; i += VW)
        *(vb *)(dst + i) = quantise_one(v_load_bf16(src + i), j);
    if (i < n) {
        uint16_t part[VW] = {0};
        vb q;

        memcpy(part, src + i, (size_t)(n - i) * 2);
        q = quantise_one(v_load_bf16(part), j);
        memcpy(dst + i, &q, (size_t)(n - i));
    }
}

static void quantise_row(uint8_t *dst, const char *src, const job *j)
{
    memset(dst, j->zero, (size_t)j->left);
    if (j->type == ONS_BF16)
        quantise_bf16(dst + j->left, (const uint16_t *)src, j->size, j);
    else
        quantise_f32(dst + j->left, (const float *)src, j->size, j);
    memset(dst + j->left + j->size, j->zero, (size_t)j->right);
}

static void quantise_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const job *j = context;
    const int64_t pitch = j->left + j->size + j->right;

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        const int64_t image = row / j->out_rows, y = row % j->out_rows - j->top;
        uint8_t *dst = j->dst + row * pitch;

        if (y < 0 || y >= j->rows)
            memset(dst, j->zero, (size_t)pitch);
        else
            quantise_row(dst, j->src + (image * j->rows + y) * j->size * (int64_t)ons_dtype_size(j->type), j);
    }
}

static job describe(const ons_node *n, const ons_args *a)
{
    const ons_attrs *at = &n->attrs;
    const ons_shape *x = &n->in[0]->shape;
    const int64_t channels = x->n ? x->d[x->n - 1] : 1;
    const float scale = (float)at->quantise.scale;
    job j = {.dst = a->out[0], .src = a->in[0], .type = n->in[0]->dtype, .inverse = 1 / scale};

    j.zero = at->quantise.zero;
    j.low = (float)(-j.zero - 1) * scale;
    j.high = (float)(256 - j.zero) * scale;
    j.size = channels;
    j.rows = j.out_rows = channels ? ons_shape_count(x) / channels : 0;
    if (x->n == 4) {
        j.size = x->d[2] * channels;
        j.rows = x->d[1];
        j.top = at->quantise.pad_top;
        j.left = at->quantise.pad_left * channels;
        j.right = at->quantise.pad_right * channels;
        j.out_rows = n->out[0]->shape.d[1];
    }
    return j;
}

static onestep_status run(const ons_prep *p, const ons_args *a)
{
    const ons_shape *y = &p->node->out[0]->shape;
    job j = describe(p->node, a);
    const int64_t pitch = j.left + j.size + j.right;

    ons_parallel_for(p->n_threads, ons_shape_count(y) / pitch, 1 + ONS_GRAIN / pitch, quantise_rows, &j);
    return ONESTEP_OK;
}

static const char *refuse(const ons_node *n)
{
    return n->in[0]->dtype == ONS_BF16 || n->in[0]->dtype == ONS_F32 ? NULL
                                                                     : "the values are neither bf16 nor f32";
}

const ons_kernel ons_quantise_kernels[] = {{"vectors", refuse, NULL, run, NULL}, {0}};
