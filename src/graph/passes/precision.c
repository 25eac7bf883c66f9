/*
 * bf16 storage for products and what lies between them. Accumulation is f32 everywhere; only storage changes.
 *
 * Each operator is of one kind (a column of ops.def):
 *   PRODUCT  conv2d, matmul, attention and their gradients
 *   BETWEEN  element-wise operators, norms and operators that move elements
 *   FULL     reductions, softmax, log, exp, statistics, embeddings: f32
 * A PRODUCT is low. A BETWEEN is low when a product lies both before and after it with only BETWEEN operators
 * on the way. So losses, sampler arithmetic and the start of a network stay f32. Everything in a layer whose
 * path has the component "conv_out" is FULL: an error in a network's last convolution is multiplied when eps
 * becomes x0.
 *
 * A low node reads and writes bf16, except:
 *   parameters (and views of them) as weights stay f32 leaves, which the backend packs; biases, gamma, beta f32
 *   norm statistics, attention's lse, gradients of weights, biases, gamma, beta: f32
 *   a matmul that no low node reads writes its f32 sums (weight gradients, scores before a softmax); a
 * product's residual has the type of its result A node that is not low reads and writes the declared types.
 * Casts stand where types change, one per value and type; graph inputs and outputs keep their declared types.
 *
 * Rejected: bf16 wherever a kernel has it. Optimizer-facing gradients, losses and x0 arithmetic lose digits
 * there and save nothing.
 */
#include <string.h>

#include "graph/graph_private.h"

typedef struct state {
    ons_graph *g;
    bool *before, *after; /* [n_nodes] a product lies before (after) or is it */
    bool *low_use;        /* [n_values] some low node reads it as bf16 */
    ons_dtype *declared;  /* [n_values] */
    ons_value **cast[2];  /* [n_values] its cast to bf16, to another type */
    int n_nodes;          /* at the start */
} state;

static bool has_component(const char *path, const char *name)
{
    size_t length = strlen(name);

    while (*path) {
        size_t part = strcspn(path, ".");

        if (part == length && !strncmp(path, name, length))
            return true;
        path += part + (path[part] == '.');
    }
    return false;
}

/* Values that were not declared f32 (token numbers, f64, explicit casts) are left alone. */
static ons_storage find_kind(const ons_node *n)
{
    if (n->out[0]->dtype != ONS_F32 || has_component(n->layer, "conv_out"))
        return ONS_STORES_FULL;
    return ons_op_rows[n->op].precision.kind;
}

static void mark_between(state *s)
{
    for (int i = 0; i < s->n_nodes; i++) {
        const ons_node *n = s->g->nodes[i];
        ons_storage k = find_kind(n);

        s->before[i] = k == ONS_STORES_PRODUCT;
        for (int j = 0; j < n->n_in && k == ONS_STORES_BETWEEN; j++)
            s->before[i] |= s->before[n->in[j]->node->id];
    }
    for (int i = s->n_nodes - 1; i >= 0; i--) {
        const ons_node *n = s->g->nodes[i];
        ons_storage k = find_kind(n);

        s->after[i] = k == ONS_STORES_PRODUCT || (k == ONS_STORES_BETWEEN && s->after[i]);
        for (int j = 0; j < n->n_in && s->after[i]; j++)
            s->after[n->in[j]->node->id] = true;
    }
}

static bool is_low(const state *s, int node)
{
    return s->before[node] && s->after[node];
}

static bool is_param_view(const ons_value *v)
{
    return ons_view_source(v)->node->op == ONS_OP_PARAM;
}

/* Type in which a low node reads its input i. */
static ons_dtype input_type(const state *s, const ons_node *n, int i)
{
    const ons_value *v = n->in[i];
    bool is_conv = n->op == ONS_OP_CONV2D || n->op == ONS_OP_CONV2D_UPSAMPLED;
    bool is_product = is_conv || n->op == ONS_OP_MATMUL;
    bool bias = is_conv ? n->attrs.conv.bias : n->op == ONS_OP_MATMUL && n->attrs.matmul.bias;

    if (s->declared[v->id] != ONS_F32)
        return s->declared[v->id];
    if ((is_product || n->op == ONS_OP_CONV2D_GRAD_X) && i == 1 && is_param_view(v))
        return ONS_F32;
    if (is_product && i >= 2)
        return bias && i == 2 ? ONS_F32 : n->out[0]->dtype;
    return ons_op_rows[n->op].precision.f32_in >> i & 1 ? ONS_F32 : ONS_BF16;
}

static void set_output_types(const state *s, ons_node *n)
{
    if (n->op == ONS_OP_MATMUL && !s->low_use[n->out[0]->id])
        return;
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] && ons_op_rows[n->op].precision.low_out >> k & 1)
            n->out[k]->dtype = ONS_BF16;
}

/* From the last node to the first, because a matmul's type depends on its readers. */
static void choose_types(state *s)
{
    for (int i = s->n_nodes - 1; i >= 0; i--) {
        ons_node *n = s->g->nodes[i];

        if (!is_low(s, i))
            continue;
        set_output_types(s, n);
        for (int k = 0; k < n->n_in; k++)
            s->low_use[n->in[k]->id] |= input_type(s, n, k) == ONS_BF16;
    }
}

/* v in the given type: itself, an earlier cast, or a new cast node; NULL: no memory. */
static ons_value *convert(state *s, ons_value *v, ons_dtype type)
{
    ons_value **known = &s->cast[type != ONS_BF16][v->id];
    ons_attrs a;
    ons_node *n;

    if (v->dtype == type)
        return v;
    if (*known)
        return *known;
    memset(&a, 0, sizeof a);
    a.dtype = type;
    n = ons_node_append(s->g, ONS_OP_CAST, &v, 1, &a, &v->shape, &type);
    if (!n)
        return NULL;
    n->layer = v->node->layer;
    return *known = n->out[0];
}

/* Appends the old nodes again, with casts before those that need them. */
static bool insert_casts(state *s, ons_node *const *nodes)
{
    ons_graph *g = s->g;

    for (int i = 0; i < s->n_nodes; i++) {
        for (int k = 0; k < nodes[i]->n_in; k++) {
            ons_value **in = &nodes[i]->in[k];

            *in = convert(s, *in, is_low(s, i) ? input_type(s, nodes[i], k) : s->declared[(*in)->id]);
            if (!*in)
                return false;
        }
        if (!ons_graph_append_node(g, nodes[i]))
            return false;
    }
    for (int i = 0; i < g->n_outputs; i++) {
        ons_value **v = &g->outputs[i].value;

        if (!(*v = convert(s, *v, s->declared[(*v)->id])))
            return false;
    }
    return true;
}

static bool init_state(state *s, ons_graph *g)
{
    size_t nodes = (size_t)g->n_nodes + 1, values = (size_t)g->n_values + 1;

    *s = (state){.g = g, .n_nodes = g->n_nodes};
    s->before = ons_calloc(nodes, sizeof *s->before);
    s->after = ons_calloc(nodes, sizeof *s->after);
    s->low_use = ons_calloc(values, sizeof *s->low_use);
    s->declared = ons_calloc(values, sizeof *s->declared);
    s->cast[0] = ons_calloc(values, sizeof *s->cast[0]);
    s->cast[1] = ons_calloc(values, sizeof *s->cast[1]);
    if (!s->before || !s->after || !s->low_use || !s->declared || !s->cast[0] || !s->cast[1])
        return false;
    for (int i = 0; i < g->n_values; i++)
        s->declared[i] = g->values[i]->dtype;
    return true;
}

static void fini_state(state *s)
{
    ons_free(s->before);
    ons_free(s->after);
    ons_free(s->low_use);
    ons_free(s->declared);
    ons_free(s->cast[0]);
    ons_free(s->cast[1]);
}

onestep_status ons_pass_precision(ons_graph *g)
{
    ons_node **nodes = NULL;
    bool fits;
    state s;

    fits = init_state(&s, g);
    if (fits) {
        mark_between(&s);
        choose_types(&s);
        nodes = ons_graph_take_nodes(g);
        fits = insert_casts(&s, nodes);
        ons_graph_compact(g, NULL);
    }
    ons_free(nodes);
    fini_state(&s);
    return fits ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory to choose precisions");
}
