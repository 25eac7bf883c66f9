/* AdamW against a plain double-precision restatement of the formula; clipping, skipping, EMA. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/random.h"
#include "train/optimizer.h"

enum { N = 37, M = 5 };

static ons_params *make_params(void)
{
    ons_params *p;
    int i;

    assert_int_equal(ons_params_create(&p), ONESTEP_OK);
    assert_int_equal(ons_params_require(p, "w", ONS_PARAM_MATRIX, &ONS_SHAPE2(1, N), ONS_INIT_NORMAL, 1, &i),
                     ONESTEP_OK);
    assert_int_equal(ons_params_require(p, "b", ONS_PARAM_VECTOR, &ONS_SHAPE1(M), ONS_INIT_NORMAL, 1, &i),
                     ONESTEP_OK);
    assert_int_equal(ons_params_allocate(p), ONESTEP_OK);
    ons_params_init(p, 3);
    return p;
}

static void set_gradients(ons_adamw *o, uint64_t step, float factor)
{
    float g[N + M];

    ons_randn(5, step, 0, g, N + M);
    for (int i = 0; i < N; i++)
        ons_params_data(ons_adamw_grads(o), 0)[i] = factor * g[i];
    for (int i = 0; i < M; i++)
        ons_params_data(ons_adamw_grads(o), 1)[i] = factor * g[N + i];
}

/* The textbook update of one value over `steps` steps. */
static double textbook(double w, int which, int steps, const ons_adamw_options *opt, double decay)
{
    double m = 0, v = 0;

    for (int t = 1; t <= steps; t++) {
        float g[N + M];

        ons_randn(5, (uint64_t)t, 0, g, N + M);
        m = opt->beta1 * m + (1 - opt->beta1) * g[which];
        v = opt->beta2 * v + (1 - opt->beta2) * (double)g[which] * g[which];
        w -= opt->lr *
             (m / (1 - pow(opt->beta1, t)) / (sqrt(v / (1 - pow(opt->beta2, t))) + opt->eps) + decay * w);
    }
    return w;
}

static void steps_follow_the_formula(void **state)
{
    ons_adamw_options opt = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    ons_params *p = make_params(), *before;
    ons_adamw *o;

    (void)state;
    assert_int_equal(ons_params_clone(p, true, &before), ONESTEP_OK);
    assert_int_equal(ons_adamw_create(p, 2, &o), ONESTEP_OK);
    for (uint64_t t = 1; t <= 7; t++) {
        set_gradients(o, t, 1);
        assert_true(ons_adamw_step(o, &opt, NULL));
    }
    for (int i = 0; i < N; i++)
        assert_true(fabs(ons_params_data(p, 0)[i] - textbook(ons_params_data(before, 0)[i], i, 7, &opt, 0.1)) <
                    1e-5);
    for (int i = 0; i < M; i++) /* vectors are not decayed */
        assert_true(
            fabs(ons_params_data(p, 1)[i] - textbook(ons_params_data(before, 1)[i], N + i, 7, &opt, 0)) < 1e-5);
    ons_adamw_destroy(&o);
    ons_params_destroy(&before);
    ons_params_destroy(&p);
}

/* Parts that differ from the step's gradients by +-d, gathered, give the step of their mean; the next step
 * begins anew. */
static void gathered_gradients_are_averaged(void **state)
{
    ons_adamw_options opt = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.1};
    ons_params *p = make_params(), *before;
    ons_adamw *o;

    (void)state;
    assert_int_equal(ons_params_clone(p, true, &before), ONESTEP_OK);
    assert_int_equal(ons_adamw_create(p, 2, &o), ONESTEP_OK);
    for (uint64_t t = 1; t <= 3; t++) {
        for (int part = 0; part < 2; part++) {
            set_gradients(o, t, part ? 0.25f : 1.75f);
            assert_int_equal(ons_adamw_gather(o), ONESTEP_OK);
        }
        assert_true(ons_adamw_step(o, &opt, NULL));
    }
    set_gradients(o, 4, 1); /* not gathered: taken as it is */
    assert_true(ons_adamw_step(o, &opt, NULL));
    for (int i = 0; i < N; i++)
        assert_true(fabs(ons_params_data(p, 0)[i] - textbook(ons_params_data(before, 0)[i], i, 4, &opt, 0.1)) <
                    1e-5);
    ons_adamw_destroy(&o);
    ons_params_destroy(&before);
    ons_params_destroy(&p);
}

static void a_group_is_clipped_by_its_common_norm(void **state)
{
    /* after one step m = (1 - beta1) g, so the moments show the gradient that was used */
    ons_adamw_options opt = {.lr = 1e-3, .beta1 = 0.5, .beta2 = 0.9, .eps = 1e-8, .clip = 2};
    ons_params *p[2] = {make_params(), make_params()};
    ons_adamw *o[2];
    double norm, used = 0;

    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ons_adamw_create(p[i], 2, &o[i]), ONESTEP_OK);
        set_gradients(o[i], (uint64_t)i, 10);
    }
    assert_true(ons_adamw_step_group(o, 2, &opt, &norm));
    assert_true(norm > 2);
    for (int i = 0; i < 2; i++) {
        const float *m = ons_params_region(ons_adamw_moment(o[i], 0));
        const size_t n = ons_params_region_size(ons_adamw_moment(o[i], 0));

        for (size_t k = 0; k < n; k++)
            used += 4.0 * m[k] * m[k];
    }
    assert_true(fabs(sqrt(used) - 2) < 1e-4);
    for (int i = 0; i < 2; i++) {
        ons_adamw_destroy(&o[i]);
        ons_params_destroy(&p[i]);
    }
}

static void a_non_finite_gradient_changes_nothing(void **state)
{
    ons_adamw_options opt = {.lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8};
    ons_params *p = make_params(), *before;
    ons_adamw *o;

    (void)state;
    assert_int_equal(ons_params_clone(p, true, &before), ONESTEP_OK);
    assert_int_equal(ons_adamw_create(p, 2, &o), ONESTEP_OK);
    set_gradients(o, 1, 1);
    ons_params_data(ons_adamw_grads(o), 0)[3] = NAN;
    assert_false(ons_adamw_step(o, &opt, NULL));
    assert_memory_equal(ons_params_region(p), ons_params_region(before),
                        ons_params_region_size(p) * sizeof(float));
    assert_int_equal(ons_adamw_steps(o), 0);
    ons_adamw_destroy(&o);
    ons_params_destroy(&before);
    ons_params_destroy(&p);
}

static void ema_moves_by_its_decay(void **state)
{
    ons_params *p = make_params(), *ema;

    (void)state;
    assert_int_equal(ons_params_clone(p, false, &ema), ONESTEP_OK);
    ons_ema_update(ema, p, 0.75, 2);
    for (int i = 0; i < N; i++)
        assert_true(fabsf(ons_params_data(ema, 0)[i] - 0.25f * ons_params_data(p, 0)[i]) < 1e-6f);
    ons_ema_update(ema, p, 0, 2);
    assert_memory_equal(ons_params_region(ema), ons_params_region(p),
                        ons_params_region_size(p) * sizeof(float));
    ons_params_destroy(&ema);
    ons_params_destroy(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_follow_the_formula),
        cmocka_unit_test(gathered_gradients_are_averaged),
        cmocka_unit_test(a_group_is_clipped_by_its_common_norm),
        cmocka_unit_test(a_non_finite_gradient_changes_nothing),
        cmocka_unit_test(ema_moves_by_its_decay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
