/*
 * The weight store: named parameters in f32, apart from any plan.
 *
 * A set holds its parameters one after another in one contiguous f32 region (64-byte aligned starts, gaps
 * zero), so that optimizer moments, EMA, gradients and clipping are loops over one array. Convolution weights
 * are kept as [out, kh, kw, in] (OHWI), linear weights as [out, in]; files hold [out, in, kh, kw] and are
 * permuted at load and save. Packed copies for kernels hang on the set, keyed by (parameter, layout), shared by
 * all plans and refreshed when the set's version moves.
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
    ons_init_kind init;
    double init_scale;
} ons_param;

onestep_status ons_params_create(ons_params **out) ONESTEP_CHECK;
void ons_params_destroy(ons_params **p);

/*
 * Declares a parameter, or finds it and checks kind and shape. BAD_ARGUMENT when a declared one differs (the
 * message names both shapes) or when a frozen layout (after ons_params_allocate) lacks the name. *index
 * identifies it from then on.
 */
onestep_status ons_params_require(ons_params *p, const char *name, ons_param_kind kind, const ons_shape *shape,
                                  ons_init_kind init, double init_scale, int *index) ONESTEP_CHECK;
/* Ends declaration and allocates the zeroed region. Idempotent. */
onestep_status ons_params_allocate(ons_params *p) ONESTEP_CHECK;
void ons_params_init(ons_params *p,
                     uint64_t seed); /* fills by the declared initialisation, one random stream each */
/* A second set with the same layout: copied values when `copy`, else zeros (EMA, moments, gradients). */
onestep_status ons_params_clone(ons_params *p, bool copy, ons_params **out) ONESTEP_CHECK;

int ons_params_count(const ons_params *p);
const ons_param *ons_params_at(const ons_params *p, int index);
int ons_params_find(const ons_params *p, const char *name); /* -1: none */
float *ons_params_data(ons_params *p, int index);
float *ons_params_region(ons_params *p);            /* whole region; reads all that is still only mapped */
size_t ons_params_region_size(const ons_params *p); /* floats, gaps included */
size_t ons_params_n_values(const ons_params *p);    /* numbers that count, without gaps */
ons_dtype ons_params_value_type(const ons_params *p,
                                int index); /* F16 or BF16 where a mapped file has all of it so; else F32 */
ons_dtype ons_params_file_type(const ons_params *p); /* of the mapped file's largest tensor; F32: no file */

/* How many threads read and fill values, and walk over the region in training; a clone has the same number. 0:
 * one per physical core, as in a new set. */
void ons_params_set_threads(ons_params *p, int n_threads);
int ons_params_threads(const ons_params *p); /* never 0 */

/* Every change of values must be followed by this: packed copies are refreshed at the next run. */
void ons_params_touch(ons_params *p);
uint64_t ons_params_version(const ons_params *p);

/*
 * A packed copy of one parameter in a kernel's layout. The first request announces it; later ones with the same
 * (index, layout) share it. ons_params_refresh gives it memory and calls the packer, which writes `size_bytes`
 * from the f32 master, and calls it again when the version moved; until then its data is NULL. Returns NULL
 * when there is no memory. Owned by the set.
 */
typedef void (*ons_pack_fn)(void *dst, const float *src, const ons_param *param, const void *context);
/* Straight from a mapped file's 16-bit values: src in file order, of any alignment. */
typedef void (*ons_pack_file_fn)(void *dst, const void *src, ons_dtype type, const ons_param *param,
                                 const void *context);
typedef struct ons_packer {
    ons_pack_fn from_values;
    ons_pack_file_fn
        from_file; /* NULL: only from values; else asked for where ons_params_value_type is not F32 */
} ons_packer;
typedef struct ons_packed ons_packed;
ons_packed *ons_params_packed(ons_params *p, int index, const char *layout, size_t size_bytes,
                              ons_packer packer, const void *context, size_t context_bytes);
const void *ons_packed_data(const ons_packed *k);
onestep_status
ons_params_refresh(ons_params *p) ONESTEP_CHECK; /* packs what is new or stale; NO_MEMORY names the parameter */
/* Gives the memory of all copies back; they are packed again where a plan runs once more, as after
 * ons_params_touch. */
void ons_params_release_packed(ons_params *p);
size_t ons_params_packed_bytes(const ons_params *p); /* of all copies, those that are only announced included */

/* Where a parameter stands in a file: a tensor, or one of n_parts equal runs of its rows (q, k and v in one
 * tensor). */
typedef struct ons_place_in_file {
    char name[400];
    int part, n_parts; /* 0 of 1: the whole tensor */
} ons_place_in_file;

/* Other spellings of names: the attempt-th place (from 0) to look for a parameter whose own name is absent;
 * false: there is no further one. */
typedef struct ons_spelling {
    bool (*place)(const void *context, const char *name, int attempt, ons_place_in_file *out);
    const void *context;
    bool among_others; /* the file holds other sets too */
    const char *only;  /* parameters whose names begin so, the others coming from other files; NULL: all */
} ons_spelling;

/*
 * Reading and writing as safetensors. Every declared parameter is demanded (the message names the first missing
 * one, or the tensor with both shapes); tensors that nothing asked for are told at verbose level. load reads
 * the values at once; `prefix` is put before each name in the file, "" for none. map checks all and reads a
 * parameter when it is first needed, so that one that kernels only use packed takes memory for a moment only
 * (after a failure the set's values are undefined); it shares the open file with the caller, and with other
 * sets. `spelling` may be NULL. Saving converts to `dtype` (F32, F16, BF16).
 */
struct ons_safetensors;
onestep_status ons_params_load(ons_params *p, struct ons_safetensors *file, const char *prefix) ONESTEP_CHECK;
onestep_status ons_params_map(ons_params *p, struct ons_safetensors *file,
                              const ons_spelling *spelling) ONESTEP_CHECK;
onestep_status ons_params_save(ons_params *p, const char *path, ons_dtype dtype) ONESTEP_CHECK;

/*
 * Adds scale * up * down to a parameter, now or whenever it is read: up [out, rank], down [rank, in] or, for a
 * convolution, [rank, in, kh, kw] in file order. Both are copied. Shapes are the caller's to check. NO_MEMORY.
 */
onestep_status ons_params_add_low_rank(ons_params *p, int index, double scale, int rank, const float *up,
                                       const float *down) ONESTEP_CHECK;

#endif
