/*
 * Matrix products. One large product: rows of A in place against packed B, or with A transposed (weight
 * gradients) the outer form. Batched products run one per thread, each alone.
 */
#include "backend/cpu/isa/kernels.h"
#include "backend/cpu/isa/weights.h"

enum { MR = ONS_MR, NR = ONS_NR };

typedef struct matmul_state {
    int64_t batch, m, n, k;
    bool trans_a, trans_b;
    float alpha;
    ons_b_source b;
    size_t b_bytes, thread_bytes;
} matmul_state;

typedef struct matmul_job {
    const ons_prep *p;
    const ons_args *args;
    const float *bias, *residual;
} matmul_job;

typedef struct row_call {
    const float *a;
    float *c;
    int64_t k, n;
} row_call;

static void locate_rows(const ons_rows *r, int64_t first, int count, const float **a, float **c)
{
    const row_call *call = r->context;

    for (int i = 0; i < count; i++) {
        a[i] = call->a + (first + i) * call->k;
        c[i] = call->c + (first + i) * call->n;
    }
}

static void run_rows(const matmul_state *s, const row_call *call, const void *b, const float *bias,
                     const float *residual, char *scratch, int thread, int n_threads)
{
    ons_rows r = {.n_rows = s->m,
                  .depth = s->k,
                  .n_cols = s->n,
                  .n_taps = 1,
                  .b = b,
                  .b_type = s->b.shape.type,
                  .bias = bias,
                  .residual = residual,
                  .c_base = call->c,
                  .locate = locate_rows,
                  .context = call,
                  .scratch = scratch,
                  .thread_bytes = ons_rows_scratch(1, s->n, s->b.shape.type)};

    ons_rows_run(&r, thread, n_threads);
}

static void pack_columns(const ons_outer *o, int64_t k0, int64_t kc, int64_t n0, float *dst)
{
    ons_pack_b(dst, o->b + n0 * o->ldb + k0, o->ldb, kc, o->n - n0 < NR ? o->n - n0 : NR, true, 1.f, 0, 1);
}

static void run_outer(const matmul_state *s, const float *a, const float *b, float *c, void *scratch,
                      int thread, int n_threads)
{
    ons_outer o = {.m = s->m,
                   .n = s->n,
                   .k = s->k,
                   .a = a,
                   .lda = s->m,
                   .c = c,
                   .ldc = s->n,
                   .alpha = s->alpha,
                   .pack_b = s->trans_b ? pack_columns : ons_outer_pack_plain,
                   .b = b,
                   .ldb = s->trans_b ? s->k : s->n,
                   .scratch = scratch};

    ons_outer_run(&o, thread, n_threads);
}

static void add_bias_residual(const matmul_job *job, float *c, int64_t first, int64_t last)
{
    const matmul_state *s = job->p->state;

    for (int64_t i = first; i < last; i++)
        for (int64_t j = 0; j < s->n; j++)
            c[i * s->n + j] +=
                (job->bias ? job->bias[j] : 0.f) + (job->residual ? job->residual[i * s->n + j] : 0.f);
}

/* A piece of one product of rows. */
static void run_rows_piece(void *context, int piece, int n_pieces)
{
    const matmul_job *job = context;
    const matmul_state *s = job->p->state;
    char *scratch = job->args->scratch;
    row_call call = {job->args->in[0], job->args->out[0], s->k, s->n};

    run_rows(s, &call, ons_b_data(&s->b, scratch), job->bias, job->residual, scratch + s->b_bytes, piece,
             n_pieces);
}

static void run_outer_piece(void *context, int piece, int n_pieces)
{
    const matmul_job *job = context;
    const matmul_state *s = job->p->state;

    run_outer(s, job->args->in[0], job->args->in[1], job->args->out[0], job->args->scratch, piece, n_pieces);
}

static void finish_outer_piece(void *context, int piece, int n_pieces)
{
    const matmul_job *job = context;
    const matmul_state *s = job->p->state;
    int64_t from, to;

    ons_partition(s->m, n_pieces, piece, &from, &to);
    add_bias_residual(job, job->args->out[0], from, to);
}

static void run_single(const matmul_job *job, int n_threads)
{
    const matmul_state *s = job->p->state;

    if (!s->trans_a) {
        ons_b_fill(&s->b, job->args->in[1], job->args->scratch);
        ons_parallel(n_threads, run_rows_piece, (void *)job);
        return;
    }
    ons_parallel(n_threads, run_outer_piece, (void *)job);
    if (job->bias || job->residual)
        ons_parallel(n_threads, finish_outer_piece, (void *)job);
}

/* Products [begin, end) of the batch, alone. */
static void run_batch(void *context, int64_t begin, int64_t end, int thread)
{
    const matmul_job *job = context;
    const matmul_state *s = job->p->state;
    char *scratch = (char *)job->args->scratch + s->thread_bytes * (size_t)thread;

    for (int64_t i = begin; i < end; i++) {
        const float *a = (const float *)job->args->in[0] + i * s->m * s->k;
        const float *b = (const float *)job->args->in[1] + i * s->k * s->n;
        float *c = (float *)job->args->out[0] + i * s->m * s->n;
        row_call call = {a, c, s->k, s->n};

        if (s->trans_a) {
            ons_outer o = {.m = s->m,
                           .n = s->n,
                           .k = s->k,
                           .a = a,
                           .lda = s->m,
                           .c = c,
                           .ldc = s->n,
                           .alpha = s->alpha,
                           .pack_b = s->trans_b ? pack_columns : ons_outer_pack_plain,
                           .b = b,
                           .ldb = s->trans_b ? s->k : s->n,
                           .scratch = (float *)scratch};

            ons_outer_run(&o, 0, 1);
            continue;
        }
        ons_pack_b((float *)scratch, b, s->trans_b ? s->k : s->n, s->k, s->n, s->trans_b, s->alpha, 0,
                   (s->n + NR - 1) / NR);
        run_rows(s, &call, (float *)scratch, NULL, NULL, scratch + s->b_bytes, 0, 1);
    }
    if (job->bias || job->residual)
        add_bias_residual(job, job->args->out[0], begin * s->m, end * s->m);
}

static onestep_status run_matmul(const ons_prep *p, const ons_args *args)
{
    const matmul_state *s = p->state;
    const ons_attrs *at = &p->node->attrs;
    matmul_job job = {p, args, NULL, NULL};
    int next = 2;

    job.bias = at->matmul.bias ? args->in[next++] : NULL;
    job.residual = at->matmul.residual ? args->in[next] : NULL;
    if (s->batch)
        ons_parallel_for(p->n_threads, s->batch, 1, run_batch, &job);
    else
        run_single(&job, p->n_threads);
    return ONESTEP_OK;
}

static void set_sizes(matmul_state *s, const ons_node *n)
{
    const ons_shape *a = &n->in[0]->shape, *b = &n->in[1]->shape;

    s->trans_a = n->attrs.matmul.trans_a;
    s->trans_b = n->attrs.matmul.trans_b;
    s->alpha = (float)n->attrs.matmul.alpha;
    s->k = b->d[b->n - 1 - !s->trans_b];
    s->n = b->d[b->n - 1 - s->trans_b];
    if (b->n > 2) {
        s->batch = 1;
        for (int i = 0; i < b->n - 2; i++)
            s->batch *= b->d[i];
        s->m = a->d[a->n - 1 - !s->trans_a];
    } else {
        s->m = s->k ? ons_shape_count(a) / s->k : 0;
    }
}

static onestep_status prepare_matmul(ons_prep *p)
{
    matmul_state *s = ons_calloc(1, sizeof *s);
    onestep_status st = ONESTEP_OK;

    p->state = s;
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to prepare a product", p->node->layer);
    set_sizes(s, p->node);
    if (s->batch) {
        s->b_bytes = s->trans_a ? 0 : ons_cpu_align(ons_pack_b_floats(s->k, s->n) * 4);
        s->thread_bytes = s->b_bytes + (s->trans_a ? ons_cpu_align(ons_outer_scratch(s->m, 1))
                                                   : ons_rows_scratch(1, s->n, ONS_F32));
        p->scratch_bytes = s->thread_bytes * (size_t)p->n_threads;
        return ONESTEP_OK;
    }
    if (s->trans_a) {
        p->scratch_bytes = ons_outer_scratch(s->m, p->n_threads);
        return ONESTEP_OK;
    }
    st = ons_b_prepare(&s->b, p, 1,
                       &(ons_pack_shape){.n_threads = p->n_threads,
                                         .k = s->k,
                                         .n = s->n,
                                         .ld = s->trans_b ? s->k : s->n,
                                         .transposed = s->trans_b,
                                         .alpha = s->alpha},
                       &s->b_bytes);
    p->scratch_bytes = s->b_bytes + ons_rows_scratch(1, s->n, s->b.shape.type) * (size_t)p->n_threads;
    if (st != ONESTEP_OK) {
        ons_free(s);
        p->state = NULL;
    }
    return st;
}

static void destroy_matmul(ons_prep *p)
{
    ons_free(p->state);
    p->state = NULL;
}

const ons_kernel ons_matmul_kernels[] = {
    {"tiles", ons_cpu_refuse_not_f32, prepare_matmul, run_matmul, destroy_matmul},
    {0},
};
