/* Status and error text: whoever detects an error words it, whoever passes it on adds nothing. */
#ifndef ONS_BASE_STATUS_H
#define ONS_BASE_STATUS_H

#include "onestep.h"

/* Calls something fallible; on failure stores the status in the local `st` and jumps to `fail`. */
#define ONS_TRY(call)                                                                                          \
    do {                                                                                                       \
        if ((st = (call)) != ONESTEP_OK)                                                                       \
            goto fail;                                                                                         \
    } while (0)

/* Stores the message (found, expected, what to do) for this thread and returns `status`. */
onestep_status ons_fail(onestep_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* Copies a message that a worker thread produced into this thread; returns `status`. */
onestep_status ons_fail_text(onestep_status status, const char *text);

#endif
