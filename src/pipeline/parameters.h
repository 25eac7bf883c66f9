/*
 * How a picture was made, as the texts that travel inside its PNG: `parameters` in the layout of
 * AUTOMATIC1111's web interface, which other programs read, and `onestep`, one JSON object with everything.
 */
#ifndef ONS_PIPELINE_PARAMETERS_H
#define ONS_PIPELINE_PARAMETERS_H

#include "pipeline/draw.h"

typedef struct ons_parameters {
    const char *prompt, *negative; /* negative "" or NULL: none */
    const char *model;             /* path */
    char model_sha256[65];         /* of the UNet's weights; "" unknown */
    uint64_t seed;
    double strength; /* image to image; 0: from noise */
    ons_noise_kind noise;
    ons_resolved run;
    ons_dtype type; /* of the arithmetic */
} ons_parameters;

/* Of picture i of a request that was drawn. */
onestep_status ons_parameters_of(ons_model *m, const ons_request *q, const ons_result *r, int i,
                                 ons_parameters *out) ONESTEP_CHECK;
/* Both return text to be released with ons_free; NULL: no memory. */
char *ons_parameters_text(const ons_parameters *p);
char *ons_parameters_json(const ons_parameters *p);
struct json_t *ons_parameters_object(const ons_parameters *p); /* the object of the latter; json_decref */

#endif
