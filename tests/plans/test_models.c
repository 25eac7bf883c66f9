/*
 * The printed plan of each model, at the small configurations of tests/models, as text: what a builder, a pass
 * or the planner does to a model shows up as a difference here. The plan is ref's, on one thread, so that it
 * does not depend on the machine. Above it stand hashes of the dump of the graph as built, and of the graph
 * with gradients.
 *
 * A change that is meant: ONESTEP_UPDATE_PLANS=1 meson test -C build --suite plans, then look at the difference
 * and commit it.
 */
#include <inttypes.h>

#include "base/file.h"
#include "model/model.h"
#include "plan_test.h"

enum { BATCH = 2, SIDE = 8, TOKENS = 6, MAX_WRT = 512, MAX_FILE_BYTES = 1 << 20 };

typedef struct model {
    const char *name, *config;
    ons_value *(*build)(ons_graph *g, ons_params *p, const char *config, bool trainable);
} model;

static void check(onestep_status st)
{
    if (st != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
}

static ons_value *build_unet(ons_graph *g, ons_params *p, const char *config, bool trainable)
{
    ons_value *x, *t, *context;
    ons_unet_config c;
    ons_nn nn;

    check(ons_unet_config_load(config, &c));
    ons_nn_init(&nn, g, p, 0, trainable);
    x = ons_input(g, "x", ONS_F32, &ONS_SHAPE4(BATCH, SIDE, SIDE, c.in_channels));
    t = ons_input(g, "t", ONS_F32, &ONS_SHAPE1(BATCH));
    context = ons_input(g, "context", ONS_F32, &ONS_SHAPE3(BATCH, TOKENS, c.cross_attention_dim));
    return ons_unet_build(&nn, &c, x, t, context);
}

static ons_value *build_encoder(ons_graph *g, ons_params *p, const char *config, bool trainable)
{
    ons_vae_config c;
    ons_nn nn;

    check(ons_vae_config_load(config, &c));
    ons_nn_init(&nn, g, p, 0, trainable);
    return ons_vae_encode_build(&nn, &c,
                                ons_input(g, "pixels", ONS_F32, &ONS_SHAPE4(BATCH, 2 * SIDE, 2 * SIDE, 3)));
}

static ons_value *build_decoder(ons_graph *g, ons_params *p, const char *config, bool trainable)
{
    ons_vae_config c;
    ons_nn nn;

    check(ons_vae_config_load(config, &c));
    ons_nn_init(&nn, g, p, 0, trainable);
    return ons_vae_decode_build(
        &nn, &c, ons_input(g, "latent", ONS_F32, &ONS_SHAPE4(BATCH, SIDE, SIDE, c.latent_channels)));
}

static ons_value *build_text(ons_graph *g, ons_params *p, const char *config, bool trainable)
{
    ons_clip_config c;
    ons_nn nn;

    check(ons_clip_config_load(config, &c));
    ons_nn_init(&nn, g, p, 0, trainable);
    return ons_clip_text_build(&nn, &c, ons_input(g, "ids", ONS_I32, &ONS_SHAPE2(BATCH, TOKENS)));
}

/* A graph of the model; its parameters are declared on the way into `p`. */
static ons_graph *build_graph(const model *m, ons_params *p, bool trainable)
{
    char config[512];
    ons_graph *g = make_graph();
    ons_value *y;

    assert_non_null(getenv("ONESTEP_SOURCE_ROOT"));
    snprintf(config, sizeof config, "%s/tests/models/vectors/%s.json", getenv("ONESTEP_SOURCE_ROOT"),
             m->config);
    y = m->build(g, p, config, trainable);
    if (!trainable) {
        ons_graph_output(g, y, "y");
    } else {
        ons_value *loss = ons_mean_all(g, ons_unary(g, ONS_OP_SQUARE, y)), *wrt[MAX_WRT], *grads[MAX_WRT];
        int n = 0;

        for (int i = 0; i < ons_graph_n_nodes(g) && n < MAX_WRT; i++)
            if (ons_graph_node(g, i)->op == ONS_OP_PARAM)
                wrt[n++] = ons_graph_node(g, i)->out[0];
        ons_grad(g, &loss, &(ons_value *){ons_scalar(g, 1)}, 1, wrt, n, grads);
        for (int i = 0; i < n; i++)
            ons_graph_output(g, grads[i], wrt[i]->node->name);
    }
    check(ons_graph_finish(g));
    return g;
}

static char *describe(const model *m)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    ons_params *p;
    ons_graph *g;
    ons_plan *plan;

    assert_non_null(f);
    check(ons_params_create(&p));
    g = build_graph(m, p, true);
    fprintf(f, "graph with gradients %016" PRIx64 "\n", ons_graph_hash(g));
    ons_graph_destroy(&g);
    g = build_graph(m, p, false);
    fprintf(f, "graph %016" PRIx64 "\n", ons_graph_hash(g));
    check(ons_params_allocate(p));
    plan = make_plan(g, &ons_backend_ref, (ons_params *const[]){p, NULL}, 0);
    ons_plan_print(plan, f);
    assert_int_equal(fclose(f), 0);
    ons_plan_destroy(&plan);
    ons_params_destroy(&p);
    return text;
}

/* Fails with the first line that differs, and says how to accept it. */
static void compare_lines(const char *path, const char *got, const char *want)
{
    int line = 1;
    size_t start = 0, i = 0;

    for (; got[i] && got[i] == want[i]; i++)
        if (got[i] == '\n') {
            line++;
            start = i + 1;
        }
    if (got[i] != want[i])
        fail_msg("%s:%d\n  now      %.*s\n  expected %.*s\nif this is meant, run this test again with "
                 "ONESTEP_UPDATE_PLANS=1 and commit what it writes",
                 path, line, (int)strcspn(got + start, "\n"), got + start, (int)strcspn(want + start, "\n"),
                 want + start);
}

static void plan_is_unchanged(void **state)
{
    const model *m = *state;
    char path[512], *got = describe(m), *want = NULL;
    size_t size;

    snprintf(path, sizeof path, "%s/tests/plans/expected/%s.txt", getenv("ONESTEP_SOURCE_ROOT"), m->name);
    if (getenv("ONESTEP_UPDATE_PLANS"))
        check(ons_write_file(path, got, strlen(got)));
    check(ons_read_file(path, MAX_FILE_BYTES, &want, &size));
    compare_lines(path, got, want);
    ons_free(want);
    free(got);
}

int main(void)
{
    static model models[] = {{"unet", "unet_plain", build_unet},
                             {"vae_encoder", "vae", build_encoder},
                             {"vae_decoder", "vae", build_decoder},
                             {"clip_text", "clip_quick_gelu", build_text}};
    const struct CMUnitTest tests[] = {
        {"unet", plan_is_unchanged, reset_backend, NULL, &models[0]},
        {"vae_encoder", plan_is_unchanged, reset_backend, NULL, &models[1]},
        {"vae_decoder", plan_is_unchanged, reset_backend, NULL, &models[2]},
        {"clip_text", plan_is_unchanged, reset_backend, NULL, &models[3]},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
