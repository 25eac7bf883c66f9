/*
 * What 8 bits do to one layer: its product runs once more in 8 bits, as a plan of its own, on the operands of
 * the bf16 product that has just run, by the kernels that will run later.
 */
#include "pipeline/calibrate_impl.h"

#include <string.h>

#include "base/memory.h"

static const char *const names[] = {"x", "w", "a", "b"};

static ons_value *copy_operand(ons_graph *g, const ons_node *n, int i)
{
    const ons_value *v = n->in[i];
    const ons_node *leaf = v->node;

    if (i == 1 && leaf->op == ONS_OP_PARAM) /* packed straight from the file */
        return ons_param_leaf(g, leaf->name, 0, leaf->attrs.param.index, &v->shape, false);
    return ons_input(g, names[i], v->dtype, &v->shape);
}

static onestep_status build(const ons_seen_layer *l, const ons_node *n, ons_graph **out)
{
    ons_value *in[4];
    ons_attrs a, product = n->attrs;
    ons_graph *g = NULL;
    onestep_status st;

    ONS_TRY(ons_graph_create(&g));
    for (int i = 0; i < n->n_in; i++)
        in[i] = copy_operand(g, n, i);
    memset(&a, 0, sizeof a);
    a.quantise.scale = product.quantise.scale = l->scale;
    a.quantise.zero = product.quantise.zero = l->zero;
    if (n->op == ONS_OP_CONV2D) {
        a.quantise.pad_top = product.conv.pad_top;
        a.quantise.pad_left = product.conv.pad_left;
        a.quantise.pad_bottom = product.conv.pad_bottom;
        a.quantise.pad_right = product.conv.pad_right;
        product.conv.pad_top = product.conv.pad_left = product.conv.pad_bottom = product.conv.pad_right = 0;
    }
    in[0] = ons_apply(g, ONS_OP_QUANTISE, in, 1, &a, NULL);
    ons_graph_output(g, ons_apply(g, n->op, in, n->n_in, &product, NULL), "y");
    ONS_TRY(ons_graph_finish(g));
    *out = g;
    return ONESTEP_OK;
fail:
    ons_graph_destroy(&g);
    return st;
}

/* Sums of squares over all elements; a residual is no part of the product's own. */
static void add_squares(ons_seen_layer *l, const ons_node *n, const ons_args *args, const uint16_t *got)
{
    const bool residual = n->op == ONS_OP_CONV2D ? n->attrs.conv.residual : n->attrs.matmul.residual;
    const uint16_t *want = args->out[0], *before = residual ? args->in[n->n_in - 1] : NULL;
    const int64_t count = ons_shape_count(&n->out[0]->shape);

    for (int64_t i = 0; i < count; i++) {
        const double w = ons_bf16_to_f32(want[i]), own = before ? w - ons_bf16_to_f32(before[i]) : w;
        const double d = ons_bf16_to_f32(got[i]) - w;

        l->error_sum += d * d;
        l->result_sum += own * own;
    }
}

/* A plan of the product in 8 bits that has run on the operands. */
static onestep_status run_8_bits(const ons_seen *s, const ons_seen_layer *l, const ons_node *n,
                                 const ons_args *args, ons_plan **out)
{
    ons_plan_options o = {.compute = s->compute, .label = n->layer};
    ons_graph *g = NULL;
    ons_plan *p = NULL;
    onestep_status st;

    o.params[0] = s->params;
    ONS_TRY(build(l, n, &g));
    ONS_TRY(ons_plan_create(&g, &o, &p));
    ONS_TRY(ons_plan_allocate(p));
    for (int i = 0; i < n->n_in; i++)
        ONS_TRY(ons_plan_write(p, names[i], 0, args->in[i], (size_t)ons_shape_count(&n->in[i]->shape)));
    ONS_TRY(ons_plan_run(p));
    *out = p;
    return ONESTEP_OK;
fail:
    ons_plan_destroy(&p);
    return st;
}

/* Its result, in bf16. */
static onestep_status read_8_bits(const ons_seen *s, const ons_seen_layer *l, const ons_node *n,
                                  const ons_args *args, uint16_t *y)
{
    ons_plan *p = NULL;
    onestep_status st;

    ONS_TRY(run_8_bits(s, l, n, args, &p));
    st = ons_plan_read(p, "y", 0, y, (size_t)ons_shape_count(&n->out[0]->shape));
fail:
    ons_plan_destroy(&p);
    return st;
}

onestep_status ons_seen_measure(const ons_seen *s, ons_seen_layer *l, const ons_node *n, const ons_args *args)
{
    uint16_t *y = ons_malloc((size_t)ons_shape_count(&n->out[0]->shape) * sizeof *y);
    onestep_status st;

    if (!y)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its result", n->layer);
    ONS_TRY(read_8_bits(s, l, n, args, y));
    add_squares(l, n, args, y);
fail:
    ons_free(y);
    return st;
}

onestep_status ons_seen_replace(const ons_seen *s, const ons_seen_layer *l, const ons_node *n,
                                const ons_args *args)
{
    return read_8_bits(s, l, n, args, args->out[0]);
}
