/* Allocating once and running many times: pointers are fixed when the arena is, a run only walks the steps. */
#include <string.h>

#include "backend/plan.h"
#include "base/memory.h"
#include "base/system.h"

static const ons_value *find_value(const ons_plan *p, const char *name)
{
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        if (n->op == ONS_OP_INPUT && !strcmp(n->name, name))
            return n->out[0];
    }
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++)
        if (!strcmp(ons_graph_output_at(p->graph, i)->name, name))
            return ons_graph_output_at(p->graph, i)->value;
    return NULL;
}

const ons_value *ons_plan_find(const ons_plan *p, const char *name)
{
    return find_value(p, name);
}

static const ons_value *find_output(const ons_plan *p, const char *name)
{
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++)
        if (!strcmp(ons_graph_output_at(p->graph, i)->name, name))
            return ons_graph_output_at(p->graph, i)->value;
    return NULL;
}

onestep_status ons_plan_bind_output(ons_plan *p, const char *name, void *data)
{
    const ons_value *v = find_output(p, name);
    ons_binding *grown;

    if (!v)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: the plan has no output %s", p->label, name);
    if (p->arena)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: output %s must be bound before memory is allocated", p->label, name);
    grown = ons_realloc(p->bindings, ((size_t)p->n_bindings + 1) * sizeof *grown);
    if (!grown)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to bind %s", name);
    p->bindings = grown;
    p->bindings[p->n_bindings++] = (ons_binding){ .value = v, .data = data };
    return ONESTEP_OK;
}

size_t ons_plan_peak_bytes(const ons_plan *p)
{
    return p->arena_bytes + p->scratch_bytes + 64;
}

/* Buffers that have the caller's memory to themselves move there; the others are copied out after a run. */
static onestep_status settle_bindings(ons_plan *p)
{
    for (int i = 0; i < p->n_bindings; i++) {
        ons_binding *b = &p->bindings[i];
        ons_buffer *buffer = ons_plan_buffer(p, b->value);
        bool whole = buffer->place == ONS_PLACE_ARENA && buffer->bytes == ons_plan_value_bytes(p, b->value);
        bool input = b->value->node->op == ONS_OP_INPUT || buffer->last == 0;

        b->copied = !whole || input || p->backend->real != ONS_F32 || buffer->first == 0;
        if (!b->copied) {
            buffer->place = ONS_PLACE_BOUND;
            buffer->ptr = b->data;
        }
    }
    return ons_plan_place(p);
}

static onestep_status shadow(ons_plan *p, ons_buffer *b, const float *src, int64_t n)
{
    if (!b->copy && !(b->copy = ons_calloc_aligned((size_t)(n ? n : 1) * sizeof(double))))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for double precision copies");
    ons_convert(b->copy, p->backend->real, src, ONS_F32, (size_t)n);
    b->ptr = b->copy;
    return ONESTEP_OK;
}

static onestep_status locate_leaf(ons_plan *p, const ons_node *n)
{
    ons_buffer *b = &p->buffers[n->out[0]->id];
    int64_t count = ons_shape_count(&n->out[0]->shape);
    bool real = n->out[0]->dtype == ONS_F32 && p->backend->real != ONS_F32;

    if (n->op == ONS_OP_CONSTANT) {
        if (real)
            return shadow(p, b, n->attrs.constant, count);
        b->ptr = (void *)n->attrs.constant;
    } else {
        float *data = ons_params_data(p->options.params[n->attrs.param.slot], n->attrs.param.index);

        if (real)
            return shadow(p, b, data, count);
        b->ptr = data;
    }
    return ONESTEP_OK;
}

static onestep_status locate_leaves(ons_plan *p)
{
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);
        onestep_status st;

        if ((n->op == ONS_OP_PARAM || n->op == ONS_OP_CONSTANT) && (st = locate_leaf(p, n)) != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

static void *address(const ons_plan *p, const ons_value *v)
{
    const ons_buffer *b = v ? ons_plan_buffer(p, v) : NULL;

    return b && b->place != ONS_PLACE_NONE ? b->ptr : NULL;
}

/* Every pointer that a run uses. */
static void locate_steps(ons_plan *p)
{
    for (int i = 0; i < p->n_values; i++)
        if (p->buffers[i].root == i && p->buffers[i].place == ONS_PLACE_ARENA)
            p->buffers[i].ptr = p->arena + p->buffers[i].offset + (p->poison ? ONS_RED_ZONE : 0);
    for (int i = 0; i < p->n_steps; i++) {
        ons_step *s = &p->steps[i];

        for (int k = 0; k < s->node->n_in; k++)
            s->in[k] = address(p, s->node->in[k]);
        for (int k = 0; k < s->node->n_out; k++)
            s->out[k] = address(p, s->node->out[k]);
        s->args = (ons_args){ .in = s->in, .out = s->out, .scratch = p->arena + p->arena_bytes };
    }
}

onestep_status ons_plan_allocate(ons_plan *p)
{
    onestep_status st;

    if (p->arena)
        return ONESTEP_OK;
    if ((st = settle_bindings(p)) != ONESTEP_OK)
        return st;
    p->arena_bytes = (p->arena_bytes + 63) / 64 * 64;
    p->arena = ons_calloc_aligned(ons_plan_peak_bytes(p));
    if (!p->arena)
        return ons_fail(ONESTEP_NO_MEMORY, "%s needs %zu MB, which are not to be had; use a smaller batch or size", p->label,
                        ons_plan_peak_bytes(p) >> 20);
    if (p->poison)
        ons_plan_poison(p);
    if ((st = locate_leaves(p)) == ONESTEP_OK)
        locate_steps(p);
    return st;
}

void ons_plan_bind_params(ons_plan *p, int slot, ons_params *params)
{
    p->rebound = p->rebound || p->options.params[slot] != params;
    p->options.params[slot] = params;
    p->seen[slot] = NULL;
}

void *ons_plan_input(ons_plan *p, const char *name)
{
    const ons_value *v = find_value(p, name);

    return v && v->node->op == ONS_OP_INPUT ? address(p, v) : NULL;
}

const void *ons_plan_result(ons_plan *p, const char *name)
{
    const ons_value *v = find_output(p, name);

    return v ? address(p, v) : NULL;
}

void ons_plan_set_cancellable(ons_plan *p, bool cancellable)
{
    p->cancellable = cancellable;
}

void ons_plan_profile(ons_plan *p, bool on)
{
    p->profile = on;
    for (int i = 0; i < p->n_steps; i++) {
        p->steps[i].seconds = 0;
        p->steps[i].runs = 0;
    }
}

/* Packed copies hang on the weight sets, so kernels find those of the new set. */
static onestep_status prepare_again(ons_plan *p)
{
    for (int i = 0; i < p->n_steps; i++) {
        const ons_kernel *k = p->steps[i].kernel;
        onestep_status st;

        if (k->destroy)
            k->destroy(&p->steps[i].prep);
        if (k->prepare && (st = k->prepare(&p->steps[i].prep)) != ONESTEP_OK)
            return st;
    }
    p->rebound = false;
    return ONESTEP_OK;
}

/* Weights that changed since the last run: packed copies, f64 shadows and hoisted results follow them. */
static onestep_status follow_weights(ons_plan *p)
{
    bool moved = false, rebound = false;

    for (int i = 0; i < ONS_MAX_PARAM_SETS; i++) {
        ons_params *set = p->options.params[i];

        if (!set || (p->seen[i] == set && p->versions[i] == ons_params_version(set)))
            continue;
        rebound = rebound || p->seen[i] != set;
        ons_params_refresh(set);
        p->seen[i] = set;
        p->versions[i] = ons_params_version(set);
        moved = true;
    }
    if (!moved)
        return ONESTEP_OK;
    p->hoisted_valid = false;
    if (p->rebound) {
        onestep_status st = prepare_again(p);

        if (st != ONESTEP_OK)
            return st;
    }
    if (rebound || p->backend->real != ONS_F32) {
        onestep_status st = locate_leaves(p);

        if (st != ONESTEP_OK)
            return st;
        locate_steps(p);
    }
    return ONESTEP_OK;
}

static onestep_status run_step(ons_plan *p, ons_step *s)
{
    bool timed = p->profile || p->trace_path;
    double start = timed ? ons_now_s() : 0;
    onestep_status st = ONESTEP_OK;

    s->kernel->run(&s->prep, &s->args);
    if (timed) {
        double end = ons_now_s();

        s->seconds += end - start;
        s->runs++;
        if (p->trace_path)
            ons_plan_trace_step(p, s, start, end);
    }
    if (p->check_nan)
        st = ons_plan_check_finite(p, s);
    if (p->compare && st == ONESTEP_OK)
        st = ons_plan_compare_step(p, s);
    return st;
}

static void copy_bindings(const ons_plan *p)
{
    for (int i = 0; i < p->n_bindings; i++) {
        const ons_binding *b = &p->bindings[i];

        if (b->copied)
            ons_convert(b->data, ONS_F32, address(p, b->value), b->value->dtype == ONS_F32 ? p->backend->real : b->value->dtype,
                        (size_t)ons_shape_count(&b->value->shape));
    }
}

onestep_status ons_plan_run(ons_plan *p)
{
    onestep_status st;

    if ((st = ons_plan_allocate(p)) != ONESTEP_OK || (st = follow_weights(p)) != ONESTEP_OK)
        return st;
    for (int i = 0; i < p->n_steps; i++) {
        if (p->steps[i].hoisted && p->hoisted_valid)
            continue;
        if (p->cancellable && ons_interrupted())
            return ons_fail(ONESTEP_INTERRUPTED, "%s: interrupted", p->label);
        if ((st = run_step(p, &p->steps[i])) != ONESTEP_OK)
            return st;
    }
    p->hoisted_valid = true;
    copy_bindings(p);
    return p->poison ? ons_plan_check_red_zones(p) : ONESTEP_OK;
}
