/* Names of the original code against the table that tests/reference/make_single_file.py wrote and diffusers'
 * converters verified. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/names.h"
#include "vectors.h"

/* Stable Diffusion's block structure. */
static const ons_unet_config unet = {.n_levels = 4,
                                     .layers_per_block = {2, 2, 2, 2},
                                     .down_attention = {true, true, true, false},
                                     .up_attention = {false, true, true, true}};
static const ons_vae_config vae = {.n_levels = 4};

static bool find(const char *part, const char *name, ons_place_in_file *place)
{
    if (!strcmp(part, "unet"))
        return ons_unet_original_name(&unet, name, place);
    return !strcmp(part, "vae") ? ons_vae_original_name(&vae, name, place)
                                : ons_clip_original_name(name, place);
}

static void check_line(const char *line)
{
    char part[16], name[200], original[200];
    ons_place_in_file place = {.n_parts = 0};
    int which, parts;

    assert_int_equal(sscanf(line, "%15s %199s %199s %d %d", part, name, original, &which, &parts), 5);
    if (!find(part, name, &place))
        fail_msg("%s: no original name", name);
    assert_string_equal(place.name, original);
    assert_int_equal(place.part, which);
    assert_int_equal(place.n_parts, parts);
}

static void test_table(void **state)
{
    char *path = ons_format("%s/tests/models/vectors/original_names.txt", getenv("ONESTEP_SOURCE_ROOT")), *text,
         *next;
    size_t size;
    int n = 0;

    (void)state;
    if (ons_read_file(path, 1 << 20, &text, &size) != ONESTEP_OK)
        fail_msg("%s", onestep_error_text());
    for (char *line = text; *line; line = next, n++) {
        next = line + strcspn(line, "\n");
        if (*next)
            *next++ = 0;
        check_line(line);
    }
    assert_int_equal(n, 684 + 244 +
                            372); /* as Stable Diffusion, but for the shortcuts between levels of one width */
    ons_free(text);
    ons_free(path);
}

/* The places in a file, in the order in which they are tried. */
static void test_attempts(void **state)
{
    static const char *const expected[] = {
        "unet.conv_in.weight", "model.diffusion_model.input_blocks.0.0.weight", "input_blocks.0.0.weight"};
    const ons_spelling s = ons_unet_spelling(&unet);
    ons_place_in_file place;

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_true(s.place(s.context, "conv_in.weight", i, &place));
        assert_string_equal(place.name, expected[i]);
    }
    assert_false(s.place(s.context, "conv_in.weight", 3, &place));
    assert_false(s.place(s.context, "down_blocks.9.resnets.0.norm1.weight", 1, &place));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_attempts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
