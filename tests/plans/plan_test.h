/* What the plan tests share: a backend that is ref with single kernels replaced, short builders, and a
 * parameter set. */
#ifndef TESTS_PLANS_PLAN_TEST_H
#define TESTS_PLANS_PLAN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/plan.h"
#include "base/memory.h"

/* Named "test"; every list is ref's until a row is put before it. */
extern const ons_backend test_backend;
extern int test_runs; /* calls of run_counted since the last reset */

void test_backend_reset(void);
/* Puts a row before what the operator's list holds. */
void test_backend_prefer(ons_op op, ons_kernel k);

/* Rows' functions: ref, and then something. */
onestep_status run_counted(const ons_prep *p, const ons_args *a);
onestep_status run_wrong(const ons_prep *p, const ons_args *a);   /* first element off by 1 */
onestep_status run_overrun(const ons_prep *p, const ons_args *a); /* writes one element past the end */
onestep_status run_lazy(const ons_prep *p, const ons_args *a);    /* leaves the last element as it was */
onestep_status prepare_in_place(ons_prep *p);

int reset_backend(void **state); /* cmocka's setup: the backend as ref, no debug switches */

/* A plan of `g` (taken) on `backend`; fails the test with the message when it cannot be made. */
ons_plan *make_plan(ons_graph *g, const ons_backend *backend, ons_params *const *params, unsigned passes_off);
ons_graph *make_graph(void);
ons_value *input1(ons_graph *g, const char *name, int64_t n);
void run_plan(ons_plan *p);
void set_floats(ons_plan *p, const char *name, const float *values, int n);
void assert_floats(const float *got, const float *want, int n);
void assert_contains(const char *text, const char *part);

/* A set with one vector parameter "w" of 4 numbers. */
ons_params *make_params(const float *values);

#endif
