/* safetensors headers: whatever is accepted must lie inside the file, byte for byte. */
#include <stdlib.h>
#include <unistd.h>

#include "fuzz.h"
#include "io/safetensors.h"

static volatile unsigned char sink;

/* Reads first and last byte of each tensor, which a sanitizer or a segment fault judges, and finds it by name.
 */
static void walk_tensors(const ons_safetensors *f)
{
    char text[176];

    for (int i = 0; i < ons_safetensors_count(f); i++) {
        const ons_file_tensor *t = ons_safetensors_at(f, i);
        const unsigned char *bytes = t->data;
        if (t->size)
            sink = (unsigned char)(bytes[0] ^ bytes[t->size - 1]);
        ons_file_shape_text(t->n_dims, t->dims, text);
        if (ons_safetensors_find(f, t->name) != t)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32];
    ons_safetensors *f = NULL;
    int fd = fuzz_memory_file(data, size, path);

    if (fd < 0)
        return 0;
    if (ons_safetensors_open(path, &f) == ONESTEP_OK) {
        walk_tensors(f);
        ons_safetensors_metadata(f, "format");
    }
    ons_safetensors_close(&f);
    close(fd);
    return 0;
}
