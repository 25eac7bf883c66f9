/*
 * Packed copies that were made beforehand and lie in a file: mapped, and used where they lie, so that starting
 * packs and copies nothing, processes share the pages, and the system may take them back when memory is short.
 *
 * It is a safetensors file. The tensor "SET/PARAMETER/LAYOUT/BYTES" (U8, filled up to whole pages) is one copy;
 * the metadata say for whom it is good: `machine`, the fingerprint of each set's files (`source SET`),
 * `made_for` in words, and a checksum of this table (`table`).
 */
#ifndef ONS_WEIGHTS_PACKED_FILE_H
#define ONS_WEIGHTS_PACKED_FILE_H

#include "weights/weights.h"

enum {
    ONS_PACKED_FORMAT = 1
}; /* goes up whenever a packer writes something else under the same layout's name */

typedef struct ons_packed_set {
    const char *name; /* in the file: "unet" */
    ons_params *params;
} ons_packed_set;

/*
 * Packs every copy that is announced in the sets and writes them, one after another through one buffer;
 * `machine` is what the copies' bits depend on. BAD_ARGUMENT: a set's values are not those of its mapped files.
 * IO: the disk is full, ...; the file appears under its name when it is complete.
 */
onestep_status ons_packed_file_write(const char *path, const char *machine, const char *made_for,
                                     const ons_packed_set *sets, int n_sets) ONESTEP_CHECK;
/* BAD_FILE: damaged; UNSUPPORTED: of another format, or for another machine. Ends with ons_safetensors_close.
 */
onestep_status ons_packed_file_open(const char *path, const char *machine,
                                    struct ons_safetensors **out) ONESTEP_CHECK;

/*
 * From now on copies of `p` come from the file where it has them, as long as the values stay what they are:
 * ons_params_touch ends it. The set is one more owner of the file. UNSUPPORTED, and nothing done: the values
 * are not those of p's mapped files, or the file was made from others.
 */
onestep_status ons_params_use_packed_file(ons_params *p, const char *set,
                                          struct ons_safetensors *file) ONESTEP_CHECK;

/* Of the announced copies, bytes that come from the file; *made_for is what it says about itself, NULL: the set
 * has no such file. */
size_t ons_params_stocked_bytes(const ons_params *p, const char **made_for);

#endif
