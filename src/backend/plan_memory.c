/*
 * Memory of a plan: one arena, every buffer at a fixed offset, reused as soon as its contents are dead. Buffers are placed
 * largest first at the lowest offset that no buffer alive at the same time occupies, which comes near the optimum for the nested lifetimes of
 * forward and backward passes. Inputs, hoisted results and named outputs live through the whole run.
 */
#include <stdlib.h>

#include "backend/plan.h"
#include "base/memory.h"

ons_buffer *ons_plan_buffer(const ons_plan *p, const ons_value *v)
{
    return &p->buffers[p->buffers[v->id].root];
}

static void start_leaf(ons_plan *p, const ons_node *n)
{
    ons_buffer *b = &p->buffers[n->out[0]->id];

    b->place = n->op == ONS_OP_PARAM ? ONS_PLACE_PARAM : n->op == ONS_OP_CONSTANT ? ONS_PLACE_CONSTANT : ONS_PLACE_ARENA;
    b->bytes = ons_plan_value_bytes(p, n->out[0]);
    b->first = 0;
    b->last = n->op == ONS_OP_INPUT ? p->n_steps : 0;
    b->pinned = true;
}

/* Roots, places and definition points, in topological order. */
static void start_buffers(ons_plan *p)
{
    int step = 0;

    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        for (int k = 0; k < n->n_out; k++)
            if (n->out[k])
                p->buffers[n->out[k]->id].root = n->out[k]->id;
        if (n->op == ONS_OP_INPUT || n->op == ONS_OP_PARAM || n->op == ONS_OP_CONSTANT) {
            start_leaf(p, n);
        } else if (ons_is_view(n->op)) {
            p->buffers[n->out[0]->id].root = p->buffers[n->in[0]->id].root;
        } else {
            for (int k = 0; k < n->n_out; k++)
                if (n->out[k]) {
                    ons_buffer *b = &p->buffers[n->out[k]->id];

                    b->bytes = ons_plan_value_bytes(p, n->out[k]);
                    b->first = b->last = step;
                    b->place = ONS_PLACE_ARENA;
                    b->pinned = p->steps[step].hoisted;
                    if (p->steps[step].hoisted) {
                        b->first = 0;
                        b->last = p->n_steps;
                    }
                }
            step++;
        }
    }
}

static void extend_lifetimes(ons_plan *p)
{
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].node->n_in; k++) {
            ons_buffer *b = ons_plan_buffer(p, p->steps[i].node->in[k]);

            if (b->last < i)
                b->last = i;
        }
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++) {
        ons_buffer *b = ons_plan_buffer(p, ons_graph_output_at(p->graph, i)->value);

        b->last = p->n_steps;
        b->pinned = true;
    }
}

/* Outputs that nobody reads need no buffer: kernels get NULL. */
static void drop_unused(ons_plan *p)
{
    bool *used = ons_calloc((size_t)p->n_values + 1, sizeof *used);

    if (!used)
        return; /* keeps a few buffers too many */
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].node->n_in; k++)
            used[p->buffers[p->steps[i].node->in[k]->id].root] = true;
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++)
        used[p->buffers[ons_graph_output_at(p->graph, i)->value->id].root] = true;
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 1; k < p->steps[i].node->n_out; k++) {
            const ons_value *v = p->steps[i].node->out[k];

            if (v && !used[v->id])
                p->buffers[v->id].place = ONS_PLACE_NONE;
        }
    ons_free(used);
}

static bool shares_root(const ons_plan *p, const ons_node *n, int root)
{
    for (int k = 1; k < n->n_in; k++)
        if (p->buffers[n->in[k]->id].root == root)
            return true;
    return false;
}

static void redirect(ons_plan *p, int from, int to)
{
    for (int i = 0; i < p->n_values; i++)
        if (p->buffers[i].root == from)
            p->buffers[i].root = to;
}

/* A result takes over the buffer of its first operand when that dies here. */
static void reuse_in_place(ons_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        const ons_node *n = p->steps[i].node;
        ons_buffer *src, *dst;

        if (!p->steps[i].prep.in_place || p->steps[i].hoisted)
            continue;
        src = ons_plan_buffer(p, n->in[0]);
        dst = ons_plan_buffer(p, n->out[0]);
        if (src->place != ONS_PLACE_ARENA || src->pinned || dst->pinned || src->last != i || src->bytes != dst->bytes ||
            shares_root(p, n, p->buffers[n->in[0]->id].root))
            continue;
        src->last = dst->last;
        redirect(p, n->out[0]->id, p->buffers[n->in[0]->id].root);
    }
}

static _Thread_local const ons_buffer *sorting; /* qsort takes no context */

static int by_size(const void *a, const void *b)
{
    int i = *(const int *)a, k = *(const int *)b;

    if (sorting[i].bytes != sorting[k].bytes)
        return sorting[i].bytes > sorting[k].bytes ? -1 : 1;
    return i - k;
}

static int by_offset(const void *a, const void *b)
{
    const ons_buffer *x = *(const ons_buffer *const *)a, *y = *(const ons_buffer *const *)b;

    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static size_t padded(const ons_plan *p, size_t bytes)
{
    return (bytes + 63) / 64 * 64 + (p->poison ? 2 * ONS_RED_ZONE : 0);
}

/* Lowest offset at which `b` fits between the already placed buffers that are alive with it. */
static size_t find_gap(const ons_plan *p, const ons_buffer *b, ons_buffer **alive, int n)
{
    size_t at = 0, need = padded(p, b->bytes);

    qsort(alive, (size_t)n, sizeof *alive, by_offset);
    for (int i = 0; i < n; i++) {
        if (alive[i]->offset >= at + need)
            break;
        if (alive[i]->offset + padded(p, alive[i]->bytes) > at)
            at = alive[i]->offset + padded(p, alive[i]->bytes);
    }
    return at;
}

onestep_status ons_plan_place(ons_plan *p)
{
    int *order = ons_malloc(((size_t)p->n_values + 1) * sizeof *order), n = 0;
    ons_buffer **placed = ons_malloc(((size_t)p->n_values + 1) * sizeof *placed);
    ons_buffer **alive = ons_malloc(((size_t)p->n_values + 1) * sizeof *alive);
    onestep_status st = ONESTEP_OK;

    if (!order || !placed || !alive) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to lay out a plan");
        goto done;
    }
    for (int i = 0; i < p->n_values; i++)
        if (p->buffers[i].root == i && p->buffers[i].place == ONS_PLACE_ARENA && p->buffers[i].bytes)
            order[n++] = i;
    sorting = p->buffers;
    qsort(order, (size_t)n, sizeof *order, by_size);
    p->arena_bytes = 0;
    for (int i = 0; i < n; i++) {
        ons_buffer *b = &p->buffers[order[i]];
        int n_alive = 0;

        for (int k = 0; k < i; k++)
            if (placed[k]->first <= b->last && b->first <= placed[k]->last)
                alive[n_alive++] = placed[k];
        b->offset = find_gap(p, b, alive, n_alive);
        placed[i] = b;
        if (b->offset + padded(p, b->bytes) > p->arena_bytes)
            p->arena_bytes = b->offset + padded(p, b->bytes);
    }
done:
    ons_free(order);
    ons_free(placed);
    ons_free(alive);
    return st;
}

onestep_status ons_plan_layout(ons_plan *p)
{
    start_buffers(p);
    extend_lifetimes(p);
    drop_unused(p);
    reuse_in_place(p);
    return ons_plan_place(p);
}
