/*
 * Group normalisation with SiLU, NHWC, and its gradient.
 *
 * Sums per channel first (vectors run over channels whatever the group size), then per group; the variance is
 * taken about the mean in a second sweep, because sum of squares minus square of sum loses digits. With at
 * least one sample per thread a thread takes a sample through all phases while it lies in its cache; with
 * fewer, all threads share each phase by chunks of pixels whose number does not depend on the threads. The
 * gradient keeps dz = dy act'(z) in dx between its two sweeps. Few large samples of 16-bit values are widened a
 * block of pixels at a time, which stays in the cache (many samples are the row `slices`' business).
 */
#include <math.h>

#include "backend/cpu/isa/kernels.h"

enum { BLOCK = 128, WIDENED = 16, CHUNKS = 16, FEW = 16 };

typedef struct norm_job {
    int64_t n, pixels, c, groups, chunks;
    double eps;
    bool silu;
    const float *x, *gamma, *beta, *stats_in, *dy; /* x: NULL where the values are 16-bit */
    float *y, *stats;
    ons_dtype narrow; /* type of the 16-bit values, in and out; else F32 */
    const uint16_t *narrow_x;
    uint16_t *narrow_y;
    float *widened; /* [n][chunks][WIDENED][c] */
    float *partial; /* [n][chunks][2][c] */
    float *coef;    /* [n][4][c]: per channel, for the last sweep */
} norm_job;

static void find_chunk(const norm_job *j, int64_t chunk, int64_t *p0, int64_t *p1)
{
    ons_partition(j->pixels, (int)j->chunks, (int)chunk, p0, p1);
}

static float *partial_of(const norm_job *j, int64_t n, int64_t chunk, int which)
{
    return j->partial + ((n * j->chunks + chunk) * 2 + which) * j->c;
}

static float *coef_of(const norm_job *j, int64_t n, int which)
{
    return j->coef + (n * 4 + which) * j->c;
}

/* Pixels that are looked at together. */
static int64_t block_rows(const norm_job *j, int64_t left)
{
    const int64_t most = j->narrow == ONS_F32 ? BLOCK : WIDENED;

    return left < most ? left : most;
}

static float *widened_of(const norm_job *j, int64_t n, int64_t chunk)
{
    return j->widened + (n * j->chunks + chunk) * WIDENED * j->c;
}

/* `rows` pixels of x as f32. */
static const float *values_of(const norm_job *j, int64_t n, int64_t chunk, int64_t pixel, int64_t rows)
{
    const int64_t at = (n * j->pixels + pixel) * j->c;
    float *wide;

    if (j->narrow == ONS_F32)
        return j->x + at;
    wide = widened_of(j, n, chunk);
    ons_isa_convert(wide, ONS_F32, j->narrow_x + at, j->narrow, (size_t)(rows * j->c));
    return wide;
}

/* Sum over a group's channels and all chunks of one partial, weighted by gamma when given. */
static double sum_group(const norm_job *j, int64_t n, int64_t g, int which, const float *gamma)
{
    int64_t per = j->c / j->groups;
    double s = 0;

    for (int64_t k = 0; k < j->chunks; k++) {
        const float *p = partial_of(j, n, k, which);

        for (int64_t c = g * per; c < (g + 1) * per; c++)
            s += gamma ? (double)gamma[c] * p[c] : (double)p[c];
    }
    return s;
}

/* Phases of the forward pass */
static void sum_values(const norm_job *j, int64_t n, int64_t chunk)
{
    float *sums = partial_of(j, n, chunk, 0);
    int64_t p0, p1;

    find_chunk(j, chunk, &p0, &p1);
    memset(sums, 0, (size_t)j->c * 4);
    for (int64_t p = p0, rows; p < p1; p += rows) {
        rows = block_rows(j, p1 - p);
        ons_column_add(values_of(j, n, chunk, p, rows), rows, j->c, 0, j->c, sums);
    }
}

static void find_means(const norm_job *j, int64_t n)
{
    int64_t per = j->c / j->groups;
    float *mean = coef_of(j, n, 2);

    for (int64_t g = 0; g < j->groups; g++) {
        float m = (float)(sum_group(j, n, g, 0, NULL) / (double)(j->pixels * per));

        for (int64_t c = g * per; c < (g + 1) * per; c++)
            mean[c] = m;
    }
}

static vf sum_squares_block(const float *x, vf mean, int64_t rows, int64_t ld, int64_t width)
{
    vf s0 = {0}, s1 = {0};
    int64_t r = 0;

    if (width < VW) {
        for (; r < rows; r++) {
            vf d = v_load_part(x + r * ld, width) - mean;

            s0 += d * d;
        }
        return s0;
    }
    for (; r + 2 <= rows; r += 2) {
        vf d0 = v_load(x + r * ld) - mean, d1 = v_load(x + (r + 1) * ld) - mean;

        s0 += d0 * d0;
        s1 += d1 * d1;
    }
    if (r < rows) {
        vf d = v_load(x + r * ld) - mean;

        s0 += d * d;
    }
    return s0 + s1;
}

static void sum_squares(const norm_job *j, int64_t n, int64_t chunk)
{
    float *sums = partial_of(j, n, chunk, 1), *mean = coef_of(j, n, 2);
    int64_t p0, p1;

    find_chunk(j, chunk, &p0, &p1);
    memset(sums, 0, (size_t)j->c * 4);
    for (int64_t p = p0, rows; p < p1; p += rows) {
        const float *x;

        rows = block_rows(j, p1 - p);
        x = values_of(j, n, chunk, p, rows);
        for (int64_t c = 0; c < j->c; c += VW) {
            int64_t w = j->c - c < VW ? j->c - c : VW;
            vf s = sum_squares_block(x + c, v_load_part(mean + c, w), rows, j->c, w);

            v_store_part(sums + c, v_load_part(sums + c, w) + s, w);
        }
    }
}

/* y = scale[c] x + shift[c] */
static void find_scales(const norm_job *j, int64_t n)
{
    int64_t per = j->c / j->groups;
    float *scale = coef_of(j, n, 0), *shift = coef_of(j, n, 1), *mean = coef_of(j, n, 2);

    for (int64_t g = 0; g < j->groups; g++) {
        double var = sum_group(j, n, g, 1, NULL) / (double)(j->pixels * per);
        float rstd = (float)(1.0 / sqrt(var + j->eps)), m = mean[g * per];

        for (int64_t c = g * per; c < (g + 1) * per; c++) {
            scale[c] = j->gamma[c] * rstd;
            shift[c] = j->beta[c] - m * scale[c];
        }
        if (j->stats) {
            j->stats[(n * j->groups + g) * 2] = m;
            j->stats[(n * j->groups + g) * 2 + 1] = rstd;
        }
    }
}

#define SWEEP(name, expression)                                                                                \
    static void name(float *y, const float *x, const float *scale, const float *shift, int64_t n)              \
    {                                                                                                          \
        int64_t c = 0;                                                                                         \
        for (; c + VW <= n; c += VW) {                                                                         \
            vf z = v_load(x + c) * v_load(scale + c) + v_load(shift + c);                                      \
            v_store(y + c, expression);                                                                        \
        }                                                                                                      \
        if (c < n) {                                                                                           \
            vf z = v_load_part(x + c, n - c) * v_load_part(scale + c, n - c) + v_load_part(shift + c, n - c);  \
            v_store_part(y + c, expression, n - c);                                                            \
        }                                                                                                      \
    }
SWEEP(scale_row, z)
SWEEP(scale_row_silu, z *v_sigmoid(z))

static void normalise(const norm_job *j, int64_t n, int64_t chunk)
{
    const float *scale = coef_of(j, n, 0), *shift = coef_of(j, n, 1);
    int64_t p0, p1;

    find_chunk(j, chunk, &p0, &p1);
    for (int64_t p = p0, rows; p < p1; p += rows) {
        const int64_t at = (n * j->pixels + p) * j->c;
        const float *x;
        float *y;

        rows = block_rows(j, p1 - p);
        x = values_of(j, n, chunk, p, rows);
        y = j->narrow == ONS_F32 ? j->y + at : widened_of(j, n, chunk); /* there in place */
        for (int64_t r = 0; r < rows; r++)
            (j->silu ? scale_row_silu : scale_row)(y + r * j->c, x + r * j->c, scale, shift, j->c);
        if (j->narrow != ONS_F32)
            ons_isa_convert(j->narrow_y + at, j->narrow, y, ONS_F32, (size_t)(rows * j->c));
    }
}

/* Phases of the gradient. Coefficients 0, 1: z = scale x + shift. */
static void recall_scales(const norm_job *j, int64_t n)
{
    int64_t per = j->c / j->groups;
    float *scale = coef_of(j, n, 0), *shift = coef_of(j, n, 1);

    for (int64_t c = 0; c < j->c; c++) {
        const float *s = j->stats_in + (n * j->groups + c / per) * 2;

        scale[c] = j->gamma[c] * s[1];
        shift[c] = j->beta[c] - s[0] * scale[c];
    }
}

INLINE vf chain(vf x, vf dy, vf scale, vf shift, bool silu)
{
    vf z, s;

    if (!silu)
        return dy;
    z = x * scale + shift;
    s = v_sigmoid(z);
    return dy * (s * (1.f + z * (1.f - s)));
}

/* One vector of channels over a block of pixels: keeps dz, adds sums of dz and dz x. */
INLINE void sum_chain(const norm_job *j, int64_t n, int64_t at, int64_t rows, int64_t c, bool silu, float *s1,
                      float *s2)
{
    vf scale = v_load(coef_of(j, n, 0) + c), shift = v_load(coef_of(j, n, 1) + c), a = {0}, b = {0};

    for (int64_t r = 0; r < rows; r++) {
        int64_t i = (at + r) * j->c + c;
        vf x = v_load(j->x + i), d = chain(x, v_load(j->dy + i), scale, shift, silu);

        a += d;
        b += d * x;
        if (j->y)
            v_store(j->y + i, d);
    }
    v_store(s1 + c, v_load(s1 + c) + a);
    v_store(s2 + c, v_load(s2 + c) + b);
}

static void sum_chain_tail(const norm_job *j, int64_t n, int64_t at, int64_t rows, int64_t c, float *s1,
                           float *s2)
{
    int64_t w = j->c - c;
    vf scale = v_load_part(coef_of(j, n, 0) + c, w), shift = v_load_part(coef_of(j, n, 1) + c, w), a = {0},
       b = {0};

    for (int64_t r = 0; r < rows; r++) {
        int64_t i = (at + r) * j->c + c;
        vf x = v_load_part(j->x + i, w), d = chain(x, v_load_part(j->dy + i, w), scale, shift, j->silu);

        a += d;
        b += d * x;
        if (j->y)
            v_store_part(j->y + i, d, w);
    }
    v_store_part(s1 + c, v_load_part(s1 + c, w) + a, w);
    v_store_part(s2 + c, v_load_part(s2 + c, w) + b, w);
}

static void sum_gradients(const norm_job *j, int64_t n, int64_t chunk)
{
    float *s1 = partial_of(j, n, chunk, 0), *s2 = partial_of(j, n, chunk, 1);
    int64_t p0, p1;

    find_chunk(j, chunk, &p0, &p1);
    memset(s1, 0, (size_t)j->c * 8);
    for (int64_t p = p0; p < p1; p += BLOCK) {
        int64_t rows = p1 - p < BLOCK ? p1 - p : BLOCK, at = n * j->pixels + p, c = 0;

        for (; c + VW <= j->c; c += VW)
            if (j->silu)
                sum_chain(j, n, at, rows, c, true, s1, s2);
            else
                sum_chain(j, n, at, rows, c, false, s1, s2);
        if (c < j->c)
            sum_chain_tail(j, n, at, rows, c, s1, s2);
    }
}

/* dx = scale dz - b x - k per channel; partial 0, 1 of chunk 0 become the sample's dbeta and dgamma. */
static void find_gradient_scales(const norm_job *j, int64_t n)
{
    int64_t per = j->c / j->groups;
    float *b = coef_of(j, n, 2), *k = coef_of(j, n, 3), *s1 = partial_of(j, n, 0, 0),
          *s2 = partial_of(j, n, 0, 1);

    for (int64_t i = 1; i < j->chunks; i++)
        for (int64_t c = 0; c < 2 * j->c; c++)
            s1[c] += partial_of(j, n, i, 0)[c];
    for (int64_t g = 0; g < j->groups; g++) {
        double mean = j->stats_in[(n * j->groups + g) * 2], rstd = j->stats_in[(n * j->groups + g) * 2 + 1];
        double m1 = 0, m2 = 0, count = (double)(j->pixels * per);

        for (int64_t c = g * per; c < (g + 1) * per; c++) {
            s2[c] = (float)((s2[c] - mean * s1[c]) * rstd); /* sum of dz xhat */
            m1 += (double)j->gamma[c] * s1[c];
            m2 += (double)j->gamma[c] * s2[c];
        }
        m1 /= count;
        m2 /= count;
        for (int64_t c = g * per; c < (g + 1) * per; c++) {
            b[c] = (float)(rstd * rstd * m2);
            k[c] = (float)(rstd * m1 - rstd * rstd * m2 * mean);
        }
    }
}

static void apply_gradient(const norm_job *j, int64_t n, int64_t chunk)
{
    const float *scale = coef_of(j, n, 0), *b = coef_of(j, n, 2), *k = coef_of(j, n, 3);
    int64_t p0, p1;

    if (!j->y)
        return;
    find_chunk(j, chunk, &p0, &p1);
    for (int64_t p = n * j->pixels + p0; p < n * j->pixels + p1; p++) {
        float *dx = j->y + p * j->c;
        const float *x = j->x + p * j->c;
        int64_t c = 0;

        for (; c + VW <= j->c; c += VW)
            v_store(dx + c, v_load(scale + c) * v_load(dx + c) - v_load(b + c) * v_load(x + c) - v_load(k + c));
        for (; c < j->c; c++)
            dx[c] = scale[c] * dx[c] - b[c] * x[c] - k[c];
    }
}

/* Of a sample's chunk, or of a sample. */
typedef struct phase {
    void (*of_chunk)(const norm_job *j, int64_t n, int64_t chunk);
    void (*of_sample)(const norm_job *j, int64_t n);
} phase;

typedef struct phases {
    const norm_job *j;
    const phase *phase;
    int n;
} phases;

static void run_chunks(void *context, int64_t begin, int64_t end, int piece)
{
    const phases *s = context;
    const norm_job *j = s->j;

    (void)piece;
    for (int64_t k = begin; k < end; k++)
        s->phase->of_chunk(j, k / j->chunks, k % j->chunks);
}

static void run_samples(void *context, int64_t begin, int64_t end, int piece)
{
    const phases *s = context;

    (void)piece;
    for (int64_t n = begin; n < end; n++)
        s->phase->of_sample(s->j, n);
}

/* All phases of a sample, which is one chunk. */
static void run_whole_samples(void *context, int64_t begin, int64_t end, int piece)
{
    const phases *s = context;

    (void)piece;
    for (int64_t n = begin; n < end; n++)
        for (int i = 0; i < s->n; i++)
            if (s->phase[i].of_chunk)
                s->phase[i].of_chunk(s->j, n, 0);
            else
                s->phase[i].of_sample(s->j, n);
}

static void run_phases(const norm_job *j, int n_threads, const phase *phase, int n)
{
    phases s = {j, phase, n};

    if (j->chunks == 1) {
        ons_parallel_for(n_threads, j->n, 1, run_whole_samples, &s);
        return;
    }
    for (; s.phase < phase + n; s.phase++)
        if (s.phase->of_chunk)
            ons_parallel_for(n_threads, j->n * j->chunks, 1, run_chunks, &s);
        else
            ons_parallel_for(n_threads, j->n, 1, run_samples, &s);
}

typedef struct grad_job {
    norm_job j;
    float *dgamma, *dbeta;
} grad_job;

/* Sums over the samples. */
static void sum_parameters(void *context, int64_t from, int64_t to, int piece)
{
    const grad_job *g = context;
    const norm_job *j = &g->j;

    (void)piece;
    for (int64_t c = from; c < to; c++) {
        double s1 = 0, s2 = 0;

        for (int64_t n = 0; n < j->n; n++) {
            s1 += partial_of(j, n, 0, 0)[c];
            s2 += partial_of(j, n, 0, 1)[c];
        }
        if (g->dbeta)
            g->dbeta[c] = (float)s1;
        if (g->dgamma)
            g->dgamma[c] = (float)s2;
    }
}

static norm_job start_job(const ons_prep *p, const ons_args *a)
{
    const ons_shape *x = &p->node->in[0]->shape;
    norm_job j = {.n = x->d[0],
                  .c = x->d[x->n - 1],
                  .groups = p->node->attrs.norm.n_groups,
                  .eps = p->node->attrs.norm.eps,
                  .silu = p->node->attrs.norm.act == ONS_ACT_SILU,
                  .narrow = p->node->in[0]->dtype};

    j.pixels = ons_shape_count(x) / (j.n * j.c);
    /* Samples large enough to share, and too few of them to keep the threads even. */
    j.chunks = j.n < FEW && j.pixels * j.c >= 4 * ONS_GRAIN && j.pixels >= CHUNKS ? CHUNKS : 1;
    if (a) {
        j.x = j.narrow == ONS_F32 ? a->in[0] : NULL;
        j.narrow_x = j.narrow == ONS_F32 ? NULL : a->in[0];
        j.gamma = a->in[1];
        j.beta = a->in[2];
        j.partial = a->scratch;
        j.coef = j.partial + j.n * j.chunks * 2 * j.c;
        j.widened = j.coef + j.n * 4 * j.c;
        j.y = j.narrow == ONS_F32 ? a->out[0] : NULL;
        j.narrow_y = j.narrow == ONS_F32 ? NULL : a->out[0];
    }
    return j;
}

static int useful_threads(const ons_prep *p, const norm_job *j)
{
    return j->n * j->pixels * j->c < 2 * ONS_GRAIN ? 1 : p->n_threads;
}

static onestep_status prepare_norm(ons_prep *p)
{
    norm_job j = start_job(p, NULL);

    p->scratch_bytes = (size_t)(j.n * j.c * (2 * j.chunks + 4)) * 4;
    if (j.narrow != ONS_F32)
        p->scratch_bytes += (size_t)(j.n * j.chunks * WIDENED * j.c) * 4;
    p->in_place = p->node->op == ONS_OP_GROUP_NORM;
    return ONESTEP_OK;
}

static onestep_status run_group_norm(const ons_prep *p, const ons_args *args)
{
    static const phase phases[] = {{.of_chunk = sum_values},
                                   {.of_sample = find_means},
                                   {.of_chunk = sum_squares},
                                   {.of_sample = find_scales},
                                   {.of_chunk = normalise}};
    norm_job j = start_job(p, args);

    j.stats = args->out[1];
    run_phases(&j, useful_threads(p, &j), phases, 5);
    return ONESTEP_OK;
}

static onestep_status run_group_norm_grad(const ons_prep *p, const ons_args *args)
{
    static const phase phases[] = {{.of_sample = recall_scales},
                                   {.of_chunk = sum_gradients},
                                   {.of_sample = find_gradient_scales},
                                   {.of_chunk = apply_gradient}};
    grad_job g = {start_job(p, args), args->out[1], args->out[2]};

    g.j.stats_in = args->in[3];
    g.j.dy = args->in[4];
    run_phases(&g.j, useful_threads(p, &g.j), phases, 4);
    if (g.dgamma || g.dbeta)
        ons_parallel_for(useful_threads(p, &g.j), g.j.c, 1 + ONS_GRAIN / g.j.n, sum_parameters, &g);
    return ONESTEP_OK;
}

static const char *refuse_widening(const ons_node *n)
{
    const ons_dtype type = n->in[0]->dtype;

    if (type != ONS_BF16 || n->out[0]->dtype != type)
        return "the values are not bf16";
    if (n->in[1]->dtype != ONS_F32 || n->in[2]->dtype != ONS_F32)
        return "gamma or beta is not f32";
    return n->in[0]->shape.d[0] >= FEW ? "samples enough to be taken one by one" : NULL;
}

const ons_kernel ons_group_norm_kernels[] = {
    {"channels", ons_cpu_refuse_not_f32, prepare_norm, run_group_norm, NULL},
    {"widened", refuse_widening, prepare_norm, run_group_norm, NULL},
    {0},
};

const ons_kernel ons_group_norm_grad_kernels[] = {
    {"channels", ons_cpu_refuse_not_f32, prepare_norm, run_group_norm_grad, NULL},
    {0},
};
