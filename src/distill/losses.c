/* Compositions of graph operators; nothing here has a kernel of its own. */
#include "distill/losses.h"

ons_value *ons_predicted_x0(ons_graph *g, ons_prediction p, ons_value *xt, ons_value *output, ons_value *a,
                            ons_value *s)
{
    if (p == ONS_PREDICT_SAMPLE)
        return output;
    if (p == ONS_PREDICT_V)
        return ons_sub(g, ons_mul(g, xt, a), ons_mul(g, output, s));
    return ons_mul(g, ons_sub(g, xt, ons_mul(g, output, s)), ons_unary(g, ONS_OP_RECIPROCAL, a));
}

ons_value *ons_prediction_target(ons_graph *g, ons_prediction p, ons_value *x0, ons_value *e, ons_value *a,
                                 ons_value *s)
{
    if (p == ONS_PREDICT_SAMPLE)
        return x0;
    if (p == ONS_PREDICT_V)
        return ons_sub(g, ons_mul(g, e, a), ons_mul(g, x0, s));
    return e;
}

ons_value *ons_matching_direction(ons_graph *g, ons_value *x, ons_value *mu_real, ons_value *mu_fake)
{
    const ons_shape *d = &x->shape;
    double n = (double)(d->d[1] * d->d[2] * d->d[3]);
    ons_value *distance = ons_unary(g, ONS_OP_ABS, ons_sub(g, x, mu_real));
    /* 1e-6: a constant picture that the teacher predicts exactly must not divide by zero */
    ons_value *mean = ons_affine(g, ons_sum_to(g, distance, &ONS_SHAPE4(d->d[0], 1, 1, 1)), 1 / n, 1e-6);
    ons_value *direction = ons_mul(g, ons_sub(g, mu_fake, mu_real), ons_unary(g, ONS_OP_RECIPROCAL, mean));

    return ons_stop_gradient(g, ons_unary(g, ONS_OP_CLEAN, direction));
}

/* f / sqrt(sum_c f^2 + 1e-10) */
static ons_value *unit_length(ons_graph *g, ons_value *f)
{
    ons_value *squares = ons_sum_to(g, ons_unary(g, ONS_OP_SQUARE, f),
                                    &ONS_SHAPE4(f->shape.d[0], f->shape.d[1], f->shape.d[2], 1));
    ons_value *length = ons_unary(g, ONS_OP_SQRT, ons_affine(g, squares, 1, 1e-10));

    return ons_mul(g, f, ons_unary(g, ONS_OP_RECIPROCAL, length));
}

ons_value *ons_perceptual_distance(const ons_nn *features, const ons_features_config *c, ons_value *a,
                                   ons_value *b)
{
    ons_graph *g = features->g;
    ons_value *levels_a[ONS_MAX_LEVELS], *levels_b[ONS_MAX_LEVELS], *sum = NULL;

    ons_features_image_build(features, c, a, levels_a);
    ons_features_image_build(features, c, b, levels_b);
    for (int i = 0; i < c->n_levels; i++) {
        ons_value *error = ons_sub(g, unit_length(g, levels_a[i]), unit_length(g, levels_b[i]));
        /* mean over all elements times the channel count is the sum over channels */
        ons_value *d = ons_affine(g, ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, error)),
                                  (double)c->channels[i] / c->n_levels, 0);

        sum = sum ? ons_add(g, sum, d) : d;
    }
    return sum;
}
