/*
 * Runs a fuzz target over every file of a folder, so that inputs which once broke something, and the seeds, are
 * tested by any compiler. Fails when the folder is empty: a test that ran nothing has not passed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "fuzz.h"

enum { MAX_INPUT_BYTES = 16 << 20 };

/* The bytes without the NUL behind them, so that reading past the end is seen. */
static int run_file(const char *path)
{
    char *text = NULL;
    size_t size = 0;

    if (ons_read_file(path, MAX_INPUT_BYTES, &text, &size) != ONESTEP_OK) {
        fprintf(stderr, "%s\n", onestep_error_text());
        return 1;
    }
    uint8_t *exact = malloc(size ? size : 1);
    if (exact) {
        memcpy(exact, text, size);
        LLVMFuzzerTestOneInput(exact, size);
    }
    free(exact);
    ons_free(text);
    return exact == NULL;
}

int main(int argc, char **argv)
{
    char **names = NULL;
    size_t n = 0;
    int failed = 0;

    if (argc != 2 || ons_list_dir(argv[1], &names, &n) != ONESTEP_OK || n == 0) {
        fprintf(stderr, "usage: %s FOLDER, with at least one file in it\n", argv[0]);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        char *path = ons_path_join(argv[1], names[i]);
        failed |= !path || run_file(path);
        ons_free(path);
    }
    ons_free_names(names, n);
    printf("%zu inputs\n", n);
    return failed;
}
