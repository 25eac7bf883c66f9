/* The function that constant folding computes with. Private to backend. */
#ifndef ONS_BACKEND_EVALUATE_H
#define ONS_BACKEND_EVALUATE_H

#include "backend/backend.h"

void ons_evaluator_register(void); /* once per process is enough; idempotent */
/* Runs one node on the reference kernel; real: the storage type of f32 values decides between ref and ref64. */
onestep_status ons_evaluate_node(const ons_backend *backend, const ons_node *n, const void *const *in,
                                 void *const *out) ONESTEP_CHECK;

#endif
