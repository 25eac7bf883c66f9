/* Distilling a teacher into a one-step student: the loop around a method. */
#ifndef ONS_DISTILL_DISTILL_H
#define ONS_DISTILL_DISTILL_H

#include "energy/energy.h"
#include "distill/method.h"

typedef struct ons_distill_options {
    const char *teacher; /* pipeline folder */
    const char *init;    /* student to go on from: the generator's first weights; NULL: the teacher's */
    const char
        *data; /* data set, for captions (pictures are used for the perceptual network if there are any) */
    const char *pairs;      /* pair folder; NULL when the regression weight is 0 */
    const char *perceptual; /* feature folder to use or to fill; NULL: OUTPUT/training/perceptual */
    const char *output;     /* student pipeline folder; run files go to OUTPUT/training/ */
    bool resume;
    ons_compute compute;
    ons_energy *energy; /* may be NULL */
} ons_distill_options;

onestep_status ons_distill_run(const ons_recipe *r, const ons_distill_options *o) ONESTEP_CHECK;

#endif
