/* The places where a parameter may stand, in the order in which they are tried. */
#include "model/names.h"

#include <stdio.h>
#include <string.h>

static bool put(ons_place_in_file *place, const char *prefix, const char *name)
{
    *place = (ons_place_in_file){.n_parts = 1};
    return (size_t)snprintf(place->name, sizeof place->name, "%s%s", prefix, name) < sizeof place->name;
}

/* Puts a prefix before what place->name holds. */
static bool prefixed(ons_place_in_file *place, const char *prefix)
{
    const size_t n = strlen(prefix), m = strlen(place->name);

    if (n + m >= sizeof place->name)
        return false;
    memmove(place->name + n, place->name, m + 1);
    memcpy(place->name, prefix, n);
    return true;
}

static bool place_unet(const void *context, const char *name, int attempt, ons_place_in_file *place)
{
    const ons_unet_config *c = context;

    switch (attempt) {
    case 0:
        return put(place, "unet.", name);
    case 1:
        return ons_unet_original_name(c, name, place) && prefixed(place, "model.diffusion_model.");
    case 2:
        return ons_unet_original_name(c, name, place);
    default:
        return false;
    }
}

ons_spelling ons_unet_spelling(const ons_unet_config *c)
{
    return (ons_spelling){.place = place_unet, .context = c};
}

/* Attention of early diffusers: query, key, value, proj_attn. A name without attention stays as it is. */
static bool early_name(const char *name, ons_place_in_file *place)
{
    static const char *const names[][2] = {
        {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = strstr(name, names[i][0]);

        if (!at)
            continue;
        *place = (ons_place_in_file){.n_parts = 1};
        return (size_t)snprintf(place->name, sizeof place->name, "%.*s%s%s", (int)(at - name), name,
                                names[i][1], at + strlen(names[i][0])) < sizeof place->name;
    }
    return put(place, "", name);
}

/* A tiny autoencoder's halves as files of their own: the chain's numbers alone, the decoder's one higher for
 * the bound at its beginning. */
static bool standalone_name(const char *name, ons_place_in_file *place)
{
    const bool decoder = strncmp(name, "decoder.layers.", 15) == 0;
    int number, n = 0;

    *place = (ons_place_in_file){.n_parts = 1};
    if (sscanf(name, decoder ? "decoder.layers.%d%n" : "encoder.layers.%d%n", &number, &n) != 1 || n == 0)
        return false;
    return (size_t)snprintf(place->name, sizeof place->name, "%d%s", number + decoder, name + n) <
           sizeof place->name;
}

static bool place_vae(const void *context, const char *name, int attempt, ons_place_in_file *place)
{
    const ons_vae_config *c = context;

    if (c->kind == ONS_VAE_TINY)
        return attempt == 0 && standalone_name(name, place);
    switch (attempt) {
    case 0:
        return early_name(name, place);
    case 1:
        return ons_vae_original_name(c, name, place) && prefixed(place, "first_stage_model.");
    case 2:
        return ons_vae_original_name(c, name, place);
    default:
        return false;
    }
}

ons_spelling ons_vae_spelling(const ons_vae_config *c)
{
    return (ons_spelling){.place = place_vae, .context = c};
}

static const char *without_model(const char *name)
{
    static const char prefix[] = "text_model.";

    return strncmp(name, prefix, sizeof prefix - 1) ? name : name + sizeof prefix - 1;
}

static bool place_clip(const void *context, const char *name, int attempt, ons_place_in_file *place)
{
    (void)context;
    switch (attempt) {
    case 0:
        return put(place, "", without_model(name));
    case 1:
        return put(place, "cond_stage_model.transformer.", name);
    case 2:
        return put(place, "cond_stage_model.transformer.", without_model(name));
    case 3:
        return ons_clip_original_name(name, place) && prefixed(place, "cond_stage_model.model.");
    case 4:
        return ons_clip_original_name(name, place);
    default:
        return false;
    }
}

ons_spelling ons_clip_spelling(void)
{
    return (ons_spelling){.place = place_clip};
}
