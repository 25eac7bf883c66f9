/*
 * One operator on random operands: every kernel of every list that takes it against the reference kernel.
 *
 * Outputs are poisoned with NaN, guarded by words on both sides, and each element is bounded:
 * |got - want| <= atol + rtol |want|, atol growing with the root of the number of terms that are summed. A
 * second run on the same operands must give the same bits.
 */
#ifndef KERNEL_CASE_H
#define KERNEL_CASE_H

#include "backend/backend.h"

enum { CASE_MAX_IN = 8 };

typedef struct kernel_case {
    ons_op op;
    int n_in;
    ons_shape in[CASE_MAX_IN];
    ons_attrs attrs;
    double terms;                /* products or values summed into one element; 0: 1 */
    double lo, hi;               /* operands lie in between; both 0: -1 and 1 */
    double slack;                /* factor on the bound; 0: 1 */
    bool param;                  /* operand 1 is a parameter, so that its packed copy is used */
    bool frozen;                 /* that parameter is not trained */
    bool f32_result;             /* of bf16 factors: result and residual are f32 */
    bool own_range[CASE_MAX_IN]; /* this operand in [lo2, hi2] */
    double lo2, hi2;
} kernel_case;

uint64_t test_seed(void); /* ONESTEP_TEST_SEED or 1; printed once */

/* Runs the case with f32 operands, and when `bf16` is set again with bf16 ones. */
void run_kernel_case(const kernel_case *c, bool bf16);

/*
 * Prints how often each row of this operator's lists has run, what it refused last, and which rows are not for
 * this CPU. Fails where one never ran, unless the CPU is why or another test's operands are what it takes.
 */
void report_kernels(ons_op op);
/* The same of one row, for tests that are made for it. */
void report_kernel(ons_op op, const char *name);
const ons_kernel *find_kernel_row(ons_op op, const char *name); /* NULL: this CPU's list has none */

/* Shapes that take long are for check-long, which sets ONESTEP_TEST_LONG. */
bool test_every_shape(void);

#endif
