/* The debug switches: non-finite values, comparison with the reference, poisoned memory. None of them is on a normal run's path. */
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

static ons_dtype stored_type(const ons_plan *p, const ons_value *v)
{
    return v->dtype == ONS_F32 ? p->backend->real : v->dtype;
}

static double element(const void *data, ons_dtype t, int64_t i)
{
    if (t == ONS_F64)
        return ((const double *)data)[i];
    return t == ONS_F32 ? ((const float *)data)[i] : ons_bf16_to_f32(((const uint16_t *)data)[i]);
}

onestep_status ons_plan_check_finite(const ons_plan *p, const ons_step *s)
{
    for (int k = 0; k < s->node->n_out; k++) {
        const ons_value *v = s->node->out[k];
        ons_dtype t = v ? stored_type(p, v) : ONS_F32;

        if (!s->out[k] || !is_float(t))
            continue;
        for (int64_t i = 0; i < ons_shape_count(&v->shape); i++)
            if (!isfinite(element(s->out[k], t, i)))
                return ons_fail(ONESTEP_INTERNAL, "%s: %s at %s (kernel %s) gave %g at element %" PRId64, p->label,
                                ons_op_name(s->node->op), s->node->layer ? s->node->layer : "top level", s->kernel->name,
                                element(s->out[k], t, i), i);
    }
    return ONESTEP_OK;
}

/* Largest |got - want| over the scale of want. */
static double relative_difference(const void *got, const void *want, ons_dtype t, int64_t n)
{
    double worst = 0, scale = 1e-6;

    for (int64_t i = 0; i < n; i++) {
        double w = element(want, t, i), d = fabs(element(got, t, i) - w);

        scale = fmax(scale, fabs(w));
        worst = d > worst || isnan(d) ? d : worst;
    }
    return worst / scale;
}

static bool overwrites_input(const ons_step *s)
{
    for (int k = 0; k < s->node->n_in; k++)
        if (s->in[k] == s->out[0])
            return true;
    return false;
}

/* An operator that works in place has destroyed its operand: it is passed over (switch in-place off with a ref run of its own). */
onestep_status ons_plan_compare_step(const ons_plan *p, const ons_step *s)
{
    void *want[ONS_MAX_OUTPUTS] = { 0 };
    onestep_status st = ONESTEP_OK;

    if (p->backend == &ons_backend_ref || overwrites_input(s))
        return ONESTEP_OK;
    for (int k = 0; k < s->node->n_out; k++)
        if (s->out[k] && !(want[k] = ons_calloc_aligned(ons_plan_value_bytes(p, s->node->out[k]) + 64)))
            st = ons_fail(ONESTEP_NO_MEMORY, "no memory to compare %s", ons_op_name(s->node->op));
    if (st == ONESTEP_OK)
        st = ons_evaluate_node(p->backend->real == ONS_F64 ? &ons_backend_ref64 : &ons_backend_ref, s->node, s->in, want);
    for (int k = 0; k < s->node->n_out && st == ONESTEP_OK; k++) {
        const ons_value *v = s->node->out[k];
        ons_dtype t = v ? stored_type(p, v) : ONS_F32;
        double worst = want[k] && is_float(t) ? relative_difference(s->out[k], want[k], t, ons_shape_count(&v->shape)) : 0;

        if (!(worst <= (t == ONS_BF16 ? 2e-2 : 1e-3)))
            st = ons_fail(ONESTEP_INTERNAL, "%s: %s at %s (kernel %s) differs from ref by %.2g of the largest value in output %d",
                          p->label, ons_op_name(s->node->op), s->node->layer ? s->node->layer : "top level", s->kernel->name, worst,
                          k);
    }
    for (int k = 0; k < ONS_MAX_OUTPUTS; k++)
        ons_free_aligned(want[k]);
    return st;
}

enum { POISON_BYTE = 0xFF }; /* NaN in every float type */

void ons_plan_poison(ons_plan *p)
{
    memset(p->arena, POISON_BYTE, p->arena_bytes + p->scratch_bytes);
}

/* Bytes before and after each buffer that lives to the end of the run must still be poison. */
onestep_status ons_plan_check_red_zones(const ons_plan *p)
{
    for (int i = 0; i < p->n_values; i++) {
        const ons_buffer *b = &p->buffers[i];

        if (b->root != i || b->place != ONS_PLACE_ARENA || b->last < p->n_steps || !b->bytes || b->first > 0)
            continue;
        for (int k = 0; k < ONS_RED_ZONE; k++) {
            const unsigned char *zone = (const unsigned char *)b->ptr;

            if (zone[-1 - k] != POISON_BYTE || zone[b->bytes + (size_t)k] != POISON_BYTE)
                return ons_fail(ONESTEP_INTERNAL, "%s: something wrote outside the buffer of value %d", p->label, i);
        }
    }
    return ONESTEP_OK;
}
