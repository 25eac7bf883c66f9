/*
 * The weight store: named parameters in f32, apart from any plan.
 *
 * A set holds its parameters one after another in one contiguous f32 region (64-byte aligned starts, gaps zero), so that
 * optimizer moments, EMA, gradients and clipping are loops over one array. Convolution weights are kept
 * as [out, kh, kw, in] (OHWI), linear weights as [out, in]; files hold [out, in, kh, kw] and are permuted at load and save.
 * Packed copies for kernels hang on the set, keyed by (parameter, layout), shared by all plans and refreshed when
 * the set's version moves.
 */
#ifndef ONS_WEIGHTS_WEIGHTS_H
#define ONS_WEIGHTS_WEIGHTS_H

#include "tensor/tensor.h"

typedef struct ons_params ons_params;

typedef enum ons_param_kind {
    ONS_PARAM_CONV,   /* [out, kh, kw, in], file [out, in, kh, kw] */
    ONS_PARAM_MATRIX, /* [out, in], file the same */
    ONS_PARAM_VECTOR  /* [n] */
} ons_param_kind;

typedef enum ons_init_kind {
    ONS_INIT_ZERO,
    ONS_INIT_ONE,
    ONS_INIT_UNIFORM, /* +-init_scale */
    ONS_INIT_NORMAL   /* standard deviation init_scale */
} ons_init_kind;

typedef struct ons_param {
    const char *name; /* diffusers' tensor name, owned by the set */
    ons_param_kind kind;
    ons_shape shape; /* engine layout */
    size_t offset;   /* first element within the set's region, in floats */
    bool trainable;
    ons_init_kind init;
    double init_scale;
} ons_param;

onestep_status ons_params_create(ons_params **out) ONESTEP_CHECK;
void ons_params_destroy(ons_params **p);

/*
 * Declares a parameter, or finds it and checks kind and shape. BAD_ARGUMENT when a declared one differs (the message
 * names both shapes) or when a frozen layout (after ons_params_allocate) lacks the name. *index identifies it from then on.
 */
onestep_status ons_params_require(ons_params *p, const char *name, ons_param_kind kind, const ons_shape *shape,
                                  ons_init_kind init, double init_scale, int *index) ONESTEP_CHECK;
/* Ends declaration and allocates the zeroed region. Idempotent. */
onestep_status ons_params_allocate(ons_params *p) ONESTEP_CHECK;
void ons_params_init(ons_params *p, uint64_t seed); /* fills by the declared initialisation, one random stream each */
/* A second set with the same layout: copied values when `copy`, else zeros (EMA, moments, gradients). */
onestep_status ons_params_clone(const ons_params *p, bool copy, ons_params **out) ONESTEP_CHECK;

int ons_params_count(const ons_params *p);
const ons_param *ons_params_at(const ons_params *p, int index);
int ons_params_find(const ons_params *p, const char *name); /* -1: none */
float *ons_params_data(ons_params *p, int index);
float *ons_params_region(ons_params *p);             /* whole region */
size_t ons_params_region_size(const ons_params *p);  /* floats, gaps included */
size_t ons_params_n_values(const ons_params *p);     /* numbers that count, without gaps */
void ons_params_set_trainable(ons_params *p, bool trainable); /* all of them */

/* Every change of values must be followed by this: packed copies are refreshed at the next run. */
void ons_params_touch(ons_params *p);
uint64_t ons_params_version(const ons_params *p);

/*
 * A packed copy of one parameter in a kernel's layout. The first request creates it; later ones with the same
 * (index, layout) share it. `pack` writes `size_bytes` from the f32 master; it is called again by
 * ons_params_refresh when the version moved. Returns NULL when there is no memory. Owned by the set.
 */
typedef void (*ons_pack_fn)(void *dst, const float *src, const ons_param *param, const void *context);
typedef struct ons_packed ons_packed;
ons_packed *ons_params_packed(ons_params *p, int index, const char *layout, size_t size_bytes, ons_pack_fn pack,
                              const void *context, size_t context_bytes);
const void *ons_packed_data(const ons_packed *k);
void ons_params_refresh(ons_params *p); /* repacks what is stale */

/*
 * Reading and writing as safetensors. Loading demands every declared parameter (names the first missing one, or the tensor
 * with both shapes) and reports tensors that nothing asked for at verbose level. `prefix` is put before each name in the file, "" for none.
 * Saving converts to `dtype` (F32, F16, BF16).
 */
struct ons_safetensors;
onestep_status ons_params_load(ons_params *p, const struct ons_safetensors *file, const char *prefix) ONESTEP_CHECK;
/* The same for files that may spell names otherwise: where a name is absent, alias() may offer another (false: it has none). */
typedef bool (*ons_alias_fn)(const char *name, char *alias, size_t size_bytes);
onestep_status ons_params_load_aliased(ons_params *p, const struct ons_safetensors *file, ons_alias_fn alias) ONESTEP_CHECK;
onestep_status ons_params_save(const ons_params *p, const char *path, ons_dtype dtype) ONESTEP_CHECK;

#endif
