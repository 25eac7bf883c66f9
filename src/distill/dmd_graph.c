/*
 * The graphs of DMD. One evaluation of the generator serves both terms; with an adapter (distill.lora_rank)
 * generator and fake score are the teacher's frozen network with a low-rank change each.
 */
#include "distill/dmd_impl.h"
#include "distill/losses.h"
#include "train/gradients.h"

bool ons_dmd_uses_pixels(const dmd *s)
{
    return s->ctx->perceptual || s->ctx->r->distill.weight_pixel > 0;
}

static ons_nn layer_context(ons_graph *g, ons_params *p, int slot, bool trainable)
{
    ons_nn nn;

    ons_nn_init(&nn, g, p, slot, trainable);
    return nn;
}

/* Generator or fake score: a set of its own, or an adapter of it beside the teacher's. */
static ons_nn own_unet(dmd *s, ons_graph *g, ons_params *own, int slot, bool trainable)
{
    int rank = s->ctx->r->distill.lora_rank;
    ons_nn nn = layer_context(g, rank ? s->real : own, rank ? SLOT_REAL : slot, trainable && !rank);

    if (rank)
        nn.adapter = ons_unet_adapter(own, slot, rank, trainable);
    return nn;
}

static ons_value *text_context(dmd *s, ons_graph *g, ons_value *ids)
{
    ons_nn clip = layer_context(g, s->clip, SLOT_CLIP, false);

    return ons_clip_text_build(&clip, &s->ctx->teacher->clip_config, ids);
}

/* The empty caption, encoded once and repeated for n samples. */
static ons_value *empty_context(dmd *s, ons_graph *g, int64_t n)
{
    int32_t ids[1024] = {0};
    const ons_tokenizer *t = s->ctx->teacher->tokenizer;
    ons_value *empty;

    if (ons_tokenizer_context(t) > 1024 || ons_tokenizer_encode(t, "", ids, NULL, NULL) != ONESTEP_OK)
        return ons_graph_error(g, "a context of %d tokens, at most 1024 can be distilled",
                               ons_tokenizer_context(t));
    empty = text_context(s, g, ons_constant(g, ONS_I32, &ONS_SHAPE2(1, ons_tokenizer_context(t)), ids));
    return ons_broadcast_to(g, empty, &ONS_SHAPE3(n, empty->shape.d[1], empty->shape.d[2]));
}

/* x = G(z): the x0 prediction at the conditioning timestep, with pure noise in place of x_t. */
static ons_value *generate(dmd *s, ons_graph *g, ons_value *z, ons_value *context)
{
    const ons_schedule *schedule = &s->ctx->teacher->schedule;
    ons_nn unet = own_unet(s, g, s->g, SLOT_G, true);
    int t = s->ctx->r->distill.timestep;
    ons_value *time = ons_broadcast_to(g, ons_scalar(g, t), &ONS_SHAPE1(z->shape.d[0]));
    ons_value *output = ons_unet_build(&unet, &s->ctx->teacher->unet_config, z, time, context);

    return ons_predicted_x0(g, schedule->prediction, z, output, ons_scalar(g, ons_schedule_a(schedule, t)),
                            ons_scalar(g, ons_schedule_s(schedule, t)));
}

/* mu_real with guidance: both halves in one evaluation, e_w = e_u + w (e_c - e_u). */
static ons_value *real_mean(dmd *s, ons_graph *g, ons_value *xt, ons_value *t, ons_value *a, ons_value *sigma,
                            ons_value *context)
{
    int64_t n = xt->shape.d[0];
    ons_value *guidance = ons_input(g, "guidance", ONS_F32, &ONS_SHAPE4(n, 1, 1, 1));
    ons_nn unet = layer_context(g, s->real, SLOT_REAL, false);
    ons_value *both =
        ons_unet_build(&unet, &s->ctx->teacher->unet_config, ons_concat(g, 0, (ons_value *[]){xt, xt}, 2),
                       ons_concat(g, 0, (ons_value *[]){t, t}, 2),
                       ons_concat(g, 0, (ons_value *[]){context, empty_context(s, g, n)}, 2));
    ons_value *cond = ons_slice(g, both, 0, 0, n), *uncond = ons_slice(g, both, 0, n, n);
    ons_value *guided = ons_add(g, uncond, ons_mul(g, ons_sub(g, cond, uncond), guidance));

    return ons_predicted_x0(g, s->ctx->teacher->schedule.prediction, xt, guided, a, sigma);
}

/* The matching term's gradient at x, [N, h, w, c], and what tells whether the two scores are healthy. */
static ons_value *matching_gradient(dmd *s, ons_graph *g, ons_value *x, ons_value *context)
{
    int64_t n = x->shape.d[0];
    ons_value *frozen = ons_stop_gradient(g, x);
    ons_value *e = ons_input(g, "match_e", ONS_F32, &x->shape),
              *t = ons_input(g, "match_t", ONS_F32, &ONS_SHAPE1(n));
    ons_value *a = ons_input(g, "match_a", ONS_F32, &ONS_SHAPE4(n, 1, 1, 1));
    ons_value *sigma = ons_input(g, "match_s", ONS_F32, &ONS_SHAPE4(n, 1, 1, 1));
    ons_value *xt = ons_add(g, ons_mul(g, frozen, a), ons_mul(g, e, sigma));
    ons_nn unet = own_unet(s, g, s->fake, SLOT_FAKE, false);
    ons_value *fake_out = ons_unet_build(&unet, &s->ctx->teacher->unet_config, xt, t, context);
    ons_value *mu_fake = ons_predicted_x0(g, s->ctx->teacher->schedule.prediction, xt, fake_out, a, sigma);
    ons_value *mu_real = real_mean(s, g, xt, t, a, sigma, context);
    ons_value *direction = ons_matching_direction(g, frozen, mu_real, mu_fake);

    ons_graph_output(g, ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, direction)), "direction2");
    ons_graph_output(g, ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, ons_sub(g, frozen, mu_real))), "real2");
    ons_graph_output(g, ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, ons_sub(g, frozen, mu_fake))), "fake2");
    /* the mean over all elements fixes the size of this term against the regression (Yin et al., algorithm 2)
     */
    return ons_affine(g, direction, s->ctx->r->distill.weight_dm / (double)ons_shape_count(&x->shape), 0);
}

static ons_value *pixel_distance(dmd *s, ons_graph *g, ons_value *x)
{
    const ons_vae_config *vc = &s->ctx->teacher->vae_config;
    int64_t n = x->shape.d[0], f = ons_vae_factor(vc);
    ons_value *target = ons_input(g, "target_pixels", ONS_F32, &ONS_SHAPE4(n, s->h * f, s->w * f, 3));
    ons_nn vae = layer_context(g, s->vae, SLOT_VAE, false);
    ons_value *pixels =
        ons_vae_decode_build(&vae, vc, ons_affine(g, x, 1 / vc->scaling_factor, vc->shift_factor));
    ons_value *l1 = ons_mean_all(g, ons_unary(g, ONS_OP_ABS, ons_sub(g, pixels, target)));
    ons_value *loss = ons_affine(g, l1, s->ctx->r->distill.weight_pixel, 0);

    if (s->ctx->perceptual) {
        ons_nn features = layer_context(g, s->ctx->perceptual->params, SLOT_FEATURES, false);

        loss =
            ons_add(g, loss, ons_perceptual_distance(&features, &s->ctx->perceptual->config, pixels, target));
    }
    return loss;
}

static ons_value *regression_loss(dmd *s, ons_graph *g, ons_value *x)
{
    ons_value *target = ons_input(g, "target", ONS_F32, &x->shape);
    ons_value *l2 = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, ons_sub(g, x, target)));
    /* without pictures the latent distance is all there is, at full weight */
    ons_value *loss = ons_affine(g, l2, ons_dmd_uses_pixels(s) ? s->ctx->r->distill.weight_latent : 1.0, 0);

    if (ons_dmd_uses_pixels(s))
        loss = ons_add(g, loss, pixel_distance(s, g, x));
    ons_graph_output(g, loss, "regression");
    return ons_affine(g, loss, s->ctx->r->distill.weight_reg, 0);
}

onestep_status ons_dmd_build_generator(dmd *s, ons_graph *g, int n_dm, int n_reg)
{
    int64_t n = n_dm + n_reg, tokens = ons_tokenizer_context(s->ctx->teacher->tokenizer);
    ons_value *z = ons_input(g, "z", ONS_F32, &ONS_SHAPE4(n, s->h, s->w, s->c));
    ons_value *ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(n, tokens));
    ons_value *context = text_context(s, g, ids), *x = generate(s, g, z, context);
    ons_value *outputs[2], *seeds[2];
    int n_outputs = 0;

    ons_graph_output(g, x, "x");
    if (n_dm) {
        ons_value *part = ons_slice(g, x, 0, 0, n_dm);

        seeds[n_outputs] = matching_gradient(s, g, part, ons_slice(g, context, 0, 0, n_dm));
        outputs[n_outputs++] = part;
    }
    if (n_reg) {
        seeds[n_outputs] = NULL;
        outputs[n_outputs++] = regression_loss(s, g, ons_slice(g, x, 0, n_dm, n_reg));
    }
    return ons_train_add_gradients(g, outputs, seeds, n_outputs, (const int[]){SLOT_G}, 1);
}

onestep_status ons_dmd_build_critic(dmd *s, ons_graph *g)
{
    int64_t n = s->batch, tokens = ons_tokenizer_context(s->ctx->teacher->tokenizer);
    ons_prediction prediction = s->ctx->teacher->schedule.prediction;
    ons_value *x = ons_input(g, "x", ONS_F32, &ONS_SHAPE4(n, s->h, s->w, s->c));
    ons_value *e = ons_input(g, "e", ONS_F32, &ONS_SHAPE4(n, s->h, s->w, s->c));
    ons_value *t = ons_input(g, "t", ONS_F32, &ONS_SHAPE1(n));
    ons_value *a = ons_input(g, "a", ONS_F32, &ONS_SHAPE4(n, 1, 1, 1));
    ons_value *sigma = ons_input(g, "s", ONS_F32, &ONS_SHAPE4(n, 1, 1, 1));
    ons_value *ids = ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(n, tokens));
    ons_value *xt = ons_add(g, ons_mul(g, x, a), ons_mul(g, e, sigma));
    ons_nn unet = own_unet(s, g, s->fake, SLOT_FAKE, true);
    ons_value *output = ons_unet_build(&unet, &s->ctx->teacher->unet_config, xt, t, text_context(s, g, ids));
    ons_value *error = ons_sub(g, output, ons_prediction_target(g, prediction, x, e, a, sigma));
    /* SNR^-1/2 = s / a, as in the teacher's loss */
    ons_value *boost = ons_clamp(g, ons_mul(g, sigma, ons_unary(g, ONS_OP_RECIPROCAL, a)), 1,
                                 s->ctx->r->distill.low_snr_boost);
    ons_value *loss = ons_mean_all(g, ons_mul(g, ons_unary(g, ONS_OP_SQUARE, error), boost));

    ons_graph_output(g, loss, "loss");
    return ons_train_add_gradients(g, &loss, NULL, 1, (const int[]){SLOT_FAKE}, 1);
}
