/* Plans for people: one line per step, the peak, and the profile by kernel. */
#include <stdlib.h>
#include <string.h>

#include "backend/plan.h"
#include "base/memory.h"

double ons_plan_flops(const ons_plan *p)
{
    double sum = 0;

    for (int i = 0; i < p->n_steps; i++)
        if (!p->steps[i].hoisted)
            sum += ons_node_flops(p->steps[i].node);
    return sum;
}

void ons_plan_visit(const ons_plan *p,
                    void (*visit)(void *context, const ons_node *n, const char *kernel, double seconds),
                    void *context)
{
    for (int i = 0; i < p->n_steps; i++)
        if (!p->steps[i].hoisted)
            visit(context, p->steps[i].node, p->steps[i].kernel->name, p->steps[i].seconds);
}

static void print_step(const ons_plan *p, const ons_step *s, FILE *f)
{
    const ons_value *v = s->node->out[0];
    const ons_buffer *b = ons_plan_buffer(p, v);
    char shape[96];

    fprintf(f, "%-18s %-44s %-20s %-4s %s%s%s", ons_op_name(s->node->op), s->node->layer ? s->node->layer : "",
            ons_shape_text(&v->shape, shape), ons_dtype_name(v->dtype), s->kernel->name,
            s->prep.detail ? " " : "", s->prep.detail ? s->prep.detail : "");
    if (b->place == ONS_PLACE_ARENA)
        fprintf(f, " @%zu", b->offset);
    fprintf(f, "%s", s->hoisted ? " (once)" : "");
    if (s->refusals)
        fprintf(f, "  [%s]", s->refusals);
    fprintf(f, "\n");
}

void ons_plan_print(const ons_plan *p, FILE *f)
{
    fprintf(f, "plan %s: backend %s, %d threads, %d operators\n", p->label, p->backend->name,
            p->options.n_threads, p->n_steps);
    for (int i = 0; i < p->n_steps; i++)
        print_step(p, &p->steps[i], f);
    fprintf(f, "peak %.1f MB (arena %.1f, scratch %.1f), %.3f GFLOP\n",
            (double)ons_plan_peak_bytes(p) / 1048576, (double)p->arena_bytes / 1048576,
            (double)p->scratch_bytes / 1048576, ons_plan_flops(p) / 1e9);
}

typedef struct row {
    const char *op, *kernel;
    double seconds, flops;
    long count;
} row;

static int by_seconds(const void *a, const void *b)
{
    const row *x = a, *y = b;

    return x->seconds > y->seconds ? -1 : x->seconds < y->seconds;
}

static row *find_row(row *rows, int *n, const ons_step *s)
{
    const char *op = ons_op_name(s->node->op);

    for (int i = 0; i < *n; i++)
        if (!strcmp(rows[i].op, op) && !strcmp(rows[i].kernel, s->kernel->name))
            return &rows[i];
    rows[*n] = (row){.op = op, .kernel = s->kernel->name};
    return &rows[(*n)++];
}

void ons_plan_profile_print(const ons_plan *p, FILE *f)
{
    row *rows = ons_calloc((size_t)p->n_steps + 1, sizeof *rows);
    double total = 0;
    int n = 0;

    if (!rows)
        return;
    for (int i = 0; i < p->n_steps; i++) {
        const ons_step *s = &p->steps[i];
        row *r = find_row(rows, &n, s);

        r->seconds += s->seconds;
        r->flops += ons_node_flops(s->node) * (double)s->runs;
        r->count += s->runs;
        total += s->seconds;
    }
    qsort(rows, (size_t)n, sizeof *rows, by_seconds);
    fprintf(f, "%-20s %-18s %8s %10s %6s %9s\n", "operator", "kernel", "calls", "ms", "share", "GFLOP/s");
    for (int i = 0; i < n; i++)
        fprintf(f, "%-20s %-18s %8ld %10.2f %5.1f%% %9.1f\n", rows[i].op, rows[i].kernel, rows[i].count,
                rows[i].seconds * 1e3, total > 0 ? 100 * rows[i].seconds / total : 0,
                rows[i].seconds > 0 ? rows[i].flops / rows[i].seconds / 1e9 : 0);
    ons_free(rows);
}
