/* The only file that knows OpenMP: oneDNN's regions are as wide as it says. */
#include <omp.h>

#include "backend/cpu/cpu.h"

int ons_cpu_set_threads(int n)
{
    int before = omp_get_max_threads();

    if (n != before)
        omp_set_num_threads(n);
    return before;
}
