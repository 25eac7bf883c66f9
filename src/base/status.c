/*
 * The error text of each thread, and the names of the statuses.
 *
 * A fixed buffer per thread: recording an error must not need memory, since lack of memory is one of the
 * errors. Texts that do not fit are cut, with "..." at the end.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 1024 };

static _Thread_local char error_text[TEXT_BYTES];

static void mark_cut(int needed)
{
    if (needed >= TEXT_BYTES)
        memcpy(error_text + TEXT_BYTES - 4, "...", 4);
}

/* Formats into a second buffer first: an argument may be the previous error text. */
onestep_status ons_fail(onestep_status status, const char *format, ...)
{
    char text[TEXT_BYTES] = {0};
    va_list args;

    va_start(args, format);
    int needed = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(error_text, text, TEXT_BYTES);
    mark_cut(needed);
    return status;
}

onestep_status ons_fail_text(onestep_status status, const char *text)
{
    size_t size = strlen(text);
    size_t kept = size < TEXT_BYTES ? size : TEXT_BYTES - 1;

    memmove(error_text, text, kept);
    error_text[kept] = '\0';
    mark_cut(size < TEXT_BYTES ? 0 : TEXT_BYTES);
    return status;
}

const char *onestep_error_text(void)
{
    return error_text;
}

const char *onestep_status_name(onestep_status status)
{
    switch (status) {
    case ONESTEP_OK:
        return "ok";
    case ONESTEP_BAD_ARGUMENT:
        return "bad argument";
    case ONESTEP_NOT_FOUND:
        return "not found";
    case ONESTEP_BAD_FILE:
        return "bad file";
    case ONESTEP_IO:
        return "input/output error";
    case ONESTEP_NO_MEMORY:
        return "not enough memory";
    case ONESTEP_UNSUPPORTED:
        return "unsupported";
    case ONESTEP_INTERRUPTED:
        return "interrupted";
    case ONESTEP_INTERNAL:
        return "internal error";
    }
    return "unknown status";
}

const char *onestep_version(void)
{
    return ONS_VERSION;
}
