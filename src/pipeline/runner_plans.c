/*
 * The graphs that generating needs: text encoder, UNet, decoder. Each is built for the runner's batch and size
 * on first use.
 *
 * With guidance the conditional and the unconditional prediction are one evaluation of twice the batch,
 * combined inside the graph, so that weights are read once. A run of one step has its timestep as a constant:
 * the whole time embedding then depends on constants and frozen weights only, and the planner computes it once.
 */
#include "pipeline/runner_impl.h"

#include <stdio.h>
#include <string.h>

#include "pipeline/int8.h"

/* NULL: no 8-bit products. */
static const ons_scales *scales_of(const ons_runner *r, ons_int8_part part)
{
    return r->options.compute.type == ONS_I8 ? &r->model->int8->scales[part] : NULL;
}

static ons_plan_options plan_options(const ons_runner *r, ons_params *params, const ons_scales *scales,
                                     const char *label)
{
    ons_plan_options o = {.compute = r->options.compute,
                          .scales = scales,
                          /* who looks, looks at the products that 8 bits would have */
                          .passes_off = r->options.observe ? ONS_PASS_FUSE_UPSAMPLE : 0,
                          .label = label};

    o.params[0] = params;
    o.params[1] = r->model->adapter.params;
    return o;
}

/* Ends the building of *g, whose results are marked, and turns it into a plan. */
onestep_status ons_runner_finish_plan(const ons_runner *r, ons_graph **g, ons_params *params,
                                      const ons_scales *scales, const char *label, ons_plan **out)
{
    const ons_plan_options o = plan_options(r, params, scales, label);
    ons_plan *p = NULL;
    onestep_status st;

    ONS_TRY(ons_graph_finish(*g));
    ONS_TRY(ons_plan_create(g, &o, &p));
    *out = p;
    return ONESTEP_OK;
fail:
    ons_graph_destroy(g);
    ons_plan_destroy(&p);
    return st;
}

onestep_status ons_runner_make_text_plan(ons_runner *r)
{
    const ons_shape shape = ONS_SHAPE2(r->options.batch, r->n_tokens);
    ons_graph *g = NULL;
    ons_value *ids;
    ons_nn nn;
    char label[64];

    if (r->text)
        return ONESTEP_OK;
    if (ons_graph_create(&g) != ONESTEP_OK)
        return ONESTEP_NO_MEMORY;
    ons_nn_init(&nn, g, r->model->clip, 0, false);
    ids = ons_input(g, "ids", ONS_I32, &shape);
    ons_graph_output(g, ons_clip_text_build(&nn, &r->model->clip_config, ids), "hidden");
    snprintf(label, sizeof label, "text %dx%d", r->options.batch, (int)r->n_tokens);
    return ons_runner_finish_plan(r, &g, r->model->clip, NULL, label, &r->text);
}

onestep_status ons_runner_text_plan(ons_runner *r)
{
    const onestep_status st = ons_runner_make_text_plan(r);

    return st == ONESTEP_OK ? ons_plan_allocate(r->text) : st;
}

void ons_runner_decoder_size(const ons_runner *r, int64_t *h, int64_t *w)
{
    *h = r->tiled && r->h > TILE_LATENTS ? TILE_LATENTS : r->h;
    *w = r->tiled && r->w > TILE_LATENTS ? TILE_LATENTS : r->w;
}

onestep_status ons_runner_make_decoder_plan(ons_runner *r)
{
    const ons_vae_config *c = &r->model->vae_config;
    const int factor = ons_vae_factor(c), n = r->tiled ? 1 : r->options.batch;
    ons_graph *g = NULL;
    ons_shape shape;
    ons_value *x;
    ons_nn nn;
    char label[64];
    int64_t h, w;
    onestep_status st;

    if (r->decoder)
        return ONESTEP_OK;
    ons_runner_decoder_size(r, &h, &w);
    shape = ONS_SHAPE4(n, h, w, r->c);
    if (ons_graph_create(&g) != ONESTEP_OK)
        return ONESTEP_NO_MEMORY;
    ons_nn_init(&nn, g, r->model->vae, 0, false);
    x = ons_input(g, "latent", ONS_F32, &shape);
    x = ons_affine(g, x, 1 / c->scaling_factor, c->shift_factor);
    ons_graph_output(g, ons_vae_decode_build(&nn, c, x), "pixels");
    snprintf(label, sizeof label, "decoder %dx%dx%d", n, (int)h * factor, (int)w * factor);
    st = ons_runner_finish_plan(r, &g, r->model->vae, scales_of(r, ons_int8_decoder_of(r->model)), label,
                                &r->decoder);
    if (st == ONESTEP_OK)
        ons_plan_observe(r->decoder, r->options.observe, r->options.observe_decoder);
    return st;
}

onestep_status ons_runner_decoder_plan(ons_runner *r)
{
    const onestep_status st = ons_runner_make_decoder_plan(r);

    return st == ONESTEP_OK ? ons_plan_allocate(r->decoder) : st;
}

static ons_value *timestep_leaf(const ons_runner *r, ons_graph *g, int timestep)
{
    const ons_shape shape = ONS_SHAPE1(1), all = ONS_SHAPE1(r->options.batch);
    const float t = (float)timestep;

    if (timestep < 0)
        return ons_input(g, "t", ONS_F32, &all);
    return ons_broadcast_to(g, ons_constant(g, ONS_F32, &shape, &t), &all);
}

static ons_value *twice(ons_graph *g, ons_value *x)
{
    ons_value *both[2] = {x, x};

    return ons_concat(g, 0, both, 2);
}

/* eps = eps_uncond + w (eps_cond - eps_uncond); rows [0, N) are conditional (Ho & Salimans 2022). */
static ons_value *guide(ons_graph *g, ons_value *both, int64_t n)
{
    const ons_shape scalar = ONS_SHAPE0();
    ons_value *w = ons_input(g, "guidance", ONS_F32, &scalar);
    ons_value *cond = ons_slice(g, both, 0, 0, n), *uncond = ons_slice(g, both, 0, n, n);

    return ons_add(g, uncond, ons_mul(g, ons_sub(g, cond, uncond), w));
}

static onestep_status build_unet(ons_runner *r, ons_unet_key key, ons_plan **out)
{
    const int64_t n = r->options.batch;
    const ons_shape x_shape = ONS_SHAPE4(n, r->h, r->w, r->c);
    const ons_shape context_shape = ONS_SHAPE3(key.guided ? 2 * n : n, r->n_tokens, r->n_hidden);
    ons_value *x, *t, *context, *eps;
    ons_graph *g = NULL;
    ons_nn nn;
    char label[64];
    onestep_status st;

    if (ons_graph_create(&g) != ONESTEP_OK)
        return ONESTEP_NO_MEMORY;
    ons_nn_init(&nn, g, r->model->unet, 0, false);
    nn.adapter = r->model->adapter;
    x = ons_input(g, "x", ONS_F32, &x_shape);
    t = timestep_leaf(r, g, key.timestep);
    context = ons_input(g, "context", ONS_F32, &context_shape);
    if (key.guided) {
        x = twice(g, x);
        t = twice(g, t);
    }
    eps = ons_unet_build(&nn, &r->model->unet_config, x, t, context);
    if (key.guided)
        eps = guide(g, eps, n);
    ons_graph_output(g, eps, "eps");
    snprintf(label, sizeof label, "unet %dx%dx%d%s", (int)n, (int)r->h, (int)r->w, key.guided ? " guided" : "");
    st = ons_runner_finish_plan(r, &g, r->model->unet, scales_of(r, ONS_INT8_UNET), label, out);
    if (st == ONESTEP_OK)
        ons_plan_observe(*out, r->options.observe, r->options.observe_unet);
    return st;
}

onestep_status ons_runner_make_unet_plan(ons_runner *r, ons_unet_key key, ons_plan **out)
{
    ons_plan *p = NULL;
    onestep_status st;

    for (int i = 0; i < r->n_unet; i++)
        if (r->unet[i].key.guided == key.guided && r->unet[i].key.timestep == key.timestep) {
            *out = r->unet[i].plan;
            return ONESTEP_OK;
        }
    ONS_TRY(build_unet(r, key, &p));
    if (r->n_unet == MAX_UNET_PLANS) { /* the oldest goes */
        ons_plan_destroy(&r->unet[0].plan);
        memmove(&r->unet[0], &r->unet[1], sizeof r->unet[0] * (MAX_UNET_PLANS - 1));
        r->n_unet--;
    }
    r->unet[r->n_unet++] = (ons_unet_plan){key, p};
    *out = p;
    return ONESTEP_OK;
fail:
    return st;
}

onestep_status ons_runner_unet_plan(ons_runner *r, ons_unet_key key, ons_plan **out)
{
    const onestep_status st = ons_runner_make_unet_plan(r, key, out);

    return st == ONESTEP_OK ? ons_plan_allocate(*out) : st;
}
