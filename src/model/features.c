/*
 * The feature network: a plain convolutional tower for pictures and a CLIP text tower, embedding both in one
 * space.
 *
 * Group norm makes the activations of a picture independent of the others in its batch; mean pooling instead of
 * strides keeps every level's activations usable as a perceptual distance.
 */
#include "base/memory.h"
#include "model/model.h"

/* x [N, C] / sqrt(|x|^2 + eps) row by row, from operators that exist. */
static ons_value *normalise_rows(ons_graph *g, ons_value *x)
{
    const ons_shape rows = ONS_SHAPE2(x->shape.n ? x->shape.d[0] : 1, 1);
    ons_value *norm = ons_sum_to(g, ons_unary(g, ONS_OP_SQUARE, x), &rows);

    norm = ons_unary(g, ONS_OP_SQRT, ons_affine(g, norm, 1, 1e-8));
    return ons_mul(g, x, ons_unary(g, ONS_OP_RECIPROCAL, norm));
}

static ons_value *build_level(const ons_nn *nn, const ons_features_config *c, int level, ons_value *x)
{
    const ons_nn layer = ons_nn_enter(nn, "levels.%d", level);

    for (int i = 1; i <= 2; i++) {
        const ons_nn half = ons_nn_enter(&layer, "%d", i);

        x = ons_nn_conv(&half, x, "conv", c->channels[level], 3, 1, 1, true, NULL);
        x = ons_nn_group_norm(&half, x, "norm", c->norm_num_groups, 1e-5, ONS_ACT_NONE);
        x = ons_unary(nn->g, ONS_OP_RELU, x);
        ons_nn_leave(&half);
    }
    ons_nn_leave(&layer);
    return x;
}

/* [N, H, W, C] -> [N, C] */
static ons_value *pool_mean(ons_graph *g, ons_value *x)
{
    const ons_shape sums = ONS_SHAPE4(x->shape.d[0], 1, 1, x->shape.d[3]);
    const ons_shape flat = ONS_SHAPE2(x->shape.d[0], x->shape.d[3]);
    const double count = (double)(x->shape.d[1] * x->shape.d[2]);

    if (ons_graph_failed(g))
        return x;
    return ons_affine(g, ons_reshape(g, ons_sum_to(g, x, &sums), &flat), 1 / count, 0);
}

ons_value *ons_features_image_build(const ons_nn *nn, const ons_features_config *c, ons_value *pixels,
                                    ons_value **levels)
{
    const ons_nn image = ons_nn_enter(nn, "image_model");
    ons_value *x = pixels;

    for (int i = 0; i < c->n_levels; i++) {
        x = build_level(&image, c, i, x);
        if (levels)
            levels[i] = x;
        if (i < c->n_levels - 1)
            x = ons_avg_pool2x(nn->g, x);
    }
    x = ons_nn_linear(&image, pool_mean(nn->g, x), "projection", c->embed_dim, false, NULL);
    ons_nn_leave(&image);
    return normalise_rows(nn->g, x);
}

/* Row i is all zeros but for a one in column i. */
static ons_value *build_identity(ons_graph *g, int64_t n)
{
    const ons_shape shape = ONS_SHAPE2(n, n);
    float *data = ons_calloc((size_t)n * (size_t)n, sizeof *data);
    ons_value *v;

    if (!data)
        return ons_graph_error(g, "no memory for a matrix of %lldx%lld", (long long)n, (long long)n);
    for (int64_t i = 0; i < n; i++)
        data[i * n + i] = 1;
    v = ons_constant(g, ONS_F32, &shape, data);
    ons_free(data);
    return v;
}

/*
 * states [N, T, C] at position ends[i] of each sequence -> [N, C]: a product with one-hot rows. Gathering from
 * the flattened states instead would make callers number rows across the batch.
 */
static ons_value *gather_ends(ons_graph *g, ons_value *states, ons_value *ends)
{
    const int64_t n = states->shape.d[0], t = states->shape.d[1], c = states->shape.d[2];
    const ons_shape rows = ONS_SHAPE3(n, 1, t), flat = ONS_SHAPE2(n, c);
    ons_value *picked;

    if (ons_graph_failed(g))
        return states;
    picked = ons_reshape(g, ons_embedding(g, build_identity(g, t), ends), &rows);
    return ons_reshape(g, ons_matmul(g, picked, states, false, false, 1, NULL, NULL), &flat);
}

ons_value *ons_features_text_build(const ons_nn *nn, const ons_features_config *c, ons_value *ids,
                                   ons_value *ends)
{
    ons_value *x = gather_ends(nn->g, ons_clip_text_build(nn, &c->text, ids), ends);

    return normalise_rows(nn->g, ons_nn_linear(nn, x, "text_projection", c->embed_dim, false, NULL));
}
