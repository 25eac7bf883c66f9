/*
 * Frechet distance of two Gaussians fitted to feature sets. tr (S1 S2)^(1/2) without complex numbers: S1 = U^T
 * L U (rows of U the eigenvectors), R = L^(1/2) U S2 U^T L^(1/2) is similar to S1 S2, symmetric and not
 * negative, so the trace is the sum of the roots of its eigenvalues (clipped at 0 against rounding).
 */
#include <math.h>

#include "base/memory.h"
#include "metrics/linalg.h"

/* out = x y^T, all [n, n]. */
static void multiply_transposed(const double *x, const double *y, int n, double *out)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            const double *r = x + (size_t)i * n, *s = y + (size_t)j * n;
            double sum = 0;

            for (int k = 0; k < n; k++)
                sum += r[k] * s[k];
            out[(size_t)i * n + j] = sum;
        }
}

/* Sum of the roots of R's eigenvalues; u, t: work [n, n] each; values [n]. */
static onestep_status trace_root(const double *s1, const double *s2, int n, double *u, double *t,
                                 double *values, double *trace)
{
    onestep_status st;
    double *r = t + (size_t)n * n;

    ONS_TRY(ons_eigen_symmetric(s1, n, values, u));
    for (int i = 0; i < n; i++) {
        double root = sqrt(fmax(values[i], 0));

        for (int k = 0; k < n; k++)
            u[(size_t)i * n + k] *= root;
    }
    multiply_transposed(u, s2, n, t); /* S2 is symmetric */
    multiply_transposed(t, u, n, r);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            r[(size_t)i * n + k] = r[(size_t)k * n + i] = 0.5 * (r[(size_t)i * n + k] + r[(size_t)k * n + i]);
    ONS_TRY(ons_eigen_symmetric(r, n, values, NULL));
    *trace = 0;
    for (int i = 0; i < n; i++)
        *trace += sqrt(fmax(values[i], 0));
fail:
    return st;
}

onestep_status ons_frechet(const ons_moments *a, const ons_moments *b, double *distance)
{
    int n = a->d;
    size_t nn = (size_t)n * (size_t)n;
    double *s1, *s2, trace = 0, sum = 0;
    onestep_status st;

    if (b->d != n)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "Frechet distance of %d against %d features: the same network must make both", n, b->d);
    if (a->n < 2 || b->n < 2)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "Frechet distance of %lld against %lld pictures: give two or more of each",
                        (long long)a->n, (long long)b->n);
    s1 = ons_malloc((5 * nn + (size_t)n) * sizeof *s1);
    if (!s1)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a Frechet distance of %d features", n);
    s2 = s1 + nn;
    ons_moments_covariance(a, s1);
    ons_moments_covariance(b, s2);
    ONS_TRY(trace_root(s1, s2, n, s2 + nn, s2 + 2 * nn, s2 + 4 * nn, &trace));
    for (int i = 0; i < n; i++) {
        double diff = a->mean[i] - b->mean[i];

        sum += diff * diff + s1[(size_t)i * n + i] + s2[(size_t)i * n + i];
    }
    *distance = fmax(sum - 2 * trace, 0);
fail:
    ons_free(s1);
    return st;
}
