/*
 * Does it fit? Plans know what they take before they take it, and packed weights are only announced, so a run
 * that would swap or be killed is refused with what would fit instead.
 */
#include <math.h>

#include "base/log.h"
#include "pipeline/runner_impl.h"
#include "weights/packed_file.h"

static const double MB = 1e6;

/* What a stage takes, in bytes: weights as its plan wants them, and buffers. */
typedef struct stage_need {
    double weights, buffers;
} stage_need;

typedef struct need {
    stage_need text, unet, decoder;
    bool one_shot; /* stages hold nothing beyond their end */
} need;

static double bytes_of(const stage_need *s)
{
    return s->weights + s->buffers;
}

static double weights_of(const need *n)
{
    return n->one_shot ? fmax(fmax(n->text.weights, n->unet.weights), n->decoder.weights)
                       : n->text.weights + n->unet.weights + n->decoder.weights;
}

static double total_of(const need *n)
{
    return n->one_shot ? fmax(fmax(bytes_of(&n->text), bytes_of(&n->unet)), bytes_of(&n->decoder))
                       : bytes_of(&n->text) + bytes_of(&n->unet) + bytes_of(&n->decoder);
}

static onestep_status measure(ons_runner *r, ons_unet_key key, bool decode, need *n)
{
    ons_plan *unet;
    onestep_status st;

    *n = (need){.one_shot = r->options.one_shot};
    ONS_TRY(ons_runner_make_text_plan(r));
    ONS_TRY(ons_runner_make_unet_plan(r, key, &unet));
    if (decode)
        ONS_TRY(ons_runner_make_decoder_plan(r));
    n->text.buffers = (double)ons_plan_peak_bytes(r->text);
    for (int i = 0; i < r->n_unet; i++)
        n->unet.buffers += (double)ons_plan_peak_bytes(r->unet[i].plan);
    if (r->decoder)
        n->decoder.buffers = (double)ons_plan_peak_bytes(r->decoder);
    n->text.weights = (double)(ons_params_packed_bytes(r->model->clip) + ons_plan_plain_bytes(r->text));
    n->unet.weights = (double)(ons_params_packed_bytes(r->model->unet) + ons_plan_plain_bytes(unet));
    n->decoder.weights = (double)ons_params_packed_bytes(r->model->vae);
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

/* Of the buffers that grow with the area, per pixel, the largest square of one picture within `room`. */
static double side_within(double room, double bytes_per_pixel)
{
    return sqrt(fmax(0, room) / bytes_per_pixel);
}

static int side_that_fits(const ons_runner *r, const need *n, double room)
{
    const int factor = ons_vae_factor(&r->model->vae_config);
    const double area = (double)r->options.width * r->options.height * r->options.batch;
    const double unet = n->unet.buffers / area, decoder = r->tiled ? 0 : n->decoder.buffers / area;
    const double fixed = r->tiled ? n->decoder.buffers : 0;
    double side;

    if (!n->one_shot)
        side = side_within(room - weights_of(n) - n->text.buffers - fixed, unet + decoder);
    else
        side = fmin(side_within(room - n->unet.weights, unet),
                    side_within(room - n->decoder.weights - fixed, fmax(decoder, 1e-9)));
    return (int)(0.95 * side) / (8 * factor) * (8 * factor);
}

static onestep_status refuse(const ons_runner *r, const need *n, double room)
{
    const int side = side_that_fits(r, n, room);
    const char *who = r->options.compute.memory ? "allowed" : "to be had";

    if (side < ons_vae_factor(&r->model->vae_config) * 8)
        return ons_fail(ONESTEP_NO_MEMORY, "the weights alone take %.0f MB, %.0f MB are %s", weights_of(n) / MB,
                        room / MB, who);
    return ons_fail(
        ONESTEP_NO_MEMORY,
        "%d picture%s of %dx%d take%s %.0f MB (weights %.0f, UNet %.0f, decoder %.0f, text %.0f%s), "
        "%.0f MB are %s; "
        "%d picture of about %dx%d would fit",
        r->options.batch, r->options.batch == 1 ? "" : "s at a time", r->options.width, r->options.height,
        r->options.batch == 1 ? "s" : "", total_of(n) / MB, weights_of(n) / MB, n->unet.buffers / MB,
        n->decoder.buffers / MB, n->text.buffers / MB, n->one_shot ? "; not all at a time" : "", room / MB, who,
        1, side, side);
}

static double room_of(const ons_runner *r)
{
    return ons_compute_memory(&r->options.compute) + (r->options.compute.memory ? 0 : r->fitted_bytes);
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
                    r->options.compute.memory ? "allowed" : "to be had");
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
        ons_info("of %.1f MB of the UNet's packed weights the packed file has %.1f: it was made for %s; "
                 "convert --packed "
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
        const double whole = n.decoder.buffers;

        use_tiles(r);
        ONS_TRY(measure(r, key, decode, &n));
        ons_info("decoding in tiles: %.0f MB instead of %.0f", n.decoder.buffers / MB, whole / MB);
    }
    if (total_of(&n) > room)
        st = refuse(r, &n, room);
    else
        r->fitted_bytes = total_of(&n);
fail:
    return st;
}
