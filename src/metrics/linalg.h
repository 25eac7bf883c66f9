/* Dense linear algebra in double for the metrics: moments, symmetric eigenvalues. Matrices are row-major. */
#ifndef ONS_METRICS_LINALG_H
#define ONS_METRICS_LINALG_H

#include "base/status.h"

/*
 * Eigenvalues of the symmetric a [n, n] (ascending, into `values` [n]) and, unless NULL, its eigenvectors as
 * the ROWS of `vectors` [n, n]. a is left as it was. NO_MEMORY; INTERNAL when the iteration does not converge
 * (non-finite input).
 */
onestep_status ons_eigen_symmetric(const double *a, int n, double *values, double *vectors) ONESTEP_CHECK;

/* Mean [d] and covariance [d, d] (divisor n-1) of samples that arrive in pieces. */
typedef struct ons_moments {
    int d;
    int64_t n;
    double *mean; /* [d] */
    double *m2;   /* [d, d], lower triangle: sum of products of deviations */
} ons_moments;
onestep_status ons_moments_init(ons_moments *m, int d) ONESTEP_CHECK;
void ons_moments_fini(ons_moments *m); /* accepts a zeroed struct */
/* Adds n rows x [n, d]; the result does not depend on how the rows are cut into calls beyond rounding. */
onestep_status ons_moments_add(ons_moments *m, const float *x, int64_t n) ONESTEP_CHECK;
void ons_moments_covariance(const ons_moments *m, double *cov); /* [d, d]; zeros for n < 2 */

/*
 * Frechet distance of two Gaussians: |m1-m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)). Never below 0.
 */
onestep_status ons_frechet(const ons_moments *a, const ons_moments *b, double *distance) ONESTEP_CHECK;

#endif
