/*
 * Profiles one training step (forward and backward, without the optimizer) of a UNet given by its config.json:
 * seconds and share per kernel, and the rate against the FLOPs that the direct algorithms need.
 *
 * Usage: bench_train_step config.json batch [threads] [context tokens]
 */
#include <stdio.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "base/random.h"
#include "base/system.h"
#include "model/model.h"
#include "train/gradients.h"

typedef struct setup {
    ons_unet_config config;
    ons_params *params;
    ons_plan *plan;
    int64_t batch, tokens;
    int n_threads;
} setup;

static onestep_status build(const setup *s, ons_graph *g)
{
    const ons_unet_config *c = &s->config;
    ons_value *x =
        ons_input(g, "x", ONS_F32, &ONS_SHAPE4(s->batch, c->sample_size, c->sample_size, c->in_channels));
    ons_value *t = ons_input(g, "t", ONS_F32, &ONS_SHAPE1(s->batch));
    ons_value *context =
        ons_input(g, "context", ONS_F32, &ONS_SHAPE3(s->batch, s->tokens, c->cross_attention_dim));
    ons_value *loss;
    ons_nn nn;

    ons_nn_init(&nn, g, s->params, 0, true);
    loss = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, ons_unet_build(&nn, c, x, t, context)));
    ons_graph_output(g, loss, "loss");
    return ons_train_add_gradients(g, &loss, NULL, 1, (const int[]){0}, 1);
}

static void fill_input(ons_plan *p, const char *name, uint64_t stream)
{
    const ons_value *v = ons_plan_find(p, name);

    ons_randn(1, stream, 0, ons_plan_input(p, name), (size_t)ons_shape_count(&v->shape));
}

static onestep_status make_plan(setup *s, const char *path)
{
    ons_plan_options options = {.n_threads = s->n_threads, .precision = ONS_F32, .label = "unet"};
    ons_graph *g = NULL;
    onestep_status st;

    ONS_TRY(ons_unet_config_load(path, &s->config));
    ONS_TRY(ons_params_create(&s->params));
    ONS_TRY(ons_unet_declare(&s->config, s->params));
    ons_params_init(s->params, 1);
    options.params[0] = s->params;
    ONS_TRY(ons_graph_create(&g));
    ONS_TRY(build(s, g));
    ONS_TRY(ons_plan_create(&g, &options, &s->plan));
    ONS_TRY(ons_plan_allocate(s->plan));
    fill_input(s->plan, "x", 1);
    fill_input(s->plan, "t", 2);
    fill_input(s->plan, "context", 3);
fail:
    ons_graph_destroy(&g);
    return st;
}

static onestep_status time_steps(setup *s)
{
    enum { STEPS = 5 };
    double start, seconds, packing = 0;
    onestep_status st;

    ONS_TRY(ons_plan_run(s->plan));
    ons_plan_profile(s->plan, true);
    start = ons_now_s();
    for (int i = 0; i < STEPS; i++) {
        double before = ons_now_s();

        ons_params_touch(s->params);
        ons_params_refresh(s->params);
        packing += ons_now_s() - before;
        ONS_TRY(ons_plan_run(s->plan));
    }
    seconds = (ons_now_s() - start) / STEPS;
    ons_plan_profile_print(s->plan, stdout);
    printf("%zu parameters, batch %lld: %.1f ms a step, %.1f ms of it packing weights, %.1f GFLOP/s\n",
           ons_params_n_values(s->params), (long long)s->batch, seconds * 1e3, packing / STEPS * 1e3,
           ons_plan_flops(s->plan) / seconds / 1e9);
fail:
    return st;
}

int main(int argc, char **argv)
{
    setup s = {.batch = argc > 2 ? atoi(argv[2]) : 0,
               .n_threads = argc > 3 ? atoi(argv[3]) : 0,
               .tokens = argc > 4 ? atoi(argv[4]) : 24};
    onestep_status st = ONESTEP_BAD_ARGUMENT;

    if (s.batch < 1 || s.tokens < 1) {
        fprintf(stderr, "usage: %s config.json batch [threads] [context tokens]\n", argv[0]);
        return 2;
    }
    if ((st = make_plan(&s, argv[1])) == ONESTEP_OK)
        st = time_steps(&s);
    if (st != ONESTEP_OK)
        fprintf(stderr, "%s\n", onestep_error_text());
    ons_plan_destroy(&s.plan);
    ons_params_destroy(&s.params);
    return st == ONESTEP_OK ? 0 : 1;
}
