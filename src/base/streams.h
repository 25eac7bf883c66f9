/*
 * Which stream of random numbers serves what: every number drawn is a pure function of (seed, stream, index),
 * so that the state of a run is its step alone. Whoever draws anew takes a number that no row has
 * (tests/unit/test_streams.c); a row that has been published keeps its number, or seeds change their pictures
 * and runs go on with other batches. Two families are open at one end: step k of a stochastic sampler draws
 * from NOISE + k under its picture's seed, and the weights of a parameter from its name's hash with the bit
 * WEIGHTS set.
 */
#ifndef ONS_BASE_STREAMS_H
#define ONS_BASE_STREAMS_H

#include <stdint.h>

/* ROW(name, number, what draws from it) */
#define ONS_STREAMS(ROW)                                                                                       \
    ROW(NOISE, 0, "noise that a picture begins with, and its sampler's after it")                              \
    ROW(WEIGHTS, 1, "initial weights")                                                                         \
    ROW(VAE_AUGMENT, 101, "autoencoder training: mirrored or not")                                             \
    ROW(VAE_NOISE, 102, "autoencoder training: of the posterior")                                              \
    ROW(TIMESTEP, 103, "teacher training: timesteps")                                                          \
    ROW(EPSILON, 104, "teacher training: noise")                                                               \
    ROW(POSTERIOR, 105, "teacher training: of the latents' posterior")                                         \
    ROW(GENERATOR_NOISE, 106, "distillation: what the generator begins with")                                  \
    ROW(MATCH_TIMESTEP, 107, "distillation: timesteps of distribution matching")                               \
    ROW(MATCH_EPSILON, 108, "distillation: noise of distribution matching")                                    \
    ROW(CRITIC_TIMESTEP, 109, "distillation: timesteps of the fake score")                                     \
    ROW(CRITIC_EPSILON, 110, "distillation: noise of the fake score")                                          \
    ROW(PAIR_DRAW, 112, "distillation: which pairs a step regresses to")                                       \
    ROW(CONTRASTIVE_AUGMENT, 301, "contrastive training: shifts and mirroring")                                \
    ROW(EVAL_CHOICE, 401, "evaluation: which captions")                                                        \
    ROW(EVAL_REFERENCE, 402, "evaluation: which pictures stand for a keyword")                                 \
    ROW(CAPTION, 0x636170, "data: which caption of a picture")                                                 \
    ROW(ORDER, 0x6f7264, "data: order of an epoch")                                                            \
    ROW(IMAGE_POSTERIOR, 0x100000000, "image to image: of the posterior, beyond every sampler's draws")

/* Constants and no enum, which could not hold them all. */
#define ONS_STREAM_CONSTANT(name, number, what) static const uint64_t ONS_STREAM_##name = UINT64_C(number);
ONS_STREAMS(ONS_STREAM_CONSTANT)
#undef ONS_STREAM_CONSTANT

#endif
