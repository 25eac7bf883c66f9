/* What pictures in work would become, for those who wait. */
#ifndef ONS_PIPELINE_PREVIEW_H
#define ONS_PIPELINE_PREVIEW_H

#include "pipeline/runner_impl.h"

/*
 * After an evaluation at timestep t of the runner's n pictures: decodes the x0 that it foretells and hands it
 * to q->preview as pictures [at, at + n).
 */
onestep_status ons_preview(ons_runner *r, int n, double t, const ons_resolved *run, const ons_request *q,
                           int at) ONESTEP_CHECK;

#endif
