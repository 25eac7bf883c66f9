/* Element by element, broadcasting, and reductions to a broadcast shape. */
#include <float.h>
#include <math.h>

#include "backend/ref/ref.h"

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static double normal_cdf(double x)
{
    return 0.5 * (1 + erf(x * 0.70710678118654752440));
}

static double normal_pdf(double x)
{
    return 0.39894228040143267794 * exp(-0.5 * x * x);
}

/* NaN passes: both comparisons are false. */
static double clamp(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

static double clean(double x)
{
    if (isnan(x))
        return 0;
    return clamp(x, -FLT_MAX, FLT_MAX);
}

static double unary(const ons_node *n, double x)
{
    switch (n->op) {
    case ONS_OP_AFFINE:
        return n->attrs.affine.scale * x + n->attrs.affine.shift;
    case ONS_OP_SILU:
        return x * sigmoid(x);
    case ONS_OP_GELU:
        return x * normal_cdf(x);
    case ONS_OP_QUICK_GELU:
        return x * sigmoid(1.702 * x);
    case ONS_OP_RELU:
        return x < 0 ? 0 : x;
    case ONS_OP_TANH:
        return tanh(x);
    case ONS_OP_EXP:
        return exp(x);
    case ONS_OP_LOG:
        return log(x);
    case ONS_OP_SQRT:
        return sqrt(x);
    case ONS_OP_SQUARE:
        return x * x;
    case ONS_OP_ABS:
        return fabs(x);
    case ONS_OP_RECIPROCAL:
        return 1 / x;
    case ONS_OP_SIGN:
        return (x > 0) - (x < 0);
    case ONS_OP_CLAMP:
        return clamp(x, n->attrs.clamp.lo, n->attrs.clamp.hi);
    case ONS_OP_CLEAN:
        return clean(x);
    default: /* cast */
        return x;
    }
}

static void run_unary(const ons_node *n, const ons_args *a)
{
    for (int64_t i = 0; i < ref_count(n->out[0]); i++)
        ref_out(n, a, 0, i, unary(n, ref_in(n, a, 0, i)));
}

/* dy times the derivative at x. */
static double unary_grad(const ons_node *n, double x, double dy)
{
    double s;

    switch (n->op) {
    case ONS_OP_SILU_GRAD:
        s = sigmoid(x);
        return dy * s * (1 + x * (1 - s));
    case ONS_OP_GELU_GRAD:
        return dy * (normal_cdf(x) + x * normal_pdf(x));
    case ONS_OP_QUICK_GELU_GRAD:
        s = sigmoid(1.702 * x);
        return dy * s * (1 + 1.702 * x * (1 - s));
    case ONS_OP_CLAMP_GRAD:
        return x >= n->attrs.clamp.lo && x <= n->attrs.clamp.hi ? dy : 0;
    default: /* relu */
        return x > 0 ? dy : 0;
    }
}

static void run_unary_grad(const ons_node *n, const ons_args *a)
{
    for (int64_t i = 0; i < ref_count(n->out[0]); i++)
        ref_out(n, a, 0, i, unary_grad(n, ref_in(n, a, 0, i), ref_in(n, a, 1, i)));
}

/* Flat index into a small shape that is broadcast to dims, for flat index i there. */
static int64_t small_index(int64_t i, const int64_t *dims, const int64_t *small_dims,
                           const int64_t *small_strides)
{
    int64_t at = 0;

    for (int k = ONS_MAX_DIMS - 1; k >= 0; k--) {
        int64_t coordinate = i % dims[k];

        i /= dims[k];
        if (small_dims[k] > 1)
            at += coordinate * small_strides[k];
    }
    return at;
}

static void run_binary(const ons_node *n, const ons_args *a)
{
    int64_t dims[ONS_MAX_DIMS], strides[ONS_MAX_DIMS], b_dims[ONS_MAX_DIMS], b_strides[ONS_MAX_DIMS];

    ref_strides(&n->out[0]->shape, dims, strides);
    ref_strides(&n->in[1]->shape, b_dims, b_strides);
    for (int64_t i = 0; i < ref_count(n->out[0]); i++) {
        double x = ref_in(n, a, 0, i), y = ref_in(n, a, 1, small_index(i, dims, b_dims, b_strides));

        ref_out(n, a, 0, i, n->op == ONS_OP_ADD ? x + y : n->op == ONS_OP_SUB ? x - y : x * y);
    }
}

static void run_broadcast(const ons_node *n, const ons_args *a)
{
    int64_t dims[ONS_MAX_DIMS], strides[ONS_MAX_DIMS], s_dims[ONS_MAX_DIMS], s_strides[ONS_MAX_DIMS];

    ref_strides(&n->out[0]->shape, dims, strides);
    ref_strides(&n->in[0]->shape, s_dims, s_strides);
    for (int64_t i = 0; i < ref_count(n->out[0]); i++)
        ref_out(n, a, 0, i, ref_in(n, a, 0, small_index(i, dims, s_dims, s_strides)));
}

/* For each result, the sum over all elements that broadcast from it. */
static void run_sum_to(const ons_node *n, const ons_args *a)
{
    int64_t dims[ONS_MAX_DIMS], strides[ONS_MAX_DIMS], s_dims[ONS_MAX_DIMS], s_strides[ONS_MAX_DIMS],
        inner[ONS_MAX_DIMS];
    int64_t n_inner = 1;

    ref_strides(&n->in[0]->shape, dims, strides);
    ref_strides(&n->out[0]->shape, s_dims, s_strides);
    for (int k = 0; k < ONS_MAX_DIMS; k++) {
        inner[k] = s_dims[k] == 1 ? dims[k] : 1;
        n_inner *= inner[k];
    }
    for (int64_t i = 0; i < ref_count(n->out[0]); i++) {
        int64_t base = small_index(i, s_dims, dims, strides);
        double sum = 0;

        for (int64_t j = 0; j < n_inner; j++)
            sum += ref_in(n, a, 0, base + small_index(j, inner, dims, strides));
        ref_out(n, a, 0, i, sum);
    }
}

static void run_geglu(const ons_node *n, const ons_args *a)
{
    int64_t c = n->out[0]->shape.d[n->out[0]->shape.n - 1];

    for (int64_t i = 0; i < ref_count(n->out[0]); i++) {
        int64_t at = i / c * 2 * c + i % c;
        double gate = ref_in(n, a, 0, at + c);

        ref_out(n, a, 0, i, ref_in(n, a, 0, at) * gate * normal_cdf(gate));
    }
}

static void run_geglu_grad(const ons_node *n, const ons_args *a)
{
    int64_t c = n->in[1]->shape.d[n->in[1]->shape.n - 1];

    for (int64_t i = 0; i < ref_count(n->in[1]); i++) {
        int64_t at = i / c * 2 * c + i % c;
        double x = ref_in(n, a, 0, at), gate = ref_in(n, a, 0, at + c), dy = ref_in(n, a, 1, i);

        ref_out(n, a, 0, at, dy * gate * normal_cdf(gate));
        ref_out(n, a, 0, at + c, dy * x * (normal_cdf(gate) + gate * normal_pdf(gate)));
    }
}

/* x by the inverse of the scale in f32, exactly, then rounded. */
static double quantise_one(const ons_attrs *at, double x)
{
    const float inverse = 1 / (float)at->quantise.scale;

    return clamp(nearbyint(clamp((float)x * (double)inverse, -512, 512)) + at->quantise.zero, 0, 255);
}

static void run_quantise(const ons_node *n, const ons_args *a)
{
    const ons_attrs *at = &n->attrs;
    int64_t y[ONS_MAX_DIMS], x[ONS_MAX_DIMS], steps[ONS_MAX_DIMS];

    ref_strides(&n->in[0]->shape, x, steps);
    ref_strides(&n->out[0]->shape, y, steps);
    for (int64_t k = 0; k < ref_count(n->out[0]); k++) {
        const int64_t c = k % y[3], column = k / y[3] % y[2] - at->quantise.pad_left,
                      row = k / y[3] / y[2] % y[1] - at->quantise.pad_top, i = k / y[3] / y[2] / y[1];
        const bool inside = row >= 0 && row < x[1] && column >= 0 && column < x[2];
        const int64_t from = ((i * x[1] + row) * x[2] + column) * x[3] + c;

        ref_out(n, a, 0, k, inside ? quantise_one(at, ref_in(n, a, 0, from)) : at->quantise.zero);
    }
}

ref_fn REF(elementwise)(ons_op op)
{
    switch (op) {
    case ONS_OP_QUANTISE:
        return run_quantise;
    case ONS_OP_ADD:
    case ONS_OP_SUB:
    case ONS_OP_MUL:
        return run_binary;
    case ONS_OP_SILU_GRAD:
    case ONS_OP_GELU_GRAD:
    case ONS_OP_QUICK_GELU_GRAD:
    case ONS_OP_RELU_GRAD:
    case ONS_OP_CLAMP_GRAD:
        return run_unary_grad;
    case ONS_OP_GEGLU:
        return run_geglu;
    case ONS_OP_GEGLU_GRAD:
        return run_geglu_grad;
    case ONS_OP_SUM_TO:
        return run_sum_to;
    case ONS_OP_BROADCAST_TO:
        return run_broadcast;
    case ONS_OP_CLAMP:
    case ONS_OP_CLEAN:
    case ONS_OP_CAST:
        return run_unary;
    default:
        return op >= ONS_OP_AFFINE && op <= ONS_OP_SIGN ? run_unary : NULL;
    }
}
