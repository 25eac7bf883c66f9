/*
 * Poisoned memory: results start as NaN, dead buffers become NaN again, and each buffer lies between red zones.
 * A kernel that skips an element, a plan that reuses memory too early and a write past an end then show at the
 * step where they happen.
 */
#include <string.h>

#include "backend/plan.h"

enum { POISON = 0xFF }; /* NaN in every float type */

/* Weights may be uninitialised by mistake, token numbers are table indices: integers start as zero. */
void ons_plan_poison_arena(ons_plan *p)
{
    memset(p->arena, POISON, ons_plan_peak_bytes(p));
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        if (n->op == ONS_OP_INPUT && n->out[0]->dtype >= ONS_I32)
            memset(ons_plan_address(p, n->out[0]), 0, ons_plan_value_bytes(p, n->out[0]));
    }
}

static bool is_operand(const ons_step *s, const void *data)
{
    for (int k = 0; k < s->node->n_in; k++)
        if (s->in[k] == data)
            return true;
    return false;
}

static bool has_zones(const ons_plan *p, const ons_value *v)
{
    const ons_buffer *b = ons_plan_buffer(p, v);

    return b->place == ONS_PLACE_ARENA && b->bytes;
}

void ons_plan_poison_before(const ons_plan *p, const ons_step *s)
{
    for (int k = 0; k < s->node->n_out; k++) {
        size_t bytes = ons_plan_value_bytes(p, s->node->out[k]);
        unsigned char *data = s->out[k];

        if (!data)
            continue;
        if (!is_operand(s, data))
            memset(data, POISON, bytes);
        if (has_zones(p, s->node->out[k])) {
            memset(data - ONS_RED_ZONE, POISON, ONS_RED_ZONE);
            memset(data + bytes, POISON, ONS_RED_ZONE);
        }
    }
    memset((unsigned char *)s->args.scratch + s->prep.scratch_bytes, POISON, ONS_RED_ZONE);
}

static bool is_poison(const unsigned char *zone)
{
    for (int i = 0; i < ONS_RED_ZONE; i++)
        if (zone[i] != POISON)
            return false;
    return true;
}

static onestep_status fail_zone(const ons_plan *p, const ons_step *s, const char *what)
{
    return ons_fail(ONESTEP_INTERNAL, "%s: %s at %s (kernel %s) wrote outside its %s", p->label,
                    ons_op_name(s->node->op), s->node->layer ? s->node->layer : "top level", s->kernel->name,
                    what);
}

/* Buffers that nobody reads after this step. */
static void bury_dead(const ons_plan *p, const ons_step *s)
{
    int step = (int)(s - p->steps);

    for (int i = 0; i < p->n_buffers; i++)
        if (p->buffers[i].root == i && p->buffers[i].place == ONS_PLACE_ARENA && p->buffers[i].last == step)
            memset(p->buffers[i].ptr, POISON, p->buffers[i].bytes);
}

onestep_status ons_plan_poison_after(const ons_plan *p, const ons_step *s)
{
    if (!is_poison((const unsigned char *)s->args.scratch + s->prep.scratch_bytes))
        return fail_zone(p, s, "scratch");
    for (int k = 0; k < s->node->n_out; k++) {
        const unsigned char *data = s->out[k];

        if (data && has_zones(p, s->node->out[k]) &&
            (!is_poison(data - ONS_RED_ZONE) || !is_poison(data + ons_plan_value_bytes(p, s->node->out[k]))))
            return fail_zone(p, s, "output");
    }
    bury_dead(p, s);
    return ONESTEP_OK;
}
