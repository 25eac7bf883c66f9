/*
 * Dumps, stable between runs: values appear by their dense ids, constants by a hash of their data, never by
 * address.
 *
 *   %7 = conv2d(%1, %2, %3) stride=1 ... -> f32 [2, 8, 8, 64] ; down_blocks.0.resnets.1.conv1
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/text.h"
#include "graph/graph_private.h"

static uint64_t hash_constant(const ons_node *n)
{
    return ons_hash_bytes(ONS_HASH_START, n->attrs.constant, ons_value_bytes(n->out[0]));
}

static void print_text_node(const ons_node *n, FILE *f)
{
    ons_attr attrs[ONS_MAX_ATTRS];
    int n_attrs = ons_node_attrs(n, attrs);
    char text[96];

    for (int i = 0; i < n->n_out; i++)
        fprintf(f, "%s%%%d", i ? ", " : "", n->out[i]->id);
    fprintf(f, " = %s(", ons_op_name(n->op));
    for (int i = 0; i < n->n_in; i++)
        fprintf(f, "%s%%%d", i ? ", " : "", n->in[i]->id);
    fputc(')', f);
    if (n->name)
        fprintf(f, " '%s'", n->name);
    if (n->op == ONS_OP_CONSTANT)
        fprintf(f, " data=%016" PRIx64, hash_constant(n));
    for (int i = 0; i < n_attrs; i++)
        fprintf(f, " %s=%.17g", attrs[i].key, attrs[i].value);
    for (int i = 0; i < n->n_out; i++)
        fprintf(f, "%s %s %s", i ? "," : " ->", ons_dtype_name(n->out[i]->dtype),
                ons_shape_text(&n->out[i]->shape, text));
    fprintf(f, "%s%s\n", *n->layer ? " ; " : "", n->layer);
}

void ons_graph_dump_text(const ons_graph *g, FILE *f)
{
    for (int i = 0; i < g->n_nodes; i++)
        print_text_node(g->nodes[i], f);
    for (int i = 0; i < g->n_outputs; i++)
        fprintf(f, "output '%s' = %%%d\n", g->outputs[i].name, g->outputs[i].value->id);
}

uint64_t ons_graph_hash(const ons_graph *g)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    uint64_t h = 0;

    if (!f)
        return 0;
    ons_graph_dump_text(g, f);
    if (!fclose(f))
        h = ons_hash_bytes(ONS_HASH_START, text, size);
    free(text);
    return h;
}
