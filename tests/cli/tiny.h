/* A complete pipeline with random weights, small enough to be made in every test: 16x16 pixels, factor 4,
 * context of 12 tokens. */
#ifndef ONS_TESTS_CLI_TINY_H
#define ONS_TESTS_CLI_TINY_H

#include <stdbool.h>

/* Writes it as a pipeline folder; a student has timestep 399 and one step. Fails the test on error. */
void make_tiny_model(const char *folder, bool student);
/* A student with 32 channels or more everywhere, as 8-bit products want them. */
void make_wide_model(const char *folder);
/* An AutoencoderTiny that fits it, in each form in which one is published: the folder with its config, and in
 * it the halves under their author's names, taesd_decoder.safetensors and taesd_encoder.safetensors. */
void make_tiny_autoencoder(const char *folder);

#endif
