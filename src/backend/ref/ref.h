/*
 * What the reference kernels share. Every file here is compiled twice: for `ref` (f32 values stored as float)
 * and with ONS_REAL_DOUBLE for `ref64` (stored as double, for finite differences). Plain loops, sums in double,
 * one thread: slow and obviously right.
 */
#ifndef ONS_BACKEND_REF_H
#define ONS_BACKEND_REF_H

#include "backend/backend.h"

#ifdef ONS_REAL_DOUBLE
typedef double ons_real;
#define REF(name) ons_ref64_##name
#else
typedef float ons_real;
#define REF(name) ons_ref_##name
#endif

/* A kernel: one call, no preparation. */
typedef void (*ref_fn)(const ons_node *n, const ons_args *a);

/* Element i of operand or result data of type t; integers and 16-bit floats convert. */
static inline double ref_load(const void *p, ons_dtype t, int64_t i)
{
    switch (t) {
    case ONS_F32:
        return ((const ons_real *)p)[i];
    case ONS_BF16:
        return ons_bf16_to_f32(((const uint16_t *)p)[i]);
    case ONS_F16:
        return ons_f16_to_f32(((const uint16_t *)p)[i]);
    case ONS_F64:
        return ((const double *)p)[i];
    case ONS_I64:
        return (double)((const int64_t *)p)[i];
    case ONS_U8:
        return ((const uint8_t *)p)[i];
    default:
        return ((const int32_t *)p)[i];
    }
}

static inline void ref_store(void *p, ons_dtype t, int64_t i, double v)
{
    switch (t) {
    case ONS_F32:
        ((ons_real *)p)[i] = (ons_real)v;
        break;
    case ONS_BF16:
        ((uint16_t *)p)[i] = ons_f32_to_bf16((float)v);
        break;
    case ONS_F16:
        ((uint16_t *)p)[i] = ons_f32_to_f16((float)v);
        break;
    case ONS_F64:
        ((double *)p)[i] = v;
        break;
    case ONS_I64:
        ((int64_t *)p)[i] = (int64_t)v;
        break;
    case ONS_U8:
        ((uint8_t *)p)[i] = (uint8_t)v;
        break;
    default:
        ((int32_t *)p)[i] = (int32_t)v;
    }
}

/* Input k, element i; output k, element i (an unwanted output is left alone). */
static inline double ref_in(const ons_node *n, const ons_args *a, int k, int64_t i)
{
    return ref_load(a->in[k], n->in[k]->dtype, i);
}

static inline void ref_out(const ons_node *n, const ons_args *a, int k, int64_t i, double v)
{
    if (a->out[k])
        ref_store(a->out[k], n->out[k]->dtype, i, v);
}

static inline int64_t ref_count(const ons_value *v)
{
    return ons_shape_count(&v->shape);
}

/*
 * Operators that scatter, or add up rows by weight: each contribution is added to a sum in double, in scratch
 * that ref.c books for the operators of ref_scatters, and all sums are stored at the end.
 */
bool REF(scatters)(ons_op op);

static inline double *ref_sums(const ons_node *n, const ons_args *a, int k)
{
    double *sums = a->scratch;

    for (int i = 0; i < k; i++)
        sums += ref_count(n->out[i]);
    return sums;
}

static inline void ref_sums_begin(const ons_node *n, const ons_args *a)
{
    double *sums = a->scratch, *end = ref_sums(n, a, n->n_out);

    while (sums < end)
        *sums++ = 0;
}

static inline void ref_sums_end(const ons_node *n, const ons_args *a)
{
    for (int k = 0; k < n->n_out; k++) {
        const double *sums = ref_sums(n, a, k);

        for (int64_t i = 0; i < ref_count(n->out[k]); i++)
            ref_out(n, a, k, i, sums[i]);
    }
}

/* Strides in elements of a dense shape, padded on the left to ONS_MAX_DIMS dimensions. */
static inline void ref_strides(const ons_shape *s, int64_t dims[ONS_MAX_DIMS], int64_t strides[ONS_MAX_DIMS])
{
    int64_t stride = 1;

    for (int i = ONS_MAX_DIMS - 1; i >= 0; i--) {
        int at = i - (ONS_MAX_DIMS - s->n);

        dims[i] = at >= 0 ? s->d[at] : 1;
        strides[i] = stride;
        stride *= dims[i];
    }
}

/* The function of an operator, by family; NULL: another family's. */
ref_fn REF(elementwise)(ons_op op);
ref_fn REF(layout)(ons_op op);
ref_fn REF(product)(ons_op op);
ref_fn REF(norm)(ons_op op);
ref_fn REF(attention)(ons_op op);

#endif
