/*
 * Life cycle of a graph: storage, scopes, the first error, outputs.
 *
 * Everything a graph owns lies in one arena except three growing arrays. Errors are kept and not returned
 * because a model is hundreds of nested builder calls: a status from each would bury the model's shape under
 * checks.
 */
#include <stdarg.h>
#include <string.h>

#include "graph/graph_private.h"

const ons_op_row ons_op_rows[ONS_N_OPS] = {
/* What the columns of ops.def are written with. */
#define LEAF ONS_ROLE_LEAF
#define VIEW ONS_ROLE_VIEW
#define UNARY ONS_ROLE_UNARY
#define COMPUTED ONS_ROLE_COMPUTED
/* Braces in macros, which versions of clang-format lay out differently. */
/* clang-format off */
#define FULL {ONS_STORES_FULL, 0, 0}
#define BETWEEN BETWEEN_BUT(0, 0x1)
#define PRODUCT PRODUCT_BUT(0, 0x1)
#define BETWEEN_BUT(f32_in, low_out) {ONS_STORES_BETWEEN, f32_in, low_out}
#define PRODUCT_BUT(f32_in, low_out) {ONS_STORES_PRODUCT, f32_in, low_out}
/* clang-format on */
#define NONE ONS_SLICES_NONE
#define ROWS ONS_SLICES_ROWS
#define SAMPLES ONS_SLICES_SAMPLES
#define BROADCAST ONS_SLICES_BROADCAST
#define PARAMS ONS_SLICES_PARAMS
#define SUMS ONS_SLICES_SUMS
#define ONS_OP(id, name, n_in, n_out, role, precision, slices, flops, shape, grad)                             \
    [ONS_OP_##id] = {name, n_in, n_out, role, precision, slices, flops, shape, grad},
#include "graph/ops.def"
#undef ONS_OP
};
#undef LEAF
#undef VIEW
#undef UNARY
#undef COMPUTED
#undef FULL
#undef BETWEEN
#undef PRODUCT
#undef BETWEEN_BUT
#undef PRODUCT_BUT
#undef NONE
#undef ROWS
#undef SAMPLES
#undef BROADCAST
#undef PARAMS
#undef SUMS

unsigned ons_op_slices(ons_op op)
{
    return ons_op_rows[op].slices;
}

bool ons_op_is_leaf(ons_op op)
{
    return ons_op_rows[op].role == ONS_ROLE_LEAF;
}

bool ons_op_is_view(ons_op op)
{
    return ons_op_rows[op].role == ONS_ROLE_VIEW;
}

const ons_value *ons_view_source(const ons_value *v)
{
    while (ons_op_is_view(v->node->op))
        v = v->node->in[0];
    return v;
}

const char *ons_op_name(ons_op op)
{
    return op >= 0 && op < ONS_N_OPS ? ons_op_rows[op].name : "?";
}

onestep_status ons_graph_create(ons_graph **out)
{
    ons_graph *g = ons_calloc(1, sizeof *g);

    *out = NULL;
    if (g)
        g->arena = ons_arena_create();
    if (!g || !g->arena) {
        ons_free(g);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a graph");
    }
    g->dummy_node.op = ONS_OP_CONSTANT;
    g->dummy_node.n_out = 1;
    g->dummy_node.out[0] = &g->dummy;
    g->dummy_node.layer = "";
    g->dummy = (ons_value){.node = &g->dummy_node, .id = -1, .dtype = ONS_F32};
    *out = g;
    return ONESTEP_OK;
}

void ons_graph_destroy(ons_graph **graph)
{
    ons_graph *g = *graph;

    if (!g)
        return;
    ons_arena_destroy(&g->arena);
    ons_free(g->nodes);
    ons_free(g->values);
    ons_free(g->outputs);
    ons_free(g);
    *graph = NULL;
}

bool ons_graph_failed(const ons_graph *g)
{
    return g->status != ONESTEP_OK;
}

static const char *current_layer(const ons_graph *g)
{
    return g->n_scopes ? g->scopes[g->n_scopes - 1] : "";
}

onestep_status ons_graph_finish(ons_graph *g)
{
    if (g->status != ONESTEP_OK)
        return ons_fail(g->status, "%s", g->message);
    if (g->n_scopes)
        return ons_fail(ONESTEP_INTERNAL, "graph finished inside scope '%s': a pop is missing",
                        current_layer(g));
    if (g->segment_depth)
        return ons_fail(ONESTEP_INTERNAL, "graph finished inside a segment: an end is missing");
    return ONESTEP_OK;
}

ons_value *ons_graph_error(ons_graph *g, const char *format, ...)
{
    if (g->status == ONESTEP_OK) {
        const char *layer = current_layer(g);
        va_list args;
        size_t used = 0;

        if (*layer) {
            int n = snprintf(g->message, sizeof g->message, "%s: ", layer);
            used = (size_t)n < sizeof g->message ? (size_t)n : sizeof g->message - 1;
        }
        va_start(args, format);
        vsnprintf(g->message + used, sizeof g->message - used, format, args);
        va_end(args);
        g->status = ONESTEP_BAD_ARGUMENT;
    }
    return &g->dummy;
}

ons_value *ons_graph_no_memory(ons_graph *g)
{
    if (g->status == ONESTEP_OK) {
        ons_graph_error(g, "no memory for a graph of %d nodes", g->n_nodes);
        g->status = ONESTEP_NO_MEMORY;
    }
    return &g->dummy;
}

void ons_graph_push(ons_graph *g, const char *format, ...)
{
    const char *outer = current_layer(g);
    char text[ONS_MESSAGE_SIZE];
    va_list args;
    int used;

    if (g->n_scopes == ONS_MAX_SCOPES) {
        ons_graph_error(g, "more than %d nested scopes: a pop is missing", ONS_MAX_SCOPES);
        return;
    }
    used = snprintf(text, sizeof text / 2, "%s%s", outer, *outer ? "." : "");
    if (used >= (int)sizeof text / 2)
        used = (int)sizeof text / 2 - 1;
    va_start(args, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, args);
    va_end(args);
    const char *path = ons_arena_strdup(g->arena, text);
    if (!path) {
        ons_graph_no_memory(g);
        path = "";
    }
    g->scopes[g->n_scopes++] = path;
}

void ons_graph_pop(ons_graph *g)
{
    if (g->n_scopes)
        g->n_scopes--;
    else
        ons_graph_error(g, "scope popped that was never pushed");
}

int ons_graph_n_nodes(const ons_graph *g)
{
    return g->n_nodes;
}

ons_node *ons_graph_node(const ons_graph *g, int i)
{
    return g->nodes[i];
}

int ons_graph_n_values(const ons_graph *g)
{
    return g->n_values;
}

int ons_graph_n_outputs(const ons_graph *g)
{
    return g->n_outputs;
}

const ons_output *ons_graph_output_at(const ons_graph *g, int i)
{
    return &g->outputs[i];
}

static bool owns(const ons_graph *g, const ons_value *v)
{
    return v && v->id >= 0 && v->id < g->n_values && g->values[v->id] == v;
}

/* Makes room for one more element of `size_bytes`; false: no memory. */
static bool grow(void *array, int n, int *room, size_t size_bytes)
{
    void *old, *fresh;
    int more = *room ? 2 * *room : 64;

    if (n < *room)
        return true;
    memcpy(&old, array, sizeof old);
    fresh = ons_realloc(old, (size_t)more * size_bytes);
    if (!fresh)
        return false;
    memcpy(array, &fresh, sizeof fresh);
    *room = more;
    return true;
}

void ons_graph_output(ons_graph *g, ons_value *v, const char *name)
{
    char *copy;

    if (ons_graph_failed(g))
        return;
    if (!owns(g, v)) {
        ons_graph_error(g, "output '%s' is not a value of this graph", name);
        return;
    }
    for (int i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) {
            ons_graph_error(g, "two outputs are named '%s'; names must differ", name);
            return;
        }
    copy = ons_arena_strdup(g->arena, name);
    if (!copy || !grow(&g->outputs, g->n_outputs, &g->outputs_room, sizeof *g->outputs)) {
        ons_graph_no_memory(g);
        return;
    }
    g->outputs[g->n_outputs++] = (ons_output){v, copy};
}

void *ons_graph_store(ons_graph *g, const void *data, size_t size_bytes)
{
    unsigned char *p = size_bytes > SIZE_MAX - 64 ? NULL : ons_arena_alloc(g->arena, size_bytes + 64);

    if (!p)
        return NULL;
    p += (64 - (uintptr_t)p % 64) % 64;
    if (data && size_bytes)
        memcpy(p, data, size_bytes);
    return p;
}

static ons_value *append_value(ons_graph *g, ons_node *n, int index, const ons_shape *shape, ons_dtype dtype)
{
    ons_value *v = ons_arena_alloc(g->arena, sizeof *v);

    if (!v || !grow(&g->values, g->n_values, &g->values_room, sizeof *g->values))
        return NULL;
    *v = (ons_value){n, index, g->n_values, dtype, *shape};
    g->values[g->n_values++] = v;
    return v;
}

void ons_graph_begin_segment(ons_graph *g)
{
    if (!g->segment_depth++)
        g->n_segments++;
}

void ons_graph_end_segment(ons_graph *g)
{
    if (g->segment_depth)
        g->segment_depth--;
    else
        ons_graph_error(g, "segment ended that was never begun");
}

void ons_graph_recompute(ons_graph *g, bool on)
{
    g->recompute = on;
}

ons_node *ons_node_append(ons_graph *g, ons_op op, ons_value *const *in, int n_in, const ons_attrs *attrs,
                          const ons_shape *shapes, const ons_dtype *dtypes)
{
    ons_node *n = ons_arena_alloc(g->arena, sizeof *n);
    ons_value **inputs = ons_arena_alloc(g->arena, (size_t)(n_in ? n_in : 1) * sizeof *inputs);

    if (!n || !inputs || !grow(&g->nodes, g->n_nodes, &g->nodes_room, sizeof *g->nodes))
        goto fail;
    for (int i = 0; i < n_in; i++)
        inputs[i] = in[i];
    n->op = op;
    n->id = g->n_nodes;
    n->n_in = n_in;
    n->n_out = ons_op_rows[op].n_out;
    n->in = inputs;
    n->attrs = *attrs;
    n->layer = current_layer(g);
    n->segment = g->segment_depth ? g->n_segments : 0;
    for (int i = 0; i < n->n_out; i++)
        if (!(n->out[i] = append_value(g, n, i, &shapes[i], dtypes[i])))
            goto fail;
    g->nodes[g->n_nodes++] = n;
    return n;
fail:
    ons_graph_no_memory(g);
    return NULL;
}

ons_node **ons_graph_take_nodes(ons_graph *g)
{
    ons_node **nodes = g->nodes;

    g->nodes = NULL;
    g->n_nodes = g->nodes_room = 0;
    return nodes;
}

bool ons_graph_append_node(ons_graph *g, ons_node *n)
{
    if (!grow(&g->nodes, g->n_nodes, &g->nodes_room, sizeof *g->nodes))
        return false;
    g->nodes[g->n_nodes++] = n;
    return true;
}

static ons_value *give_dummies(ons_graph *g, ons_op op, ons_value **out)
{
    for (int i = 0; out && i < ons_op_rows[op].n_out; i++)
        out[i] = &g->dummy;
    return &g->dummy;
}

ons_value *ons_apply(ons_graph *g, ons_op op, ons_value *const *in, int n_in, const ons_attrs *attrs,
                     ons_value **out)
{
    ons_attrs own;
    ons_rule rule = {.op = op, .in = in, .n_in = n_in, .attrs = &own};
    ons_node *n;

    memset(&own, 0, sizeof own);
    if (attrs)
        own = *attrs;
    if (ons_graph_failed(g))
        return give_dummies(g, op, out);
    for (int i = 0; i < n_in; i++)
        if (!owns(g, in[i])) {
            ons_graph_error(g, "%s: input %d is %s", ons_op_name(op), i,
                            in[i] ? "a value of another graph" : "missing (NULL)");
            return give_dummies(g, op, out);
        }
    if (!ons_rule_run(&rule)) {
        ons_graph_error(g, "%s", rule.message);
        return give_dummies(g, op, out);
    }
    n = ons_node_append(g, op, in, n_in, &own, rule.shape, rule.dtype);
    if (!n)
        return give_dummies(g, op, out);
    for (int i = 0; out && i < n->n_out; i++)
        out[i] = n->out[i];
    return n->out[0];
}
