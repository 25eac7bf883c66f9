/*
 * Every operator that has a gradient rule, against finite differences: rows of (operator, variant). The last
 * test walks ops.def and fails for an operator with a rule but without a row. Shapes are odd on purpose; each
 * row runs with all passes and with none.
 */
#include "grad_case.h"

#include <string.h>

typedef struct row {
    ons_op op;
    ons_value *(*build)(grad_case *t, const struct row *r);
    int64_t a[14]; /* meaning is the builder's */
    grad_values values;
} row;

static ons_shape image(const row *r)
{
    return ONS_SHAPE4(r->a[0], r->a[1], r->a[2], r->a[3]);
}

/* a: shape, then shape of b with its rank first */
static ons_value *build_binary(grad_case *t, const row *r)
{
    ons_shape s = {(int)r->a[4], {r->a[5], r->a[6], r->a[7], r->a[8]}};
    ons_value *in[2] = {grad_variable_add(t, image(r), GRAD_ANY), grad_variable_add(t, s, GRAD_ANY)};

    return ons_apply(t->g, r->op, in, 2, NULL, NULL);
}

static ons_value *build_unary(grad_case *t, const row *r)
{
    return ons_unary(t->g, r->op, grad_variable_add(t, ONS_SHAPE3(2, 3, 5), r->values));
}

static ons_value *build_affine(grad_case *t, const row *r)
{
    (void)r;
    return ons_affine(t->g, grad_variable_add(t, ONS_SHAPE2(3, 5), GRAD_ANY), -1.7, 0.3);
}

static ons_value *build_clamp(grad_case *t, const row *r)
{
    return ons_clamp(t->g, grad_variable_add(t, ONS_SHAPE2(7, 5), r->values), -0.15, 0.15);
}

/* f32 -> f64 -> f32: in double nothing is lost, so that differences stay sharp. */
static ons_value *build_cast(grad_case *t, const row *r)
{
    ons_value *x = ons_cast(t->g, grad_variable_add(t, ONS_SHAPE2(3, 5), GRAD_ANY), ONS_F64);

    (void)r;
    return ons_cast(t->g, ons_unary(t->g, ONS_OP_SQUARE, x), ONS_F32);
}

static ons_value *build_reshape(grad_case *t, const row *r)
{
    ons_value *x = ons_unary(t->g, ONS_OP_SQUARE, grad_variable_add(t, ONS_SHAPE3(2, 3, 5), GRAD_ANY));

    (void)r;
    return ons_reshape(t->g, x, &ONS_SHAPE2(5, -1));
}

static ons_value *build_geglu(grad_case *t, const row *r)
{
    (void)r;
    return ons_geglu(t->g, grad_variable_add(t, ONS_SHAPE3(2, 3, 10), GRAD_ANY));
}

/* a: from, then to with its rank first */
static ons_value *build_sum_to(grad_case *t, const row *r)
{
    ons_shape to = {(int)r->a[4], {r->a[5], r->a[6], r->a[7], r->a[8]}};

    return ons_sum_to(t->g, grad_variable_add(t, image(r), GRAD_ANY), &to);
}

static ons_value *build_broadcast_to(grad_case *t, const row *r)
{
    ons_shape from = {(int)r->a[4], {r->a[5], r->a[6], r->a[7], r->a[8]}}, to = image(r);

    return ons_broadcast_to(t->g, grad_variable_add(t, from, GRAD_ANY), &to);
}

static ons_value *build_transpose(grad_case *t, const row *r)
{
    int perm[ONS_MAX_DIMS] = {(int)r->a[4], (int)r->a[5], (int)r->a[6], (int)r->a[7]};

    return ons_transpose(t->g, grad_variable_add(t, image(r), GRAD_ANY), perm);
}

/* a: shape, axis; the second part is longer by one, and the first is used twice */
static ons_value *build_concat(grad_case *t, const row *r)
{
    ons_shape s = image(r), longer = s;
    ons_value *x[3];

    longer.d[r->a[4]]++;
    x[0] = x[2] = grad_variable_add(t, s, GRAD_ANY);
    x[1] = grad_variable_add(t, longer, GRAD_ANY);
    return ons_concat(t->g, (int)r->a[4], x, 3);
}

/* a: shape, axis, start, length */
static ons_value *build_slice(grad_case *t, const row *r)
{
    return ons_slice(t->g, grad_variable_add(t, image(r), GRAD_ANY), (int)r->a[4], r->a[5], r->a[6]);
}

/* a: shape, axis, start, full */
static ons_value *build_pad_zero(grad_case *t, const row *r)
{
    ons_value *x = grad_variable_add(t, image(r), GRAD_ANY);
    ons_attrs a = {.slice = {(int)r->a[4], r->a[5], r->a[r->a[4]], r->a[6]}};

    return ons_apply(t->g, ONS_OP_PAD_ZERO, &x, 1, &a, NULL);
}

/* Operators of one image without attributes. */
static ons_value *build_image(grad_case *t, const row *r)
{
    ons_value *x = grad_variable_add(t, image(r), r->values);

    return ons_apply(t->g, r->op, &x, 1, NULL, NULL);
}

static ons_value *build_upsample_to(grad_case *t, const row *r)
{
    return ons_upsample_to(t->g, grad_variable_add(t, image(r), GRAD_ANY), r->a[4], r->a[5]);
}

/* a: image, then O, kh, kw, stride, pads top, left, bottom, right, bias, residual */
static ons_value *build_conv2d(grad_case *t, const row *r)
{
    ons_conv_geometry c = {(int)r->a[7], (int)r->a[8], (int)r->a[9], (int)r->a[10], (int)r->a[11]};
    int64_t h = (r->a[1] + c.pad_top + c.pad_bottom - r->a[5]) / c.stride + 1;
    int64_t w = (r->a[2] + c.pad_left + c.pad_right - r->a[6]) / c.stride + 1;
    ons_value *x = grad_variable_add(t, image(r), GRAD_ANY);
    ons_value *k = grad_variable_add(t, ONS_SHAPE4(r->a[4], r->a[5], r->a[6], r->a[3]), GRAD_ANY);
    ons_value *bias = r->a[12] ? grad_variable_add(t, ONS_SHAPE1(r->a[4]), GRAD_ANY) : NULL;
    ons_value *residual = r->a[13] ? grad_variable_add(t, ONS_SHAPE4(r->a[0], h, w, r->a[4]), GRAD_ANY) : NULL;

    return ons_conv2d(t->g, x, k, bias, residual, c);
}

/* The same numbers; image is the gradient's result. */
static ons_value *build_conv2d_grad_x(grad_case *t, const row *r)
{
    ons_attrs a = {.conv = {.stride = (int)r->a[7],
                            .pad_top = (int)r->a[8],
                            .pad_left = (int)r->a[9],
                            .pad_bottom = (int)r->a[10],
                            .pad_right = (int)r->a[11],
                            .in_h = r->a[1],
                            .in_w = r->a[2]}};
    int64_t h = (r->a[1] + a.conv.pad_top + a.conv.pad_bottom - r->a[5]) / a.conv.stride + 1;
    int64_t w = (r->a[2] + a.conv.pad_left + a.conv.pad_right - r->a[6]) / a.conv.stride + 1;
    ons_value *in[2] = {grad_variable_add(t, ONS_SHAPE4(r->a[0], h, w, r->a[4]), GRAD_ANY),
                        grad_variable_add(t, ONS_SHAPE4(r->a[4], r->a[5], r->a[6], r->a[3]), GRAD_ANY)};

    return ons_apply(t->g, ONS_OP_CONV2D_GRAD_X, in, 2, &a, NULL);
}

/* a: rank of a, rank of b, M, N, K, trans_a, trans_b, bias, residual; leading dimensions are 2 and 3 */
static ons_value *build_matmul(grad_case *t, const row *r)
{
    int ra = (int)r->a[0], rb = (int)r->a[1];
    ons_shape a = {ra, {2, 3}}, b = {rb, {2, 3}}, y = {ra, {2, 3}};
    ons_value *x, *k, *bias, *residual;

    a.d[ra - 2] = r->a[5] ? r->a[4] : r->a[2];
    a.d[ra - 1] = r->a[5] ? r->a[2] : r->a[4];
    b.d[rb - 2] = r->a[6] ? r->a[3] : r->a[4];
    b.d[rb - 1] = r->a[6] ? r->a[4] : r->a[3];
    y.d[ra - 2] = r->a[2];
    y.d[ra - 1] = r->a[3];
    x = grad_variable_add(t, a, GRAD_ANY);
    k = grad_variable_add(t, b, GRAD_ANY);
    bias = r->a[7] ? grad_variable_add(t, ONS_SHAPE1(r->a[3]), GRAD_ANY) : NULL;
    residual = r->a[8] ? grad_variable_add(t, y, GRAD_ANY) : NULL;
    return ons_matmul(t->g, x, k, r->a[5], r->a[6], 0.7, bias, residual);
}

/* More ids than rows, so that rows repeat. */
static ons_value *build_embedding(grad_case *t, const row *r)
{
    ons_value *table = grad_variable_add(t, ONS_SHAPE2(5, 3), GRAD_ANY);

    (void)r;
    return ons_embedding(t->g, table, grad_ids_add(t, ONS_SHAPE2(2, 7), 5));
}

/* a: image, groups, silu; one row is [N, T, C] */
static ons_value *build_group_norm(grad_case *t, const row *r)
{
    ons_shape s = r->a[6] ? ONS_SHAPE3(r->a[0], r->a[1], r->a[3]) : image(r);
    ons_value *x = grad_variable_add(t, s, GRAD_ANY);
    ons_value *gamma = grad_variable_add(t, ONS_SHAPE1(r->a[3]), GRAD_ANY);

    return ons_group_norm(t->g, x, gamma, grad_variable_add(t, ONS_SHAPE1(r->a[3]), GRAD_ANY), (int)r->a[4],
                          1e-3, r->a[5] ? ONS_ACT_SILU : ONS_ACT_NONE);
}

static ons_value *build_layer_norm(grad_case *t, const row *r)
{
    ons_value *x = grad_variable_add(t, ONS_SHAPE3(r->a[0], r->a[1], r->a[2]), GRAD_ANY);
    ons_value *gamma = grad_variable_add(t, ONS_SHAPE1(r->a[2]), GRAD_ANY);

    return ons_layer_norm(t->g, x, gamma, grad_variable_add(t, ONS_SHAPE1(r->a[2]), GRAD_ANY), 1e-3);
}

/* a: B, Tq, Tk, C, heads, causal */
static ons_value *build_attention(grad_case *t, const row *r)
{
    ons_value *q = grad_variable_add(t, ONS_SHAPE3(r->a[0], r->a[1], r->a[3]), GRAD_ANY);
    ons_value *k = grad_variable_add(t, ONS_SHAPE3(r->a[0], r->a[2], r->a[3]), GRAD_ANY);
    ons_value *v = grad_variable_add(t, ONS_SHAPE3(r->a[0], r->a[2], r->a[3]), GRAD_ANY);

    return ons_attention(t->g, q, k, v, (int)r->a[4], 0.6, r->a[5]);
}

static const row rows[] = {
    {ONS_OP_RESHAPE, build_reshape, {0}, GRAD_ANY},
    {ONS_OP_ADD, build_binary, {2, 3, 5, 7, 4, 2, 3, 5, 7}, GRAD_ANY},
    {ONS_OP_ADD, build_binary, {2, 3, 5, 7, 4, 2, 1, 1, 7}, GRAD_ANY},
    {ONS_OP_ADD, build_binary, {2, 3, 5, 7, 1, 7}, GRAD_ANY},
    {ONS_OP_SUB, build_binary, {2, 3, 5, 7, 4, 2, 3, 5, 7}, GRAD_ANY},
    {ONS_OP_SUB, build_binary, {2, 3, 5, 7, 2, 5, 1}, GRAD_ANY},
    {ONS_OP_MUL, build_binary, {2, 3, 5, 7, 4, 2, 3, 5, 7}, GRAD_ANY},
    {ONS_OP_MUL, build_binary, {2, 3, 5, 7, 4, 1, 3, 1, 7}, GRAD_ANY},
    {ONS_OP_MUL, build_binary, {2, 3, 5, 7, 0}, GRAD_ANY},
    {ONS_OP_AFFINE, build_affine, {0}, GRAD_ANY},
    {ONS_OP_SILU, build_unary, {0}, GRAD_ANY},
    {ONS_OP_GELU, build_unary, {0}, GRAD_ANY},
    {ONS_OP_QUICK_GELU, build_unary, {0}, GRAD_ANY},
    {ONS_OP_RELU, build_unary, {0}, GRAD_AWAY},
    {ONS_OP_TANH, build_unary, {0}, GRAD_ANY},
    {ONS_OP_EXP, build_unary, {0}, GRAD_ANY},
    {ONS_OP_LOG, build_unary, {0}, GRAD_POSITIVE},
    {ONS_OP_SQRT, build_unary, {0}, GRAD_POSITIVE},
    {ONS_OP_SQUARE, build_unary, {0}, GRAD_ANY},
    {ONS_OP_ABS, build_unary, {0}, GRAD_AWAY},
    {ONS_OP_RECIPROCAL, build_unary, {0}, GRAD_AWAY},
    {ONS_OP_CLAMP, build_clamp, {0}, GRAD_AWAY},
    {ONS_OP_CLAMP, build_clamp, {0}, GRAD_DISTINCT},
    {ONS_OP_CAST, build_cast, {0}, GRAD_ANY},
    {ONS_OP_GEGLU, build_geglu, {0}, GRAD_ANY},
    {ONS_OP_SUM_TO, build_sum_to, {2, 3, 5, 7, 4, 2, 1, 1, 7}, GRAD_ANY},
    {ONS_OP_SUM_TO, build_sum_to, {2, 3, 5, 7, 2, 5, 1}, GRAD_ANY},
    {ONS_OP_SUM_TO, build_sum_to, {2, 3, 5, 7, 0}, GRAD_ANY},
    {ONS_OP_BROADCAST_TO, build_broadcast_to, {2, 3, 5, 7, 4, 2, 1, 1, 7}, GRAD_ANY},
    {ONS_OP_BROADCAST_TO, build_broadcast_to, {2, 3, 5, 7, 2, 5, 1}, GRAD_ANY},
    {ONS_OP_BROADCAST_TO, build_broadcast_to, {2, 3, 5, 7, 0}, GRAD_ANY},
    {ONS_OP_TRANSPOSE, build_transpose, {2, 3, 5, 7, 3, 0, 2, 1}, GRAD_ANY},
    {ONS_OP_TRANSPOSE, build_transpose, {2, 3, 5, 7, 0, 2, 1, 3}, GRAD_ANY},
    {ONS_OP_CONCAT, build_concat, {2, 3, 5, 7, 3}, GRAD_ANY},
    {ONS_OP_CONCAT, build_concat, {2, 3, 5, 7, 1}, GRAD_ANY},
    {ONS_OP_CONCAT, build_concat, {2, 3, 5, 7, 0}, GRAD_ANY},
    {ONS_OP_SLICE, build_slice, {2, 3, 5, 7, 3, 2, 4}, GRAD_ANY},
    {ONS_OP_SLICE, build_slice, {2, 3, 5, 7, 1, 0, 2}, GRAD_ANY},
    {ONS_OP_SLICE, build_slice, {3, 3, 5, 7, 0, 2, 1}, GRAD_ANY},
    {ONS_OP_PAD_ZERO, build_pad_zero, {2, 3, 5, 7, 3, 2, 11}, GRAD_ANY},
    {ONS_OP_PAD_ZERO, build_pad_zero, {2, 3, 5, 7, 1, 0, 4}, GRAD_ANY},
    {ONS_OP_UPSAMPLE2X, build_image, {2, 3, 5, 7}, GRAD_ANY},
    {ONS_OP_DOWNSUM2X, build_image, {2, 6, 4, 5}, GRAD_ANY},
    {ONS_OP_UPSAMPLE_TO, build_upsample_to, {2, 3, 5, 2, 7, 9}, GRAD_ANY},
    {ONS_OP_UPSAMPLE_TO, build_upsample_to, {1, 4, 7, 3, 5, 7}, GRAD_ANY},
    {ONS_OP_AVG_POOL2X, build_image, {2, 4, 6, 3}, GRAD_ANY},
    {ONS_OP_AVG_POOL2X, build_image, {2, 5, 7, 3}, GRAD_ANY},
    {ONS_OP_MAX_POOL2X, build_image, {2, 4, 6, 3}, GRAD_DISTINCT},
    {ONS_OP_MAX_POOL2X, build_image, {2, 5, 7, 3}, GRAD_DISTINCT},
    {ONS_OP_CONV2D, build_conv2d, {2, 5, 4, 3, 2, 3, 3, 1, 1, 1, 1, 1, 0, 0}, GRAD_ANY},
    {ONS_OP_CONV2D, build_conv2d, {2, 5, 4, 3, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1}, GRAD_ANY},
    {ONS_OP_CONV2D, build_conv2d, {1, 6, 5, 2, 3, 3, 3, 2, 1, 1, 1, 1, 1, 0}, GRAD_ANY},
    {ONS_OP_CONV2D, build_conv2d, {1, 6, 7, 2, 3, 3, 3, 2, 0, 0, 1, 1, 0, 1}, GRAD_ANY},
    {ONS_OP_CONV2D, build_conv2d, {2, 3, 5, 4, 3, 1, 1, 1, 0, 0, 0, 0, 1, 1}, GRAD_ANY},
    {ONS_OP_CONV2D, build_conv2d, {1, 7, 6, 2, 2, 2, 5, 3, 2, 0, 1, 3, 1, 0}, GRAD_ANY},
    {ONS_OP_CONV2D_GRAD_X, build_conv2d_grad_x, {2, 5, 4, 3, 2, 3, 3, 1, 1, 1, 1, 1}, GRAD_ANY},
    {ONS_OP_CONV2D_GRAD_X, build_conv2d_grad_x, {1, 6, 7, 2, 3, 3, 3, 2, 0, 0, 1, 1}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {2, 2, 5, 3, 4, 0, 0, 0, 0}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {2, 2, 5, 3, 4, 0, 1, 1, 1}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {2, 2, 5, 3, 4, 1, 0, 1, 0}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {2, 2, 5, 3, 4, 1, 1, 0, 1}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {3, 2, 5, 3, 4, 0, 0, 1, 0}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {4, 2, 5, 3, 4, 0, 1, 1, 1}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {3, 3, 5, 3, 4, 0, 0, 0, 0}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {3, 3, 5, 3, 4, 0, 1, 1, 0}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {4, 4, 5, 3, 4, 1, 0, 0, 1}, GRAD_ANY},
    {ONS_OP_MATMUL, build_matmul, {4, 4, 5, 3, 4, 1, 1, 1, 1}, GRAD_ANY},
    {ONS_OP_EMBEDDING, build_embedding, {0}, GRAD_ANY},
    {ONS_OP_GROUP_NORM, build_group_norm, {2, 3, 5, 6, 3, 0, 0}, GRAD_ANY},
    {ONS_OP_GROUP_NORM, build_group_norm, {2, 3, 5, 6, 2, 1, 0}, GRAD_ANY},
    {ONS_OP_GROUP_NORM, build_group_norm, {2, 5, 0, 6, 1, 1, 1}, GRAD_ANY},
    {ONS_OP_LAYER_NORM, build_layer_norm, {2, 3, 7}, GRAD_ANY},
    {ONS_OP_ATTENTION, build_attention, {2, 5, 3, 6, 2, 0}, GRAD_ANY},
    {ONS_OP_ATTENTION, build_attention, {2, 5, 5, 6, 3, 1}, GRAD_ANY},
    {ONS_OP_ATTENTION, build_attention, {1, 1, 7, 4, 1, 0}, GRAD_ANY},
    {ONS_OP_SOFTMAX, build_unary, {0}, GRAD_ANY},
    {ONS_OP_LOG_SOFTMAX, build_unary, {0}, GRAD_ANY},
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

static bool uses_op(const ons_graph *g, ons_op op)
{
    for (int i = 0; i < ons_graph_n_nodes(g); i++)
        if (ons_graph_node(g, i)->op == op)
            return true;
    return false;
}

static void gradients_agree_with_finite_differences(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * N_ROWS; i++) {
        const row *r = &rows[i / 2];
        char name[64];
        grad_case t;
        ons_value *y;

        snprintf(name, sizeof name, "%s (row %d, passes %s)", ons_op_name(r->op), i / 2, i % 2 ? "off" : "on");
        grad_case_init(&t, (uint64_t)i + 1);
        y = r->build(&t, r);
        if (ons_graph_failed(t.g) && ons_graph_finish(t.g) != ONESTEP_OK)
            fail_msg("%s: %s", name, onestep_error_text());
        if (!uses_op(t.g, r->op))
            fail_msg("%s: the row does not use its operator", name);
        grad_check(&t, y, i % 2 ? ~0u : 0, name);
    }
}

static void every_gradient_rule_has_a_row(void **state)
{
    static const struct {
        ons_op op;
        const char *rule;
    } all[] = {
#define ONS_OP(id, name, n_in, n_out, role, precision, slices, flops, shape, grad) {ONS_OP_##id, #grad},
#include "graph/ops.def"
#undef ONS_OP
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int n = 0;

        for (int k = 0; k < N_ROWS; k++)
            n += rows[k].op == all[i].op;
        if (strcmp(all[i].rule, "NULL") && !n)
            fail_msg("%s has the gradient rule %s, but no row above", ons_op_name(all[i].op), all[i].rule);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient_rule_has_a_row),
        cmocka_unit_test(gradients_agree_with_finite_differences),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
