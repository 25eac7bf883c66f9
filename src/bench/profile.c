/* See profile.h. */
#include "bench/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static void count_node(void *context, const ons_node *n, const char *kernel, double seconds)
{
    int *count = context;

    (void)n;
    (void)kernel;
    (void)seconds;
    ++*count;
}

static void add_node(void *context, const ons_node *n, const char *kernel, double seconds)
{
    ons_bench_profile *p = context;
    const char *op = ons_op_name(n->op);
    int i = 0;

    while (i < p->n && (strcmp(p->rows[i].op, op) != 0 || strcmp(p->rows[i].kernel, kernel) != 0))
        i++;
    if (i == p->n)
        p->rows[p->n++] = (ons_bench_row){.op = op, .kernel = kernel};
    p->rows[i].calls++;
    p->rows[i].seconds += seconds;
    p->rows[i].flops += ons_node_flops(n);
    p->seconds += seconds;
}

static int by_seconds(const void *a, const void *b)
{
    const ons_bench_row *x = a, *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

onestep_status ons_bench_profile_read(const ons_plan *p, ons_bench_profile *out)
{
    int n = 0;

    *out = (ons_bench_profile){0};
    ons_plan_visit(p, count_node, &n);
    out->rows = ons_calloc((size_t)n + 1, sizeof *out->rows);
    if (!out->rows)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a profile of %d operators", n);
    ons_plan_visit(p, add_node, out);
    qsort(out->rows, (size_t)out->n, sizeof *out->rows, by_seconds);
    return ONESTEP_OK;
}

void ons_bench_profile_fini(ons_bench_profile *p)
{
    ons_free(p->rows);
    *p = (ons_bench_profile){0};
}
