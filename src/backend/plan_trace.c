/* Chrome trace events (one complete event per operator): open the file in chrome://tracing or Perfetto. */
#include <stdio.h>

#include "backend/plan.h"
#include "base/log.h"

/* The array is left open: the format allows it, and a killed run leaves a readable file. */
void ons_plan_trace_step(ons_plan *p, const ons_step *s, double start_s, double end_s)
{
    FILE *f = fopen(p->trace_path, "a");

    if (!f) {
        ons_warn("%s: cannot write the trace", p->trace_path);
        return;
    }
    if (ftell(f) == 0)
        fputs("[\n", f);
    fprintf(f, "{\"name\":\"%s\",\"cat\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"layer\":\"%s\","
               "\"kernel\":\"%s\",\"flops\":%.0f,\"bytes\":%.0f}},\n",
            ons_op_name(s->node->op), p->label, start_s * 1e6, (end_s - start_s) * 1e6, s->node->layer ? s->node->layer : "",
            s->kernel->name, ons_node_flops(s->node), ons_node_bytes(s->node));
    fclose(f);
}
