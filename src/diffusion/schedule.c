/*
 * The noise schedule itself: tables of Abar and what follows from them, and the timesteps of a run.
 *
 * Abar is accumulated in double; the usual implementation does it in float and differs in the sixth digit.
 * Rejected: keeping the betas beside Abar, since they are 1 - Abar_t / Abar_{t-1} and two tables could
 * disagree.
 */
#include "diffusion/schedule_impl.h"

#include <math.h>
#include <string.h>

void ons_schedule_from_betas(ons_schedule *s, const double *betas, int n)
{
    double product = 1;

    s->n = n;
    for (int t = 0; t < n; t++) {
        product *= 1 - betas[t];
        s->abar[t] = product;
    }
}

void ons_betas_linear(double start, double end, int n, double *betas)
{
    for (int t = 0; t < n; t++)
        betas[t] = n > 1 ? start + t * (end - start) / (n - 1) : start;
}

void ons_betas_scaled_linear(double start, double end, int n, double *betas)
{
    ons_betas_linear(sqrt(start), sqrt(end), n, betas);
    for (int t = 0; t < n; t++)
        betas[t] *= betas[t];
}

void ons_schedule_init_sd(ons_schedule *s)
{
    double betas[ONS_MAX_TIMESTEPS];

    memset(s, 0, sizeof *s);
    ons_betas_scaled_linear(0.00085, 0.012, ONS_MAX_TIMESTEPS, betas);
    ons_schedule_from_betas(s, betas, ONS_MAX_TIMESTEPS);
    s->prediction = ONS_PREDICT_EPSILON;
    s->spacing = ONS_SPACING_LEADING;
    s->spacing_stated = true;
    s->steps_offset = 1;
    s->set_alpha_to_one = false;
    strcpy(s->class_name, "DDIMScheduler");
}

/* q'_t = (q_t - q_last) q_0 / (q_0 - q_last) with q = sqrt(Abar): Lin et al. 2023, algorithm 1. */
void ons_schedule_rescale_zero_snr(ons_schedule *s)
{
    const double first = sqrt(s->abar[0]), last = sqrt(s->abar[s->n - 1]);

    for (int t = 0; t < s->n; t++) {
        const double q = (sqrt(s->abar[t]) - last) * first / (first - last);

        s->abar[t] = q * q;
    }
    s->abar[s->n - 1] = 0;
}

double ons_schedule_a(const ons_schedule *s, int t)
{
    return sqrt(s->abar[t]);
}

double ons_schedule_s(const ons_schedule *s, int t)
{
    return sqrt(1 - s->abar[t]);
}

static double sigma_of(const ons_schedule *s, int t)
{
    /* A zero-SNR schedule ends in Abar = 0; 2^-24 keeps sigma finite, as diffusers does. */
    const double abar = fmax(s->abar[t], 0x1p-24);

    return sqrt((1 - abar) / abar);
}

double ons_schedule_sigma(const ons_schedule *s, double t)
{
    const int below = (int)t;
    const double part = t - below;

    return part > 0 ? (1 - part) * sigma_of(s, below) + part * sigma_of(s, below + 1) : sigma_of(s, below);
}

onestep_status ons_timesteps_check(const ons_schedule *s, int n_steps, const double *timesteps)
{
    for (int i = 0; i < n_steps; i++) {
        if (timesteps[i] < 0 || timesteps[i] > s->n - 1)
            return ons_fail(ONESTEP_BAD_ARGUMENT, "timestep %g: the schedule has 0 to %d%s", timesteps[i],
                            s->n - 1, timesteps[i] == s->n ? "; take fewer steps" : "");
        if (i > 0 && timesteps[i] >= timesteps[i - 1])
            return ons_fail(ONESTEP_BAD_ARGUMENT, "timesteps must descend, but %g comes after %g", timesteps[i],
                            timesteps[i - 1]);
    }
    return ONESTEP_OK;
}

onestep_status ons_steps_check(int n_steps, int max)
{
    if (n_steps < 1 || n_steps > max)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "%d steps: this sampler can do 1 to %d", n_steps, max);
    return ONESTEP_OK;
}

/* Halves go to even as in numpy, whose grids the trained models saw. */
static double round_even(double v)
{
    return nearbyint(v);
}

double ons_schedule_linspace(const ons_schedule *s, int n_steps, int i)
{
    return n_steps == 1 ? 0 : (n_steps - 1 - i) * ((s->n - 1.0) / (n_steps - 1));
}

onestep_status ons_schedule_timesteps(const ons_schedule *s, int n_steps, double *timesteps)
{
    onestep_status st;

    ONS_TRY(ons_steps_check(n_steps, s->n));
    for (int i = 0; i < n_steps; i++) {
        switch (s->spacing) {
        case ONS_SPACING_LEADING:
            timesteps[i] = (n_steps - 1 - i) * (s->n / n_steps) + s->steps_offset;
            break;
        case ONS_SPACING_TRAILING:
            timesteps[i] = round_even(s->n - i * ((double)s->n / n_steps)) - 1;
            break;
        case ONS_SPACING_LINSPACE:
            timesteps[i] = round_even(ons_schedule_linspace(s, n_steps, i));
            break;
        }
    }
    ONS_TRY(ons_timesteps_check(s, n_steps, timesteps));
    return ONESTEP_OK;
fail:
    return st;
}
