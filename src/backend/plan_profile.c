/* Where the time of a plan goes: its operators grouped by kind, kernel and the implementation behind it. */
#include <stdlib.h>
#include <string.h>

#include "backend/plan.h"
#include "base/memory.h"

static ons_profile_row *find_row(ons_profile *p, const ons_step *s)
{
    const char *op = ons_op_name(s->node->op), *detail = s->prep.detail ? s->prep.detail : "";
    ons_profile_row *r = p->rows;

    for (; r < p->rows + p->n; r++)
        if (!strcmp(r->op, op) && !strcmp(r->kernel, s->kernel->name) &&
            !strncmp(r->detail, detail, sizeof r->detail - 1))
            return r;
    *r = (ons_profile_row){.op = op, .kernel = s->kernel->name};
    strncpy(r->detail, detail, sizeof r->detail - 1);
    p->n++;
    return r;
}

static int by_seconds(const void *a, const void *b)
{
    const ons_profile_row *x = a, *y = b;

    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

onestep_status ons_plan_profile_read(const ons_plan *p, ons_profile *out)
{
    *out = (ons_profile){.rows = ons_calloc((size_t)p->n_steps + 1, sizeof *out->rows)};
    if (!out->rows)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a profile of %d operators", p->n_steps);
    for (int i = 0; i < p->n_steps; i++) {
        const ons_step *s = &p->steps[i];
        ons_profile_row *r;

        if (s->hoisted)
            continue;
        r = find_row(out, s);
        r->operators++;
        r->runs += s->runs;
        r->seconds += s->seconds;
        r->flops += ons_node_flops(s->node) * (double)s->runs;
        out->seconds += s->seconds;
    }
    qsort(out->rows, (size_t)out->n, sizeof *out->rows, by_seconds);
    return ONESTEP_OK;
}

void ons_profile_fini(ons_profile *p)
{
    ons_free(p->rows);
    *p = (ons_profile){0};
}

void ons_profile_print(const ons_profile *p, double whole_s, FILE *f)
{
    fprintf(f, "%-20s %-18s %8s %10s %7s %9s  %s\n", "operator", "kernel", "runs", "ms", "share", "GFLOP/s",
            "implementation");
    for (int i = 0; i < p->n; i++) {
        const ons_profile_row *r = &p->rows[i];

        fprintf(f, "%-20s %-18s %8ld %10.2f %6.1f%% %9.1f  %s\n", r->op, r->kernel, r->runs, r->seconds * 1e3,
                whole_s > 0 ? 100 * r->seconds / whole_s : 0, r->seconds > 0 ? r->flops / r->seconds / 1e9 : 0,
                r->detail);
    }
}
