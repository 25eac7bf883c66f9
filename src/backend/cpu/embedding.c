/*
 * Embedding from 16-bit rows. A vocabulary's table is large and few of its rows are read: where the weights
 * stand in a file in 16 bits, and nobody trains them, the copy for this kernel keeps them so, and a row is
 * converted when it is looked up. From a packed file the other rows are never read at all.
 */
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "base/memory.h"

typedef struct copy_job {
    char *dst;
    const char *src;
} copy_job;

static void copy_range(void *context, int64_t begin, int64_t end, int thread)
{
    const copy_job *j = context;

    (void)thread;
    memcpy(j->dst + begin, j->src + begin, (size_t)(end - begin));
}

/* What the packer is given. */
typedef struct rows_layout {
    ons_dtype type;
    int n_threads;
} rows_layout;

static void pack_file(void *dst, const void *src, ons_dtype type, const ons_param *param, const void *context)
{
    const rows_layout *l = context;
    copy_job j = {dst, src};

    ons_parallel_for(l->n_threads, ons_shape_count(&param->shape) * (int64_t)ons_dtype_size(type), 1 << 16,
                     copy_range, &j);
}

static void pack_values(void *dst, const float *src, const ons_param *param, const void *context)
{
    const rows_layout *l = context;

    ons_convert(dst, l->type, src, ONS_F32, (size_t)ons_shape_count(&param->shape));
}

typedef struct rows_state {
    const ons_packed *packed;
    ons_dtype type;
} rows_state;

static const char *refuse_rows(const ons_node *n)
{
    if (n->in[0]->node->op != ONS_OP_PARAM || n->in[0]->node->attrs.param.trainable)
        return "the table is no frozen parameter";
    return n->out[0]->dtype == ONS_F32 ? NULL : "the result is not f32";
}

static onestep_status prepare_rows(ons_prep *p)
{
    const ons_node *leaf = p->node->in[0]->node;
    const int slot = leaf->attrs.param.slot, index = leaf->attrs.param.index;
    ons_params *set = slot < p->n_params ? p->params[slot] : NULL;
    rows_layout l = {.type = set ? ons_params_value_type(set, index) : ONS_F32, .n_threads = p->n_threads};
    size_t bytes;
    char name[32];
    rows_state *s;

    if (l.type == ONS_F32)
        return ons_fail(ONESTEP_UNSUPPORTED, "the table is not in a file in 16 bits");
    bytes = (size_t)ons_shape_count(&p->node->in[0]->shape) * ons_dtype_size(l.type);
    snprintf(name, sizeof name, "rows %s", ons_dtype_name(l.type));
    s = p->state = ons_calloc(1, sizeof *s);
    if (s) {
        s->type = l.type;
        s->packed =
            ons_params_packed(set, index, name, bytes, (ons_packer){pack_values, pack_file}, &l, sizeof l);
    }
    if (!s || !s->packed)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its table", p->node->layer);
    p->packed_in |= 1u;
    p->detail = ons_dtype_name(l.type);
    return ONESTEP_OK;
}

/* A number outside the table reads as zeros. */
static onestep_status run_rows(const ons_prep *p, const ons_args *a)
{
    const rows_state *s = p->state;
    const int64_t n_rows = p->node->in[0]->shape.d[0], width = p->node->in[0]->shape.d[1];
    const char *table = ons_packed_data(s->packed);
    const int32_t *ids = a->in[1];
    float *dst = a->out[0];

    for (int64_t i = 0; i < ons_shape_count(&p->node->in[1]->shape); i++, dst += width)
        if (ids[i] >= 0 && ids[i] < n_rows)
            ons_cpu_convert(dst, ONS_F32, table + (size_t)(ids[i] * width) * ons_dtype_size(s->type), s->type,
                            (size_t)width);
        else
            memset(dst, 0, (size_t)width * sizeof *dst);
    return ONESTEP_OK;
}

static void destroy_rows(ons_prep *p)
{
    ons_free(p->state);
    p->state = NULL;
}

const ons_kernel ons_cpu_rows_kernels[] = {{"rows", refuse_rows, prepare_rows, run_rows, destroy_rows}, {0}};
