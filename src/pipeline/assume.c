/*
 * Settings of models that come without onestep.json. Their scheduler's config tells more than it says: Euler's
 * methods with trailing timesteps are what the Turbo models ship with, and LCMScheduler what consistency models
 * do; both were distilled to run without guidance, which spoils their pictures.
 */
#include <string.h>

#include "base/log.h"
#include "pipeline/folder.h"

static bool is_turbo(const ons_schedule *s)
{
    return s->spacing == ONS_SPACING_TRAILING && s->prediction == ONS_PREDICT_EPSILON &&
           strncmp(s->class_name, "Euler", 5) == 0;
}

void ons_card_assume(ons_model *m)
{
    bool exact;
    const char *sampler = ons_schedule_sampler(&m->schedule, &exact);

    strcpy(m->card.sampler, sampler);
    if (!exact)
        ons_info("%s: its %s is not among the samplers; %s is the nearest", m->path, m->schedule.class_name,
                 sampler);
    if (is_turbo(&m->schedule) || strcmp(sampler, "lcm") == 0) {
        m->card.steps = is_turbo(&m->schedule) ? 1 : 4;
        m->card.guidance = 1;
        strcpy(m->card.kind, "few-step");
    }
}
