/* Ties a loss, a weight set and an optimizer together: gradients as named graph outputs, bound to the
 * optimizer's region. */
#ifndef ONS_TRAIN_GRADIENTS_H
#define ONS_TRAIN_GRADIENTS_H

#include "backend/backend.h"
#include "train/optimizer.h"

/*
 * Differentiates sum_j seeds[j]^T outputs[j] (seed NULL: ones) with respect to every trainable leaf of `slot`
 * that the graph uses and names each gradient "grad:SLOT:NAME".
 */
onestep_status ons_train_add_gradients(ons_graph *g, ons_value *const *outputs, ons_value *const *seeds,
                                       int n_outputs, const int *slots, int n_slots) ONESTEP_CHECK;
/* The common case: a scalar loss and one set. */
onestep_status ons_train_bind_gradients(ons_graph *g, ons_value *loss, ons_params *params,
                                        int slot) ONESTEP_CHECK;
/* After planning: gradients of `slot` are written straight into the optimizer's region. */
onestep_status ons_train_bind_slot(ons_plan *plan, int slot, ons_adamw *optimizer) ONESTEP_CHECK;
/* ons_train_bind_slot for slot 0. */
onestep_status ons_train_bind_outputs(ons_plan *plan, ons_adamw *optimizer) ONESTEP_CHECK;

#endif
