/* Gradients of every trainable leaf, by name; one leaf per (slot, parameter) even where a graph asks for it
 * twice. */
#include "train/gradients.h"

#include <stdio.h>

#include "base/memory.h"

static bool wanted(const ons_node *n, const int *slots, int n_slots)
{
    if (n->op != ONS_OP_PARAM || !n->attrs.param.trainable)
        return false;
    for (int i = 0; i < n_slots; i++)
        if (n->attrs.param.slot == slots[i])
            return true;
    return false;
}

/* A weight used twice (shared by two evaluations) has one leaf per use: their gradients are added. */
static ons_value *find_same_parameter(ons_value *const *leaves, ons_value *const *grads, int n,
                                      const ons_node *leaf)
{
    for (int i = 0; i < n; i++)
        if (leaves[i]->node->attrs.param.slot == leaf->attrs.param.slot &&
            leaves[i]->node->attrs.param.index == leaf->attrs.param.index)
            return grads[i];
    return NULL;
}

static void name_gradients(ons_graph *g, ons_value *const *leaves, ons_value **grads, int n)
{
    for (int i = 0; i < n; i++) {
        const ons_node *leaf = leaves[i]->node;
        char name[320];

        if (find_same_parameter(leaves, grads, i, leaf))
            continue;
        for (int j = i + 1; j < n; j++)
            if (leaves[j]->node->attrs.param.slot == leaf->attrs.param.slot &&
                leaves[j]->node->attrs.param.index == leaf->attrs.param.index)
                grads[i] = ons_add(g, grads[i], grads[j]);
        snprintf(name, sizeof name, "grad:%d:%s", leaf->attrs.param.slot, leaf->name);
        ons_graph_output(g, grads[i], name);
    }
}

onestep_status ons_train_add_gradients(ons_graph *g, ons_value *const *outputs, ons_value *const *seeds,
                                       int n_outputs, const int *slots, int n_slots)
{
    int n = ons_graph_n_nodes(g), n_leaves = 0;
    ons_value **leaves = ons_calloc((size_t)n + 1, sizeof *leaves);
    ons_value **grads = ons_calloc((size_t)n + 1, sizeof *grads);
    onestep_status st = ONESTEP_OK;

    if (!leaves || !grads) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the list of %d nodes", n);
    } else if ((st = ons_graph_finish(g)) == ONESTEP_OK) {
        for (int i = 0; i < n; i++)
            if (wanted(ons_graph_node(g, i), slots, n_slots))
                leaves[n_leaves++] = ons_graph_node(g, i)->out[0];
        ons_grad(g, outputs, seeds, n_outputs, leaves, n_leaves, grads);
        name_gradients(g, leaves, grads, n_leaves);
        st = ons_graph_finish(g);
    }
    ons_free(leaves);
    ons_free(grads);
    return st;
}

onestep_status ons_train_bind_gradients(ons_graph *g, ons_value *loss, ons_params *params, int slot)
{
    (void)params;
    return ons_train_add_gradients(g, &loss, NULL, 1, &slot, 1);
}

onestep_status ons_train_bind_slot(ons_plan *plan, int slot, ons_adamw *optimizer)
{
    ons_params *grads = ons_adamw_grads(optimizer);

    for (int i = 0; i < ons_params_count(grads); i++) {
        char name[320];
        onestep_status st;

        snprintf(name, sizeof name, "grad:%d:%s", slot, ons_params_at(grads, i)->name);
        if (!ons_plan_find(plan, name))
            continue; /* a parameter that the loss does not use keeps a zero gradient */
        if ((st = ons_plan_bind_output(plan, name, ons_params_data(grads, i))) != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

onestep_status ons_train_bind_outputs(ons_plan *plan, ons_adamw *optimizer)
{
    return ons_train_bind_slot(plan, 0, optimizer);
}
