/* The backends by name, the default one first. A missing backend is a missing row. */
#include <string.h>

#include "backend/backend.h"

static const ons_backend *const backends[] = {&ons_backend_cpu, &ons_backend_ref, &ons_backend_ref64};

const ons_backend *ons_backend_default(void)
{
    return backends[0];
}

const ons_backend *ons_backend_find(const char *name)
{
    if (!strcmp(name, "auto"))
        return ons_backend_default();
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++)
        if (!strcmp(backends[i]->name, name))
            return backends[i];
    return NULL;
}
