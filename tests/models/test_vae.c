/* AutoencoderKL against diffusers, with and without middle attention and quantisation convolutions. */
#include <string.h>

#include "model/names.h"
#include "vectors.h"

static void check_direction(const vectors *v, const ons_vae_config *c, ons_params *params, const char *backend,
                            bool encode)
{
    const char *result = encode ? "out.moments" : "out.pixels";
    ons_graph *g;
    ons_plan *p;
    ons_nn nn;

    assert_int_equal(ons_graph_create(&g), ONESTEP_OK);
    ons_nn_init(&nn, g, params, 0, false);
    ons_graph_output(g,
                     encode ? ons_vae_encode_build(&nn, c, vectors_input(v, g, "in.pixels"))
                            : ons_vae_decode_build(&nn, c, vectors_input(v, g, "in.latent")),
                     result);
    p = vectors_plan(v, &g, params, backend);
    vectors_compare(v, p, result, 2e-5);
    ons_plan_destroy(&p);
}

static void check_vae(const char *name)
{
    static const char *const backends[] = {"ref", "cpu"};
    ons_vae_config config;
    ons_params *params;
    vectors v;

    vectors_open(&v, name);
    assert_int_equal(ons_vae_config_load(v.config, &config), ONESTEP_OK);
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    assert_int_equal(ons_vae_declare(&config, params), ONESTEP_OK);
    if (ons_params_load(params, v.file, "w.") != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    for (size_t i = 0; i < 2; i++) {
        check_direction(&v, &config, params, backends[i], true);
        check_direction(&v, &config, params, backends[i], false);
    }
    ons_params_destroy(&params);
    vectors_close(&v);
}

static void test_attention(void **state)
{
    (void)state;
    check_vae("vae");
}

static void test_no_attention(void **state)
{
    (void)state;
    check_vae("vae_no_attention");
}

static void test_old_names(void **state)
{
    const ons_vae_config config = {.n_levels = 2};
    const ons_spelling vae = ons_vae_spelling(&config);
    ons_place_in_file place;

    (void)state;
    assert_true(vae.place(vae.context, "decoder.mid_block.attentions.0.to_out.0.bias", 0, &place));
    assert_string_equal(place.name, "decoder.mid_block.attentions.0.proj_attn.bias");
    assert_true(vae.place(vae.context, "encoder.mid_block.attentions.0.to_q.weight", 0, &place));
    assert_string_equal(place.name, "encoder.mid_block.attentions.0.query.weight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_no_attention),
        cmocka_unit_test(test_old_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
