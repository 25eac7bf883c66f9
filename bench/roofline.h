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

enum { BENCH_FORWARD, BENCH_BACKWARD_DATA, BENCH_BACKWARD_WEIGHTS, BENCH_DIRECTIONS };
enum { BENCH_PLAIN, BENCH_FAST, BENCH_CLASSES }; /* FAST: 3x3, stride 1, at least 16 channels on both sides */

typedef struct bench_peak {
    double gflops;
    char by[96]; /* what reached it */
} bench_peak;

typedef struct bench_roofline {
    bench_peak peaks[BENCH_CLASSES][BENCH_DIRECTIONS];
} bench_roofline;

typedef struct bench_work {
    double flops[BENCH_CLASSES][BENCH_DIRECTIONS];
} bench_work;

/* In f32, or of bf16 operands. Raises the peaks where this measurement is higher; start from zeros. */
void bench_roofline_measure(bench_roofline *r, int n_threads, bool bf16);
bench_work bench_work_of(const ons_plan *p);
double bench_work_total(const bench_work *w);
double bench_ideal_s(const bench_roofline *r, const bench_work *w);       /* at the peaks */
double bench_ideal_plain_s(const bench_roofline *r, const bench_work *w); /* without fast algorithms */

extern const char *const bench_direction_names[BENCH_DIRECTIONS];

#endif
