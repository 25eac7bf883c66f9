/* The table of distillation methods. */
#include <string.h>

#include "distill/method.h"

static const ons_method *const methods[] = {&ons_method_dmd};

const ons_method *ons_method_find(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (!strcmp(methods[i]->name, name))
            return methods[i];
    return NULL;
}

const char *ons_method_names(void)
{
    return "dmd";
}
