/* Plans for people: one line per step, and the peak. */
#include "backend/plan.h"

double ons_plan_flops(const ons_plan *p)
{
    double sum = 0;

    for (int i = 0; i < p->n_steps; i++)
        if (!p->steps[i].hoisted)
            sum += ons_node_flops(p->steps[i].node);
    return sum;
}

void ons_plan_visit(const ons_plan *p, void (*visit)(void *context, const ons_node *n), void *context)
{
    for (int i = 0; i < p->n_steps; i++)
        if (!p->steps[i].hoisted)
            visit(context, p->steps[i].node);
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
            p->options.compute.n_threads, p->n_steps);
    for (int i = 0; i < p->n_steps; i++)
        print_step(p, &p->steps[i], f);
    fprintf(f, "peak %.1f MB (arena %.1f, scratch %.1f), %.3f GFLOP\n",
            (double)ons_plan_peak_bytes(p) / 1048576, (double)p->arena_bytes / 1048576,
            (double)p->scratch_bytes / 1048576, ons_plan_flops(p) / 1e9);
}
