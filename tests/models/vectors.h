/* Reference vectors of tests/reference/make_vectors.py: a file of weights, inputs and results, and a plan run
 * against it. */
#ifndef TESTS_MODELS_VECTORS_H
#define TESTS_MODELS_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "base/memory.h"
#include "io/safetensors.h"
#include "model/model.h"

typedef struct vectors {
    char config[512]; /* path of the model's config.json */
    ons_safetensors *file;
} vectors;

void vectors_open(vectors *v, const char *name);
void vectors_close(vectors *v);
const ons_file_tensor *vectors_find(const vectors *v, const char *name);
/* An input leaf with shape, type and name of tensor `name` ("in.x"). */
ons_value *vectors_input(const vectors *v, ons_graph *g, const char *name);
/* Makes a plan of the graph on backend `backend`, with its inputs taken from the file; fails the test on any
 * error. */
ons_plan *vectors_plan(const vectors *v, ons_graph **g, ons_params *params, const char *backend);
/* Result `name` against the tensor of that name, or against `expected`, element by element: at most `tolerance`
 * x the largest. */
void vectors_compare(const vectors *v, ons_plan *p, const char *name, double tolerance);
void vectors_compare_data(const char *name, const float *got, const float *expected, size_t n,
                          double tolerance);

#endif
