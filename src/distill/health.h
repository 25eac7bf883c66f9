/*
 * Is a distillation healthy? Its losses do not say (DMD's direction keeps its size while pictures improve or
 * rot), so the student's latents are set beside the teacher's: mean, spread, and a Fréchet distance on pooled
 * latents that costs milliseconds.
 */
#ifndef ONS_DISTILL_HEALTH_H
#define ONS_DISTILL_HEALTH_H

#include "distill/method.h"
#include "pipeline/draw.h"

typedef struct ons_health {
    const ons_pairs *pairs; /* borrowed; the reference */
    const ons_dataset *d;   /* borrowed; the pairs' captions are its draws */
    ons_model *student;     /* borrowed */
    ons_compute compute;
    size_t n; /* pictures per check */
} ons_health;

typedef struct ons_health_report {
    double frechet;   /* pooled latents, student against teacher */
    double mean, std; /* of the student's latents */
    double teacher_mean, teacher_std;
} ons_health_report;

/* The student's weights may change between checks. n: pictures per check, at most the number of pairs. */
void ons_health_init(ons_model *student, const ons_pairs *pairs, const ons_dataset *d, size_t n,
                     const ons_compute *c, ons_health *out);
onestep_status ons_health_check(ons_health *h, uint64_t seed, ons_health_report *out) ONESTEP_CHECK;
/* The card of a one-step student conditioned on `timestep`. */
ons_card ons_student_card(int timestep);

#endif
