/* The table of distillation methods. */
#include <pthread.h>
#include <string.h>

#include "base/text.h"
#include "distill/method.h"

static const ons_method *const methods[] = {&ons_method_dmd};

const ons_method *ons_method_find(const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (!strcmp(methods[i]->name, name))
            return methods[i];
    return NULL;
}

static char names[128];

static void list_names(void)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        ons_list_name(names, sizeof names, methods[i]->name);
}

const char *ons_method_names(void)
{
    static pthread_once_t listed = PTHREAD_ONCE_INIT;

    pthread_once(&listed, list_names);
    return names;
}
