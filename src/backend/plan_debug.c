/*
 * Debug switches that look at results: non-finite values, and comparison with the reference kernels, operator
 * by operator on the same inputs, so that the first wrong one is named and not one that inherited its error.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "backend/evaluate.h"
#include "backend/plan.h"
#include "base/memory.h"

static bool is_float(ons_dtype t)
{
    return t == ONS_F32 || t == ONS_BF16 || t == ONS_F64 || t == ONS_F16;
}

static double element(const void *data, ons_dtype t, int64_t i)
{
    if (t == ONS_F64)
        return ((const double *)data)[i];
    if (t == ONS_F32)
        return ((const float *)data)[i];
    return t == ONS_BF16 ? ons_bf16_to_f32(((const uint16_t *)data)[i])
                         : ons_f16_to_f32(((const uint16_t *)data)[i]);
}

static const char *describe(double v)
{
    if (isnan(v))
        return "NaN";
    return v > 0 ? "infinity" : "-infinity";
}

onestep_status ons_plan_check_finite(const ons_plan *p, const ons_step *s)
{
    for (int k = 0; k < s->node->n_out; k++) {
        const ons_value *v = s->node->out[k];

        for (int64_t i = 0; s->out[k] && is_float(v->dtype) && i < ons_shape_count(&v->shape); i++) {
            double x = element(s->out[k], ons_plan_stored_type(p, v), i);

            if (!isfinite(x))
                return ons_fail(ONESTEP_INTERNAL, "%s: %s at %s (kernel %s) gave %s at element %" PRId64,
                                p->label, ons_op_name(s->node->op),
                                s->node->layer ? s->node->layer : "top level", s->kernel->name, describe(x), i);
        }
    }
    return ONESTEP_OK;
}

static bool is_half(const ons_value *v)
{
    return v->dtype == ONS_BF16 || v->dtype == ONS_F16;
}

/*
 * What may differ, as a part of the largest value: rounding of the storage type, and for sums in f32 the square
 * root of the number of terms. The largest value and not the element's own, since a sum that cancels keeps the
 * error of its terms.
 */
static double tolerance(const ons_plan *p, const ons_step *s, const ons_value *v)
{
    double n = (double)ons_shape_count(&v->shape), terms = ons_node_flops(s->node) / 2 / (n > 0 ? n : 1);
    bool half = is_half(v);

    for (int k = 0; k < s->node->n_in; k++) {
        terms = fmax(terms, (double)ons_shape_count(&s->node->in[k]->shape) / (n > 0 ? n : 1));
        half = half || is_half(s->node->in[k]);
    }
    if (half)
        return 0x1p-6;
    return (p->backend->real == ONS_F64 ? 0x1p-52 : 0x1p-23) * (64 + 8 * sqrt(terms));
}

/* Largest |got - want| over the largest |want|; where both are the same non-finite value they agree. */
static double relative_difference(const void *got, const void *want, ons_dtype t, int64_t n)
{
    double worst = 0, scale = 1e-30;

    for (int64_t i = 0; i < n; i++) {
        double w = element(want, t, i), g = element(got, t, i), d = fabs(g - w);

        if (isfinite(w))
            scale = fmax(scale, fabs(w));
        if (!isfinite(w) || !isfinite(g))
            d = g == w || (isnan(g) && isnan(w)) ? 0 : INFINITY;
        worst = fmax(worst, d);
    }
    return worst / scale;
}

onestep_status ons_plan_compare_begin(const ons_plan *p, const ons_step *s, void **want)
{
    for (int k = 0; k < s->node->n_out; k++)
        if (s->out[k] && !(want[k] = ons_calloc_aligned(ons_plan_value_bytes(p, s->node->out[k]) + 64)))
            return ons_fail(ONESTEP_NO_MEMORY, "no memory to compare %s", ons_op_name(s->node->op));
    return ons_evaluate_node(p->backend->real == ONS_F64 ? &ons_backend_ref64 : &ons_backend_ref, s->node,
                             s->in, want);
}

onestep_status ons_plan_compare_end(const ons_plan *p, const ons_step *s, void **want)
{
    for (int k = 0; k < s->node->n_out; k++) {
        const ons_value *v = s->node->out[k];
        double worst;

        if (!want[k] || !is_float(v->dtype))
            continue;
        worst = relative_difference(s->out[k], want[k], ons_plan_stored_type(p, v), ons_shape_count(&v->shape));
        if (!(worst <= tolerance(p, s, v)))
            return ons_fail(ONESTEP_INTERNAL,
                            "%s: %s at %s (kernel %s) differs from ref by %.2g of the largest value in output "
                            "%d, %.2g is allowed",
                            p->label, ons_op_name(s->node->op), s->node->layer ? s->node->layer : "top level",
                            s->kernel->name, worst, k, tolerance(p, s, v));
    }
    return ONESTEP_OK;
}
