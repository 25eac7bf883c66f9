/* The kinds of autoencoder behind ons_vae_*: what each file provides. Private to model. */
#ifndef ONS_MODEL_AUTOENCODER_H
#define ONS_MODEL_AUTOENCODER_H

#include "model/config.h"

ons_value *ons_autoencoder_kl_encode(const ons_nn *nn, const ons_vae_config *c, ons_value *pixels);
ons_value *ons_autoencoder_kl_decode(const ons_nn *nn, const ons_vae_config *c, ons_value *latent);
onestep_status ons_autoencoder_kl_config_read(const json_t *root, const char *path,
                                              ons_vae_config *c) ONESTEP_CHECK;
json_t *ons_autoencoder_kl_config_json(const ons_vae_config *c); /* NULL: no memory */

ons_value *ons_autoencoder_tiny_encode(const ons_nn *nn, const ons_vae_config *c, ons_value *pixels);
ons_value *ons_autoencoder_tiny_decode(const ons_nn *nn, const ons_vae_config *c, ons_value *latent);
onestep_status ons_autoencoder_tiny_config_read(const json_t *root, const char *path,
                                                ons_vae_config *c) ONESTEP_CHECK;
json_t *ons_autoencoder_tiny_config_json(const ons_vae_config *c);

#endif
