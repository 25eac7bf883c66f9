/*
 * Kernels of a plan's steps: choosing the first that takes the node, and preparing again when a slot gets
 * another weight set. A kernel refuses by its own rule or by failing to prepare with UNSUPPORTED, which
 * libraries do late.
 */
#include "backend/plan.h"
#include "base/memory.h"

static void note_refusal(ons_step *s, const ons_kernel *k, const char *why)
{
    char *longer =
        ons_format("%s%s%s: %s", s->refusals ? s->refusals : "", s->refusals ? "; " : "", k->name, why);

    if (longer) {
        ons_free(s->refusals);
        s->refusals = longer;
    }
}

static void unprepare(ons_step *s)
{
    if (s->kernel->destroy)
        s->kernel->destroy(&s->prep);
    s->prep.state = NULL;
    s->prep.detail = NULL;
}

static onestep_status prepare(ons_plan *p, ons_step *s)
{
    s->prep = (ons_prep){.node = s->node,
                         .n_threads = p->options.compute.n_threads,
                         .params = p->options.params,
                         .n_params = ONS_MAX_PARAM_SETS};
    return s->kernel->prepare ? s->kernel->prepare(&s->prep) : ONESTEP_OK;
}

onestep_status ons_plan_choose_kernel(ons_plan *p, ons_step *s)
{
    const ons_kernel *k = p->backend->kernels(s->node->op);

    for (; k && k->name; k++) {
        const char *why = k->refuse ? k->refuse(s->node) : NULL;
        onestep_status st;

        if (why) {
            note_refusal(s, k, why);
            continue;
        }
        s->kernel = k;
        st = prepare(p, s);
        if (st != ONESTEP_UNSUPPORTED)
            return st;
        note_refusal(s, k, onestep_error_text());
        unprepare(s);
        s->kernel = NULL;
    }
    return ons_fail(ONESTEP_UNSUPPORTED, "%s: backend %s has no kernel for operator %s (%s)",
                    s->node->layer ? s->node->layer : "", p->backend->name, ons_op_name(s->node->op),
                    s->refusals ? s->refusals : "empty list");
}

static onestep_status check_leaf(const ons_node *n, ons_params *set)
{
    char want[96], found[96];
    const ons_param *param;

    if (n->attrs.param.index < 0 || n->attrs.param.index >= ons_params_count(set))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: parameter %d of a weight set of %d", n->name,
                        n->attrs.param.index, ons_params_count(set));
    param = ons_params_at(set, n->attrs.param.index);
    if (!ons_shape_equal(&param->shape, &n->out[0]->shape))
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: the graph expects %s, the weight set has %s %s", n->name,
                        ons_shape_text(&n->out[0]->shape, want), param->name,
                        ons_shape_text(&param->shape, found));
    return ONESTEP_OK;
}

onestep_status ons_plan_check_params(const ons_plan *p)
{
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < ONS_MAX_PARAM_SETS; i++)
        if (p->used_slots >> i & 1 && p->options.params[i])
            ONS_TRY(ons_params_allocate(p->options.params[i]));
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        if (n->op == ONS_OP_PARAM && p->options.params[n->attrs.param.slot])
            ONS_TRY(check_leaf(n, p->options.params[n->attrs.param.slot]));
    }
fail:
    return st;
}

static bool reads_slot(const ons_node *n, unsigned slots)
{
    for (int i = 0; i < n->n_in; i++) {
        const ons_node *leaf = ons_view_source(n->in[i])->node;

        if (leaf->op == ONS_OP_PARAM && slots >> leaf->attrs.param.slot & 1)
            return true;
    }
    return false;
}

onestep_status ons_plan_prepare_again(ons_plan *p)
{
    onestep_status st = ONESTEP_OK;

    if (!p->rebound)
        return ONESTEP_OK;
    ONS_TRY(ons_plan_check_params(p));
    for (int i = 0; i < p->n_steps; i++) {
        ons_step *s = &p->steps[i];

        if (!reads_slot(s->node, p->rebound))
            continue;
        unprepare(s);
        ONS_TRY(prepare(p, s));
        if (s->prep.scratch_bytes > p->scratch_bytes && p->arena) {
            st = ons_fail(ONESTEP_INTERNAL, "%s: kernel %s wants more scratch for another weight set", p->label,
                          s->kernel->name);
            goto fail;
        }
        if (s->prep.scratch_bytes > p->scratch_bytes)
            p->scratch_bytes = s->prep.scratch_bytes;
    }
    p->rebound = 0;
fail:
    return st;
}
