/* One autoencoder, of either kind. */
#include "model/autoencoder.h"

#include <string.h>

ons_value *ons_vae_encode_build(const ons_nn *nn, const ons_vae_config *c, ons_value *pixels)
{
    return c->kind == ONS_VAE_TINY ? ons_autoencoder_tiny_encode(nn, c, pixels)
                                   : ons_autoencoder_kl_encode(nn, c, pixels);
}

ons_value *ons_vae_decode_build(const ons_nn *nn, const ons_vae_config *c, ons_value *latent)
{
    return c->kind == ONS_VAE_TINY ? ons_autoencoder_tiny_decode(nn, c, latent)
                                   : ons_autoencoder_kl_decode(nn, c, latent);
}

int ons_vae_factor(const ons_vae_config *c)
{
    return 1 << (c->n_levels - 1);
}

static onestep_status read_config(const json_t *root, const char *path, ons_vae_config *c)
{
    static const char *const classes[] = {"AutoencoderKL", "AutoencoderTiny", NULL};
    const char *name;
    onestep_status st;

    ONS_TRY(ons_config_class(root, path, "_class_name", classes));
    ONS_TRY(ons_json_text(root, path, "_class_name", classes[0], &name));
    c->kind = strcmp(name, classes[1]) == 0 ? ONS_VAE_TINY : ONS_VAE_KL;
    st = c->kind == ONS_VAE_TINY ? ons_autoencoder_tiny_config_read(root, path, c)
                                 : ons_autoencoder_kl_config_read(root, path, c);
fail:
    return st;
}

onestep_status ons_vae_config_load(const char *path, ons_vae_config *out)
{
    json_t *root = NULL;
    onestep_status st = ons_json_load(path, &root);

    *out = (ons_vae_config){0};
    if (st == ONESTEP_OK)
        st = read_config(root, path, out);
    json_decref(root);
    return st;
}

onestep_status ons_vae_config_save(const ons_vae_config *c, const char *path)
{
    json_t *root =
        c->kind == ONS_VAE_TINY ? ons_autoencoder_tiny_config_json(c) : ons_autoencoder_kl_config_json(c);
    onestep_status st;

    if (!root)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to write it", path);
    st = ons_json_save(root, path);
    json_decref(root);
    return st;
}
