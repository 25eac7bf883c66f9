/*
 * Finite differences in double: one case is a graph with variables, a result y and a random weighting r, f =
 * sum r y. For random directions v the derivative g.v from ons_grad must equal (f(x + hv) - f(x - hv)) / 2h,
 * sign included.
 */
#ifndef TESTS_GRAD_GRAD_CASE_H
#define TESTS_GRAD_GRAD_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "graph/graph.h"

enum { GRAD_MAX_VARIABLES = 24 };

/* Where a variable's values lie: kinks must stay farther away than a step. */
typedef enum grad_values {
    GRAD_ANY,      /* normal numbers */
    GRAD_POSITIVE, /* 0.5 .. 2 */
    GRAD_AWAY,     /* 0.2 .. 1.4 in size, either sign */
    GRAD_DISTINCT  /* no two closer than 0.05 */
} grad_values;

typedef struct grad_variable {
    const ons_value *value;
    grad_values values;
    int64_t n_rows; /* > 0: integers below this, not differentiated */
    double *x;      /* filled by grad_check, in the order of declaration */
} grad_variable;

typedef struct grad_case {
    ons_graph *g;
    grad_variable variables[GRAD_MAX_VARIABLES];
    int n_variables;
    uint64_t seed;
} grad_case;

void grad_case_init(grad_case *t, uint64_t seed);
ons_value *grad_variable_add(grad_case *t, ons_shape shape, grad_values values);
ons_value *grad_ids_add(grad_case *t, ons_shape shape, int64_t n_rows);
/* Differentiates, plans on ref64 without the passes in `off`, and compares each variable alone and all
 * together; ends the case. */
void grad_check(grad_case *t, ons_value *y, unsigned off, const char *name);

#endif
