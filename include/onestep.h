/*
 * onestep: one-step image generation, the public C interface.
 *
 * Everything here is prefixed onestep_ or ONESTEP_. Handles are opaque: made through an out-parameter,
 * closed through a pointer to the pointer. Functions that can fail return onestep_status; the message for
 * the calling thread's last failure is onestep_error_text().
 */
#ifndef ONESTEP_H
#define ONESTEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ONESTEP_API __attribute__((visibility("default")))
#define ONESTEP_CHECK __attribute__((warn_unused_result))
#else
#define ONESTEP_API
#define ONESTEP_CHECK
#endif

typedef enum onestep_status {
    ONESTEP_OK = 0,
    ONESTEP_BAD_ARGUMENT, /* the caller asked for something that makes no sense */
    ONESTEP_NOT_FOUND,    /* a file, tensor or setting is missing */
    ONESTEP_BAD_FILE,     /* a file is damaged, lies, or is of another kind */
    ONESTEP_IO,           /* reading or writing failed (full disk, permissions) */
    ONESTEP_NO_MEMORY,    /* does not fit */
    ONESTEP_UNSUPPORTED,  /* understood, but this build or machine cannot do it */
    ONESTEP_INTERRUPTED,  /* the caller or Ctrl-C asked to stop */
    ONESTEP_INTERNAL      /* a bug in onestep */
} onestep_status;

/* Version of the library as "major.minor.patch"; static storage. */
ONESTEP_API const char *onestep_version(void);

/* Message of the last failure in this thread; never NULL, valid until the next call in this thread. */
ONESTEP_API const char *onestep_error_text(void);

/* Short name of a status ("bad file"); static storage. */
ONESTEP_API const char *onestep_status_name(onestep_status status);

#ifdef __cplusplus
}
#endif
#endif
