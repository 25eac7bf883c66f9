/* What the bits of this backend's results and packed weights depend on. */
#include <dnnl.h>
#include <pthread.h>
#include <stdio.h>

#include "backend/cpu/cpu.h"

static char text[128];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void describe(void)
{
    const dnnl_version_t *v = dnnl_version();

    snprintf(text, sizeof text, "%s kernels, oneDNN %d.%d.%d with instruction set %x",
             ons_cpu_variant_best()->name, v->major, v->minor, v->patch,
             (unsigned)dnnl_get_effective_cpu_isa());
}

const char *ons_cpu_machine(void)
{
    pthread_once(&once, describe);
    return text;
}
