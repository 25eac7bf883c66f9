/* Parallel regions through OpenMP: the only file that opens them, and that tells oneDNN's how wide to be. */
#include <omp.h>

#include "backend/cpu/cpu.h"

void ons_cpu_parallel(int n_threads, ons_cpu_task task, void *context)
{
    if (n_threads <= 1) {
        task(context, 0, 1);
        return;
    }
#pragma omp parallel num_threads(n_threads)
    task(context, omp_get_thread_num(), omp_get_num_threads());
}

int ons_cpu_set_threads(int n)
{
    int before = omp_get_max_threads();

    if (n != before)
        omp_set_num_threads(n);
    return before;
}

void ons_cpu_barrier(int n_threads)
{
    if (n_threads <= 1)
        return;
#pragma omp barrier
}

typedef struct range_job {
    ons_cpu_range range;
    void *context;
    int64_t n;
} range_job;

static void run_range(void *context, int thread, int n_threads)
{
    const range_job *job = context;
    int64_t begin, end;

    ons_partition(job->n, n_threads, thread, &begin, &end);
    if (begin < end)
        job->range(job->context, begin, end, thread);
}

void ons_cpu_for(int n_threads, int64_t n, int64_t grain, ons_cpu_range range, void *context)
{
    range_job job = {range, context, n};
    int64_t useful = grain > 0 ? n / grain : n;

    if (useful < n_threads)
        n_threads = useful < 1 ? 1 : (int)useful;
    ons_cpu_parallel(n_threads, run_range, &job);
}
