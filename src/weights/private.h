/* Inside of a weight set; for src/weights alone. */
#ifndef ONS_WEIGHTS_PRIVATE_H
#define ONS_WEIGHTS_PRIVATE_H

#include "weights/weights.h"

struct ons_packed {
    int index;
    char *layout;
    void *data; /* NULL: announced only; in one of the set's blocks */
    size_t size_bytes;
    void *context; /* copy of what the pack function was given */
    ons_packer packer;
    const struct ons_file_tensor
        *stocked; /* in the set's packed file, in place of `data`; NULL: not from there */
    bool filled;
    uint64_t version; /* of the set when last packed */
    ons_packed *next;
};

/* Memory of all the copies that were new in one refresh: one block has huge pages where many would not. */
typedef struct ons_packed_block {
    struct ons_packed_block *next;
    void *data;
} ons_packed_block;

/* An update of low rank that waits to be added whenever the parameter is read. */
typedef struct ons_low_rank {
    struct ons_low_rank *next;
    double scale;
    int rank;
    float *down; /* [rank, in] in engine order; behind up in one block */
    float up[];  /* [out, rank] */
} ons_low_rank;

/* Where the values of a row come from while they are not in the region. */
typedef struct ons_origin {
    const struct ons_file_tensor *tensor; /* NULL: they are in the region */
    struct ons_safetensors *file;
    int part; /* of its equal runs of rows */
    ons_low_rank *updates;
} ons_origin;

struct ons_params {
    ons_param *rows;
    ons_origin *origins;            /* [n] once a file is mapped, else NULL */
    struct ons_safetensors **files; /* that origins point into, shared */
    int n_files;
    float *borrowed; /* of the row that was borrowed last */
    int n, capacity;
    int n_threads; /* 0: one per core */
    int *slots;    /* hash table over names: row + 1, 0 empty */
    size_t n_slots;
    float *region;
    size_t size, n_values;            /* floats with and without gaps */
    uint64_t version, mapped_version; /* now, and when the last file was mapped */
    ons_packed *packed;
    ons_packed_block *blocks;      /* memory of the copies */
    struct ons_safetensors *stock; /* copies that were packed beforehand; NULL: none */
    char *stock_set;               /* the set's name there */
    uint64_t stock_version;        /* of the values that they were packed from */
};

void ons_packed_destroy_all(ons_params *p);
/* Packs into `dst`, which is zeroed or holds an earlier copy. */
void ons_packed_fill(ons_params *p, const ons_packed *k, void *dst);

/* packed_file.c: the copy in the set's packed file; NULL: there is none, or the values have changed. */
const struct ons_file_tensor *ons_packed_stocked(const ons_params *p, const ons_packed *k);
void ons_params_leave_packed_file(ons_params *p);

/* lazy.c: values that are still in a file. */
bool ons_params_is_mapped(const ons_params *p, int index);
void ons_params_fetch(ons_params *p, int index); /* into the region, for good */
/* The values, valid until the next borrow; in a buffer that end_borrowing releases when they are still in a
 * file. */
const float *ons_params_borrow(ons_params *p, int index);
/* 16-bit values in file order, where ons_params_value_type says that there are such. */
const void *ons_params_file_values(const ons_params *p, int index);
void ons_params_forget_pages(const ons_params *p, int index); /* of its tensor */
void ons_params_end_borrowing(ons_params *p);
void ons_params_forget_files(ons_params *p); /* with the updates that wait */
/* row's file order from and to the engine's, [out, in, kh, kw] and [out, kh, kw, in]; the same order for all
 * but convolutions */
void ons_param_to_file(const ons_param *row, float *dst, const float *src);

#endif
