/* See grad_case.h. */
#include "backend/plan.h"
#include "grad_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/random.h"

enum { STREAM_VALUES = 100, STREAM_DIRECTION = 200, STREAM_WEIGHTS = 300 };

/* Truncation is about h^2 and rounding about 1e-16 / h, both below 1e-9 for values near 1. */
static const double step = 1e-5, relative = 1e-6, absolute = 1e-8;

void grad_case_init(grad_case *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    t->seed = seed;
    assert_int_equal(ons_graph_create(&t->g), ONESTEP_OK);
}

static ons_value *add(grad_case *t, ons_dtype dtype, ons_shape shape, grad_values values, int64_t n_rows)
{
    char name[16];
    ons_value *v;

    assert_true(t->n_variables < GRAD_MAX_VARIABLES);
    snprintf(name, sizeof name, "x%d", t->n_variables);
    v = ons_input(t->g, name, dtype, &shape);
    t->variables[t->n_variables++] = (grad_variable){v, values, n_rows, NULL};
    return v;
}

ons_value *grad_variable_add(grad_case *t, ons_shape shape, grad_values values)
{
    return add(t, ONS_F32, shape, values, 0);
}

ons_value *grad_ids_add(grad_case *t, ons_shape shape, int64_t n_rows)
{
    return add(t, ONS_I32, shape, GRAD_ANY, n_rows);
}

static double *draw_normals(uint64_t seed, uint64_t stream, int64_t n)
{
    double *x = calloc((size_t)n + 1, sizeof *x);
    float *f = calloc((size_t)n + 1, sizeof *f);

    assert_non_null(x);
    assert_non_null(f);
    ons_randn(seed, stream, 0, f, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        x[i] = f[i];
    free(f);
    return x;
}

/* Multiples of 0.1 around zero in random order, each moved by less than a quarter of that. */
static void make_distinct(double *x, int64_t n, uint64_t seed, uint64_t stream)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = 0.1 * (double)(i - n / 2) + 0.02 * tanh(x[i]);
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)ons_rand_below(seed, stream, (uint64_t)i, (uint64_t)i + 1);
        double kept = x[i];

        x[i] = x[k];
        x[k] = kept;
    }
}

static void draw_values(grad_case *t, int index)
{
    grad_variable *v = &t->variables[index];
    int64_t n = ons_shape_count(&v->value->shape);

    v->x = draw_normals(t->seed, STREAM_VALUES + (uint64_t)index, n);
    for (int64_t i = 0; i < n; i++) {
        double s = 1 / (1 + exp(-v->x[i])); /* 0 .. 1 */

        if (v->n_rows)
            v->x[i] = (double)ons_rand_below(t->seed, 7, (uint64_t)i, (uint64_t)v->n_rows);
        else if (v->values == GRAD_POSITIVE)
            v->x[i] = 0.5 + 1.5 * s;
        else if (v->values == GRAD_AWAY)
            v->x[i] = v->x[i] < 0 ? -0.2 - 1.2 * s : 0.2 + 1.2 * s;
    }
    if (v->values == GRAD_DISTINCT)
        make_distinct(v->x, n, t->seed, STREAM_VALUES + 50);
}

/* Writes x + h v into the plan's inputs; v[i] NULL: no change. */
static void set_inputs(const grad_case *t, ons_plan *p, double *const *v, double h)
{
    for (int i = 0; i < t->n_variables; i++) {
        const grad_variable *var = &t->variables[i];
        void *dst = ons_plan_input(p, var->value->node->name);

        assert_non_null(dst);
        for (int64_t k = 0; k < ons_shape_count(&var->value->shape); k++)
            if (var->n_rows)
                ((int32_t *)dst)[k] = (int32_t)var->x[k];
            else
                ((double *)dst)[k] = var->x[k] + (v[i] ? h * v[i][k] : 0);
    }
}

static double run_loss(ons_plan *p, const double *r, int64_t n)
{
    const double *y;
    double sum = 0;

    if (ons_plan_run(p) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    y = ons_plan_result(p, "y");
    for (int64_t i = 0; i < n; i++)
        sum += r[i] * y[i];
    return sum;
}

/* g.v with the gradients of the last run. */
static double dot_gradients(const grad_case *t, ons_plan *p, double *const *v)
{
    double sum = 0;

    for (int i = 0; i < t->n_variables; i++) {
        char name[16];
        const double *g;

        if (!v[i])
            continue;
        snprintf(name, sizeof name, "g%d", i);
        g = ons_plan_result(p, name);
        assert_non_null(g);
        for (int64_t k = 0; k < ons_shape_count(&t->variables[i].value->shape); k++)
            sum += g[k] * v[i][k];
    }
    return sum;
}

static void check_direction(const grad_case *t, ons_plan *p, double *const *v, const double *r, int64_t n,
                            const char *name, int variable)
{
    double analytic, up, down, numeric;

    set_inputs(t, p, v, 0);
    run_loss(p, r, n);
    analytic = dot_gradients(t, p, v);
    set_inputs(t, p, v, step);
    up = run_loss(p, r, n);
    set_inputs(t, p, v, -step);
    down = run_loss(p, r, n);
    numeric = (up - down) / (2 * step);
    if (!(fabs(analytic - numeric) <= absolute + relative * fabs(numeric)))
        fail_msg("%s, variable %d (-1: all), seed %d: gradient says %.12g, finite differences say %.12g", name,
                 variable, (int)t->seed, analytic, numeric);
}

/* Outputs y, g0, g1, ... with dL/dy = the input "r". */
static void differentiate(grad_case *t, ons_value *y)
{
    ons_value *wrt[GRAD_MAX_VARIABLES], *grads[GRAD_MAX_VARIABLES],
        *r = ons_input(t->g, "r", y->dtype, &y->shape);
    int n = 0, which[GRAD_MAX_VARIABLES];

    for (int i = 0; i < t->n_variables; i++)
        if (!t->variables[i].n_rows) {
            which[n] = i;
            wrt[n++] = (ons_value *)t->variables[i].value;
        }
    ons_grad(t->g, &y, &r, 1, wrt, n, grads);
    ons_graph_output(t->g, y, "y");
    for (int i = 0; i < n; i++) {
        char name[16];

        snprintf(name, sizeof name, "g%d", which[i]);
        ons_graph_output(t->g, grads[i], name);
    }
}

static void check_directions(const grad_case *t, ons_plan *p, const double *r, int64_t n, const char *name)
{
    double *all[GRAD_MAX_VARIABLES] = {0};

    for (int i = 0; i < t->n_variables; i++) {
        double *one[GRAD_MAX_VARIABLES] = {0};

        if (t->variables[i].n_rows)
            continue;
        one[i] = all[i] = draw_normals(t->seed, STREAM_DIRECTION + (uint64_t)i,
                                       ons_shape_count(&t->variables[i].value->shape));
        check_direction(t, p, one, r, n, name, i);
    }
    check_direction(t, p, all, r, n, name, -1);
    for (int i = 0; i < t->n_variables; i++)
        free(all[i]);
}

void grad_check(grad_case *t, ons_value *y, unsigned off, const char *name)
{
    ons_plan_options options = {
        .compute = {.backend = &ons_backend_ref64, .n_threads = 1}, .passes_off = off, .label = name};
    int64_t n;
    double *r;
    ons_plan *p;

    if (ons_graph_finish(t->g) != ONESTEP_OK)
        fail_msg("%s: %s", name, onestep_error_text());
    n = ons_shape_count(&y->shape);
    differentiate(t, y);
    for (int i = 0; i < t->n_variables; i++)
        draw_values(t, i);
    if (ons_plan_create(&t->g, &options, &p) != ONESTEP_OK || ons_plan_allocate(p) != ONESTEP_OK)
        fail_msg("%s: %s", name, onestep_error_text());
    r = draw_normals(t->seed, STREAM_WEIGHTS, n);
    memcpy(ons_plan_input(p, "r"), r, (size_t)n * sizeof *r);
    check_directions(t, p, r, n, name);
    ons_plan_destroy(&p);
    for (int i = 0; i < t->n_variables; i++)
        free(t->variables[i].x);
    free(r);
}
