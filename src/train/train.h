/*
 * Training a teacher from a data set: vocabulary, autoencoder, then UNet and text encoder together (epsilon
 * prediction, DDPM loss; Ho et al. 2020; latent diffusion, Rombach et al. 2022), with caption dropout for
 * guidance and EMA.
 */
#ifndef ONS_TRAIN_TRAIN_H
#define ONS_TRAIN_TRAIN_H

#include "data/dataset.h"
#include "energy/energy.h"
#include "pipeline/folder.h"
#include "train/recipe.h"

typedef struct ons_train_options {
    const char *data;   /* data set */
    const char *output; /* pipeline folder; run files go to OUTPUT/training/ */
    const char *init;   /* continue from this pipeline (vocabulary, autoencoder, text encoder and UNet kept);
                           NULL: from nothing */
    bool resume;        /* continue an interrupted run of the same output */
    ons_compute compute;
    ons_energy *energy; /* may be NULL */
} ons_train_options;

/* INTERRUPTED after Ctrl-C, with a checkpoint written. */
onestep_status ons_train(const ons_recipe *recipe, const ons_train_options *o) ONESTEP_CHECK;

/* Writes the recipe's model configurations to FOLDER/{vae,unet,text_encoder} and reads m's from there. */
onestep_status ons_train_configure(const ons_recipe *r, const char *folder, ons_model *m) ONESTEP_CHECK;

/* The stages, in order; each leaves its part of `m` trained. */
onestep_status ons_train_autoencoder(const ons_recipe *r, const ons_train_options *o, const ons_dataset *d,
                                     ons_model *m) ONESTEP_CHECK;
onestep_status ons_train_teacher(const ons_recipe *r, const ons_train_options *o, const ons_dataset *d,
                                 ons_model *m) ONESTEP_CHECK;

/*
 * Latents of a data set: posterior mean and standard deviation per picture, [n, h*w*c] each, already scaled as
 * the UNet sees them.
 */
typedef struct ons_latents {
    float *mean, *std;
    size_t n, size; /* pictures, floats per picture */
} ons_latents;
onestep_status ons_latents_encode(const ons_model *m, const ons_dataset *d, const ons_train_options *o,
                                  ons_latents *out) ONESTEP_CHECK;
void ons_latents_fini(ons_latents *l);

/*
 * Centres and scales each latent channel to mean 0 and standard deviation 1 over the data set, by folding an
 * affine map into the 1x1 convolutions at the bottleneck (quant_conv, post_quant_conv): the diffusers format
 * has one scaling factor and no mean, and needs neither then.
 */
onestep_status ons_latents_normalise(ons_model *m, const ons_dataset *d,
                                     const ons_train_options *o) ONESTEP_CHECK;

/* 8-bit RGB -> [-1, 1], mirrored and shifted (white enters at the edge). */
void ons_pixels_load(float *dst, const uint8_t *rgb, int size, bool mirror, int dx, int dy);

#endif
