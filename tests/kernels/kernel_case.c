/* See kernel_case.h. */
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "kernel_case.h"

enum { GUARD = 64, MAX_KERNELS = 64 };
static const unsigned char guard_byte = 0xa5;

typedef struct tally {
    ons_op op;
    const char *variant, *name; /* static */
    int runs, refusals;
    char why[96]; /* the last refusal */
} tally;
static tally tallies[MAX_KERNELS * 16];
static int n_tallies;
static uint64_t next_stream = 1;

uint64_t test_seed(void)
{
    static uint64_t seed;

    if (!seed) {
        const char *text = getenv("ONESTEP_TEST_SEED");

        seed = text ? strtoull(text, NULL, 10) : 1;
        seed = seed ? seed : 1;
        printf("ONESTEP_TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}

static tally *find_tally(ons_op op, const char *variant, const char *name)
{
    for (int i = 0; i < n_tallies; i++)
        if (tallies[i].op == op && !strcmp(tallies[i].variant, variant) && !strcmp(tallies[i].name, name))
            return &tallies[i];
    assert_true(n_tallies < MAX_KERNELS * 16);
    tallies[n_tallies] = (tally){.op = op, .variant = variant, .name = name};
    return &tallies[n_tallies++];
}

static void note_refusal(tally *t, const char *why)
{
    assert_true(why && *why);
    t->refusals++;
    snprintf(t->why, sizeof t->why, "%s", why);
}

bool test_every_shape(void)
{
    return getenv("ONESTEP_TEST_LONG") != NULL;
}

static bool lacks_bf16(void)
{
    return !ons_cpu_has_bf16();
}

static bool always(void)
{
    return true;
}

/* Rows that may stand in a list without running here, and why. */
static const struct {
    const char *name;
    bool (*when)(void);
    const char *why;
} excused[] = {
    {"onednn_bf16", lacks_bf16, "this CPU does not multiply bf16"},
    {"onednn_int8", always, "8-bit factors are test_int8's"},
    {"winograd_bf16", always, "frozen weights are test_winograd_bf16's"},
    {"rows", always, "tables in a file have a test of their own"},
};

static const char *find_excuse(const char *name)
{
    for (size_t i = 0; i < sizeof excused / sizeof *excused; i++)
        if (!strcmp(excused[i].name, name) && excused[i].when())
            return excused[i].why;
    return NULL;
}

/* Rows that stand in a list only where the vectors multiply bf16 and there is no AMX. */
static const struct {
    ons_op op;
    const char *name;
} bf16_rows[] = {
    {ONS_OP_CONV2D, "winograd_bf16"},
    {ONS_OP_CONV2D_UPSAMPLED, "winograd_bf16"},
    {ONS_OP_ATTENTION, "pairs_bf16"},
};

const ons_kernel *find_kernel_row(ons_op op, const char *name)
{
    for (const ons_kernel *k = ons_backend_cpu.kernels(op); k && k->name; k++)
        if (!strcmp(k->name, name))
            return k;
    return NULL;
}

static void print_missing(ons_op op)
{
    for (size_t i = 0; i < sizeof bf16_rows / sizeof *bf16_rows; i++)
        if (bf16_rows[i].op == op && !find_kernel_row(op, bf16_rows[i].name))
            printf("  %-20s %-24s not on this CPU: %s\n", ons_op_name(op), bf16_rows[i].name,
                   ons_cpu_has_amx() ? "it has AMX" : "its vectors do not multiply bf16");
}

static void print_tally(const tally *t)
{
    printf("  %-20s %-8s %-16s %s (%d runs", ons_op_name(t->op), t->variant, t->name,
           t->runs ? "ran" : "skipped", t->runs);
    if (t->refusals)
        printf(", %d refused, the last: %s", t->refusals, t->why);
    printf(")\n");
}

void report_kernels(ons_op op)
{
    int ran = 0;

    for (int i = 0; i < n_tallies; i++) {
        const tally *t = &tallies[i];

        if (t->op != op)
            continue;
        ran += t->runs;
        print_tally(t);
        if (!t->runs && !find_excuse(t->name))
            fail_msg("%s: no case ran %s %s: %s", ons_op_name(op), t->variant, t->name,
                     t->refusals ? t->why : "it was not asked");
    }
    print_missing(op);
    assert_true(ran > 0);
}

void report_kernel(ons_op op, const char *name)
{
    int ran = 0;

    for (int i = 0; i < n_tallies; i++)
        if (tallies[i].op == op && !strcmp(tallies[i].name, name)) {
            print_tally(&tallies[i]);
            ran += tallies[i].runs;
        }
    print_missing(op);
    assert_true(ran > 0);
}

/* A buffer with guards before and behind. */
typedef struct guarded {
    unsigned char *base;
    size_t bytes;
} guarded;

static guarded guard_alloc(size_t bytes, unsigned char fill)
{
    guarded g = {ons_calloc_aligned(bytes + 2 * GUARD), bytes};

    assert_non_null(g.base);
    memset(g.base, guard_byte, bytes + 2 * GUARD);
    memset(g.base + GUARD, fill, bytes);
    return g;
}

static void guard_check(const guarded *g, const char *what, const char *kernel)
{
    for (int i = 0; i < GUARD; i++)
        if (g->base[i] != guard_byte || g->base[GUARD + g->bytes + (size_t)i] != guard_byte)
            fail_msg("%s wrote outside its %s", kernel, what);
}

static void *guard_data(const guarded *g)
{
    return g->base + GUARD;
}

static size_t value_bytes(const ons_value *v)
{
    return (size_t)ons_shape_count(&v->shape) * ons_dtype_size(v->dtype);
}

typedef struct setup {
    const kernel_case *c;
    ons_graph *graph;
    ons_node *node;
    ons_params *params;
    guarded in[CASE_MAX_IN], want[ONS_MAX_OUTPUTS];
    bool bf16;
} setup;

static bool is_ids(const kernel_case *c, int i)
{
    return (c->op == ONS_OP_EMBEDDING && i == 1) || (c->op == ONS_OP_EMBEDDING_GRAD && i == 0);
}

/* Operands that stay f32 in bf16 graphs: parameters and statistics. */
static bool stays_f32(const kernel_case *c, int i)
{
    bool norm = c->op == ONS_OP_GROUP_NORM || c->op == ONS_OP_GROUP_NORM_GRAD || c->op == ONS_OP_LAYER_NORM ||
                c->op == ONS_OP_LAYER_NORM_GRAD;
    bool product = c->op == ONS_OP_CONV2D || c->op == ONS_OP_CONV2D_UPSAMPLED ||
                   c->op == ONS_OP_CONV2D_GRAD_X || c->op == ONS_OP_MATMUL;

    return (norm && i >= 1 && i <= 3) || (c->op == ONS_OP_ATTENTION_GRAD && i == 4) ||
           (product && c->param && i == 1) || (product && i == 2 && c->in[2].n == 1) ||
           (product && c->f32_result && i >= 2);
}

static void fill(setup *s, int i, float *x, int64_t n)
{
    const kernel_case *c = s->c;
    double lo = c->own_range[i] ? c->lo2 : c->lo, hi = c->own_range[i] ? c->hi2 : c->hi;

    if (lo == 0 && hi == 0) {
        lo = -1;
        hi = 1;
    }
    ons_rand_uniform(test_seed(), next_stream++, 0, x, (size_t)n);
    for (int64_t k = 0; k < n; k++)
        x[k] = (float)(lo + (hi - lo) * x[k]);
}

static void fill_operand(setup *s, int i)
{
    const ons_value *v = s->node->in[i];
    int64_t n = ons_shape_count(&v->shape);
    float *x = ons_malloc((size_t)n * 4 + 4);
    void *to;

    s->in[i] = guard_alloc(value_bytes(v), 0);
    to = guard_data(&s->in[i]);
    fill(s, i, x, n);
    if (s->bf16 && v->node->op == ONS_OP_PARAM) /* kernels may round weights to bf16, or not */
        for (int64_t k = 0; k < n; k++)
            x[k] = ons_bf16_to_f32(ons_f32_to_bf16(x[k]));
    if (is_ids(s->c, i)) {
        int64_t rows = s->c->op == ONS_OP_EMBEDDING ? s->c->in[0].d[0] : s->c->attrs.shape.d[0];

        for (int64_t k = 0; k < n; k++)
            ((int32_t *)to)[k] = (int32_t)(fabsf(x[k]) * 0.999f * (float)rows);
    } else {
        ons_convert(to, v->dtype, x, ONS_F32, (size_t)n);
    }
    if (v->node->op == ONS_OP_PARAM) {
        memcpy(ons_params_data(s->params, v->node->attrs.param.index), to, value_bytes(v));
        ons_params_touch(s->params);
    }
    ons_free(x);
}

static void build(setup *s, const kernel_case *c, bool bf16)
{
    ons_value *in[CASE_MAX_IN], *v;

    memset(s, 0, sizeof *s);
    s->c = c;
    s->bf16 = bf16;
    assert_int_equal(ons_graph_create(&s->graph), ONESTEP_OK);
    assert_int_equal(ons_params_create(&s->params), ONESTEP_OK);
    for (int i = 0; i < c->n_in; i++) {
        char name[16];
        int index;

        snprintf(name, sizeof name, "in%d", i);
        if (c->param && i == 1) {
            assert_int_equal(ons_params_require(s->params, name,
                                                c->in[i].n == 4 ? ONS_PARAM_CONV : ONS_PARAM_MATRIX, &c->in[i],
                                                ONS_INIT_ZERO, 0, &index),
                             ONESTEP_OK);
            in[i] = ons_param_leaf(s->graph, name, 0, index, &c->in[i], !c->frozen);
        } else {
            ons_dtype t = is_ids(c, i) ? ONS_I32 : bf16 && !stays_f32(c, i) ? ONS_BF16 : ONS_F32;

            in[i] = ons_input(s->graph, name, t, &c->in[i]);
        }
    }
    assert_int_equal(ons_params_allocate(s->params), ONESTEP_OK);
    v = ons_apply(s->graph, c->op, in, c->n_in, &c->attrs, NULL);
    if (ons_graph_failed(s->graph)) {
        assert_int_not_equal(ons_graph_finish(s->graph), ONESTEP_OK);
        fail_msg("%s", onestep_error_text());
    }
    s->node = v->node;
    if (bf16 && c->f32_result)
        v->dtype = ONS_F32;
    for (int i = 0; i < c->n_in; i++)
        fill_operand(s, i);
}

static void run_prepared(const setup *s, const ons_kernel *k, int n_threads, const guarded *in,
                         const guarded *out, bool in_place)
{
    ons_params *sets[1] = {s->params};
    ons_prep prep = {.node = s->node, .n_threads = n_threads, .params = sets, .n_params = 1};
    const void *from[CASE_MAX_IN];
    void *to[ONS_MAX_OUTPUTS] = {NULL};
    guarded scratch;

    if (k->prepare && k->prepare(&prep) != ONESTEP_OK)
        fail_msg("%s: %s", k->name, onestep_error_text());
    if (s->params)
        assert_int_equal(ons_params_refresh(s->params), ONESTEP_OK);
    scratch = guard_alloc(prep.scratch_bytes, 0xff);
    for (int i = 0; i < s->node->n_in; i++)
        from[i] = guard_data(&in[i]);
    for (int i = 0; i < s->node->n_out; i++)
        to[i] = guard_data(&out[i]);
    if (in_place) {
        assert_true(prep.in_place);
        memcpy(to[0], from[0], in[0].bytes);
        from[0] = to[0];
    }
    assert_int_equal(k->run(&prep, &(ons_args){from, to, guard_data(&scratch)}), ONESTEP_OK);
    guard_check(&scratch, "scratch", k->name);
    ons_free_aligned(scratch.base);
    if (k->destroy)
        k->destroy(&prep);
}

/* Prepares for a look; false: the kernel refuses only now, as libraries do. */
static bool can_prepare(const setup *s, const ons_kernel *k, int n_threads, tally *t, bool *in_place)
{
    ons_params *sets[1] = {s->params};
    ons_prep prep = {.node = s->node, .n_threads = n_threads, .params = sets, .n_params = 1};
    onestep_status st = k->prepare ? k->prepare(&prep) : ONESTEP_OK;

    if (st == ONESTEP_UNSUPPORTED) {
        note_refusal(t, onestep_error_text());
        return false;
    }
    if (st != ONESTEP_OK)
        fail_msg("%s: %s", k->name, onestep_error_text());
    if (k->destroy)
        k->destroy(&prep);
    *in_place = prep.in_place;
    return true;
}

/* Winograd's transforms cost a digit, wherever the list leads to them. */
static double kernel_slack(const char *kernel)
{
    static const char *const names[] = {"winograd", "convert", "slices", "upsampled"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(kernel, names[i]))
            return 12;
    return 1;
}

/* Probabilities in bf16 err by up to 2^-9 of themselves each, values here being at most 2. */
static double probability_error(const setup *s, const char *kernel, double terms)
{
    const bool bf16 = !strcmp(kernel, "onednn_bf16") || !strcmp(kernel, "pairs_bf16");

    return s->c->op == ONS_OP_ATTENTION && bf16 ? 12 * 0x1p-9 / sqrt(terms) : 0;
}

/* Transformed pixels and weights are rounded once more: by 2^-9 of themselves, twice as much once they are put
 * together. Products of numbers between -1 and 1 have a standard deviation of a third; six of them. */
static double transform_error(const setup *s, const char *kernel, double terms)
{
    const bool rounds = s->bf16 && (!strcmp(kernel, "winograd_bf16") || !strcmp(kernel, "upsampled"));

    return rounds ? 6e-3 * sqrt(terms) : 0;
}

static void compare(const setup *s, const guarded *got, int which, const char *kernel)
{
    const ons_value *v = s->node->out[which];
    int64_t n = ons_shape_count(&v->shape);
    double terms = s->c->terms > 1 ? s->c->terms : 1, slack = s->c->slack > 0 ? s->c->slack : 1;
    double rtol = slack * (v->dtype == ONS_BF16 ? 8e-3 : 4e-6),
           atol = slack * kernel_slack(kernel) * 2e-6 * sqrt(terms) + probability_error(s, kernel, terms) +
                  transform_error(s, kernel, terms);
    float *a = ons_malloc((size_t)n * 4), *b = ons_malloc((size_t)n * 4);
    char text[96];

    ons_convert(a, ONS_F32, guard_data(got), v->dtype, (size_t)n);
    memcpy(b, guard_data(&s->want[which]), (size_t)n * 4);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= atol + rtol * fabs((double)b[i])) && !(a[i] == b[i]))
            fail_msg("%s of %s (%s), result %d %s, element %lld: %.9g, expected %.9g +- %.3g", kernel,
                     ons_op_name(s->c->op), s->bf16 ? "bf16" : "f32", which, ons_shape_text(&v->shape, text),
                     (long long)i, (double)a[i], (double)b[i], atol + rtol * fabs((double)b[i]));
    ons_free(a);
    ons_free(b);
}

static void run_guarded(const setup *s, const ons_kernel *k, int n_threads, bool in_place, guarded *out)
{
    for (int i = 0; i < s->node->n_out; i++)
        out[i] = guard_alloc(value_bytes(s->node->out[i]), 0xff);
    run_prepared(s, k, n_threads, s->in, out, in_place);
    for (int i = 0; i < s->node->n_out; i++)
        guard_check(&out[i], "result", k->name);
}

/* Runs with some number of threads, checks every output, and that a second run repeats the bits. */
static void check_kernel(const setup *s, const ons_kernel *k, int n_threads, bool in_place)
{
    guarded out[ONS_MAX_OUTPUTS], again[ONS_MAX_OUTPUTS];

    run_guarded(s, k, n_threads, in_place, out);
    run_guarded(s, k, n_threads, in_place, again);
    for (int i = 0; i < s->node->n_out; i++) {
        compare(s, &out[i], i, k->name);
        if (memcmp(guard_data(&out[i]), guard_data(&again[i]), out[i].bytes))
            fail_msg("%s of %s, %d threads: other bits in the second run", k->name, ons_op_name(s->c->op),
                     n_threads);
        ons_free_aligned(out[i].base);
        ons_free_aligned(again[i].base);
    }
}

static void check_list(const setup *s, const char *variant, const ons_kernel *k)
{
    for (; k && k->name; k++) {
        tally *t = find_tally(s->c->op, variant, k->name);
        const char *why = k->refuse ? k->refuse(s->node) : NULL;
        bool in_place;

        if (why)
            note_refusal(t, why);
        if (why || !can_prepare(s, k, 1, t, &in_place))
            continue;
        check_kernel(s, k, 1, false);
        if (can_prepare(s, k, 2, t, &in_place)) {
            check_kernel(s, k, 2, false);
            if (in_place)
                check_kernel(s, k, 2, true);
        }
        if (t->runs % 6 == 0 && can_prepare(s, k, 3, t, &in_place))
            check_kernel(s, k, 3, false);
        t->runs++;
    }
}

static void tear_down(setup *s)
{
    for (int i = 0; i < s->node->n_in; i++) {
        guard_check(&s->in[i], "operand", ons_op_name(s->c->op));
        ons_free_aligned(s->in[i].base);
    }
    ons_graph_destroy(&s->graph);
    ons_params_destroy(&s->params);
}

/* What ref makes of the same values held in f32, so that its sums are not rounded to 16 bits on the way. */
static void compute_want(setup *s)
{
    const ons_kernel *ref = ons_backend_ref.kernels(s->c->op);
    setup twin;

    assert_non_null(ref);
    build(&twin, s->c, false);
    for (int i = 0; i < s->node->n_in; i++) {
        const ons_value *v = s->node->in[i];
        int64_t n = ons_shape_count(&v->shape);

        if (v->dtype == ONS_I32)
            memcpy(guard_data(&twin.in[i]), guard_data(&s->in[i]), (size_t)n * 4);
        else
            ons_convert(guard_data(&twin.in[i]), ONS_F32, guard_data(&s->in[i]), v->dtype, (size_t)n);
    }
    for (int i = 0; i < s->node->n_out; i++)
        s->want[i] = guard_alloc(value_bytes(twin.node->out[i]), 0xff);
    run_prepared(&twin, ref, 1, twin.in, s->want, false);
    tear_down(&twin);
}

static void run_typed(const kernel_case *c, bool bf16)
{
    setup s;

    build(&s, c, bf16);
    compute_want(&s);
    check_list(&s, "cpu", ons_backend_cpu.kernels(c->op));
    for (const ons_cpu_variant *v = ons_cpu_variants; v->name; v++)
        if (v->supported())
            check_list(&s, v->name, v->kernels(c->op));
    for (int i = 0; i < s.node->n_out; i++)
        ons_free_aligned(s.want[i].base);
    tear_down(&s);
}

void run_kernel_case(const kernel_case *c, bool bf16)
{
    run_typed(c, false);
    if (bf16)
        run_typed(c, true);
}
