/*
 * The roofline of a training step: the highest rates that anything here reaches on large operands in this very
 * process, apart for forward, backward-data and backward-weights, and apart for what fast algorithms can and
 * cannot shorten.
 *
 * All rates are by the direct count (2 per multiply-add). 3x3 convolutions with stride 1 are measured against
 * the best convolution of their direction, Winograd's included, whose rate by that count is above what the
 * cores multiply; everything else (other convolutions, products, attention) against the best product or direct
 * convolution. Rejected: one peak for all, which Winograd's convolutions pass and which then limits nothing.
 */
#ifndef ONS_BENCH_ROOFLINE_H
#define ONS_BENCH_ROOFLINE_H

#include "backend/backend.h"

enum { ONS_BENCH_FORWARD, ONS_BENCH_BACKWARD_DATA, ONS_BENCH_BACKWARD_WEIGHTS, ONS_BENCH_DIRECTIONS };
enum {
    ONS_BENCH_PLAIN,
    ONS_BENCH_FAST,
    ONS_BENCH_CLASSES
}; /* FAST: 3x3, stride 1, at least 16 channels on both sides */

typedef struct ons_bench_peak {
    double gflops;
    char by[96]; /* what reached it */
} ons_bench_peak;

typedef struct ons_bench_roofline {
    ons_bench_peak peaks[ONS_BENCH_CLASSES][ONS_BENCH_DIRECTIONS];
} ons_bench_roofline;

typedef struct ons_bench_work {
    double flops[ONS_BENCH_CLASSES][ONS_BENCH_DIRECTIONS];
} ons_bench_work;

/* With f32 operands, or bf16 ones for all other types; n_directions 1: forward alone. Raises the peaks where
 * this measurement is higher; start from zeros. */
void ons_bench_roofline_measure(ons_bench_roofline *r, int n_directions, const ons_compute *c);
ons_bench_work ons_bench_work_of(const ons_plan *p);
double ons_bench_work_total(const ons_bench_work *w);
double ons_bench_ideal_s(const ons_bench_roofline *r, const ons_bench_work *w); /* at the peaks */
double ons_bench_ideal_plain_s(const ons_bench_roofline *r,
                               const ons_bench_work *w); /* without fast algorithms */

extern const char *const ons_bench_direction_names[ONS_BENCH_DIRECTIONS];

#endif
