/* The first failure of work that several threads do: whoever fails notes it, with its text, and the thread that
 * waits for them takes it over. */
#ifndef ONS_BASE_FAILURE_H
#define ONS_BASE_FAILURE_H

#include <stdatomic.h>

#include "base/status.h"

typedef struct ons_failure {
    atomic_int noted; /* zero to begin with */
    onestep_status status;
    char text[256];
} ons_failure;

/* Keeps `status` and this thread's error text where it is the first that is not OK. */
void ons_failure_note(ons_failure *f, onestep_status status);
/* The status that was noted, its text now this thread's; OK where none was. When all have ended. */
onestep_status ons_failure_take(const ons_failure *f) ONESTEP_CHECK;

#endif
