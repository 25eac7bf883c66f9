/*
 * Moments of feature sets. Pieces are merged with Chan's formula (Chan, Golub, LeVeque 1983), so that a large
 * common mean costs no digits and pictures can be measured batch by batch.
 */
#include "metrics/linalg.h"

#include <string.h>

#include "base/memory.h"

onestep_status ons_moments_init(ons_moments *m, int d)
{
    memset(m, 0, sizeof *m);
    m->d = d;
    m->mean = ons_calloc((size_t)d, sizeof *m->mean);
    m->m2 = ons_calloc((size_t)d * (size_t)d, sizeof *m->m2);
    if (m->mean && m->m2)
        return ONESTEP_OK;
    ons_moments_fini(m);
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the moments of %d features", d);
}

void ons_moments_fini(ons_moments *m)
{
    ons_free(m->mean);
    ons_free(m->m2);
    memset(m, 0, sizeof *m);
}

static void mean_of(const float *x, int64_t n, int d, double *mean)
{
    memset(mean, 0, (size_t)d * sizeof *mean);
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < d; j++)
            mean[j] += x[i * d + j];
    for (int j = 0; j < d; j++)
        mean[j] /= (double)n;
}

/* m2 += v v^T * scale, lower triangle. */
static void add_outer(double *m2, const double *v, int d, double scale)
{
    for (int j = 0; j < d; j++) {
        double s = scale * v[j];
        double *row = m2 + (size_t)j * (size_t)d;

        for (int k = 0; k <= j; k++)
            row[k] += s * v[k];
    }
}

onestep_status ons_moments_add(ons_moments *m, const float *x, int64_t n)
{
    int d = m->d;
    double *mean, *v;

    if (n < 1)
        return ONESTEP_OK;
    mean = ons_malloc(2 * (size_t)d * sizeof *mean);
    if (!mean)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the moments of %d features", d);
    v = mean + d;
    mean_of(x, n, d, mean);
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < d; j++)
            v[j] = x[i * d + j] - mean[j];
        add_outer(m->m2, v, d, 1);
    }
    for (int j = 0; j < d; j++)
        v[j] = mean[j] - m->mean[j];
    add_outer(m->m2, v, d, (double)m->n * (double)n / (double)(m->n + n));
    for (int j = 0; j < d; j++)
        m->mean[j] += v[j] * (double)n / (double)(m->n + n);
    m->n += n;
    ons_free(mean);
    return ONESTEP_OK;
}

void ons_moments_covariance(const ons_moments *m, double *cov)
{
    double scale = m->n > 1 ? 1.0 / (double)(m->n - 1) : 0;
    size_t d = (size_t)m->d;

    for (size_t j = 0; j < d; j++)
        for (size_t k = 0; k <= j; k++)
            cov[j * d + k] = cov[k * d + j] = scale * m->m2[j * d + k];
}
