/* The pieces of DMD on cases whose answer is known in closed form. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backend/plan.h"
#include "backend/backend.h"
#include "base/random.h"
#include "distill/losses.h"

enum { BATCH = 3, SIDE = 2, CHANNELS = 2, SIZE = BATCH * SIDE * SIDE * CHANNELS };

static ons_plan *plan_of(ons_graph *g)
{
    ons_plan_options o = {.compute = {.backend = &ons_backend_ref, .n_threads = 1}};
    ons_plan *p;

    assert_int_equal(ons_graph_finish(g), ONESTEP_OK);
    assert_int_equal(ons_plan_create(&g, &o, &p), ONESTEP_OK);
    assert_int_equal(ons_plan_allocate(p), ONESTEP_OK);
    return p;
}

static ons_value *picture(ons_graph *g, const char *name)
{
    return ons_input(g, name, ONS_F32, &ONS_SHAPE4(BATCH, SIDE, SIDE, CHANNELS));
}

/*
 * Real N(0, 1), fake N(m, 1), x_t = x + sigma e: the exact denoisers differ by m sigma^2 / (1 + sigma^2)
 * everywhere, so the direction points from the real mean to the fake one and x - g moves towards the real mean.
 * It vanishes where both agree.
 */
static void direction_points_from_real_to_fake(void **state)
{
    const float m = 0.7f, sigma = 1.5f, share = sigma * sigma / (1 + sigma * sigma);
    ons_graph *g;
    ons_value *x, *mu_real, *mu_fake;
    ons_plan *p;
    float *xs, *real, *fake;
    const float *direction;

    (void)state;
    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    x = picture(g, "x");
    mu_real = picture(g, "real");
    mu_fake = picture(g, "fake");
    ons_graph_output(g, ons_matching_direction(g, x, mu_real, mu_fake), "g");
    p = plan_of(g);
    xs = ons_plan_input(p, "x");
    real = ons_plan_input(p, "real");
    fake = ons_plan_input(p, "fake");
    ons_randn(1, 0, 0, xs, SIZE);
    for (int i = 0; i < SIZE; i++) {
        float xt = xs[i] + sigma * 0.3f;

        real[i] = xt / (1 + sigma * sigma);
        fake[i] = real[i] + m * share;
    }
    assert_int_equal(ons_plan_run(p), ONESTEP_OK);
    direction = ons_plan_result(p, "g");
    for (int b = 0; b < BATCH; b++) {
        double mean = 0;
        int n = SIZE / BATCH;

        for (int i = b * n; i < (b + 1) * n; i++)
            mean += fabs((double)xs[i] - real[i]) / n;
        for (int i = b * n; i < (b + 1) * n; i++)
            assert_true(fabs(direction[i] - m * share / (mean + 1e-6)) < 1e-5);
    }
    for (int i = 0; i < SIZE; i++)
        fake[i] = real[i];
    assert_int_equal(ons_plan_run(p), ONESTEP_OK);
    for (int i = 0; i < SIZE; i++)
        assert_true(((const float *)ons_plan_result(p, "g"))[i] == 0);
    ons_plan_destroy(&p);
}

/* Infinite or undefined network outputs must not reach the weights. */
static void direction_is_clean(void **state)
{
    ons_graph *g;
    ons_plan *p;
    ons_value *x, *mu_real, *mu_fake;
    const float *direction;

    (void)state;
    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    x = picture(g, "x");
    mu_real = picture(g, "real");
    mu_fake = picture(g, "fake");
    ons_graph_output(g, ons_matching_direction(g, x, mu_real, mu_fake), "g");
    p = plan_of(g);
    ((float *)ons_plan_input(p, "fake"))[0] = NAN;
    ((float *)ons_plan_input(p, "fake"))[1] = INFINITY;
    assert_int_equal(ons_plan_run(p), ONESTEP_OK);
    direction = ons_plan_result(p, "g");
    for (int i = 0; i < SIZE; i++)
        assert_true(isfinite(direction[i]));
    assert_true(direction[0] == 0 && direction[1] > 1e30f);
    ons_plan_destroy(&p);
}

/* x0 from the output that a perfect network gives is x0, for every prediction type. */
static void predictions_invert_the_forward_process(void **state)
{
    static const ons_prediction kinds[] = {ONS_PREDICT_EPSILON, ONS_PREDICT_V, ONS_PREDICT_SAMPLE};
    const double a = 0.6, s = 0.8;

    (void)state;
    for (int k = 0; k < 3; k++) {
        ons_graph *g;
        ons_value *x0, *e, *av, *sv, *xt;
        ons_plan *p;
        const float *back;

        assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
        x0 = picture(g, "x0");
        e = picture(g, "e");
        av = ons_scalar(g, a);
        sv = ons_scalar(g, s);
        xt = ons_add(g, ons_mul(g, x0, av), ons_mul(g, e, sv));
        ons_graph_output(
            g, ons_predicted_x0(g, kinds[k], xt, ons_prediction_target(g, kinds[k], x0, e, av, sv), av, sv),
            "back");
        p = plan_of(g);
        ons_randn(2, 0, 0, ons_plan_input(p, "x0"), SIZE);
        ons_randn(2, 1, 0, ons_plan_input(p, "e"), SIZE);
        assert_int_equal(ons_plan_run(p), ONESTEP_OK);
        back = ons_plan_result(p, "back");
        for (int i = 0; i < SIZE; i++)
            assert_true(fabsf(back[i] - ((const float *)ons_plan_input(p, "x0"))[i]) < 1e-5f);
        ons_plan_destroy(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(direction_points_from_real_to_fake),
        cmocka_unit_test(direction_is_clean),
        cmocka_unit_test(predictions_invert_the_forward_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
