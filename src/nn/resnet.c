/* The ResNet block shared by UNet and autoencoder. */
#include "nn/nn.h"

ons_value *ons_nn_resnet(const ons_nn *nn, const char *name, ons_value *x, ons_value *temb_act, int64_t out,
                         int n_groups, double eps)
{
    ons_nn b = ons_nn_enter(nn, "%s", name);
    int64_t in = x->shape.n == 4 ? x->shape.d[3] : 0;
    ons_value *shortcut, *h;

    ons_graph_begin_segment(b.g);
    shortcut = in == out ? x : ons_nn_conv(&b, x, "conv_shortcut", out, 1, 1, 0, true, NULL);
    h = ons_nn_group_norm(&b, x, "norm1", n_groups, eps, ONS_ACT_SILU);
    h = ons_nn_conv(&b, h, "conv1", out, 3, 1, 1, true, NULL);
    if (temb_act) {
        ons_value *t = ons_nn_linear(&b, temb_act, "time_emb_proj", out, true, NULL);

        t = ons_reshape(b.g, t, &ONS_SHAPE4(t->shape.d[0], 1, 1, out));
        h = ons_add(b.g, h, t);
    }
    h = ons_nn_group_norm(&b, h, "norm2", n_groups, eps, ONS_ACT_SILU);
    h = ons_nn_conv(&b, h, "conv2", out, 3, 1, 1, true, shortcut);
    ons_graph_end_segment(b.g);
    ons_nn_leave(&b);
    return h;
}
