/*
 * safetensors: 8 bytes of header length, a JSON header, raw tensors. The header of a file from anywhere is not
 * believed: lengths, offsets, overlaps, shapes and products are all checked against the file before a tensor is
 * handed out.
 */
#ifndef ONS_IO_SAFETENSORS_H
#define ONS_IO_SAFETENSORS_H

#include "tensor/tensor.h"

enum { ONS_FILE_MAX_DIMS = 8 };

typedef struct ons_safetensors ons_safetensors;

typedef struct ons_file_tensor {
    const char *name;
    ons_dtype dtype;
    int n_dims;
    int64_t dims[ONS_FILE_MAX_DIMS];
    const void *data; /* in the mapping; may be unaligned */
    size_t size;      /* bytes */
} ons_file_tensor;

/* Opens one file. Pickles and other content are refused by what they hold, whatever their name. */
onestep_status ons_safetensors_open(const char *path, ons_safetensors **out) ONESTEP_CHECK;
/* FOLDER/BASE.safetensors, FOLDER/BASE.fp16.safetensors, or the shards of
 * FOLDER/BASE[.fp16].safetensors.index.json as one set. */
onestep_status ons_safetensors_open_part(const char *folder, const char *base,
                                         ons_safetensors **out) ONESTEP_CHECK;
void ons_safetensors_close(ons_safetensors **f);
/* One more owner of an open file: each ends with close. Not for several threads at a time. */
ons_safetensors *ons_safetensors_share(ons_safetensors *f);
/* The pages of a tensor will not be read again soon: the system may have them back. */
void ons_safetensors_forget(const ons_safetensors *f, const ons_file_tensor *t);

/* What tells this state of the file, or files, from a later one without reading the tensors: sizes, times of
 * writing, headers; 64 hex digits. */
void ons_safetensors_fingerprint(const ons_safetensors *f, char hex[65]);

const char *ons_safetensors_path(const ons_safetensors *f);
int ons_safetensors_count(const ons_safetensors *f);
const ons_file_tensor *ons_safetensors_at(const ons_safetensors *f, int i);              /* in file order */
const ons_file_tensor *ons_safetensors_find(const ons_safetensors *f, const char *name); /* NULL: none */
const char *ons_safetensors_metadata(const ons_safetensors *f, const char *key);         /* NULL: none */

/* A type's name in headers ("F32"). */
const char *ons_file_dtype_name(ons_dtype t);
/* "[320, 4, 3, 3]" into buf (at least 176 bytes). */
char *ons_file_shape_text(int n_dims, const int64_t *dims, char *buf);

/*
 * Writing: declare every tensor in order, then append each one's bytes in that order, then commit (temporary
 * name, sync, rename). destroy without commit leaves nothing behind.
 */
typedef struct ons_safetensors_writer ons_safetensors_writer;
onestep_status ons_safetensors_writer_create(ons_safetensors_writer **out) ONESTEP_CHECK;
onestep_status ons_safetensors_writer_add(ons_safetensors_writer *w, const char *name, ons_dtype dtype,
                                          int n_dims, const int64_t *dims) ONESTEP_CHECK;
onestep_status ons_safetensors_writer_metadata(ons_safetensors_writer *w, const char *key,
                                               const char *value) ONESTEP_CHECK;
/* The first tensor will start at a multiple of this many bytes, a multiple of 8; 8 if nobody asks. */
void ons_safetensors_writer_align(ons_safetensors_writer *w, size_t alignment);
onestep_status ons_safetensors_writer_begin(ons_safetensors_writer *w, const char *path) ONESTEP_CHECK;
onestep_status ons_safetensors_writer_data(ons_safetensors_writer *w, const void *data,
                                           size_t size) ONESTEP_CHECK;
onestep_status ons_safetensors_writer_commit(ons_safetensors_writer *w) ONESTEP_CHECK;
void ons_safetensors_writer_destroy(ons_safetensors_writer **w);

#endif
