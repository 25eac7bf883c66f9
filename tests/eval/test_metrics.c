/* The metrics against numpy (make_vectors.py), and against cases whose answer is known on paper. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/system.h"
#include "metrics/metrics.h"
#include "vectors.h"

enum { D = 24, N_A = 120, N_B = 90 };

static float a[N_A * D], b[N_B * D];

/* The formula of make_vectors.py. */
static void fill_features(float *x, int n, double phase, double scale)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < D; j++)
            x[i * D + j] =
                (float)(sin(0.37 * (i + 1) * (j + 1) + phase) + scale * cos(1.7 * i + 0.3 * j * j) + 0.1 * j);
}

static void assert_near(double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * (fabs(want) + 1e-12)))
        fail_msg("got %.12g, expected %.12g", got, want);
}

static int set_up(void **state)
{
    (void)state;
    fill_features(a, N_A, 0, 0.5);
    fill_features(b, N_B, 0.4, 1.15);
    return 0;
}

static void make_moments(ons_moments *m, int d, const float *x, int64_t n)
{
    assert_int_equal(ons_moments_init(m, d), ONESTEP_OK);
    assert_int_equal(ons_moments_add(m, x, n), ONESTEP_OK);
}

static void eigenvalues_agree_with_numpy(void **state)
{
    double cov[D * D], values[D], vectors[D * D];
    ons_moments m;

    (void)state;
    make_moments(&m, D, a, N_A);
    ons_moments_covariance(&m, cov);
    assert_int_equal(ons_eigen_symmetric(cov, D, values, vectors), ONESTEP_OK);
    for (int i = 0; i < D; i++)
        assert_near(values[i], want_eigenvalues[i], 1e-6);
    for (int i = 0; i < D; i++) /* C v = lambda v, rows orthonormal */
        for (int j = 0; j < D; j++) {
            double cv = 0, dot = 0;

            for (int k = 0; k < D; k++) {
                cv += cov[j * D + k] * vectors[i * D + k];
                dot += vectors[i * D + k] * vectors[j * D + k];
            }
            assert_true(fabs(cv - values[i] * vectors[i * D + j]) < 1e-12 * values[D - 1]);
            assert_true(fabs(dot - (i == j)) < 1e-12);
        }
    ons_moments_fini(&m);
}

/* Tridiagonal matrix of second differences: 2 - 2 cos(k pi / (n + 1)). And large enough to time. */
static void eigenvalues_of_known_matrix(void **state)
{
    enum { N = 512 };
    double *x = ons_calloc(N * N, sizeof *x), *v = ons_calloc(N * N, sizeof *v), values[N], start = ons_now_s();

    (void)state;
    assert_non_null(x);
    assert_non_null(v);
    for (int i = 0; i < N; i++) {
        x[i * N + i] = 2;
        if (i > 0)
            x[i * N + i - 1] = x[(i - 1) * N + i] = -1;
    }
    assert_int_equal(ons_eigen_symmetric(x, N, values, v), ONESTEP_OK);
    for (int k = 0; k < N; k++)
        assert_true(fabs(values[k] - (2 - 2 * cos((k + 1) * M_PI / (N + 1)))) < 1e-11);
    print_message("eigenvectors of %d dimensions: %.2f s\n", N, ons_now_s() - start);
    ons_free(x);
    ons_free(v);
}

static void eigenvalues_of_small_and_degenerate_matrices(void **state)
{
    double one = -3, values[4], zero[16] = {0}, two[4] = {1, 2, 2, 1}, v[16];
    double bad[4] = {NAN, 1, 1, 0};

    (void)state;
    assert_int_equal(ons_eigen_symmetric(&one, 1, values, v), ONESTEP_OK);
    assert_near(values[0], -3, 0);
    assert_int_equal(ons_eigen_symmetric(two, 2, values, v), ONESTEP_OK);
    assert_near(values[0], -1, 1e-12);
    assert_near(values[1], 3, 1e-12);
    assert_int_equal(ons_eigen_symmetric(zero, 4, values, v), ONESTEP_OK);
    assert_true(values[0] == 0 && values[3] == 0);
    assert_int_equal(ons_eigen_symmetric(bad, 2, values, v), ONESTEP_INTERNAL);
}

/* Covariances of few pictures: almost all eigenvalues are 0, over many orders of magnitude of rounding noise.
 */
static void eigenvalues_of_rank_deficient_matrices(void **state)
{
    enum { N = 93, RANK = 3, TRIES = 40 };
    static double x[N * N];
    static float v[RANK * N];
    double values[N];

    (void)state;
    for (int try = 0; try < TRIES; try++) {
        double trace = 0, sum = 0;

        memset(x, 0, sizeof x);
        ons_randn((uint64_t)try, 0, 0, v, RANK * N);
        for (int r = 0; r < RANK; r++)
            for (int i = 0; i < N; i++)
                for (int j = 0; j < N; j++)
                    x[i * N + j] += pow(10, -5 * r * (try % 4)) * v[r * N + i] * v[r * N + j];
        assert_int_equal(ons_eigen_symmetric(x, N, values, NULL), ONESTEP_OK);
        for (int i = 0; i < N; i++) {
            trace += x[i * N + i];
            sum += values[i];
            assert_true(i >= N - RANK || fabs(values[i]) < 1e-12 * values[N - 1]);
        }
        assert_near(sum, trace, 1e-12);
    }
}

/* Two pictures a side: covariances a a^T and b b^T, so |mean|^2 + |a|^2 + |b|^2 - 2 |a b|. */
static void frechet_of_two_pictures_each(void **state)
{
    enum { N = 93, TRIES = 60 };
    float x[2][2 * N];

    (void)state;
    for (int try = 0; try < TRIES; try++) {
        ons_moments m[2];
        double got, want = 0, dot = 0;

        for (int side = 0; side < 2; side++) {
            ons_randn((uint64_t)try, 1, (uint64_t)side * 2 * N, x[side], 2 * N);
            for (int i = 0; try % 2 && i < 2 * N; i++) /* as many features are constant */
                x[side][i] = i % 3 ? 1 : x[side][i] * powf(10, (float)(-i % N) / 8);
            make_moments(&m[side], N, x[side], 2);
        }
        for (int i = 0; i < N; i++) {
            double da = ((double)x[0][i] - x[0][N + i]) / sqrt(2),
                   db = ((double)x[1][i] - x[1][N + i]) / sqrt(2),
                   mean = ((double)x[0][i] + x[0][N + i] - x[1][i] - x[1][N + i]) / 2;

            want += mean * mean + da * da + db * db;
            dot += da * db;
        }
        assert_int_equal(ons_frechet(&m[0], &m[1], &got), ONESTEP_OK);
        assert_near(got, want - 2 * fabs(dot), 1e-6);
        ons_moments_fini(&m[0]);
        ons_moments_fini(&m[1]);
    }
}

static void moments_do_not_depend_on_pieces(void **state)
{
    ons_moments whole, pieces;
    double x[D * D], y[D * D];

    (void)state;
    make_moments(&whole, D, a, N_A);
    make_moments(&pieces, D, a, 1);
    assert_int_equal(ons_moments_add(&pieces, a + D, 50), ONESTEP_OK);
    assert_int_equal(ons_moments_add(&pieces, NULL, 0), ONESTEP_OK);
    assert_int_equal(ons_moments_add(&pieces, a + 51 * D, N_A - 51), ONESTEP_OK);
    ons_moments_covariance(&whole, x);
    ons_moments_covariance(&pieces, y);
    for (int i = 0; i < D; i++)
        assert_true(fabs(whole.mean[i] - pieces.mean[i]) < 1e-12);
    for (int i = 0; i < D * D; i++)
        assert_true(fabs(x[i] - y[i]) < 1e-12);
    ons_moments_fini(&whole);
    ons_moments_fini(&pieces);
}

static void frechet_agrees_with_numpy(void **state)
{
    ons_moments x, y, z;
    double distance;

    (void)state;
    make_moments(&x, D, a, N_A);
    make_moments(&y, D, b, N_B);
    assert_int_equal(ons_frechet(&x, &y, &distance), ONESTEP_OK);
    assert_near(distance, want_frechet, 1e-6);
    assert_int_equal(ons_frechet(&y, &x, &distance), ONESTEP_OK);
    assert_near(distance, want_frechet, 1e-6);
    assert_int_equal(ons_frechet(&x, &x, &distance), ONESTEP_OK);
    assert_true(distance < 1e-6);
    make_moments(&z, 3, b, 30);
    assert_int_equal(ons_frechet(&x, &z, &distance), ONESTEP_BAD_ARGUMENT);
    ons_moments_fini(&x);
    ons_moments_fini(&y);
    ons_moments_fini(&z);
}

/* Two sets of +-points with diagonal covariance: distance = |dm|^2 + sum (sigma1 - sigma2)^2. */
static void frechet_of_known_gaussians(void **state)
{
    enum { N = 4000, DIMS = 5 };
    static float x[N * DIMS], y[N * DIMS];
    double distance, want = 0;
    ons_moments mx, my;

    (void)state;
    memset(x, 0, sizeof x);
    memset(y, 0, sizeof y);
    for (int i = 0; i < N; i++) { /* one axis at a time, mirrored: covariance exactly diagonal */
        int j = i / 2 % DIMS;
        float sign = i % 2 ? 1.0F : -1.0F;

        x[i * DIMS + j] = sign * (float)(j + 1);
        y[i * DIMS + j] = sign * 2;
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < DIMS; j++)
            y[i * DIMS + j] += 0.5F;
    make_moments(&mx, DIMS, x, N);
    make_moments(&my, DIMS, y, N);
    assert_int_equal(ons_frechet(&mx, &my, &distance), ONESTEP_OK);
    for (int j = 0; j < DIMS; j++) {
        double spread = sqrt((double)(N / DIMS) / (N - 1));

        want += 0.25 + pow(spread * (j + 1) - spread * 2, 2);
    }
    assert_near(distance, want, 1e-9);
    ons_moments_fini(&mx);
    ons_moments_fini(&my);
}

static void neighbours_agree_with_numpy(void **state)
{
    double precision, recall;

    (void)state;
    assert_int_equal(ons_precision_recall(a, N_A, b, N_B, D, 2, &precision, &recall), ONESTEP_OK);
    assert_near(precision, want_precision, 1e-9);
    assert_near(recall, want_recall, 1e-9);
    assert_near(ons_nearest_distance(b, N_B, a, N_A, D, 2, false), want_nearest, 1e-5);
    assert_near(ons_nearest_distance(a, N_A, a, N_A, D, 2, true), want_nearest_own, 1e-5);
    assert_near(ons_diversity(a, 15, 8, D), want_diversity, 1e-5);
    assert_int_equal(ons_precision_recall(a, 1, b, N_B, D, 2, &precision, &recall), ONESTEP_BAD_ARGUMENT);
}

static void precision_and_recall_at_the_extremes(void **state)
{
    double precision, recall;
    static float far[N_A * D];

    (void)state;
    assert_int_equal(ons_precision_recall(a, N_A, a, N_A, D, 2, &precision, &recall), ONESTEP_OK);
    assert_true(precision == 1 && recall == 1);
    for (int i = 0; i < N_A * D; i++)
        far[i] = a[i] + 1000;
    assert_int_equal(ons_precision_recall(a, N_A, far, N_A, D, 2, &precision, &recall), ONESTEP_OK);
    assert_true(precision == 0 && recall == 0);
    for (int i = 0; i < N_A; i++) /* one picture, over and over: good, but covers next to nothing */
        memcpy(far + i * D, a + 7 * D, D * sizeof *a);
    assert_int_equal(ons_precision_recall(a, N_A, far, N_A, D, 2, &precision, &recall), ONESTEP_OK);
    assert_true(precision == 1 && recall < 0.05);
}

static void scale_to_unit(float *x, int n)
{
    for (int i = 0; i < n; i++) {
        double sum = 0;

        for (int j = 0; j < D; j++)
            sum += (double)x[i * D + j] * x[i * D + j];
        for (int j = 0; j < D; j++)
            x[i * D + j] = (float)(x[i * D + j] / sqrt(sum));
    }
}

static void retrieval_agrees_with_numpy(void **state)
{
    static float u[N_A * D], v[N_A * D];
    ons_retrieval got;

    (void)state;
    fill_features(u, N_A, 0, 0.5);
    fill_features(v, N_A, 1.1, 0.2);
    scale_to_unit(u, N_A);
    for (int i = 0; i < N_A * D; i++)
        v[i] = u[i] + 0.15F * v[i];
    scale_to_unit(v, N_A);
    ons_retrieve(u, v, N_A, D, 2, &got);
    assert_near(got.top1, want_top1, 1e-9);
    assert_near(got.top5, want_top5, 1e-9);
    assert_near(got.clip, want_clip, 1e-6);
    ons_retrieve(u, u, N_A, D, 2, &got);
    assert_true(got.top1 == 1 && got.top5 == 1);
    assert_near(got.clip, 1, 1e-6);
    for (int i = 0; i < N_A; i++) /* a model that always draws the same picture knows nothing */
        memcpy(v + i * D, u, D * sizeof *u);
    ons_retrieve(u, v, N_A, D, 2, &got);
    assert_true(got.top1 == 0 && got.top5 == 0);
}

static void patches_agree_with_numpy(void **state)
{
    uint8_t rgb[8 * 8 * 3];
    float got[ONS_PATCH_FEATURES];

    (void)state;
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++)
            for (int c = 0; c < 3; c++)
                rgb[(y * 8 + x) * 3 + c] = (uint8_t)((y * 31 + x * 17 + c * 53 + x * y * 7) % 256);
    ons_patch_describe(rgb, 24, got);
    for (int i = 0; i < ONS_PATCH_FEATURES; i++)
        assert_true(fabs(got[i] - want_patch[i]) < 1e-5);
}

static double patch_distance(const uint8_t *x, const uint8_t *y, int64_t n, int size)
{
    ons_moments mx, my;
    double distance = NAN;

    assert_int_equal(ons_moments_init(&mx, ONS_PATCH_FEATURES), ONESTEP_OK);
    assert_int_equal(ons_moments_init(&my, ONS_PATCH_FEATURES), ONESTEP_OK);
    assert_int_equal(ons_patch_moments(x, n, size, size, &mx), ONESTEP_OK);
    assert_int_equal(ons_patch_moments(y, n, size, size, &my), ONESTEP_OK);
    assert_int_equal(ons_frechet(&mx, &my, &distance), ONESTEP_OK);
    ons_moments_fini(&mx);
    ons_moments_fini(&my);
    return distance;
}

static bool in_disc(int x, int y, int right, int down, int wider)
{
    return hypot(x - 14.0 - right, y - 15.0 - down) < 4 + wider;
}

/* What this figure is for: grain that the eye sees and a thumbnail does not, the more the larger; other
 * pictures of the same kind cost little. */
static void patches_see_grain(void **state)
{
    enum { N = 100, S = 32, COUNT = N * S * S * 3 };
    static uint8_t clean[COUNT], other[COUNT], grainy[COUNT], grainier[COUNT];
    static float noise[COUNT], thumb[2][ONS_THUMB_FEATURES];
    double little, much, drift = 0;

    (void)state;
    ons_randn(1, 0, 0, noise, COUNT);
    for (int i = 0; i < N; i++)
        for (int y = 0; y < S; y++)
            for (int x = 0; x < S; x++)
                for (int c = 0; c < 3; c++) {
                    int k = ((i * S + y) * S + x) * 3 + c;
                    bool in = in_disc(x, y, i % 5, i % 3, i % 8),
                         in2 = in_disc(x, y, (i + 2) % 5, (i + 1) % 3, (i + 3) % 8);

                    clean[k] = in ? (uint8_t)(80 + 40 * c) : 230;
                    other[k] = in2 ? (uint8_t)(80 + 40 * c) : 230;
                    grainy[k] = (uint8_t)(clean[k] + 3 * noise[k] + 0.5F);
                    grainier[k] = (uint8_t)(clean[k] + 6 * noise[k] + 0.5F);
                }
    assert_true(patch_distance(clean, clean, N, S) < 1e-6);
    little = patch_distance(clean, grainy, N, S);
    much = patch_distance(clean, grainier, N, S);
    assert_true(much > 1.5 * little);
    assert_true(little > 4 * patch_distance(clean, other, N, S));
    ons_thumbnail(clean, S, S, thumb[0]);
    ons_thumbnail(grainy, S, S, thumb[1]);
    for (int i = 0; i < ONS_THUMB_FEATURES; i++)
        drift = fmax(drift, fabs(thumb[0][i] - thumb[1][i]));
    assert_true(drift < 0.06);
}

static void nearest_index_finds_the_very_row(void **state)
{
    int64_t index[N_B];
    static float moved[N_B * D];

    (void)state;
    for (int i = 0; i < N_B * D; i++)
        moved[i] = b[i] + 1e-3F;
    ons_nearest_index(moved, N_B, b, N_B, D, 2, index);
    for (int i = 0; i < N_B; i++)
        assert_int_equal(index[i], i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvalues_agree_with_numpy),
        cmocka_unit_test(eigenvalues_of_known_matrix),
        cmocka_unit_test(eigenvalues_of_small_and_degenerate_matrices),
        cmocka_unit_test(eigenvalues_of_rank_deficient_matrices),
        cmocka_unit_test(frechet_of_two_pictures_each),
        cmocka_unit_test(moments_do_not_depend_on_pieces),
        cmocka_unit_test(frechet_agrees_with_numpy),
        cmocka_unit_test(frechet_of_known_gaussians),
        cmocka_unit_test(neighbours_agree_with_numpy),
        cmocka_unit_test(precision_and_recall_at_the_extremes),
        cmocka_unit_test(retrieval_agrees_with_numpy),
        cmocka_unit_test(patches_agree_with_numpy),
        cmocka_unit_test(patches_see_grain),
        cmocka_unit_test(nearest_index_finds_the_very_row),
    };

    return cmocka_run_group_tests_name("metrics", tests, set_up, NULL);
}
