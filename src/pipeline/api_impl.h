/* Inside of the C interface: pictures that go in and come out. */
#ifndef ONS_PIPELINE_API_IMPL_H
#define ONS_PIPELINE_API_IMPL_H

#include "diffusion/sampler.h"
#include "pipeline/draw.h"

/* The picture of image to image, cropped and scaled to the size that is drawn, into q->init; *init (ons_free)
 * owns it. BAD_ARGUMENT: a picture without a size. */
onestep_status ons_api_fit_init(const ons_model *m, const onestep_params *p, ons_request *q,
                                uint8_t **init) ONESTEP_CHECK;
/* The result's pictures, which it gives up, with their settings as texts. */
onestep_status ons_api_make_image(ons_model *m, const ons_request *q, ons_result *r,
                                  onestep_image **out) ONESTEP_CHECK;

#endif
