/*
 * Does it fit? Plans know what they take before they take it, and packed weights are only announced, so a run
 * that would swap or be killed is refused with what would fit instead.
 */
#include <math.h>

#include "base/log.h"
#include "base/system.h"
#include "pipeline/generate_impl.h"
#include "weights/packed_file.h"

static const double MB = 1e6;

/* What a run takes, in bytes: weights as its plans want them, buffers that grow with the picture, and the rest.
 */
typedef struct need {
    double weights, unet, decoder, text;
} need;

static double total_of(const need *n)
{
    return n->weights + n->unet + n->decoder + n->text;
}

static onestep_status measure(ons_runner *r, ons_unet_key key, bool decode, need *n)
{
    ons_plan *unet;
    onestep_status st;

    *n = (need){0};
    ONS_TRY(ons_runner_make_text_plan(r));
    ONS_TRY(ons_runner_make_unet_plan(r, key, &unet));
    if (decode)
        ONS_TRY(ons_runner_make_decoder_plan(r));
    n->text = (double)ons_plan_peak_bytes(r->text);
    for (int i = 0; i < r->n_unet; i++)
        n->unet += (double)ons_plan_peak_bytes(r->unet[i].plan);
    if (r->decoder)
        n->decoder = (double)ons_plan_peak_bytes(r->decoder);
    n->weights = (double)(ons_params_packed_bytes(r->model->unet) + ons_params_packed_bytes(r->model->clip) +
                          ons_params_packed_bytes(r->model->vae) + ons_plan_plain_bytes(r->text) +
                          ons_plan_plain_bytes(unet));
fail:
    return st;
}

static bool is_larger_than_tile(const ons_runner *r)
{
    return r->h > TILE_LATENTS || r->w > TILE_LATENTS || r->options.batch > 1;
}

static void use_tiles(ons_runner *r)
{
    ons_plan_destroy(&r->decoder);
    r->tiled = true;
}

/* Buffers grow with the area and the batch: the largest square of one picture within `room`. */
static int side_that_fits(const ons_runner *r, const need *n, double room)
{
    const int factor = ons_vae_factor(&r->model->vae_config);
    const double area = (double)r->options.width * r->options.height * r->options.batch;
    const double each = (n->unet + (r->tiled ? 0 : n->decoder)) / area;
    const double side = sqrt(fmax(0, room - n->weights - n->text - (r->tiled ? n->decoder : 0)) / each);

    return (int)(0.95 * side) / (8 * factor) * (8 * factor);
}

static onestep_status refuse(const ons_runner *r, const need *n, double room)
{
    const int side = side_that_fits(r, n, room);
    const char *who = r->options.max_memory ? "allowed" : "to be had";

    if (side < ons_vae_factor(&r->model->vae_config) * 8)
        return ons_fail(ONESTEP_NO_MEMORY, "the weights alone take %.0f MB, %.0f MB are %s", n->weights / MB,
                        room / MB, who);
    return ons_fail(ONESTEP_NO_MEMORY,
                    "%d picture%s of %dx%d take%s %.0f MB (weights %.0f, UNet %.0f, decoder %.0f, text %.0f), "
                    "%.0f MB are %s; "
                    "%d picture of about %dx%d would fit",
                    r->options.batch, r->options.batch == 1 ? "" : "s at a time", r->options.width,
                    r->options.height, r->options.batch == 1 ? "s" : "", total_of(n) / MB, n->weights / MB,
                    n->unet / MB, n->decoder / MB, n->text / MB, room / MB, who, 1, side, side);
}

static double room_of(const ons_runner *r)
{
    return r->options.max_memory ? (double)r->options.max_memory
                                 : (double)ons_available_memory() + r->fitted_bytes;
}

onestep_status ons_runner_fit_encoder(const ons_runner *r, ons_plan *encoder)
{
    const double need = (double)ons_plan_peak_bytes(encoder) + (double)ons_params_packed_bytes(r->model->vae) +
                        (double)ons_plan_plain_bytes(encoder);

    if (need <= room_of(r))
        return ONESTEP_OK;
    return ons_fail(ONESTEP_NO_MEMORY,
                    "encoding a picture of %dx%d takes %.0f MB, %.0f MB are %s; take a smaller size (-W, -H)",
                    r->options.width, r->options.height, need / MB, room_of(r) / MB,
                    r->options.max_memory ? "allowed" : "to be had");
}

/* Everything that the run needs was made, and found to fit, by an earlier one. */
static bool is_settled(const ons_runner *r, ons_unet_key key, bool decode)
{
    for (int i = 0; r->fitted_bytes > 0 && i < r->n_unet; i++)
        if (r->unet[i].key.guided == key.guided && r->unet[i].key.timestep == key.timestep)
            return r->text && (r->decoder || !decode);
    return false;
}

/* A packed file for another type or size helps little: the user is told. */
static void tell_packed(const ons_runner *r)
{
    const char *made_for;
    const double have = (double)ons_params_stocked_bytes(r->model->unet, &made_for) / MB,
                 want = (double)ons_params_packed_bytes(r->model->unet) / MB;

    if (made_for && have < 0.5 * want)
        ons_info("of %.1f MB of the UNet's packed weights the packed file has %.1f: it was made for %s; convert --packed "
                 "makes another (--packed-type, -W, -H)",
                 want, have, made_for);
    else if (made_for)
        ons_verbose("%.1f of %.1f MB of the UNet's packed weights come from the packed file", have, want);
}

onestep_status ons_runner_fit(ons_runner *r, ons_unet_key key, bool decode)
{
    const double room = room_of(r);
    need n;
    onestep_status st;

    if (is_settled(r, key, decode))
        return ONESTEP_OK;
    if (decode && !r->decoder && r->options.tiling == ONS_TILING_ON)
        r->tiled = true;
    ONS_TRY(measure(r, key, decode, &n));
    tell_packed(r);
    if (total_of(&n) > room && decode && r->options.tiling == ONS_TILING_AUTO && !r->tiled &&
        is_larger_than_tile(r)) {
        const double whole = n.decoder;

        use_tiles(r);
        ONS_TRY(measure(r, key, decode, &n));
        ons_info("decoding in tiles: %.0f MB instead of %.0f", n.decoder / MB, whole / MB);
    }
    if (total_of(&n) > room)
        st = refuse(r, &n, room);
    else
        r->fitted_bytes = total_of(&n);
fail:
    return st;
}
