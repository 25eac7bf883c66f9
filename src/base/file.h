/* Files: mapping, reading whole, and writing under a temporary name that is synced and renamed. */
#ifndef ONS_BASE_FILE_H
#define ONS_BASE_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

typedef struct ons_map {
    const unsigned char *data; /* NULL when size is 0 */
    size_t size;
    int64_t modified_ns; /* when the file was last written, since 1970 */
    char *path;
} ons_map;

/* Maps a regular file for reading. NOT_FOUND, IO (directory, permission) with path and reason. */
onestep_status ons_map_open(const char *path, ons_map *out) ONESTEP_CHECK;
void ons_map_close(ons_map *map); /* accepts a zeroed struct */
/* Tells the kernel that pages [offset, offset+size) will not be needed again. */
void ons_map_forget(const ons_map *map, size_t offset, size_t size);

/* Reads a whole file of at most max_bytes; *out is NUL-terminated (size excludes it), freed with ons_free. */
onestep_status ons_read_file(const char *path, size_t max_bytes, char **out, size_t *size) ONESTEP_CHECK;

/*
 * A file being written: bytes go to PATH.tmp-PID; commit syncs, renames to PATH and syncs the folder; abort
 * removes it. Exactly one of commit/abort ends it; abort accepts a zeroed or ended struct.
 */
typedef struct ons_writer {
    FILE *file;
    char *path, *tmp_path;
} ons_writer;
onestep_status ons_writer_open(const char *path, ons_writer *out) ONESTEP_CHECK;
onestep_status ons_writer_write(ons_writer *w, const void *data, size_t size) ONESTEP_CHECK;
onestep_status ons_writer_commit(ons_writer *w) ONESTEP_CHECK; /* on failure the temporary is removed */
void ons_writer_abort(ons_writer *w);
onestep_status ons_write_file(const char *path, const void *data,
                              size_t size) ONESTEP_CHECK; /* the three in one */

bool ons_path_exists(const char *path);
bool ons_path_is_dir(const char *path);
onestep_status ons_make_dirs(const char *path) ONESTEP_CHECK; /* like mkdir -p */
char *ons_path_join(const char *folder, const char *name);    /* NULL: no memory; ons_free */
/* Names of a folder's entries (no . and ..), sorted bytewise. Free with ons_free_names. */
onestep_status ons_list_dir(const char *path, char ***names, size_t *n) ONESTEP_CHECK;
void ons_free_names(char **names, size_t n);

/* SHA-256 as 64 hex digits and NUL: of what was added between begin and end, and of a file. */
typedef struct ons_sha256 {
    uint32_t state[8];
    uint64_t total_bytes;
    unsigned char tail[64]; /* of an unfinished block */
} ons_sha256;
void ons_sha256_begin(ons_sha256 *h);
void ons_sha256_add(ons_sha256 *h, const void *data, size_t size);
void ons_sha256_end(ons_sha256 *h, char hex[65]);
onestep_status ons_sha256_file(const char *path, char hex[65]) ONESTEP_CHECK;

#endif
