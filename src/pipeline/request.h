/*
 * What somebody wants drawn. One struct and one table of its settings: the command line's options, requests in
 * JSON and the C API's list of settings are these rows.
 */
#ifndef ONS_PIPELINE_REQUEST_H
#define ONS_PIPELINE_REQUEST_H

#include "backend/backend.h"
#include "base/field.h"
#include "base/stop.h"
#include "pipeline/folder.h"

typedef enum ons_noise_kind { ONS_NOISE_PHILOX, ONS_NOISE_TORCH } ons_noise_kind;

typedef struct ons_request {
    /* Settings that have a row. */
    const char *prompt, *negative; /* UTF-8; negative NULL: none */
    int width, height;             /* pixels; 0: the model's own */
    ons_seed seed;                 /* of picture 0; picture i has seed + i */
    int count;                     /* pictures of the prompt */
    double strength;               /* image to image: the part of the steps that is taken, in (0, 1] */
    int steps;                     /* 0: the model's own */
    ons_int_list timesteps;        /* none: the model's or the sampler's own; else there are that many steps */
    double guidance;               /* < 0: the model's own; 0 and 1: off. A student's is built in: always off */
    const char *sampler;           /* NULL: the model's own */
    int noise;                     /* ons_noise_kind */
    int batch_size;                /* pictures computed together; 0: by size */
    bool tiling;                   /* decode in tiles also where the whole would fit */

    /* Several prompts: n > 0 pictures, one of each text, in place of prompt, negative and count. */
    int n;
    const char *const *prompts;   /* [n] */
    const char *const *negatives; /* [n]; NULL: `negative` for all */
    const uint64_t *seeds;        /* [n]; NULL: counted up from `seed` */

    const uint8_t *init;        /* image to image: [height, width, 3] to begin with; NULL: from noise */
    const ons_compute *compute; /* NULL: what the model was opened with */
    bool latents_only;          /* nothing is decoded */
    bool same_batch; /* batch_size also for fewer pictures: its plans serve many requests of this kind */
    bool once; /* there will be no other request: stages of one batch give back what they held when they end */
    const ons_stop *stop;      /* looked at between operators; NULL: Ctrl-C's */
    ons_plan_observer observe; /* of UNet and decoder, with these contexts; NULL: nobody looks */
    void *observe_unet, *observe_decoder;

    /* All may be NULL; called in the calling thread with `user`. */
    bool (*progress)(void *user, int evaluation, int n_evaluations); /* of the network, of all; false stops */
    void (*note)(void *user, const char *text); /* a setting without effect, or one known to do harm */
    onestep_status (*picture)(void *user, int i,
                              const uint8_t *rgb); /* picture i is done; not OK ends it all */
    /* After every preview_every-th evaluation of a batch that is not its last: pictures [first, first + n) as
     * they would become. Each costs a decoding. */
    void (*preview)(void *user, int first, int n, const uint8_t *rgb);
    int preview_every;
    void *user;
} ons_request;

extern const ons_field ons_request_fields[]; /* offsets in ons_request; ended by a row without a name */

/* Every default of the table; a random seed is drawn when the request is. */
void ons_request_init(ons_request *q);
/* BAD_ARGUMENT: a setting out of its row's range, settings that contradict each other, nothing to draw. */
onestep_status ons_request_check(const ons_request *q) ONESTEP_CHECK;
int ons_request_pictures(const ons_request *q);
/* Of picture i. */
const char *ons_request_prompt(const ons_request *q, int i);
const char *ons_request_negative(const ons_request *q, int i); /* "": none */

/* A request's settings with every default filled in from the model. */
typedef struct ons_resolved {
    int width, height;
    int batch; /* pictures computed together */
    int steps;
    double timesteps[ONS_MAX_TIMESTEPS]; /* [steps], what the network will be asked at */
    int first_step;                      /* image to image begins here; 0: at the first */
    int evaluations;                     /* of the network per batch, guidance not counted twice */
    bool custom_timesteps;               /* not the sampler's own grid */
    double guidance;                     /* 1: off */
    char sampler[32];
} ons_resolved;
/* BAD_ARGUMENT says which sizes, steps, timesteps and samplers there are. */
onestep_status ons_request_resolve(const ons_model *m, const ons_request *q, ons_resolved *out) ONESTEP_CHECK;
/* BAD_ARGUMENT names the sizes that the model can do; 0 is filled in with the model's own size. */
onestep_status ons_size_resolve(const ons_model *m, int *width, int *height) ONESTEP_CHECK;

#endif
