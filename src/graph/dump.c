/*
 * Dumps, stable between runs: values appear by their dense ids, constants by a hash of their data, never by
 * address.
 *
 *   %7 = conv2d(%1, %2, %3) stride=1 ... -> f32 [2, 8, 8, 64] ; down_blocks.0.resnets.1.conv1
 */
#include <inttypes.h>
#include <math.h>
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

static void print_json_string(const char *s, FILE *f)
{
    fputc('"', f);
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            fprintf(f, "\\%c", *s);
        else if ((unsigned char)*s < 0x20)
            fprintf(f, "\\u%04x", (unsigned)(unsigned char)*s);
        else
            fputc(*s, f);
    fputc('"', f);
}

/* JSON has no infinities, and bounds of a clamp may be one. */
static void print_json_number(double v, FILE *f)
{
    fprintf(f, isfinite(v) ? "%.17g" : "\"%g\"", v);
}

static void print_json_value(const ons_value *v, FILE *f)
{
    fprintf(f, "{\"id\": %d, \"type\": \"%s\", \"shape\": [", v->id, ons_dtype_name(v->dtype));
    for (int i = 0; i < v->shape.n; i++)
        fprintf(f, "%s%" PRId64, i ? ", " : "", v->shape.d[i]);
    fputs("]}", f);
}

static void print_json_node(const ons_node *n, FILE *f)
{
    ons_attr attrs[ONS_MAX_ATTRS];
    int n_attrs = ons_node_attrs(n, attrs);

    fprintf(f, "{\"op\": \"%s\", \"in\": [", ons_op_name(n->op));
    for (int i = 0; i < n->n_in; i++)
        fprintf(f, "%s%d", i ? ", " : "", n->in[i]->id);
    fputs("], \"out\": [", f);
    for (int i = 0; i < n->n_out; i++) {
        fputs(i ? ", " : "", f);
        print_json_value(n->out[i], f);
    }
    fputs("], \"attrs\": {", f);
    for (int i = 0; i < n_attrs; i++) {
        fprintf(f, "%s\"%s\": ", i ? ", " : "", attrs[i].key);
        print_json_number(attrs[i].value, f);
    }
    fputs("}, \"layer\": ", f);
    print_json_string(n->layer, f);
    if (n->name) {
        fputs(", \"name\": ", f);
        print_json_string(n->name, f);
    }
    if (n->op == ONS_OP_CONSTANT)
        fprintf(f, ", \"data\": \"%016" PRIx64 "\"", hash_constant(n));
    fputc('}', f);
}

void ons_graph_dump_json(const ons_graph *g, FILE *f)
{
    fputs("{\"nodes\": [\n", f);
    for (int i = 0; i < g->n_nodes; i++) {
        print_json_node(g->nodes[i], f);
        fputs(i + 1 < g->n_nodes ? ",\n" : "\n", f);
    }
    fputs("], \"outputs\": [", f);
    for (int i = 0; i < g->n_outputs; i++) {
        fprintf(f, "%s{\"value\": %d, \"name\": ", i ? ", " : "", g->outputs[i].value->id);
        print_json_string(g->outputs[i].name, f);
        fputc('}', f);
    }
    fputs("]}\n", f);
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
