/*
 * Eigenvalues of a symmetric matrix: Householder reflections to tridiagonal form, then implicitly shifted QL
 * (Golub & Van Loan, Matrix Computations, 8.3). Eigenvectors are kept as rows, so that every rotation runs over
 * two contiguous rows; 512 dimensions take well under a second. Rejected: Jacobi rotations (shorter, but ten
 * times slower at that size) and LAPACK (one more dependency).
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "metrics/linalg.h"

enum { MAX_SWEEPS = 60 };

/* Off-diagonal columns no longer than this are zero: far below rounding, and their squares would underflow. */
static double negligible(const double *a, int n)
{
    double largest = 0;

    for (size_t i = 0; i < (size_t)n * (size_t)n; i++)
        largest = fmax(largest, fabs(a[i]));
    return fmax(DBL_EPSILON * DBL_EPSILON * largest, 1e-140);
}

/* One reflection: makes column k of the trailing block zero below the subdiagonal. The reflector stays in
 * column k of a. */
static double reflect(double *a, int n, int k, double tiny, double *p, double *beta)
{
    double norm = 0, alpha, vv, dot = 0;
    double *v = p + n;

    for (int i = k + 1; i < n; i++) {
        v[i] = a[(size_t)i * n + k];
        norm = hypot(norm, v[i]);
    }
    *beta = 0;
    if (norm <= tiny)
        return 0;
    alpha = v[k + 1] > 0 ? -norm : norm;
    v[k + 1] -= alpha;
    vv = 0;
    for (int i = k + 1; i < n; i++)
        vv += v[i] * v[i];
    *beta = 2 / vv;
    for (int i = k + 1; i < n; i++) { /* p = beta A v */
        double sum = 0;

        for (int j = k + 1; j < n; j++)
            sum += a[(size_t)i * n + j] * v[j];
        p[i] = *beta * sum;
        dot += p[i] * v[i];
    }
    for (int i = k + 1; i < n; i++)
        p[i] -= 0.5 * *beta * dot * v[i];
    for (int i = k + 1; i < n; i++) { /* A -= v p^T + p v^T */
        double *row = a + (size_t)i * n;

        for (int j = k + 1; j < n; j++)
            row[j] -= v[i] * p[j] + p[i] * v[j];
    }
    for (int i = k + 1; i < n; i++)
        a[(size_t)i * n + k] = v[i];
    return alpha;
}

/* q [n, n] = H_0 H_1 ... transposed: its rows turn with the rotations that follow. */
static void accumulate(const double *a, int n, const double *beta, double *q, double *w)
{
    memset(q, 0, (size_t)n * (size_t)n * sizeof *q);
    for (int i = 0; i < n; i++)
        q[(size_t)i * n + i] = 1;
    for (int k = n - 3; k >= 0;
         k--) { /* q <- q H_k on the trailing block: q is Q^T built from the last reflector on */
        for (int i = k + 1; i < n; i++)
            w[i] = a[(size_t)i * n + k];
        for (int r = k + 1; r < n; r++) {
            double *row = q + (size_t)r * n, dot = 0;

            for (int i = k + 1; i < n; i++)
                dot += row[i] * w[i];
            dot *= beta[k];
            for (int i = k + 1; i < n; i++)
                row[i] -= dot * w[i];
        }
    }
}

static void rotate_rows(double *lower, double *upper, int n, double c, double s)
{
    for (int k = 0; k < n; k++) {
        double u = upper[k], l = lower[k];

        upper[k] = s * l + c * u;
        lower[k] = c * l - s * u;
    }
}

/* One implicit QL step on d[l..m], e[l..m-1] with Wilkinson's shift. */
static void ql_step(double *d, double *e, double *z, int n, int l, int m)
{
    double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1), s = 1, c = 1, p = 0;

    g = d[m] - d[l] + e[l] / (g + copysign(r, g));
    for (int i = m - 1; i >= l; i--) {
        double f = s * e[i], b = c * e[i];

        r = hypot(f, g);
        e[i + 1] = r;
        if (r == 0) {
            d[i + 1] -= p;
            e[m] = 0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        if (z)
            rotate_rows(z + (size_t)i * n, z + (size_t)(i + 1) * n, n, c, s);
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0;
}

/*
 * An element counts as zero beside the whole matrix, which is what rounding leaves of it anyhow: the zeros of a
 * rank-deficient one are noise among themselves and would be chased for ever.
 */
static onestep_status diagonalise(double *d, double *e, double *z, int n)
{
    double largest = 0;

    for (int l = 0; l < n; l++)
        if (!isfinite(d[l]) || !isfinite(e[l]))
            return ons_fail(ONESTEP_INTERNAL, "a %d x %d matrix with non-finite numbers has no eigenvalues", n,
                            n);
    for (int l = 0; l < n; l++)
        largest = fmax(largest, fabs(d[l]) + fabs(e[l]));
    for (int l = 0; l < n; l++) {
        for (int sweep = 0;; sweep++) {
            int m = l;

            while (m < n - 1 && fabs(e[m]) > 0.5 * DBL_EPSILON * largest)
                m++;
            if (m == l)
                break;
            if (sweep == MAX_SWEEPS)
                return ons_fail(ONESTEP_INTERNAL, "eigenvalues of a %d x %d matrix did not converge", n, n);
            ql_step(d, e, z, n, l, m);
        }
    }
    return ONESTEP_OK;
}

static void sort_ascending(double *d, double *z, int n)
{
    for (int i = 0; i < n - 1; i++) {
        int low = i;
        double t;

        for (int j = i + 1; j < n; j++)
            if (d[j] < d[low])
                low = j;
        if (low == i)
            continue;
        t = d[i], d[i] = d[low], d[low] = t;
        for (int k = 0; z && k < n; k++)
            t = z[(size_t)i * n + k], z[(size_t)i * n + k] = z[(size_t)low * n + k], z[(size_t)low * n + k] = t;
    }
}

onestep_status ons_eigen_symmetric(const double *matrix, int n, double *values, double *vectors)
{
    size_t nn = (size_t)n * (size_t)n;
    double *a = ons_malloc((nn + 4 * (size_t)n) * sizeof *a), *e, *beta, *p, tiny;
    onestep_status st;

    if (!a)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the eigenvalues of a %d x %d matrix", n, n);
    e = a + nn;
    beta = e + n;
    p = beta + n; /* and v behind it */
    memcpy(a, matrix, nn * sizeof *a);
    tiny = negligible(a, n);
    for (int k = 0; k < n - 2; k++)
        e[k] = reflect(a, n, k, tiny, p, &beta[k]);
    if (n > 1)
        e[n - 2] = a[(size_t)(n - 1) * n + n - 2];
    if (n > 0)
        e[n - 1] = 0;
    for (int k = 0; k < n; k++)
        values[k] = a[(size_t)k * n + k];
    if (vectors)
        accumulate(a, n, beta, vectors, p);
    st = diagonalise(values, e, vectors, n);
    if (st == ONESTEP_OK)
        sort_ascending(values, vectors, n);
    ons_free(a);
    return st;
}
