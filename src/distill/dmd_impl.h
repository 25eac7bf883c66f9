/* What the files of DMD share: the state of a run, and the graphs that it plans. */
#ifndef ONS_DISTILL_DMD_IMPL_H
#define ONS_DISTILL_DMD_IMPL_H

#include "backend/backend.h"
#include "distill/method.h"
#include "pipeline/runner.h"
#include "train/optimizer.h"

/* Weight sets of the plans. With an adapter, SLOT_G and SLOT_FAKE hold adapters beside SLOT_REAL, which all
 * three networks then share. */
enum { SLOT_G, SLOT_REAL, SLOT_FAKE, SLOT_CLIP, SLOT_VAE, SLOT_FEATURES };

typedef struct generator {
    ons_plan *plan;
    int n_dm, n_reg; /* batch shares; the matching samples come first */
} generator;

/* A batch on its way into plans, and what the generator made of it on its way to the fake score. */
typedef struct dmd_batch {
    float *z, *made, *target;        /* [batch, latent] */
    float *guidance, *t, *a, *s, *e; /* [batch]; e [batch, latent] */
    float *pixels;                   /* [batch, H, W, 3]; NULL where pictures are not compared */
    int32_t *ids;                    /* [batch, T] */
} dmd_batch;

typedef struct dmd {
    const ons_distill *ctx;
    ons_params *g, *fake, *ema;    /* whole networks, or adapters of the teacher's */
    ons_params *clip, *vae, *real; /* the teacher's, borrowed */
    ons_adamw *opt_g, *opt_fake;
    generator warm, match; /* regression alone; both terms */
    ons_plan *critic;
    ons_runner *decoder; /* turns pair latents into target pixels */
    uint8_t *targets;    /* [n_pairs, H, W, 3]: decoded once */
    int64_t h, w, c;
    size_t latent;
    int batch;      /* n_dm + n_reg */
    dmd_batch host; /* of that size */
    bool recompute; /* blocks for the gradients instead of keeping what they computed */
} dmd;

/* Whether the regression compares pictures, and not latents alone. */
bool ons_dmd_uses_pixels(const dmd *s);
/*
 * The generator with its losses and gradients. Inputs z [N, h, w, c] and ids [N, T]; with n_dm > 0 match_t,
 * match_a, match_s, match_e and guidance, with n_reg > 0 target and, where pictures are compared,
 * target_pixels. Outputs x, regression, direction2, real2, fake2.
 */
onestep_status ons_dmd_build_generator(dmd *s, ons_graph *g, int n_dm, int n_reg) ONESTEP_CHECK;
/* The fake score's denoising loss and gradients: inputs x, e, t, a, s, ids; output loss. */
onestep_status ons_dmd_build_critic(dmd *s, ons_graph *g) ONESTEP_CHECK;

/*
 * Makes all plans the run needs and allocates them. Blocks are recomputed where the recipe says so, or where it
 * leaves that open and memory is short. NO_MEMORY, before anything large is taken, says what it would take and
 * what would take less.
 */
onestep_status ons_dmd_create_plans(dmd *s) ONESTEP_CHECK;
/* NO_MEMORY when the trained networks and their optimizers alone cannot fit. */
onestep_status ons_dmd_check_networks(const dmd *s) ONESTEP_CHECK;

#endif
