/*
 * Latents to 8-bit pictures, whole or tile by tile. Tiles overlap by a quarter; a pixel is the mean of the
 * tiles that cover it, each weighted by a ramp that rises from its border over the overlap, so that no seam
 * shows.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/system.h"
#include "pipeline/runner_impl.h"

/* False when there was something else than numbers. */
static bool pixels_to_bytes(const float *src, uint8_t *dst, size_t n)
{
    bool finite = true;

    for (size_t i = 0; i < n; i++) {
        const float v = src[i] * 127.5f + 127.5f;

        finite = finite && isfinite(v);
        dst[i] = (uint8_t)(v > 255 ? 255 : v > 0 ? nearbyintf(v) : 0); /* NaN gives 0 */
    }
    return finite;
}

static onestep_status decode_whole(ons_runner *r, int n, const float *latents, float *pixels)
{
    onestep_status st;

    ONS_TRY(ons_plan_write(r->decoder, "latent", 0, latents, (size_t)n * ons_runner_latent_size(r)));
    ONS_TRY(ons_runner_run_plan(r, r->decoder));
    ONS_TRY(ons_plan_read(r->decoder, "pixels", 0, pixels,
                          (size_t)n * (size_t)r->options.width * (size_t)r->options.height * 3));
    r->stats.flops += ons_plan_flops(r->decoder);
    r->stats.decoder_flops += ons_plan_flops(r->decoder);
fail:
    return st;
}

/* Tiles of `size` along an axis of `total`, overlapping by at least a quarter: how many, and where tile i
 * begins. */
static int count_tiles(int64_t total, int64_t size)
{
    const int64_t step = size - size / 4;

    return total <= size ? 1 : (int)((total - size + step - 1) / step) + 1;
}

static int64_t tile_start(int64_t total, int64_t size, int n, int i)
{
    return n > 1 ? (total - size) * i / (n - 1) : 0;
}

/* Weight of pixel i of a tile: rises from borders that lie inside the picture. */
static float ramp(int64_t i, int64_t size, bool first, bool last)
{
    const float width = (float)(size / 4);
    const float begin = first ? 1 : ((float)i + 0.5f) / width,
                end = last ? 1 : ((float)(size - i) - 0.5f) / width;
    const float least = begin < end ? begin : end;

    return least < 1 ? least : 1;
}

/* A tile's place among the picture's, in pixels. */
typedef struct tile {
    int64_t y, x, h, w;            /* of the picture, height and width of the tile */
    bool top, bottom, left, right; /* its borders are the picture's */
} tile;

static void add_tile(const ons_runner *r, const tile *t, const float *src, float *sum, float *weight)
{
    for (int64_t y = 0; y < t->h; y++)
        for (int64_t x = 0; x < t->w; x++) {
            const float w = ramp(y, t->h, t->top, t->bottom) * ramp(x, t->w, t->left, t->right);
            const size_t at = (size_t)((t->y + y) * r->options.width + t->x + x);

            for (int k = 0; k < 3; k++)
                sum[3 * at + (size_t)k] += w * src[3 * (y * t->w + x) + k];
            weight[at] += w;
        }
}

/* Rows of a tile out of [h, w, c]. */
static onestep_status put_tile(ons_runner *r, const float *latent, int64_t y, int64_t x, int64_t h, int64_t w)
{
    onestep_status st = ONESTEP_OK;

    for (int64_t i = 0; i < h; i++)
        ONS_TRY(ons_plan_write(r->decoder, "latent", (size_t)(i * w * r->c),
                               latent + ((y + i) * r->w + x) * r->c, (size_t)(w * r->c)));
fail:
    return st;
}

static onestep_status decode_tiles(ons_runner *r, const float *latent, float *sum, float *weight, float *one)
{
    const int64_t factor = ons_vae_factor(&r->model->vae_config);
    int64_t h, w;
    onestep_status st = ONESTEP_OK;

    ons_runner_decoder_size(r, &h, &w);
    for (int ny = count_tiles(r->h, h), iy = 0; iy < ny; iy++)
        for (int nx = count_tiles(r->w, w), ix = 0; ix < nx; ix++) {
            const int64_t y = tile_start(r->h, h, ny, iy), x = tile_start(r->w, w, nx, ix);
            const tile t = {y * factor, x * factor,   h * factor, w * factor,
                            iy == 0,    iy == ny - 1, ix == 0,    ix == nx - 1};

            ONS_TRY(put_tile(r, latent, y, x, h, w));
            ONS_TRY(ons_runner_run_plan(r, r->decoder));
            ONS_TRY(ons_plan_read(r->decoder, "pixels", 0, one, (size_t)(t.h * t.w) * 3));
            add_tile(r, &t, one, sum, weight);
            r->stats.flops += ons_plan_flops(r->decoder);
            r->stats.decoder_flops += ons_plan_flops(r->decoder);
        }
fail:
    return st;
}

static onestep_status decode_tiled(ons_runner *r, int n, const float *latents, float *pixels)
{
    const size_t count = (size_t)r->options.width * (size_t)r->options.height, size = ons_runner_latent_size(r);
    float *weight = ons_malloc(count * sizeof *weight), *one = ons_malloc(count * 3 * sizeof *one);
    onestep_status st = ONESTEP_OK;

    if (!weight || !one) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to put tiles together");
        goto fail;
    }
    memset(pixels, 0, (size_t)n * count * 3 * sizeof *pixels);
    for (int i = 0; i < n; i++) {
        float *sum = pixels + (size_t)i * count * 3;

        memset(weight, 0, count * sizeof *weight);
        ONS_TRY(decode_tiles(r, latents + (size_t)i * size, sum, weight, one));
        for (size_t k = 0; k < count * 3; k++)
            sum[k] /= weight[k / 3];
    }
fail:
    ons_free(weight);
    ons_free(one);
    return st;
}

onestep_status ons_runner_decode(ons_runner *r, int n, const float *latents, uint8_t *rgb)
{
    const size_t n_pixels = (size_t)n * (size_t)r->options.width * (size_t)r->options.height * 3;
    const double start_s = ons_now_s();
    float *pixels = NULL;
    onestep_status st;

    if (r->options.no_decoder || n < 1 || n > r->options.batch)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d latents to decode; this runner takes 1 to %d%s", n,
                        r->options.batch, r->options.no_decoder ? " and was made without a decoder" : "");
    ONS_TRY(ons_runner_decoder_plan(r));
    pixels = ons_malloc(n_pixels * sizeof *pixels);
    if (!pixels) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures", n);
        goto fail;
    }
    st = r->tiled ? decode_tiled(r, n, latents, pixels) : decode_whole(r, n, latents, pixels);
    if (st != ONESTEP_OK)
        goto fail;
    r->stats.not_numbers = !pixels_to_bytes(pixels, rgb, n_pixels);
    r->stats.decoder_s += ons_now_s() - start_s;
fail:
    ons_free(pixels);
    return st;
}
