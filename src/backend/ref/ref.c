/* The table of the reference backend: per operator one kernel that takes everything. */
#include "backend/ref/ref.h"

static ref_fn find(ons_op op)
{
    static ref_fn (*const families[])(ons_op) = {REF(elementwise), REF(layout), REF(product), REF(norm),
                                                 REF(attention)};

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i](op))
            return families[i](op);
    return NULL;
}

bool REF(scatters)(ons_op op)
{
    return op == ONS_OP_ATTENTION || op == ONS_OP_ATTENTION_GRAD || op == ONS_OP_EMBEDDING_GRAD ||
           op == ONS_OP_UPSAMPLE_TO_GRAD;
}

static onestep_status prepare(ons_prep *p)
{
    for (int k = 0; REF(scatters)(p->node->op) && k < p->node->n_out; k++)
        p->scratch_bytes += (size_t)ref_count(p->node->out[k]) * sizeof(double);
    return ONESTEP_OK;
}

static onestep_status run(const ons_prep *p, const ons_args *a)
{
    find(p->node->op)(p->node, a);
    return ONESTEP_OK;
}

static const ons_kernel list[] = {{"ref", NULL, prepare, run, NULL}, {0}};

static const ons_kernel *kernels(ons_op op)
{
    return find(op) ? list : NULL;
}

static ons_dtype native(void)
{
    return ONS_F32;
}

static bool multiplies_8_bits(void)
{
    return true;
}

static const char *machine(void)
{
    return "reference kernels";
}

#ifdef ONS_REAL_DOUBLE
const ons_backend ons_backend_ref64 = {.name = "ref64",
                                       .real = ONS_F64,
#else
const ons_backend ons_backend_ref = {.name = "ref",
                                     .real = ONS_F32,
#endif
                                       .memory = &ons_host_memory,
                                       .kernels = kernels,
                                       .native_precision = native,
                                       .multiplies_8_bits = multiplies_8_bits,
                                       .machine = machine};
