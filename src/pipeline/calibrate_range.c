/*
 * Ranges of first operands, and the scales that follow: the range within what was seen whose rounding and
 * clipping together err least (mean square), which leaves out lonely far values where they cost everybody else
 * digits.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "pipeline/calibrate_impl.h"

void ons_seen_fini(ons_seen *s)
{
    for (int i = 0; i < s->n; i++) {
        ons_free(s->layers[i].layer);
        ons_free(s->layers[i].samples);
    }
    ons_free(s->layers);
    *s = (ons_seen){0};
}

static ons_seen_layer *find_layer(const ons_seen *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->layers[i].layer, name))
            return &s->layers[i];
    return NULL;
}

/* NULL: no memory. */
static ons_seen_layer *add_layer(ons_seen *s, const char *name)
{
    if (s->n == s->room) {
        const int room = s->room ? 2 * s->room : 64;
        ons_seen_layer *grown = ons_realloc(s->layers, (size_t)room * sizeof *grown);

        if (!grown)
            return NULL;
        s->layers = grown;
        s->room = room;
    }
    s->layers[s->n] =
        (ons_seen_layer){.layer = ons_strdup(name), .samples = ons_malloc(MAX_SAMPLES * sizeof(float))};
    if (!s->layers[s->n].layer || !s->layers[s->n].samples) {
        ons_free(s->layers[s->n].layer);
        ons_free(s->layers[s->n].samples);
        return NULL;
    }
    return &s->layers[s->n++];
}

/* A prime step walks through all channels. */
static void take_samples(ons_seen_layer *l, const uint16_t *x, int64_t n)
{
    int64_t step = n / SAMPLES_PER_RUN | 1;

    while (step > 1 && (step % 3 == 0 || step % 5 == 0))
        step += 2;
    for (int64_t i = 0; i < n && l->n_samples < MAX_SAMPLES; i += step)
        l->samples[l->n_samples++] = ons_bf16_to_f32(x[i]);
}

static onestep_status widen(ons_seen_layer *l, const ons_node *n, const uint16_t *x)
{
    const int64_t count = ons_shape_count(&n->in[0]->shape);
    float low = l->low, high = l->high;

    for (int64_t i = 0; i < count; i++) {
        const float v = ons_bf16_to_f32(x[i]);

        if (!isfinite(v))
            return ons_fail(
                ONESTEP_BAD_FILE,
                "%s reads values that are no numbers: damaged weights, or values that bf16 cannot hold",
                n->layer);
        low = v < low ? v : low;
        high = v > high ? v : high;
    }
    l->low = low;
    l->high = high;
    take_samples(l, x, count);
    return ONESTEP_OK;
}

onestep_status ons_seen_observe(void *context, const ons_node *n, const ons_args *args)
{
    ons_seen *s = context;
    ons_seen_layer *l;

    if (s->mode == ONS_SEE_NOTHING || !ons_node_takes_8_bits(n))
        return ONESTEP_OK;
    if (s->mode == ONS_PUT_8_BITS)
        return strcmp(n->layer, s->target->layer) ? ONESTEP_OK : ons_seen_replace(s, s->target, n, args);
    l = find_layer(s, n->layer);
    if (s->mode == ONS_SEE_ERRORS)
        return l ? ons_seen_measure(s, l, n, args) : ONESTEP_OK;
    if (!l)
        l = add_layer(s, n->layer);
    if (!l)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the range of %s", n->layer);
    l->flops += ons_node_flops(n);
    return widen(l, n, args->in[0]);
}

/* The numbers 0..255 over [low, high], with one of them exactly 0. */
static void cover(double low, double high, double *scale, int *zero)
{
    *scale = fmax((high - low) / 255, 1e-30);
    *zero = (int)fmin(fmax(nearbyint(-low / *scale), 0), 255);
}

static double mean_square_error(const ons_seen_layer *l, double scale, int zero)
{
    const float inverse = (float)(1 / scale), least = (float)-zero, most = (float)(255 - zero);
    const float round = 12582912.f; /* 1.5 * 2^23 */
    double sum = 0;

    for (int i = 0; i < l->n_samples; i++) {
        const float q = l->samples[i] * inverse, clipped = q < least ? least : q > most ? most : q;
        const float d = l->samples[i] - (float)scale * (clipped + round - round); /* to an integer */

        sum += d * d;
    }
    return sum;
}

static void choose_scale(ons_seen_layer *l)
{
    double best = INFINITY, low = l->low, high = l->high;

    for (int round = 0; round < 2; round++) /* the upper end, then the lower one */
        for (int i = 0; i < 16; i++) {
            const double part = 1 - 0.05 * i, a = round ? l->low * part : low,
                         b = round ? high : l->high * part;
            double scale, error;
            int zero;

            cover(a, b, &scale, &zero);
            error = mean_square_error(l, scale, zero);
            if (error < best) {
                best = error;
                l->scale = scale;
                l->zero = zero;
                low = a;
                high = b;
            }
        }
}

void ons_seen_choose_scales(ons_seen *s)
{
    for (int i = 0; i < s->n; i++)
        choose_scale(&s->layers[i]);
}
