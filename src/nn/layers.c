/* Convolution, linear and norms, with PyTorch's default initialisation: uniform +-1/sqrt(fan_in) for weights
 * and biases. */
#include <math.h>
#include <stdio.h>

#include "nn/nn.h"

static ons_value *child_param(const ons_nn *nn, const char *layer, const char *what, ons_param_kind kind,
                              const ons_shape *shape, ons_init_kind init, double scale)
{
    char name[200];

    snprintf(name, sizeof name, "%s.%s", layer, what);
    return ons_nn_param(nn, name, kind, shape, init, scale);
}

static ons_value *adapter_param(const ons_nn *nn, const char *layer, const char *what, ons_param_kind kind,
                                const ons_shape *shape, double bound)
{
    char name[200];

    snprintf(name, sizeof name, "%s.lora_%s.weight", layer, what);
    return ons_nn_adapter_param(nn, name, kind, shape, bound > 0 ? ONS_INIT_UNIFORM : ONS_INIT_ZERO, bound);
}

/* y + B A x, A with the convolution's own kernel and geometry, B 1x1 */
static ons_value *adapt_conv(const ons_nn *nn, ons_value *x, const char *name, int64_t out, int kernel,
                             double bound, ons_value *y, ons_conv_geometry geometry)
{
    int64_t rank = nn->adapter.rank, in = x->shape.n == 4 ? x->shape.d[3] : 1;
    ons_value *a = adapter_param(nn, name, "A", ONS_PARAM_CONV, &ONS_SHAPE4(rank, kernel, kernel, in), bound);
    ons_value *b = adapter_param(nn, name, "B", ONS_PARAM_CONV, &ONS_SHAPE4(out, 1, 1, rank), 0);

    return ons_conv2d(nn->g, ons_conv2d(nn->g, x, a, NULL, NULL, geometry), b, NULL, y,
                      (ons_conv_geometry){.stride = 1});
}

ons_value *ons_nn_conv_at(const ons_nn *nn, ons_value *x, const char *name, int64_t out, int kernel, bool bias,
                          ons_value *residual, ons_conv_geometry geometry)
{
    int64_t in = x->shape.n == 4 ? x->shape.d[3] : 1;
    double bound = 1 / sqrt((double)(in * kernel * kernel));
    ons_value *w, *b = NULL, *y;

    ons_graph_push(nn->g, "%s", name);
    w = child_param(nn, name, "weight", ONS_PARAM_CONV, &ONS_SHAPE4(out, kernel, kernel, in), ONS_INIT_UNIFORM,
                    bound);
    if (bias)
        b = child_param(nn, name, "bias", ONS_PARAM_VECTOR, &ONS_SHAPE1(out), ONS_INIT_UNIFORM, bound);
    y = ons_conv2d(nn->g, x, w, b, residual, geometry);
    if (nn->adapter.rank)
        y = adapt_conv(nn, x, name, out, kernel, bound, y, geometry);
    ons_graph_pop(nn->g);
    return y;
}

ons_value *ons_nn_conv(const ons_nn *nn, ons_value *x, const char *name, int64_t out, int kernel, int stride,
                       int pad, bool bias, ons_value *residual)
{
    return ons_nn_conv_at(nn, x, name, out, kernel, bias, residual,
                          (ons_conv_geometry){stride, pad, pad, pad, pad});
}

/* y + B A x */
static ons_value *adapt_linear(const ons_nn *nn, ons_value *x, const char *name, int64_t out, ons_value *y)
{
    int64_t rank = nn->adapter.rank, in = x->shape.n ? x->shape.d[x->shape.n - 1] : 1;
    ons_value *a = adapter_param(nn, name, "A", ONS_PARAM_MATRIX, &ONS_SHAPE2(rank, in), 1 / sqrt((double)in));
    ons_value *b = adapter_param(nn, name, "B", ONS_PARAM_MATRIX, &ONS_SHAPE2(out, rank), 0);

    return ons_matmul(nn->g, ons_matmul(nn->g, x, a, false, true, 1, NULL, NULL), b, false, true, 1, NULL, y);
}

static ons_value *linear(const ons_nn *nn, ons_value *x, const char *name, int64_t out, bool bias,
                         ons_value *residual, ons_init_kind init, double scale)
{
    int64_t in = x->shape.n ? x->shape.d[x->shape.n - 1] : 1;
    ons_init_kind bias_init = init == ONS_INIT_UNIFORM ? init : ONS_INIT_ZERO;
    ons_value *w, *b = NULL, *y;

    ons_graph_push(nn->g, "%s", name);
    w = child_param(nn, name, "weight", ONS_PARAM_MATRIX, &ONS_SHAPE2(out, in), init, scale);
    if (bias)
        b = child_param(nn, name, "bias", ONS_PARAM_VECTOR, &ONS_SHAPE1(out), bias_init, scale);
    y = ons_matmul(nn->g, x, w, false, true, 1, b, residual);
    if (nn->adapter.rank)
        y = adapt_linear(nn, x, name, out, y);
    ons_graph_pop(nn->g);
    return y;
}

ons_value *ons_nn_linear(const ons_nn *nn, ons_value *x, const char *name, int64_t out, bool bias,
                         ons_value *residual)
{
    int64_t in = x->shape.n ? x->shape.d[x->shape.n - 1] : 1;

    return linear(nn, x, name, out, bias, residual, ONS_INIT_UNIFORM, 1 / sqrt((double)in));
}

ons_value *ons_nn_linear_normal(const ons_nn *nn, ons_value *x, const char *name, int64_t out, double std,
                                ons_value *residual)
{
    return linear(nn, x, name, out, true, residual, ONS_INIT_NORMAL, std);
}

ons_value *ons_nn_group_norm(const ons_nn *nn, ons_value *x, const char *name, int n_groups, double eps,
                             ons_activation act)
{
    ons_shape c = ONS_SHAPE1(x->shape.n ? x->shape.d[x->shape.n - 1] : 1);
    ons_value *gamma, *beta, *y;

    ons_graph_push(nn->g, "%s", name);
    gamma = child_param(nn, name, "weight", ONS_PARAM_VECTOR, &c, ONS_INIT_ONE, 0);
    beta = child_param(nn, name, "bias", ONS_PARAM_VECTOR, &c, ONS_INIT_ZERO, 0);
    y = ons_group_norm(nn->g, x, gamma, beta, n_groups, eps, act);
    ons_graph_pop(nn->g);
    return y;
}

ons_value *ons_nn_layer_norm(const ons_nn *nn, ons_value *x, const char *name, double eps)
{
    ons_shape c = ONS_SHAPE1(x->shape.n ? x->shape.d[x->shape.n - 1] : 1);
    ons_value *gamma, *beta, *y;

    ons_graph_push(nn->g, "%s", name);
    gamma = child_param(nn, name, "weight", ONS_PARAM_VECTOR, &c, ONS_INIT_ONE, 0);
    beta = child_param(nn, name, "bias", ONS_PARAM_VECTOR, &c, ONS_INIT_ZERO, 0);
    y = ons_layer_norm(nn->g, x, gamma, beta, eps);
    ons_graph_pop(nn->g);
    return y;
}
