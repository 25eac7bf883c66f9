/*
 * Pseudo linear multistep (Liu et al. 2022, eq. 9 and 12), the Runge-Kutta start left out as in
 * Stable Diffusion: the outputs of up to four evaluations are mixed, and the mixture takes a DDIM step. The
 * first step is taken twice, the second time with the mean of both evaluations, so that n steps cost n + 1
 * evaluations.
 *
 * As in diffusers the next timestep is t - floor(T / n), also where the grid's neighbour is one off (the list's
 * next where the caller gives one), and a run that begins in the middle of its timesteps (image to image)
 * repeats its first step one entry later.
 */
#include "diffusion/sampler_impl.h"

#include <math.h>
#include <string.h>

enum {
    N_KEPT = 4,
    START = N_KEPT,
    N_HISTORY
}; /* buffers: a ring of outputs, the state before the first step */

static int count_evaluations(int n_steps)
{
    return n_steps > 1 ? n_steps + 1 : 1;
}

/* Entry of the timesteps that evaluation e is at: 0, 1, 1, 2, ... */
static int entry_of(int e)
{
    return e > 1 ? e - 1 : e;
}

static double timestep_at(const ons_sampler *s, int e)
{
    return s->timesteps[entry_of(e)];
}

/* The timestep `by` entries after that of evaluation e; past the end -1. */
static int neighbour(const ons_sampler *s, int e, int by)
{
    const int k = entry_of(e) + by;

    if (s->custom)
        return k < s->n_steps ? (int)s->timesteps[k] : -1;
    return (int)timestep_at(s, e) - by * (s->schedule.n / s->n_steps);
}

static double abar_at(const ons_sampler *s, int t)
{
    if (t < 0)
        return s->schedule.set_alpha_to_one ? 1 : s->schedule.abar[0];
    return s->schedule.abar[t < s->schedule.n ? t : s->schedule.n - 1];
}

/* The k-th output back (0: the newest) of those that are kept. */
static float *kept(const ons_sampler *s, int newest, int k)
{
    return s->history + (size_t)((newest - k) % N_KEPT) * s->size;
}

/* The mixture of `n` outputs into out[]; coefficients of Adams and Bashforth. */
static float mix(const ons_sampler *s, int newest, int n, size_t i)
{
    static const double weights[N_KEPT][N_KEPT] = {
        {1}, {3. / 2, -1. / 2}, {23. / 12, -16. / 12, 5. / 12}, {55. / 24, -59. / 24, 37. / 24, -9. / 24}};
    double sum = 0;

    for (int k = 0; k < n; k++)
        sum += weights[n - 1][k] * kept(s, newest, k)[i];
    return (float)sum;
}

/* x at `from` -> x at `to` along output `out`: DDIM's step, which equation 9 amounts to. */
typedef struct transfer {
    double of_x, of_out;
} transfer;

static transfer transfer_of(const ons_sampler *s, int from, int to)
{
    const double now = abar_at(s, from), next = abar_at(s, to), a = sqrt(next), b = sqrt(1 - next);
    const ons_estimate e = ons_estimate_of(s->schedule.prediction, sqrt(now), sqrt(1 - now));

    return (transfer){a * e.mu_x + b * e.eps_x, a * e.mu_out + b * e.eps_out};
}

static void first_step(ons_sampler *s, const float *out)
{
    const transfer f = transfer_of(s, neighbour(s, s->index, 0), neighbour(s, s->index, 1));

    memcpy(kept(s, 0, 0), out, s->size * sizeof *out);
    memcpy(s->history + START * s->size, s->x, s->size * sizeof *out);
    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)(f.of_x * s->x[i] + f.of_out * out[i]);
}

/* The first step again, with the mean of the outputs at its two ends. */
static void repeat_step(ons_sampler *s, const float *out)
{
    const transfer f = transfer_of(s, neighbour(s, s->index, -1), neighbour(s, s->index, 0));
    const float *start = s->history + START * s->size, *first = kept(s, 0, 0);

    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)(f.of_x * start[i] + f.of_out * 0.5 * ((double)first[i] + out[i]));
}

static void step(ons_sampler *s, const float *out)
{
    const int e = s->index - s->first, newest = e - 1;
    const int n = newest < N_KEPT ? newest + 1 : N_KEPT;
    transfer f;

    if (e < 2) {
        (e == 0 ? first_step : repeat_step)(s, out);
        return;
    }
    f = transfer_of(s, neighbour(s, s->index, 0), neighbour(s, s->index, 1));
    memcpy(kept(s, newest, 0), out, s->size * sizeof *out);
    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)(f.of_x * s->x[i] + f.of_out * mix(s, newest, n, i));
}

const ons_sampler_kind ons_sampler_plms = {.name = "plms",
                                           .n_history = N_HISTORY,
                                           .evaluations = count_evaluations,
                                           .timestep = timestep_at,
                                           .begin = ons_sampler_begin_unit,
                                           .input = ons_sampler_input_plain,
                                           .step = step};
