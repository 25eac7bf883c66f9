/* What every fuzz target is: one function over bytes, which must neither crash, leak nor run away. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * The bytes as a file without a name: its path in buf (at least 32 bytes), to be closed with close(fd).
 * For parsers that want a path; a file in memory keeps the disk out of it. -1: not possible.
 */
int fuzz_memory_file(const uint8_t *data, size_t size, char *buf);

/* For readers that want a name, an ending or a folder: a folder of this process, in memory-backed storage where
 * there is one, removed at exit with what lies in it. */
const char *fuzz_folder(void);
/* FOLDER/NAME into buf (at least 128 bytes), which it returns. */
const char *fuzz_path(const char *name, char *buf);
void fuzz_put(const char *name, const uint8_t *data, size_t size);

#endif
