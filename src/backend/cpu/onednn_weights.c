/*
 * Weights between their plain form and a layout of oneDNN's. Every such layout is a sum of one offset per
 * dimension, so a table along the dimension that is contiguous in the plain form serves all rows of it. A
 * reorder primitive would do the same, but it would have to live as long as the packed copy, which outlives
 * plans.
 */
#include <stdio.h>
#include <string.h>

#include "backend/cpu/onednn.h"

enum { CHUNK = 256 };

typedef struct move_job {
    const ons_onednn_layout *l;
    char *packed, *plain;
    int inner;            /* contiguous in the plain form */
    int64_t first, count; /* elements of it in this sweep */
    int64_t place[CHUNK];
    bool unpack;
} move_job;

int64_t ons_onednn_place(const ons_onednn_layout *l, int d, int64_t i)
{
    int64_t step = 1, at = 0;

    for (int b = l->n_blocks - 1; b >= 0; b--) {
        if (l->block_dim[b] == d) {
            at += i % l->block[b] * step;
            i /= l->block[b];
        }
        step *= l->block[b];
    }
    return at + i * l->stride[d];
}

static void pack_run(const move_job *m, int64_t plain, int64_t packed)
{
    const ons_onednn_layout *l = m->l;
    float buffer[CHUNK];

    ons_convert(buffer, l->dtype, m->plain + (size_t)plain * ons_dtype_size(l->plain.dtype), l->plain.dtype,
                (size_t)m->count);
    if (l->dtype == ONS_F32)
        for (int64_t i = 0; i < m->count; i++)
            ((float *)m->packed)[packed + m->place[i]] = buffer[i];
    else
        for (int64_t i = 0; i < m->count; i++)
            memcpy(m->packed + 2 * (packed + m->place[i]), (char *)buffer + 2 * i, 2);
}

static void unpack_run(const move_job *m, int64_t plain, int64_t packed)
{
    for (int64_t i = 0; i < m->count; i++)
        ((float *)m->plain)[plain + i] = ((float *)m->packed)[packed + m->place[i]];
}

/* Rows [begin, end) of all dimensions but the inner one. */
static void move_rows(void *context, int64_t begin, int64_t end, int thread)
{
    const move_job *m = context;
    const ons_onednn_layout *l = m->l;

    (void)thread;
    for (int64_t row = begin; row < end; row++) {
        int64_t plain = m->first, packed = 0, rest = row;

        for (int d = l->plain.n - 1; d >= 0; d--) {
            if (d == m->inner)
                continue;
            plain += rest % l->plain.d[d] * l->plain.stride[d];
            packed += ons_onednn_place(l, d, rest % l->plain.d[d]);
            rest /= l->plain.d[d];
        }
        if (m->unpack)
            unpack_run(m, plain, packed);
        else
            pack_run(m, plain, packed);
    }
}

static void move_all(move_job *m)
{
    const ons_onednn_tensor *t = &m->l->plain;
    int64_t rows = 1;

    m->inner = -1;
    for (int d = 0; d < t->n; d++)
        if (t->stride[d] == 1 && (m->inner < 0 || t->d[d] > t->d[m->inner]))
            m->inner = d;
    for (int d = 0; d < t->n; d++)
        rows *= d == m->inner ? 1 : t->d[d];
    for (m->first = 0; m->first < t->d[m->inner]; m->first += CHUNK) {
        m->count = t->d[m->inner] - m->first < CHUNK ? t->d[m->inner] - m->first : CHUNK;
        for (int64_t i = 0; i < m->count; i++)
            m->place[i] = ons_onednn_place(m->l, m->inner, m->first + i);
        ons_parallel_for(m->l->n_threads, rows, 8, move_rows, m);
    }
}

bool ons_onednn_same_layout(const ons_onednn_layout *a, const ons_onednn_layout *b)
{
    return a->dtype == b->dtype && a->bytes == b->bytes && a->n_blocks == b->n_blocks &&
           !memcmp(a->stride, b->stride, (size_t)a->plain.n * sizeof *a->stride) &&
           !memcmp(a->block, b->block, (size_t)a->n_blocks * sizeof *a->block) &&
           !memcmp(a->block_dim, b->block_dim, (size_t)a->n_blocks * sizeof *a->block_dim);
}

void ons_onednn_pack(const ons_onednn_layout *l, void *packed, const void *plain)
{
    size_t count = 1;

    for (int d = 0; d < l->plain.n; d++)
        count *= (size_t)l->plain.d[d];
    if (count * ons_dtype_size(l->dtype) != l->bytes)
        memset(packed, 0, l->bytes); /* what fills up blocks must be zero */
    move_all(&(move_job){.l = l, .packed = packed, .plain = (char *)plain});
}

void ons_onednn_unpack(const ons_onednn_layout *l, float *plain, const float *packed)
{
    move_all(&(move_job){.l = l, .packed = (char *)packed, .plain = (char *)plain, .unpack = true});
}

static void pack_param(void *dst, const float *src, const ons_param *param, const void *context)
{
    const ons_onednn_layout *l = context;

    (void)param;
    if (l->dtype == ONS_I8)
        ons_onednn_i8_pack(l, dst, src);
    else
        ons_onednn_pack(l, dst, src);
}

/* A name that two layouts of one parameter share only when they are the same. */
static void name_layout(const ons_onednn_layout *l, char *text, size_t size)
{
    int at = snprintf(text, size, "onednn %s", ons_dtype_name(l->dtype));

    for (int d = 0; d < l->plain.n && at < (int)size; d++)
        at += snprintf(text + at, size - (size_t)at, " %lld/%lld>%lld", (long long)l->plain.d[d],
                       (long long)l->plain.stride[d], (long long)l->stride[d]);
    for (int b = 0; b < l->n_blocks && at < (int)size; b++)
        at += snprintf(text + at, size - (size_t)at, " %lld:%lld", (long long)l->block_dim[b],
                       (long long)l->block[b]);
}

const ons_node *ons_onednn_param(const ons_value *v)
{
    const ons_node *leaf = ons_view_source(v)->node;

    return leaf->op == ONS_OP_PARAM ? leaf : NULL;
}

onestep_status ons_onednn_share(ons_prep *p, const ons_onednn_layout *l, const ons_packed **out)
{
    const ons_node *leaf = ons_onednn_param(p->node->in[1]);
    ons_packer packer = {.from_values = pack_param};
    const size_t bytes = l->dtype == ONS_I8 ? ons_onednn_i8_bytes(l) : l->bytes;
    ons_params *set;
    char name[640];

    *out = NULL;
    if (!leaf || leaf->attrs.param.slot >= p->n_params)
        return ONESTEP_OK;
    set = p->params[leaf->attrs.param.slot];
    if (!set)
        return ONESTEP_OK;
    name_layout(l, name, sizeof name);
    if (ons_onednn_takes_file(l, ons_params_at(set, leaf->attrs.param.index)))
        packer.from_file = l->dtype == ONS_I8 ? ons_onednn_i8_pack_file : ons_onednn_pack_file;
    *out = ons_params_packed(set, leaf->attrs.param.index, name, bytes, packer, l, sizeof *l);
    if (!*out)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a packed copy (%zu bytes) of its weight",
                        p->node->layer, bytes);
    p->packed_in |= 1u << 1;
    return ONESTEP_OK;
}
