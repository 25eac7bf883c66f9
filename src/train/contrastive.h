/*
 * Trains a feature network by contrast (the idea of CLIP, Radford et al. 2021, in miniature): a picture's
 * embedding is to be nearer to its caption's than to the other captions of the batch, and the reverse. loss =
 * 1/2 [ CE(softmax_j(I_i . T_j / tau), P_ij) + CE(softmax_i(I_i . T_j / tau), P'_ij) ] P_ij shares the weight
 * among all captions j of the batch that fit picture i (a keyword fits several), P' likewise over pictures.
 */
#ifndef ONS_TRAIN_CONTRASTIVE_H
#define ONS_TRAIN_CONTRASTIVE_H

#include "backend/backend.h"
#include "data/dataset.h"
#include "model/features_folder.h"

typedef struct ons_contrastive_options {
    const ons_dataset *data; /* with pictures of image_size; held-out ones take part if it holds them */
    int image_size;          /* 0: 64 */
    int n_levels;            /* 0: the default tower */
    int channels[ONS_MAX_LEVELS];
    int embed_dim;              /* 0: 128 */
    int vocab_size;             /* 0: 2048; of the vocabulary learned from the captions */
    int iterations, batch_size; /* 0: 600, 128 (at most the number of pictures) */
    double lr;                  /* 0: 1e-3 */
    double temperature;         /* 0: 0.07 */
    double p_keyword;           /* < 0: 0.4; share of keyword captions where a picture has some */
    uint64_t seed;
    ons_compute compute;
    /* After every step; false stops with INTERRUPTED. May be NULL. */
    bool (*progress)(void *user, int64_t step, int64_t total, double loss);
    void *user;
} ons_contrastive_options;

/* BAD_ARGUMENT for a set without pictures or with fewer than two. The result depends on the options and the
 * thread count alone. */
onestep_status ons_contrastive_train(const ons_contrastive_options *o, ons_features **out) ONESTEP_CHECK;

/* Steps of the default training for n pictures: enough passes for small sets, bounded for large ones. */
int ons_contrastive_default_iterations(size_t n_pictures);

#endif
