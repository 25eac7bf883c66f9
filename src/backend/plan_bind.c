/*
 * Where values are: names, addresses, outputs bound to the caller's memory. An output whose buffer belongs to
 * it alone is moved to that memory, so that gradients land where the optimizer reads them; any other is copied
 * there after each run.
 */
#include <string.h>

#include "backend/plan.h"
#include "base/memory.h"

static const ons_value *find_input(const ons_plan *p, const char *name)
{
    for (int i = 0; i < ons_graph_n_nodes(p->graph); i++) {
        const ons_node *n = ons_graph_node(p->graph, i);

        if (n->op == ONS_OP_INPUT && !strcmp(n->name, name))
            return n->out[0];
    }
    return NULL;
}

static const ons_value *find_output(const ons_plan *p, const char *name, int *index)
{
    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++)
        if (!strcmp(ons_graph_output_at(p->graph, i)->name, name)) {
            *index = i;
            return ons_graph_output_at(p->graph, i)->value;
        }
    return NULL;
}

const ons_value *ons_plan_find(const ons_plan *p, const char *name)
{
    const ons_value *v = find_input(p, name);
    int index;

    return v ? v : find_output(p, name, &index);
}

ons_dtype ons_plan_stored_type(const ons_plan *p, const ons_value *v)
{
    return v->dtype == ONS_F32 ? p->backend->real : v->dtype;
}

void *ons_plan_address(const ons_plan *p, const ons_value *v)
{
    const ons_buffer *b = v ? ons_plan_buffer(p, v) : NULL;

    return b && b->place != ONS_PLACE_NONE ? b->ptr : NULL;
}

void *ons_plan_input(ons_plan *p, const char *name)
{
    return ons_plan_address(p, find_input(p, name));
}

/* Of output `index`, whose value is v. */
static void *result_address(const ons_plan *p, const ons_value *v, int index)
{
    return ons_plan_buffer(p, v)->leaf ? p->buffers[p->n_values + index].ptr : ons_plan_address(p, v);
}

const void *ons_plan_result(ons_plan *p, const char *name)
{
    int index;
    const ons_value *v = find_output(p, name, &index);

    return v ? result_address(p, v, index) : NULL;
}

static onestep_status check_range(const ons_plan *p, const char *name, const ons_value *v, size_t at, size_t n)
{
    const size_t count = (size_t)ons_shape_count(&v->shape);

    if (!p->arena)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: %s has no memory yet; allocate the plan first", p->label,
                        name);
    if (at > count || n > count - at)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: %s has %zu elements, not the %zu from element %zu on",
                        p->label, name, count, n, at);
    return ONESTEP_OK;
}

onestep_status ons_plan_write(ons_plan *p, const char *name, size_t at, const void *src, size_t n)
{
    const ons_value *v = find_input(p, name);
    char *dst = ons_plan_address(p, v);
    ons_dtype stored;
    onestep_status st;

    if (!v || ons_plan_buffer(p, v)->place == ONS_PLACE_NONE)
        return ONESTEP_OK;
    if ((st = check_range(p, name, v, at, n)) != ONESTEP_OK)
        return st;
    stored = ons_plan_stored_type(p, v);
    return ons_plan_copy_in(p, dst + at * ons_dtype_size(stored), stored, src, v->dtype, n);
}

onestep_status ons_plan_read(const ons_plan *p, const char *name, size_t at, void *dst, size_t n)
{
    int index;
    const ons_value *v = find_output(p, name, &index);
    ons_dtype stored;
    const char *src;
    onestep_status st;

    if (!v)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: the plan has no output %s", p->label, name);
    if ((st = check_range(p, name, v, at, n)) != ONESTEP_OK)
        return st;
    stored = ons_plan_stored_type(p, v);
    src = (const char *)result_address(p, v, index) + at * ons_dtype_size(stored);
    return ons_plan_copy_out(p, dst, v->dtype, src, stored, n);
}

onestep_status ons_plan_read_scalar(const ons_plan *p, const char *name, double *out)
{
    float value = 0;
    const onestep_status st = ons_plan_read(p, name, 0, &value, 1);

    *out = value;
    return st;
}

onestep_status ons_plan_bind_output(ons_plan *p, const char *name, void *data)
{
    int index;
    const ons_value *v = find_output(p, name, &index);
    ons_binding *grown;

    if (!v)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: the plan has no output %s", p->label, name);
    if (p->arena)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%s: output %s must be bound before memory is allocated",
                        p->label, name);
    grown = ons_realloc(p->bindings, ((size_t)p->n_bindings + 1) * sizeof *grown);
    if (!grown)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory to bind %s", name);
    p->bindings = grown;
    p->bindings[p->n_bindings++] = (ons_binding){.value = v, .data = data};
    return ONESTEP_OK;
}

onestep_status ons_plan_settle_bindings(ons_plan *p)
{
    for (int i = 0; i < p->n_bindings; i++) {
        ons_binding *b = &p->bindings[i];
        ons_buffer *buffer = ons_plan_buffer(p, b->value);

        if (buffer->place == ONS_PLACE_BOUND && buffer->ptr == b->data)
            continue; /* settled before memory ran out, the last time */
        b->copied = buffer->place != ONS_PLACE_ARENA || buffer->leaf || buffer->hoisted ||
                    !p->backend->memory->on_host || ons_plan_stored_type(p, b->value) != ONS_F32;
        if (!b->copied) {
            buffer->place = ONS_PLACE_BOUND;
            buffer->ptr = b->data;
        }
    }
    return ons_plan_place(p);
}

onestep_status ons_plan_copy_results(const ons_plan *p)
{
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < ons_graph_n_outputs(p->graph); i++) {
        const ons_value *v = ons_graph_output_at(p->graph, i)->value;
        const ons_buffer *copy = &p->buffers[p->n_values + i];

        if (ons_plan_buffer(p, v)->leaf && copy->bytes)
            ONS_TRY(p->backend->memory->copy_within(copy->ptr, ons_plan_address(p, v), copy->bytes));
    }
    for (int i = 0; i < p->n_bindings; i++) {
        const ons_binding *b = &p->bindings[i];

        if (b->copied)
            ONS_TRY(ons_plan_copy_out(p, b->data, ONS_F32, ons_plan_address(p, b->value),
                                      ons_plan_stored_type(p, b->value),
                                      (size_t)ons_shape_count(&b->value->shape)));
    }
fail:
    return st;
}
