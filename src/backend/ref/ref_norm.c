/*
 * Group and layer normalisation and softmax. With x^ = (x - mean) rstd and u = gamma x^ + beta, y = act(u):
 *   dx = rstd (g - mean(g) - x^ mean(g x^)) over the normalised set, g = gamma act'(u) dy.
 */
#include <math.h>

#include "backend/ref/ref.h"

/* One normalised set: `rows` runs of `width` channels, `stride` apart, starting at `start`; channel of element
 * (r, c) is channel0 + c. */
typedef struct span {
    int64_t start, rows, stride, width, channel0, stats;
} span;

static int64_t n_spans(const ons_node *n)
{
    const ons_shape *s = &n->in[0]->shape;

    if (n->op == ONS_OP_GROUP_NORM || n->op == ONS_OP_GROUP_NORM_GRAD)
        return s->d[0] * n->attrs.norm.n_groups;
    return ref_count(n->in[0]) / s->d[s->n - 1];
}

static span span_at(const ons_node *n, int64_t i)
{
    const ons_shape *s = &n->in[0]->shape;
    int64_t c = s->d[s->n - 1], groups, pixels, width;

    if (n->op == ONS_OP_LAYER_NORM || n->op == ONS_OP_LAYER_NORM_GRAD)
        return (span){i * c, 1, c, c, 0, i};
    groups = n->attrs.norm.n_groups;
    pixels = ref_count(n->in[0]) / s->d[0] / c;
    width = c / groups;
    return (span){i / groups * pixels * c + i % groups * width, pixels, c, width, i % groups * width, i};
}

static double act(const ons_node *n, double u)
{
    return n->attrs.norm.act == ONS_ACT_SILU ? u / (1 + exp(-u)) : u;
}

static double act_grad(const ons_node *n, double u)
{
    double s = 1 / (1 + exp(-u));

    return n->attrs.norm.act == ONS_ACT_SILU ? s * (1 + u * (1 - s)) : 1;
}

static void statistics(const ons_node *n, const ons_args *a, const span *s, double *mean, double *rstd)
{
    double sum = 0, squares = 0, count = (double)(s->rows * s->width);

    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->width; c++)
            sum += ref_in(n, a, 0, s->start + r * s->stride + c);
    *mean = sum / count;
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->width; c++) {
            double d = ref_in(n, a, 0, s->start + r * s->stride + c) - *mean;

            squares += d * d;
        }
    *rstd = 1 / sqrt(squares / count + n->attrs.norm.eps);
}

static void run_norm(const ons_node *n, const ons_args *a)
{
    for (int64_t i = 0; i < n_spans(n); i++) {
        span s = span_at(n, i);
        double mean, rstd;

        statistics(n, a, &s, &mean, &rstd);
        for (int64_t r = 0; r < s.rows; r++)
            for (int64_t c = 0; c < s.width; c++) {
                int64_t at = s.start + r * s.stride + c;
                double u = ref_in(n, a, 1, s.channel0 + c) * (ref_in(n, a, 0, at) - mean) * rstd +
                           ref_in(n, a, 2, s.channel0 + c);

                ref_out(n, a, 0, at, act(n, u));
            }
        ref_out(n, a, 1, 2 * i, mean);
        ref_out(n, a, 1, 2 * i + 1, rstd);
    }
}

/* x^ and act'(u) dy at one element. */
static void terms(const ons_node *n, const ons_args *a, const span *s, int64_t at, int64_t c, double *xhat,
                  double *du)
{
    double mean = ref_in(n, a, 3, 2 * s->stats), rstd = ref_in(n, a, 3, 2 * s->stats + 1);
    double gamma = ref_in(n, a, 1, s->channel0 + c), beta = ref_in(n, a, 2, s->channel0 + c);

    *xhat = (ref_in(n, a, 0, at) - mean) * rstd;
    *du = act_grad(n, gamma * *xhat + beta) * ref_in(n, a, 4, at);
}

static void grad_span(const ons_node *n, const ons_args *a, const span *s)
{
    double rstd = ref_in(n, a, 3, 2 * s->stats + 1), count = (double)(s->rows * s->width), mean_g = 0,
           mean_gx = 0, xhat, du;

    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->width; c++) {
            terms(n, a, s, s->start + r * s->stride + c, c, &xhat, &du);
            mean_g += ref_in(n, a, 1, s->channel0 + c) * du / count;
            mean_gx += ref_in(n, a, 1, s->channel0 + c) * du * xhat / count;
        }
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t c = 0; c < s->width; c++) {
            int64_t at = s->start + r * s->stride + c;

            terms(n, a, s, at, c, &xhat, &du);
            ref_out(n, a, 0, at, rstd * (ref_in(n, a, 1, s->channel0 + c) * du - mean_g - xhat * mean_gx));
        }
}

/* dgamma or dbeta of one channel, over every span that holds it. */
static double grad_channel(const ons_node *n, const ons_args *a, int64_t channel, bool gamma)
{
    double sum = 0, xhat, du;

    for (int64_t i = 0; i < n_spans(n); i++) {
        span s = span_at(n, i);
        int64_t c = channel - s.channel0;

        for (int64_t r = 0; c >= 0 && c < s.width && r < s.rows; r++) {
            terms(n, a, &s, s.start + r * s.stride + c, c, &xhat, &du);
            sum += gamma ? du * xhat : du;
        }
    }
    return sum;
}

static void run_norm_grad(const ons_node *n, const ons_args *a)
{
    for (int64_t i = 0; a->out[0] && i < n_spans(n); i++) {
        span s = span_at(n, i);

        grad_span(n, a, &s);
    }
    for (int64_t c = 0; c < ref_count(n->in[1]); c++) {
        if (a->out[1])
            ref_out(n, a, 1, c, grad_channel(n, a, c, true));
        if (a->out[2])
            ref_out(n, a, 2, c, grad_channel(n, a, c, false));
    }
}

static void run_softmax(const ons_node *n, const ons_args *a)
{
    int64_t width = n->in[0]->shape.d[n->in[0]->shape.n - 1];

    for (int64_t row = 0; row < ref_count(n->in[0]); row += width) {
        double top = -INFINITY, sum = 0;

        for (int64_t i = 0; i < width; i++)
            top = fmax(top, ref_in(n, a, 0, row + i));
        for (int64_t i = 0; i < width; i++)
            sum += exp(ref_in(n, a, 0, row + i) - top);
        for (int64_t i = 0; i < width; i++) {
            double d = ref_in(n, a, 0, row + i) - top;

            ref_out(n, a, 0, row + i, n->op == ONS_OP_SOFTMAX ? exp(d) / sum : d - log(sum));
        }
    }
}

/* softmax: dx = y (dy - sum y dy); log_softmax: dx = dy - exp(y) sum dy. */
static void run_softmax_grad(const ons_node *n, const ons_args *a)
{
    int64_t width = n->in[0]->shape.d[n->in[0]->shape.n - 1];
    bool logs = n->op == ONS_OP_LOG_SOFTMAX_GRAD;

    for (int64_t row = 0; row < ref_count(n->in[0]); row += width) {
        double sum = 0;

        for (int64_t i = 0; i < width; i++)
            sum += (logs ? 1 : ref_in(n, a, 0, row + i)) * ref_in(n, a, 1, row + i);
        for (int64_t i = 0; i < width; i++) {
            double y = ref_in(n, a, 0, row + i), dy = ref_in(n, a, 1, row + i);

            ref_out(n, a, 0, row + i, logs ? dy - exp(y) * sum : y * (dy - sum));
        }
    }
}

ref_fn REF(norm)(ons_op op)
{
    switch (op) {
    case ONS_OP_GROUP_NORM:
    case ONS_OP_LAYER_NORM:
        return run_norm;
    case ONS_OP_GROUP_NORM_GRAD:
    case ONS_OP_LAYER_NORM_GRAD:
        return run_norm_grad;
    case ONS_OP_SOFTMAX:
    case ONS_OP_LOG_SOFTMAX:
        return run_softmax;
    case ONS_OP_SOFTMAX_GRAD:
    case ONS_OP_LOG_SOFTMAX_GRAD:
        return run_softmax_grad;
    default:
        return NULL;
    }
}
