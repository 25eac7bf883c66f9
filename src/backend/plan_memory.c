/*
 * Memory of a plan: one arena, every buffer at a fixed offset, reused as soon as its contents are dead. Buffers
 * are placed largest first, each in the smallest gap between those alive at the same time that holds it, which
 * comes near the optimum for the nested lifetimes of forward and backward passes. Inputs, and hoisted results
 * that other steps read, keep their place for good; named outputs from where they are made. An output that is
 * but a view of a leaf gets a copy of its own.
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

    b->place = n->op == ONS_OP_PARAM      ? ONS_PLACE_PARAM
               : n->op == ONS_OP_CONSTANT ? ONS_PLACE_CONSTANT
                                          : ONS_PLACE_ARENA;
    b->bytes = ons_plan_value_bytes(p, n->out[0]);
    b->first = 0;
    b->last = n->op == ONS_OP_INPUT ? p->n_steps : 0;
    b->pinned = b->leaf = true;
}

static void start_result(ons_plan *p, const ons_value *v, int step)
{
    ons_buffer *b = &p->buffers[v->id];

    b->bytes = ons_plan_value_bytes(p, v);
    b->first = b->last = step;
    b->place = ONS_PLACE_ARENA;
    b->hoisted = p->steps[step].hoisted;
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
        if (ons_op_is_leaf(n->op)) {
            start_leaf(p, n);
        } else if (ons_op_is_view(n->op)) {
            p->buffers[n->out[0]->id].root = p->buffers[n->in[0]->id].root;
        } else {
            for (int k = 0; k < n->n_out; k++)
                start_result(p, n->out[k], step);
            step++;
        }
    }
}

/* Read in runs that do not make it again. */
static void keep_for_good(const ons_plan *p, ons_buffer *b)
{
    b->first = 0;
    b->last = p->n_steps;
}

/* Output i is a leaf or a view of one: a buffer for the copy that is taken after the last step. */
static void start_copy(ons_plan *p, int i)
{
    ons_buffer *b = &p->buffers[p->n_values + i];

    b->root = p->n_values + i;
    b->place = ONS_PLACE_ARENA;
    b->bytes = ons_plan_value_bytes(p, ons_graph_output_at(p->graph, i)->value);
    b->first = b->last = p->n_steps;
    b->pinned = true;
}

static void extend_lifetimes(ons_plan *p)
{
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].node->n_in; k++) {
            ons_buffer *b = ons_plan_buffer(p, p->steps[i].node->in[k]);

            if (b->last < i)
                b->last = i;
            if (b->hoisted && !p->steps[i].hoisted)
                keep_for_good(p, b);
        }
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++) {
        ons_buffer *b = ons_plan_buffer(p, ons_graph_output_at(p->graph, i)->value);

        b->last = p->n_steps;
        b->pinned = true;
        if (b->hoisted)
            keep_for_good(p, b);
        if (b->leaf)
            start_copy(p, i);
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
        if (src->place != ONS_PLACE_ARENA || src->pinned || dst->pinned || src->last != i ||
            src->bytes != dst->bytes || shares_root(p, n, p->buffers[n->in[0]->id].root))
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

static size_t padded(const ons_plan *p, size_t bytes)
{
    return (bytes + 63) / 64 * 64 + (p->poison ? 2 * ONS_RED_ZONE : 0);
}

/* Offset of the smallest gap that holds `b` between buffers alive with it; `placed` is in order of offsets. */
static size_t find_gap(const ons_plan *p, const ons_buffer *b, ons_buffer *const *placed, int n)
{
    size_t end = 0, at = 0, smallest = SIZE_MAX, need = padded(p, b->bytes);

    for (int i = 0; i < n; i++) {
        const ons_buffer *o = placed[i];

        if (o->first > b->last || b->first > o->last)
            continue;
        if (o->offset >= end + need && o->offset - end < smallest) {
            smallest = o->offset - end;
            at = end;
        }
        if (o->offset + padded(p, o->bytes) > end)
            end = o->offset + padded(p, o->bytes);
    }
    return smallest == SIZE_MAX ? end : at;
}

static void insert_by_offset(ons_buffer **placed, int n, ons_buffer *b)
{
    for (; n > 0 && placed[n - 1]->offset > b->offset; n--)
        placed[n] = placed[n - 1];
    placed[n] = b;
}

onestep_status ons_plan_place(ons_plan *p)
{
    int *order = ons_malloc(((size_t)p->n_buffers + 1) * sizeof *order), n = 0;
    ons_buffer **placed = ons_malloc(((size_t)p->n_buffers + 1) * sizeof *placed);
    onestep_status st = ONESTEP_OK;

    if (!order || !placed) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to lay out a plan");
        goto done;
    }
    for (int i = 0; i < p->n_buffers; i++)
        if (p->buffers[i].root == i && p->buffers[i].place == ONS_PLACE_ARENA && p->buffers[i].bytes)
            order[n++] = i;
    sorting = p->buffers;
    qsort(order, (size_t)n, sizeof *order, by_size);
    p->arena_bytes = 0;
    for (int i = 0; i < n; i++) {
        ons_buffer *b = &p->buffers[order[i]];

        b->offset = find_gap(p, b, placed, i);
        insert_by_offset(placed, i, b);
        if (b->offset + padded(p, b->bytes) > p->arena_bytes)
            p->arena_bytes = b->offset + padded(p, b->bytes);
    }
done:
    ons_free(order);
    ons_free(placed);
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
