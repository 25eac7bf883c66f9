/* A failure's text lives in the thread that worded it, which may be gone before anybody asks. */
#include "base/failure.h"

#include <stdio.h>

void ons_failure_note(ons_failure *f, onestep_status status)
{
    if (status == ONESTEP_OK || atomic_exchange(&f->noted, 1))
        return;
    f->status = status;
    snprintf(f->text, sizeof f->text, "%s", onestep_error_text());
}

onestep_status ons_failure_take(const ons_failure *f)
{
    return f->status == ONESTEP_OK ? ONESTEP_OK : ons_fail_text(f->status, f->text);
}
