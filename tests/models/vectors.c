#include "backend/plan.h"
#include "vectors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check(onestep_status st)
{
    if (st != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

void vectors_open(vectors *v, const char *name)
{
    const char *root = getenv("ONESTEP_SOURCE_ROOT");
    char path[512];

    assert_non_null(root);
    snprintf(v->config, sizeof v->config, "%s/tests/models/vectors/%s.json", root, name);
    snprintf(path, sizeof path, "%s/tests/models/vectors/%s.safetensors", root, name);
    check(ons_safetensors_open(path, &v->file));
}

void vectors_close(vectors *v)
{
    ons_safetensors_close(&v->file);
}

const ons_file_tensor *vectors_find(const vectors *v, const char *name)
{
    const ons_file_tensor *t = ons_safetensors_find(v->file, name);

    if (!t)
        fail_msg("%s: no tensor %s", ons_safetensors_path(v->file), name);
    return t;
}

ons_value *vectors_input(const vectors *v, ons_graph *g, const char *name)
{
    const ons_file_tensor *t = vectors_find(v, name);
    ons_shape shape = {.n = t->n_dims};

    for (int i = 0; i < t->n_dims; i++)
        shape.d[i] = t->dims[i];
    return ons_input(g, name, t->dtype, &shape);
}

ons_plan *vectors_plan(const vectors *v, ons_graph **g, ons_params *params, const char *backend)
{
    ons_plan_options options = {.compute.backend = ons_backend_find(backend), .label = "test"};
    ons_plan *p;

    assert_non_null(options.compute.backend);
    options.params[0] = params;
    check(ons_graph_finish(*g));
    check(ons_plan_create(g, &options, &p));
    check(ons_plan_allocate(p));
    for (int i = 0; i < ons_safetensors_count(v->file); i++) {
        const ons_file_tensor *t = ons_safetensors_at(v->file, i);
        void *input = strncmp(t->name, "in.", 3) ? NULL : ons_plan_input(p, t->name);

        if (input)
            memcpy(input, t->data, t->size);
    }
    check(ons_plan_run(p));
    return p;
}

void vectors_compare_data(const char *name, const float *got, const float *expected, size_t n, double tolerance)
{
    double largest = 0, worst = 0;
    size_t at = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < n; i++) {
        const double error = fabs((double)got[i] - (double)expected[i]);

        if (!(error <= worst)) {
            worst = error;
            at = i;
        }
    }
    if (!(worst <= tolerance * largest + 1e-30))
        fail_msg("%s: element %zu is %.9g, expected %.9g; the largest is %.3g", name, at, (double)got[at],
                 (double)expected[at], largest);
}

void vectors_compare(const vectors *v, ons_plan *p, const char *name, double tolerance)
{
    const ons_file_tensor *t = vectors_find(v, name);
    const ons_value *value = ons_plan_find(p, name);
    float *expected = ons_malloc(t->size);
    size_t n = t->size / sizeof(float);

    assert_non_null(value);
    assert_non_null(expected);
    assert_int_equal(value->shape.n, t->n_dims);
    for (int i = 0; i < t->n_dims; i++)
        assert_int_equal(value->shape.d[i], t->dims[i]);
    memcpy(expected, t->data, t->size);
    vectors_compare_data(name, ons_plan_result(p, name), expected, n, tolerance);
    ons_free(expected);
}
