/* Stop tokens: how somebody says that work in hand is no longer wanted, from any thread or a signal handler. */
#ifndef ONS_BASE_STOP_H
#define ONS_BASE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>

/* Zeroed: nobody has asked. */
typedef struct ons_stop {
    atomic_bool asked;
} ons_stop;

static inline void ons_stop_ask(ons_stop *s)
{
    atomic_store(&s->asked, true);
}

static inline void ons_stop_clear(ons_stop *s)
{
    atomic_store(&s->asked, false);
}

static inline bool ons_stop_asked(const ons_stop *s)
{
    return s && atomic_load(&s->asked);
}

#endif
