/* Work for several threads: regions of pieces, and ranges of an index. */
#ifndef ONS_BASE_PARALLEL_H
#define ONS_BASE_PARALLEL_H

#include <stdint.h>

/* Part i of t of [0, n): contiguous, as even as possible, the same for the same numbers. */
static inline void ons_partition(int64_t n, int t, int i, int64_t *begin, int64_t *end)
{
    int64_t q = n / t, r = n % t;

    *begin = i * q + (i < r ? i : r);
    *end = *begin + q + (i < r);
}

/*
 * Runs `task` once for each of n_threads pieces (1 to ONS_MAX_PIECES; other numbers count as the nearest), on
 * at most that many threads, the caller's among them, and returns when all are done. Which thread runs a piece,
 * and whether two run at the same time, is not said: results must depend on the pieces alone, and no piece may
 * wait for another. Inside a task the pieces run one after the other, as they do where no thread can be had.
 */
enum { ONS_MAX_PIECES = 1024 };
typedef void (*ons_task)(void *context, int piece, int n_pieces);
void ons_parallel(int n_threads, ons_task task, void *context);

/* Splits [0, n) into one contiguous range per thread, with fewer of them when a range would be shorter than
 * `grain`; `piece` counts the ranges. */
typedef void (*ons_range)(void *context, int64_t begin, int64_t end, int piece);
void ons_parallel_for(int n_threads, int64_t n, int64_t grain, ons_range range, void *context);

#endif
