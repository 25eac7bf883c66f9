/* Gradient rules of norms and attention, which hand their statistics to one fused gradient operator. */
#include "graph/rules.h"

/* Statistics are outputs for the gradient's own use; a loss on them would need second-order rules. */
static bool reads_statistics(ons_graph *g, const ons_node *n, ons_value *const *dy)
{
    if (!dy[1])
        return false;
    ons_graph_error(g, "%s: no gradient flows through its second output (statistics); stop it there",
                    ons_op_name(n->op));
    return true;
}

static void apply_norm_grad(ons_graph *g, ons_op op, const ons_node *n, ons_value *const *dy, const bool *need,
                            ons_value **dx)
{
    ons_value *in[5] = {n->in[0], n->in[1], n->in[2], n->out[1], dy[0]}, *out[ONS_MAX_OUTPUTS];

    if (reads_statistics(g, n, dy))
        return;
    ons_apply(g, op, in, 5, &n->attrs, out);
    for (int i = 0; i < 3; i++)
        if (need[i])
            dx[i] = out[i];
}

ONS_GRAD_RULE(grad_group_norm)
{
    apply_norm_grad(g, ONS_OP_GROUP_NORM_GRAD, n, dy, need, dx);
}

ONS_GRAD_RULE(grad_layer_norm)
{
    apply_norm_grad(g, ONS_OP_LAYER_NORM_GRAD, n, dy, need, dx);
}

ONS_GRAD_RULE(grad_attention)
{
    ons_value *in[6] = {n->in[0], n->in[1], n->in[2], n->out[0], n->out[1], dy[0]}, *out[ONS_MAX_OUTPUTS];

    if (reads_statistics(g, n, dy))
        return;
    ons_apply(g, ONS_OP_ATTENTION_GRAD, in, 6, &n->attrs, out);
    for (int i = 0; i < 3; i++)
        if (need[i])
            dx[i] = out[i];
}
