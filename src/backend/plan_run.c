/* Allocating once and running many times: pointers are fixed when the arena is, a run only walks the steps. */
#include <string.h>

#include "backend/plan.h"
#include "base/memory.h"
#include "base/system.h"

size_t ons_plan_peak_bytes(const ons_plan *p)
{
    return p->arena_bytes + p->scratch_bytes + 64;
}

/* Do kernels read weights elsewhere, or in another type, than where the host has them? */
static bool copies_leaves(const ons_plan *p)
{
    return p->backend->real != ONS_F32 || !p->backend->memory->on_host;
}

static onestep_status copy_leaf(ons_plan *p, ons_buffer *b, const ons_value *v, const void *src)
{
    if (!b->copy && !(b->copy = p->backend->memory->allocate(b->bytes ? b->bytes : 1)))
        return ons_fail(ONESTEP_NO_MEMORY, "%s: backend %s has no memory for its copy of the weights", p->label,
                        p->backend->name);
    b->ptr = b->copy;
    return ons_plan_copy_in(p, b->copy, ons_plan_stored_type(p, v), src, v->dtype,
                            (size_t)ons_shape_count(&v->shape));
}

static onestep_status locate_leaf(ons_plan *p, const ons_node *n)
{
    ons_buffer *b = &p->buffers[n->out[0]->id];
    void *data = NULL;

    if (n->op == ONS_OP_CONSTANT)
        data = (void *)n->attrs.constant;
    else if (b->plain && p->options.params[n->attrs.param.slot])
        data = ons_params_data(p->options.params[n->attrs.param.slot], n->attrs.param.index);
    if (data && copies_leaves(p))
        return copy_leaf(p, b, n->out[0], data);
    if (data)
        b->ptr = data;
    return ONESTEP_OK;
}

/* Parameters that are only read packed stay out of memory in their plain form, unless a debug switch looks at
 * operands. */
static void find_plain(ons_plan *p)
{
    const bool all = p->compare || p->backend->real != ONS_F32;

    for (int i = 0; i < p->n_values; i++)
        p->buffers[i].plain = all;
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; k < p->steps[i].node->n_in; k++)
            if (!(p->steps[i].prep.packed_in >> k & 1))
                ons_plan_buffer(p, p->steps[i].node->in[k])->plain = true;
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++)
        ons_plan_buffer(p, ons_graph_output_at(p->graph, i)->value)->plain = true;
}

size_t ons_plan_plain_bytes(ons_plan *p)
{
    size_t bytes = 0;

    find_plain(p);
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        if (n->op == ONS_OP_PARAM && p->buffers[n->out[0]->id].plain)
            bytes += p->buffers[n->out[0]->id].bytes;
    }
    return bytes;
}

static onestep_status locate_leaves(ons_plan *p)
{
    find_plain(p);
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);
        onestep_status st;

        if ((n->op == ONS_OP_PARAM || n->op == ONS_OP_CONSTANT) && (st = locate_leaf(p, n)) != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

/* Every pointer that a run uses. */
static void locate_steps(ons_plan *p)
{
    for (int i = 0; i < p->n_buffers; i++)
        if (p->buffers[i].root == i && p->buffers[i].place == ONS_PLACE_ARENA)
            p->buffers[i].ptr = p->arena + p->buffers[i].offset + (p->poison ? ONS_RED_ZONE : 0);
    for (int i = 0; i < p->n_steps; i++) {
        ons_step *s = &p->steps[i];

        for (int k = 0; k < s->node->n_in; k++)
            s->in[k] = ons_plan_address(p, s->node->in[k]);
        for (int k = 0; k < s->node->n_out; k++)
            s->out[k] = ons_plan_address(p, s->node->out[k]);
        s->args = (ons_args){.in = s->in, .out = s->out, .scratch = p->arena + p->arena_bytes};
    }
}

static onestep_status locate(ons_plan *p)
{
    onestep_status st = locate_leaves(p);

    p->located = st == ONESTEP_OK;
    if (p->located)
        locate_steps(p);
    return st;
}

onestep_status ons_plan_allocate(ons_plan *p)
{
    onestep_status st = ONESTEP_OK;

    if (p->arena)
        return ONESTEP_OK;
    ONS_TRY(ons_plan_prepare_again(p));
    ONS_TRY(ons_plan_settle_bindings(p));
    p->arena = p->backend->memory->allocate(ons_plan_peak_bytes(p));
    if (!p->arena)
        return ons_fail(ONESTEP_NO_MEMORY,
                        "%s needs %zu MB, which are not to be had; use a smaller batch or size", p->label,
                        ons_plan_peak_bytes(p) >> 20);
    ONS_TRY(locate(p));
    if (p->poison)
        ons_plan_poison_arena(p);
    return ONESTEP_OK;
fail:
    p->backend->memory->release(p->arena); /* without its leaves it is nothing to run in */
    p->arena = NULL;
    return st;
}

void ons_plan_bind_params(ons_plan *p, int slot, ons_params *params)
{
    if (p->options.params[slot] != params)
        p->rebound |= 1u << slot;
    p->options.params[slot] = params;
    p->seen[slot] = NULL;
}

void ons_plan_set_stop(ons_plan *p, const ons_stop *stop)
{
    p->stop = stop;
}

void ons_plan_observe(ons_plan *p, ons_plan_observer observe, void *context)
{
    p->observe = observe;
    p->observe_context = context;
}

void ons_plan_profile(ons_plan *p, bool on)
{
    p->profile = on;
    for (int i = 0; i < p->n_steps; i++) {
        p->steps[i].seconds = 0;
        p->steps[i].runs = 0;
    }
}

/* Slots whose weights are others than at the last run, or have other values. */
static onestep_status find_moved(ons_plan *p, unsigned *moved)
{
    *moved = 0;
    for (int i = 0; i < ONS_MAX_PARAM_SETS; i++) {
        ons_params *set = p->options.params[i];

        if (!(p->used_slots >> i & 1))
            continue;
        if (!set)
            return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: no weight set in slot %d; bind one before the first run",
                            p->label, i);
        if (p->seen[i] == set && p->versions[i] == ons_params_version(set))
            continue;
        *moved |= 1u << i;
        p->seen[i] = set;
        p->versions[i] = ons_params_version(set);
    }
    return ONESTEP_OK;
}

/* Packed copies, copies of the backend's own, pointers and hoisted results follow the weights. */
static onestep_status follow_weights(ons_plan *p)
{
    unsigned moved;
    onestep_status st;

    if ((st = find_moved(p, &moved)) != ONESTEP_OK || !moved)
        return st;
    if (moved & p->hoist_slots)
        p->hoisted_valid = false;
    if (p->rebound || copies_leaves(p))
        p->located = false; /* also where the rest fails and the next run tries again */
    ONS_TRY(ons_plan_prepare_again(p));
    for (int i = 0; i < ONS_MAX_PARAM_SETS; i++)
        if (moved >> i & 1)
            ONS_TRY(ons_params_refresh(p->options.params[i]));
    if (!p->located)
        ONS_TRY(locate(p));
    return ONESTEP_OK;
fail:
    memset(p->seen, 0, sizeof p->seen);
    return st;
}

static onestep_status run_timed(ons_plan *p, ons_step *s)
{
    onestep_status st;

    s->start_s = ons_now_s();
    st = s->kernel->run(&s->prep, &s->args);
    s->end_s = ons_now_s();
    if (p->profile) {
        s->seconds += s->end_s - s->start_s;
        s->runs++;
    }
    return st;
}

static onestep_status run_step(ons_plan *p, ons_step *s)
{
    return p->profile || p->trace_path ? run_timed(p, s) : s->kernel->run(&s->prep, &s->args);
}

/* A step under the debug switches, or with somebody looking. */
static onestep_status run_checked(ons_plan *p, ons_step *s)
{
    void *want[ONS_MAX_OUTPUTS] = {0};
    onestep_status st = ONESTEP_OK;

    if (p->compare)
        ONS_TRY(ons_plan_compare_begin(p, s, want));
    if (p->poison)
        ons_plan_poison_before(p, s);
    ONS_TRY(run_step(p, s));
    if (p->compare)
        ONS_TRY(ons_plan_compare_end(p, s, want));
    if (p->check_nan)
        ONS_TRY(ons_plan_check_finite(p, s));
    if (p->poison)
        ONS_TRY(ons_plan_poison_after(p, s));
    if (p->observe)
        ONS_TRY(p->observe(p->observe_context, s->node, &s->args));
fail:
    for (int k = 0; k < ONS_MAX_OUTPUTS; k++)
        ons_free_aligned(want[k]);
    return st;
}

static onestep_status run_steps(ons_plan *p)
{
    bool checked = p->compare || p->poison || p->check_nan || p->observe;

    for (int i = 0; i < p->n_steps; i++) {
        ons_step *s = &p->steps[i];
        onestep_status st;

        s->end_s = 0;
        if (s->hoisted && p->hoisted_valid)
            continue;
        if (ons_stop_asked(p->stop))
            return ons_fail(ONESTEP_INTERRUPTED, "%s: interrupted", p->label);
        if ((st = checked ? run_checked(p, s) : run_step(p, s)) != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

onestep_status ons_plan_run(ons_plan *p)
{
    onestep_status st;

    if (p->observe && !p->backend->memory->on_host)
        return ons_fail(ONESTEP_UNSUPPORTED, "%s: backend %s computes in memory that nobody can look at",
                        p->label, p->backend->name);
    ONS_TRY(ons_plan_allocate(p));
    ONS_TRY(follow_weights(p));
    ONS_TRY(run_steps(p));
    p->hoisted_valid = true;
    ONS_TRY(ons_plan_copy_results(p));
    if (p->trace_path)
        ons_plan_trace_run(p);
fail:
    return st;
}
