/* One node at a time on the reference backend: for constant folding and for comparing. */
#include "backend/evaluate.h"

#include "base/memory.h"

onestep_status ons_evaluate_node(const ons_backend *backend, const ons_node *n, const void *const *in,
                                 void *const *out)
{
    const ons_kernel *k = backend->kernels(n->op);
    ons_prep prep = {.node = n, .n_threads = 1};
    ons_args args = {.in = in, .out = out};
    onestep_status st = ONESTEP_OK;

    if (!k)
        return ons_fail(ONESTEP_UNSUPPORTED, "backend %s has no kernel for %s", backend->name,
                        ons_op_name(n->op));
    if (k->prepare && (st = k->prepare(&prep)) != ONESTEP_OK)
        return st;
    args.scratch = ons_calloc_aligned(prep.scratch_bytes + 64);
    if (args.scratch)
        st = k->run(&prep, &args);
    else
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to evaluate %s", ons_op_name(n->op));
    ons_free_aligned(args.scratch);
    if (k->destroy)
        k->destroy(&prep);
    return st;
}

static onestep_status evaluate(const ons_node *n, const void *const *in, void *const *out)
{
    return ons_evaluate_node(&ons_backend_ref, n, in, out);
}

void ons_evaluator_register(void)
{
    ons_graph_set_evaluator(evaluate);
}
