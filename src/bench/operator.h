/* One operator on made-up operands, timed with every kernel that takes it. */
#ifndef ONS_BENCH_OPERATOR_H
#define ONS_BENCH_OPERATOR_H

#include "backend/backend.h"

enum { ONS_BENCH_MAX_IN = 6 };

typedef struct ons_bench_operator {
    ons_op op;
    int n_in;
    ons_shape in[ONS_BENCH_MAX_IN];
    ons_attrs attrs;
    bool param;  /* operand 1 is a weight */
    bool frozen; /* the weight has no gradient: it is an f32 parameter even where the other operands are bf16 */
    bool bf16;   /* operands; gradients of weights are f32 */
} ons_bench_operator;

typedef void (*ons_bench_report)(void *context, const ons_node *n, const char *kernel, const char *detail,
                                 double seconds);
/* Every kernel of the backend that takes the operator, in the list's order. What fails is said on stderr and
 * left out.
 */
void ons_bench_operator_time(const ons_bench_operator *o, const ons_compute *c, ons_bench_report report,
                             void *context);
/* The backend's probe of the operator, if there is one: `kernel` is its library, `detail` its name. */
void ons_bench_probe_time(const ons_bench_operator *o, const ons_compute *c, bool fast, ons_bench_report report,
                          void *context);

/* Square convolutions with padding k / 2: which is 0 forward, 1 backward-data, 2 backward-weights. */
ons_bench_operator ons_bench_conv(int which, int64_t n, int64_t h, int64_t c, int64_t o, int64_t k, int stride);
/* y [rows, out] = x [rows, in] w^T and its gradients, by the same numbers. */
ons_bench_operator ons_bench_linear(int which, int64_t rows, int64_t in, int64_t out);

#endif
