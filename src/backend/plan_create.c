/*
 * Making a plan: the graph is optimised, every operator gets the first kernel of its list that takes it,
 * prepared kernels book their scratch, and memory is laid out. Nothing large is allocated here.
 */
#include <stdlib.h>
#include <string.h>

#include "backend/evaluate.h"
#include "backend/plan.h"
#include "base/memory.h"

size_t ons_plan_value_bytes(const ons_plan *p, const ons_value *v)
{
    ons_dtype t = v->dtype == ONS_F32 ? p->backend->real : v->dtype;

    return (size_t)ons_shape_count(&v->shape) * ons_dtype_size(t);
}

static bool switched_on(const char *name)
{
    const char *v = getenv(name);

    return v && *v && strcmp(v, "0");
}

static onestep_status read_switches(ons_plan *p)
{
    const char *trace = getenv("ONESTEP_TRACE");

    p->trace_id = ons_plan_trace_id();
    p->check_nan = switched_on("ONESTEP_CHECK_NAN");
    p->compare = switched_on("ONESTEP_COMPARE");
    p->poison = switched_on("ONESTEP_POISON");
    if ((p->check_nan || p->compare || p->poison) && !p->backend->memory->on_host)
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: ONESTEP_CHECK_NAN, ONESTEP_COMPARE and ONESTEP_POISON look at results, which backend "
            "%s keeps in memory of its own; unset them or choose another",
            p->label, p->backend->name);
    if (trace && *trace && !(p->trace_path = ons_strdup(trace)))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the trace");
    return ONESTEP_OK;
}

/* Depends on frozen weights and constants alone: computed once, and again when those weights change. */
static bool is_fixed(const ons_node *n, const bool *fixed)
{
    if (n->op == ONS_OP_INPUT)
        return false;
    if (n->op == ONS_OP_PARAM)
        return !n->attrs.param.trainable;
    for (int i = 0; i < n->n_in; i++)
        if (!fixed[n->in[i]->id])
            return false;
    return true;
}

/* Slots of the weights that a node depends on. */
static unsigned find_slots(const ons_node *n, const unsigned *slots)
{
    unsigned bits = n->op == ONS_OP_PARAM ? 1u << n->attrs.param.slot : 0;

    for (int i = 0; i < n->n_in; i++)
        bits |= slots[n->in[i]->id];
    return bits;
}

static onestep_status add_step(ons_plan *p, const ons_node *n, bool hoisted)
{
    ons_step *s = &p->steps[p->n_steps++];
    onestep_status st;

    s->node = n;
    s->hoisted = hoisted;
    s->in = ons_calloc((size_t)n->n_in + 1, sizeof *s->in);
    if (!s->in)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a plan");
    st = ons_plan_choose_kernel(p, s);
    if (st == ONESTEP_OK && s->prep.scratch_bytes > p->scratch_bytes)
        p->scratch_bytes = s->prep.scratch_bytes;
    return st;
}

static onestep_status create_steps(ons_plan *p)
{
    int n = ons_graph_n_nodes(p->graph);
    bool *fixed = ons_calloc((size_t)p->n_values + 1, sizeof *fixed),
         hoist = !(p->options.passes_off & ONS_PASS_HOIST);
    unsigned *slots = ons_calloc((size_t)p->n_values + 1, sizeof *slots);
    onestep_status st = ONESTEP_OK;

    p->steps = ons_calloc((size_t)n + 1, sizeof *p->steps);
    if (!fixed || !slots || !p->steps)
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a plan of %d operators", n);
    for (int i = 0; i < n && st == ONESTEP_OK; i++) {
        const ons_node *node = ons_graph_node(p->graph, i);
        bool hoisted = hoist && is_fixed(node, fixed);

        for (int k = 0; k < node->n_out; k++) {
            fixed[node->out[k]->id] = hoisted;
            slots[node->out[k]->id] = find_slots(node, slots);
        }
        if (ons_op_is_leaf(node->op) || ons_op_is_view(node->op))
            continue;
        if (hoisted)
            p->hoist_slots |= slots[node->out[0]->id];
        st = add_step(p, node, hoisted);
    }
    ons_free(fixed);
    ons_free(slots);
    return st;
}

static onestep_status create_buffers(ons_plan *p)
{
    p->n_values = ons_graph_n_values(p->graph);
    p->n_buffers = p->n_values + ons_graph_n_outputs(p->graph);
    p->buffers = ons_calloc((size_t)p->n_buffers + 1, sizeof *p->buffers);
    return p->buffers ? ONESTEP_OK
                      : ons_fail(ONESTEP_NO_MEMORY, "no memory for a plan of %d values", p->n_values);
}

/* Which slots the graph's parameters live in. */
static onestep_status find_used_slots(ons_plan *p)
{
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        if (n->op != ONS_OP_PARAM)
            continue;
        if (n->attrs.param.slot < 0 || n->attrs.param.slot >= ONS_MAX_PARAM_SETS)
            return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: weight slot %d; a plan has slots 0 to %d", n->name,
                            n->attrs.param.slot, ONS_MAX_PARAM_SETS - 1);
        p->used_slots |= 1u << n->attrs.param.slot;
    }
    return ONESTEP_OK;
}

/* Weights are read by as many threads as the plan runs on. */
static void share_threads(ons_plan *p)
{
    for (int i = 0; i < ONS_MAX_PARAM_SETS; i++)
        if (p->options.params[i])
            ons_params_set_threads(p->options.params[i], p->options.compute.n_threads);
}

onestep_status ons_plan_create(ons_graph **g, const ons_plan_options *options, ons_plan **out)
{
    ons_plan *p = ons_calloc(1, sizeof *p);
    ons_dtype type;
    onestep_status st;

    *out = NULL;
    if (!p) {
        ons_graph_destroy(g);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a plan");
    }
    p->graph = *g;
    *g = NULL;
    p->options = *options;
    ONS_TRY(ons_compute_resolve(&options->compute, &p->options.compute));
    p->backend = p->options.compute.backend;
    type = p->options.compute.type == ONS_F32 ? ONS_F32 : ONS_BF16;
    p->options.passes_off |= ons_passes_off();
    p->label = ons_strdup(options->label ? options->label : "plan");
    if (!p->label) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a plan");
        goto fail;
    }
    ons_evaluator_register();
    ONS_TRY(read_switches(p));
    ONS_TRY(ons_graph_finish(p->graph));
    if (type == ONS_BF16 && p->backend->fuses_upsampling && !(p->options.passes_off & ONS_PASS_FUSE_UPSAMPLE))
        ons_graph_fuse_upsample(p->graph, p->backend->fuses_upsampling);
    ons_graph_set_scales(p->graph, p->options.compute.type == ONS_I8 ? options->scales : NULL,
                         p->backend->keeps_16_bits);
    ONS_TRY(ons_graph_optimise(p->graph, p->options.passes_off, type));
    ONS_TRY(find_used_slots(p));
    ONS_TRY(ons_plan_check_params(p));
    share_threads(p);
    ONS_TRY(create_buffers(p));
    ONS_TRY(create_steps(p));
    ONS_TRY(ons_plan_layout(p));
    if (switched_on("ONESTEP_PLAN"))
        ons_plan_print(p, stderr);
    *out = p;
    return ONESTEP_OK;
fail:
    ons_plan_destroy(&p);
    return st;
}

void ons_plan_destroy(ons_plan **out)
{
    ons_plan *p = out ? *out : NULL;

    if (!p)
        return;
    for (int i = 0; i < p->n_steps; i++) {
        ons_step *s = &p->steps[i];

        if (s->kernel && s->kernel->destroy)
            s->kernel->destroy(&s->prep);
        ons_free(s->in);
        ons_free(s->refusals);
    }
    for (int i = 0; p->buffers && i < p->n_values; i++)
        p->backend->memory->release(p->buffers[i].copy);
    ons_free(p->buffers);
    ons_free(p->steps);
    ons_free(p->bindings);
    if (p->arena)
        p->backend->memory->release(p->arena);
    ons_free(p->trace_path);
    ons_free(p->label);
    ons_graph_destroy(&p->graph);
    ons_free(p);
    *out = NULL;
}
