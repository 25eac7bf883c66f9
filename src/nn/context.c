/* The builder context: names, parameter leaves, scopes. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nn/nn.h"

void ons_nn_init(ons_nn *nn, ons_graph *g, ons_params *params, int slot, bool trainable)
{
    *nn = (ons_nn){.g = g, .params = params, .slot = slot, .trainable = trainable};
}

ons_nn ons_nn_enter(const ons_nn *nn, const char *format, ...)
{
    ons_nn child = *nn;
    size_t at = strlen(child.prefix);
    char name[128];
    va_list args;

    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if ((size_t)snprintf(child.prefix + at, sizeof child.prefix - at, "%s%s", at ? "." : "", name) >=
        sizeof child.prefix - at)
        ons_graph_error(nn->g, "parameter names of more than %zu bytes", sizeof child.prefix - 1);
    ons_graph_push(nn->g, "%s", name);
    return child;
}

void ons_nn_leave(const ons_nn *child)
{
    ons_graph_pop(child->g);
}

ons_value *ons_nn_adapter_param(const ons_nn *nn, const char *name, ons_param_kind kind, const ons_shape *shape,
                                ons_init_kind init, double init_scale)
{
    ons_nn own = *nn;

    own.params = nn->adapter.params;
    own.slot = nn->adapter.slot;
    own.trainable = nn->adapter.trainable;
    if ((size_t)snprintf(own.prefix, sizeof own.prefix, "%s%s%s", nn->adapter.prefix, *nn->prefix ? "." : "",
                         nn->prefix) >= sizeof own.prefix)
        return ons_graph_error(nn->g, "parameter names of more than %zu bytes", sizeof own.prefix - 1);
    return ons_nn_param(&own, name, kind, shape, init, init_scale);
}

ons_value *ons_nn_param(const ons_nn *nn, const char *name, ons_param_kind kind, const ons_shape *shape,
                        ons_init_kind init, double init_scale)
{
    char full[400];
    int index;

    if (ons_graph_failed(nn->g)) /* what follows an error has no shapes: nothing of it may be declared */
        return ons_graph_error(nn->g, "%s was not reached", name);
    snprintf(full, sizeof full, "%s%s%s", nn->prefix, *nn->prefix ? "." : "", name);
    if (ons_params_require(nn->params, full, kind, shape, init, init_scale, &index) != ONESTEP_OK)
        return ons_graph_error(nn->g, "%s", onestep_error_text());
    return ons_param_leaf(nn->g, full, nn->slot, index, shape, nn->trainable);
}
