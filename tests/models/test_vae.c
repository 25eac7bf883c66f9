/* AutoencoderKL against diffusers, with and without middle attention and quantisation convolutions; and
 * AutoencoderTiny. */
#include "../unit/unit_test.h"

#include "model/names.h"
#include "model/recognise.h"
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

static void test_tiny(void **state)
{
    (void)state;
    check_vae("vae_tiny");
}

/* The published architecture has the published numbers of weights; a decoder alone has no encoder. */
static void test_tiny_size(void **state)
{
    ons_vae_config c = {.kind = ONS_VAE_TINY,
                        .in_channels = 3,
                        .out_channels = 3,
                        .latent_channels = 4,
                        .n_levels = 4,
                        .block_out_channels = {64, 64, 64, 64},
                        .encoder_blocks = {1, 3, 3, 3},
                        .decoder_blocks = {3, 3, 3, 1}};
    ons_params *params;

    (void)state;
    assert_int_equal(ons_vae_factor(&c), 8);
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    assert_int_equal(ons_vae_declare(&c, params), ONESTEP_OK);
    assert_int_equal(ons_params_n_values(params), 1222532 + 1222531);
    ons_params_destroy(&params);
    c.no_encoder = true;
    assert_int_equal(ons_params_create(&params), ONESTEP_OK);
    assert_int_equal(ons_vae_declare(&c, params), ONESTEP_OK);
    assert_int_equal(ons_params_n_values(params), 1222531);
    ons_params_destroy(&params);
}

/* A tensor's name in a file of one half under its author's names, without prefix; false: it is of the other. */
static bool standalone_name(const char *name, const char *half, char out[200])
{
    const bool decoder = half[0] == 'd';
    int number, n = 0;

    if (strncmp(name, half, strlen(half)) || sscanf(name + strlen(half), ".layers.%d%n", &number, &n) != 1)
        return false;
    snprintf(out, 200, "%d%s", number + decoder, name + strlen(half) + n);
    return true;
}

/* The vectors' weights as a file: all under diffusers' names, or one half ("encoder", "decoder") under its
 * author's. */
static const char *write_tiny(const vectors *v, const char *file_name, const char *half)
{
    const char *path = in_scratch(file_name);
    ons_safetensors_writer *w;

    assert_ok(ons_safetensors_writer_create(&w));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < ons_safetensors_count(v->file); i++) {
            const ons_file_tensor *t = ons_safetensors_at(v->file, i);
            char name[200];

            snprintf(name, sizeof name, "%.180s", t->name + 2);
            if (strncmp(t->name, "w.", 2) || (half && !standalone_name(t->name + 2, half, name)))
                continue;
            assert_ok(pass ? ons_safetensors_writer_data(w, t->data, t->size)
                           : ons_safetensors_writer_add(w, name, t->dtype, t->n_dims, t->dims));
        }
        if (pass == 0)
            assert_ok(ons_safetensors_writer_begin(w, path));
    }
    assert_ok(ons_safetensors_writer_commit(w));
    ons_safetensors_writer_destroy(&w);
    return path;
}

static void map_half(ons_params *params, ons_safetensors *f, const ons_vae_config *c, const char *only)
{
    ons_spelling spelling = ons_vae_spelling(c);

    spelling.only = only;
    assert_ok(ons_params_map(params, f, &spelling));
}

/*
 * Both halves under diffusers' names; the decoder alone under its author's; or that and the encoder in a second
 * file: the tensors tell the configuration.
 */
static void check_inferred(bool alone, bool with_encoder)
{
    ons_vae_config want, got;
    ons_safetensors *f, *encoder = NULL;
    ons_params *params;
    vectors v;

    vectors_open(&v, "vae_tiny");
    assert_ok(ons_vae_config_load(v.config, &want));
    assert_ok(ons_safetensors_open(write_tiny(&v, "tiny.safetensors", alone ? "decoder" : NULL), &f));
    assert_ok(ons_tiny_vae_config_infer(f, &got));
    assert_int_equal(got.n_levels, want.n_levels);
    assert_memory_equal(got.decoder_blocks, want.decoder_blocks, sizeof want.decoder_blocks);
    assert_int_equal(got.no_encoder, alone);
    if (with_encoder) {
        assert_ok(ons_safetensors_open(write_tiny(&v, "tiny-encoder.safetensors", "encoder"), &encoder));
        ons_tiny_vae_config_add_encoder(encoder, &got);
        assert_false(got.no_encoder);
    }
    if (!got.no_encoder)
        assert_memory_equal(got.encoder_blocks, want.encoder_blocks, sizeof want.encoder_blocks);
    assert_ok(ons_params_create(&params));
    assert_ok(ons_vae_declare(&got, params));
    map_half(params, f, &got, encoder ? "decoder." : NULL);
    if (encoder)
        map_half(params, encoder, &got, "encoder.");
    check_direction(&v, &got, params, "cpu", false);
    if (!got.no_encoder)
        check_direction(&v, &got, params, "cpu", true);
    ons_params_destroy(&params);
    ons_safetensors_close(&f);
    ons_safetensors_close(&encoder);
    vectors_close(&v);
}

static void test_tiny_files(void **state)
{
    (void)state;
    check_inferred(false, false);
    check_inferred(true, false);
    check_inferred(true, true);
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
        cmocka_unit_test(test_attention), cmocka_unit_test(test_no_attention), cmocka_unit_test(test_tiny),
        cmocka_unit_test(test_tiny_size), cmocka_unit_test(test_tiny_files),   cmocka_unit_test(test_old_names),
    };

    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
