/* See operator.h. Operands are uniform random numbers; token numbers and log-sum-exps stay 0. */
#include "bench/operator.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"

enum { ROUNDS = 7 };

static double now_s(int n_threads)
{
    struct timespec t;

    if (n_threads > 1)
        return ons_now_s();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Best of some rounds; with one thread CPU time, which a busy machine disturbs less than the clock on the wall.
 */
static double time_best(int n_threads, void (*run)(void *), void *context)
{
    double best = 1e30, spent = 0;

    for (int i = 0; i < ROUNDS && (i < 3 || spent < 0.5); i++) {
        double start = now_s(n_threads), t;

        run(context);
        t = now_s(n_threads) - start;
        spent += t;
        best = t < best ? t : best;
    }
    return best;
}

typedef struct call {
    const ons_kernel *kernel;
    ons_prep prep;
    ons_args args;
    onestep_status status; /* of all runs: the first that is not OK */
} call;

static void run_kernel(void *context)
{
    call *c = context;

    if (c->status == ONESTEP_OK)
        c->status = c->kernel->run(&c->prep, &c->args);
}

static void *make_buffer(const ons_value *v, uint64_t stream)
{
    size_t n = (size_t)ons_shape_count(&v->shape);
    float *x = ons_calloc_aligned(n * 4 + 64);

    if (x && (v->dtype == ONS_F32 || v->dtype == ONS_BF16))
        ons_rand_uniform(1, stream, 0, x, n);
    if (x && v->dtype == ONS_BF16)
        for (size_t i = 0; i < n;
             i++) /* in place, from the front: an element is written behind where it was read */
            ons_convert((uint16_t *)x + i, ONS_BF16, x + i, ONS_F32, 1);
    return x;
}

static onestep_status time_kernel(const ons_node *n, ons_params *set, const ons_kernel *k, int n_threads,
                                  ons_bench_report report, void *context)
{
    const void *in[ONS_BENCH_MAX_IN] = {0};
    void *out[ONS_MAX_OUTPUTS] = {0};
    call c = {
        k, {.node = n, .n_threads = n_threads, .params = &set, .n_params = 1}, {in, out, NULL}, ONESTEP_OK};
    onestep_status st;
    double seconds;

    if (k->prepare && (st = k->prepare(&c.prep)) != ONESTEP_OK)
        return st;
    if ((st = ons_params_refresh(set)) != ONESTEP_OK)
        return st;
    c.args.scratch = ons_calloc_aligned(c.prep.scratch_bytes + 64);
    st = c.args.scratch ? ONESTEP_OK : ONESTEP_NO_MEMORY;
    for (int i = 0; i < n->n_in; i++)
        st = (in[i] = make_buffer(n->in[i], (uint64_t)i + 1)) ? st : ONESTEP_NO_MEMORY;
    for (int i = 0; i < n->n_out; i++)
        st = (out[i] = make_buffer(n->out[i], 9)) ? st : ONESTEP_NO_MEMORY;
    if (st == ONESTEP_OK) {
        seconds = time_best(n_threads, run_kernel, &c);
        st = c.status;
        if (st == ONESTEP_OK)
            report(context, n, k->name, c.prep.detail, seconds);
    } else {
        st = ons_fail(st, "no memory for the operands of %s", ons_op_name(n->op));
    }
    ons_free_aligned(c.args.scratch);
    for (int i = 0; i < n->n_in; i++)
        ons_free_aligned((void *)in[i]);
    for (int i = 0; i < n->n_out; i++)
        ons_free_aligned(out[i]);
    if (k->destroy)
        k->destroy(&c.prep);
    return st;
}

static onestep_status make_operands(const ons_bench_operator *o, ons_graph *g, ons_params *set, ons_value **in)
{
    for (int i = 0; i < o->n_in; i++) {
        char name[16];
        int index;
        onestep_status st;

        snprintf(name, sizeof name, "in%d", i);
        if ((o->bf16 && !o->frozen) || !o->param || i != 1) {
            in[i] = ons_input(g, name, o->bf16 ? ONS_BF16 : ONS_F32, &o->in[i]);
            continue;
        }
        st = ons_params_require(set, name, o->in[i].n == 4 ? ONS_PARAM_CONV : ONS_PARAM_MATRIX, &o->in[i],
                                ONS_INIT_ZERO, 0, &index);
        if (st != ONESTEP_OK)
            return st;
        in[i] = ons_param_leaf(g, name, 0, index, &o->in[i], !o->frozen);
    }
    return ons_params_allocate(set);
}

/* An operator as a graph of its own. */
typedef struct lone_operator {
    ons_graph *g;
    ons_params *set;
    const ons_node *node;
} lone_operator;

static void fini_operator(lone_operator *l)
{
    ons_graph_destroy(&l->g);
    ons_params_destroy(&l->set);
}

static onestep_status init_operator(lone_operator *l, const ons_bench_operator *o)
{
    ons_value *in[ONS_BENCH_MAX_IN], *v;
    onestep_status st;

    *l = (lone_operator){0};
    ONS_TRY(ons_graph_create(&l->g));
    ONS_TRY(ons_params_create(&l->set));
    ONS_TRY(make_operands(o, l->g, l->set, in));
    v = ons_apply(l->g, o->op, in, o->n_in, &o->attrs, NULL);
    ONS_TRY(ons_graph_failed(l->g) ? ons_graph_finish(l->g) : ONESTEP_OK);
    if (o->bf16 && (o->op == ONS_OP_CONV2D_GRAD_W || o->attrs.matmul.trans_a))
        v->dtype = ONS_F32;
    l->node = v->node;
    return ONESTEP_OK;
fail:
    fprintf(stderr, "%s: %s\n", ons_op_name(o->op), onestep_error_text());
    fini_operator(l);
    return st;
}

void ons_bench_operator_time(const ons_bench_operator *o, const ons_compute *c, ons_bench_report report,
                             void *context)
{
    lone_operator l;
    onestep_status st = init_operator(&l, o);

    if (st != ONESTEP_OK)
        return;
    for (const ons_kernel *k = ons_compute_backend(c)->kernels(o->op); k && k->name && st == ONESTEP_OK; k++)
        if (strcmp(k->name, "convert") && strcmp(k->name, "slices") && (!k->refuse || !k->refuse(l.node)))
            st = time_kernel(l.node, l.set, k, ons_compute_threads(c), report, context);
    if (st != ONESTEP_OK)
        fprintf(stderr, "%s: %s\n", ons_op_name(o->op), onestep_error_text());
    fini_operator(&l);
}

static void run_probe(void *context)
{
    ons_probe *p = context;

    p->run(p);
}

void ons_bench_probe_time(const ons_bench_operator *o, const ons_compute *c, bool fast, ons_bench_report report,
                          void *context)
{
    const ons_backend *backend = ons_compute_backend(c);
    const int n_threads = ons_compute_threads(c);
    ons_probe *p = NULL;
    lone_operator l;

    if (init_operator(&l, o) != ONESTEP_OK)
        return;
    if (backend->probe)
        p = backend->probe(l.node, n_threads, fast);
    if (p) {
        report(context, l.node, p->library, p->name, time_best(n_threads, run_probe, p));
        p->destroy(p);
    }
    fini_operator(&l);
}

ons_bench_operator ons_bench_conv(int which, int64_t n, int64_t h, int64_t c, int64_t o, int64_t k, int stride)
{
    static const ons_op ops[] = {ONS_OP_CONV2D, ONS_OP_CONV2D_GRAD_X, ONS_OP_CONV2D_GRAD_W};
    int64_t oh = (h + 2 * (k / 2) - k) / stride + 1;
    ons_shape x = ONS_SHAPE4(n, h, h, c), w = ONS_SHAPE4(o, k, k, c), y = ONS_SHAPE4(n, oh, oh, o);
    ons_bench_operator b = {
        .op = ops[which], .n_in = 2, .in = {which == 1 ? y : x, which == 2 ? y : w}, .param = which != 2};

    b.attrs.conv.stride = stride;
    b.attrs.conv.pad_top = b.attrs.conv.pad_left = (int)(k / 2);
    b.attrs.conv.pad_bottom = b.attrs.conv.pad_right = (int)(k / 2);
    b.attrs.conv.in_h = b.attrs.conv.in_w = h;
    b.attrs.conv.kh = b.attrs.conv.kw = k;
    return b;
}

ons_bench_operator ons_bench_linear(int which, int64_t rows, int64_t in, int64_t out)
{
    ons_shape x = ONS_SHAPE2(rows, in), w = ONS_SHAPE2(out, in), y = ONS_SHAPE2(rows, out);
    ons_bench_operator b = {
        .op = ONS_OP_MATMUL, .n_in = 2, .in = {which ? y : x, which == 2 ? x : w}, .param = which != 2};

    b.attrs.matmul.alpha = 1;
    b.attrs.matmul.trans_a = which == 2;
    b.attrs.matmul.trans_b = which == 0;
    return b;
}
