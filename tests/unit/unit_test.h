/* cmocka with what it wants included before it, and a scratch folder per program. */
#ifndef UNIT_TEST_H
#define UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"

/* Fails with the library's own message. */
#define assert_ok(call)                                                                                        \
    do {                                                                                                       \
        if ((call) != ONESTEP_OK)                                                                              \
            fail_msg("%s: %s", #call, onestep_error_text());                                                   \
    } while (0)
#define assert_error_has(text) assert_non_null(strstr(onestep_error_text(), text))

static char scratch[64];

static inline int make_scratch(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/onestep-test-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int remove_scratch(void **state)
{
    char **names = NULL;
    size_t n = 0;

    (void)state;
    if (ons_list_dir(scratch, &names, &n) != ONESTEP_OK)
        return -1;
    for (size_t i = 0; i < n; i++) {
        char *path = ons_path_join(scratch, names[i]);
        remove(path);
        ons_free(path);
    }
    ons_free_names(names, n);
    return rmdir(scratch);
}

/* SCRATCH/name in one of four rotating buffers. */
static inline const char *in_scratch(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

#endif
