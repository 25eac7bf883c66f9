/* Pictures: every PNG and JPEG flavour becomes RGB, broken ones are errors, fitting keeps means and edges. */
#include "../unit/unit_test.h"

#include <jpeglib.h>
#include <png.h>

#include "io/image.h"

enum { W = 37, H = 23 };

typedef struct blob {
    unsigned char data[65536];
    size_t size;
} blob;

/* A smooth picture of n channels, so that JPEG keeps it. */
static void draw(uint8_t *pixels, int n)
{
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < n; c++)
                pixels[(y * W + x) * n + c] = (uint8_t)(30 + 4 * x + 3 * y * (c + 1) / 2);
}

static void encode_png(blob *out, png_uint_32 format, const void *pixels, const void *colormap, int n_colors)
{
    png_image png = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = format};

    png.colormap_entries = (png_uint_32)n_colors;
    png_alloc_size_t size = sizeof out->data;
    if (!png_image_write_to_memory(&png, out->data, &size, 0, pixels, 0, colormap))
        fail_msg("libpng: %s", png.message);
    out->size = size;
}

static void encode_jpeg(blob *out, J_COLOR_SPACE space, int n, bool adobe)
{
    static uint8_t pixels[W * H * 4];
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *memory = NULL;
    unsigned long size = 0;

    draw(pixels, n);
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &memory, &size);
    c.image_width = W;
    c.image_height = H;
    c.input_components = n;
    c.in_color_space = space;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 98, TRUE);
    c.comp_info[0].h_samp_factor = c.comp_info[0].v_samp_factor = 1;
    c.write_Adobe_marker = adobe;
    jpeg_start_compress(&c, TRUE);
    while (c.next_scanline < H) {
        JSAMPROW row = pixels + (size_t)c.next_scanline * W * (size_t)n;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    assert_true(size <= sizeof out->data);
    memcpy(out->data, memory, size);
    out->size = size;
    free(memory);
}

/* Decodes and compares with `expected`, [H, W, 3], each value within `tolerance`. */
static void assert_decodes(const blob *b, const uint8_t *expected, int tolerance)
{
    ons_image image;

    assert_ok(ons_image_decode(b->data, b->size, "blob", &image));
    assert_int_equal(image.width, W);
    assert_int_equal(image.height, H);
    for (int i = 0; i < W * H * 3; i++)
        if (abs(image.rgb[i] - expected[i]) > tolerance)
            fail_msg("value %d is %d, expected %d", i, image.rgb[i], expected[i]);
    ons_image_fini(&image);
    ons_image_fini(&image);
}

static void every_png_flavour_becomes_rgb(void **state)
{
    static uint8_t rgb[W * H * 3], grey[W * H], rgba[W * H * 4], expected[W * H * 3];
    static uint16_t deep[W * H * 3];
    static const uint8_t colors[2][4] = {{10, 20, 30, 255}, {200, 100, 50, 0}};
    static blob b;

    (void)state;
    draw(rgb, 3);
    encode_png(&b, PNG_FORMAT_RGB, rgb, NULL, 0);
    assert_decodes(&b, rgb, 0);
    draw(grey, 1);
    for (int i = 0; i < W * H * 3; i++)
        expected[i] = grey[i / 3];
    encode_png(&b, PNG_FORMAT_GRAY, grey, NULL, 0);
    assert_decodes(&b, expected, 0);
    for (int i = 0; i < W * H; i++) { /* opaque or clear; clear shows white */
        memcpy(rgba + 4 * i, rgb + 3 * i, 3);
        rgba[4 * i + 3] = i % 2 ? 255 : 0;
        memcpy(expected + 3 * i, i % 2 ? (const void *)(rgb + 3 * i) : "\xff\xff\xff", 3);
    }
    encode_png(&b, PNG_FORMAT_RGBA, rgba, NULL, 0);
    assert_decodes(&b, expected, 0);
    for (int i = 0; i < W * H; i++) {
        grey[i] = (uint8_t)(i % 3 == 0);
        memcpy(expected + 3 * i, grey[i] ? (const void *)"\xff\xff\xff" : colors[0], 3);
    }
    encode_png(&b, PNG_FORMAT_RGBA_COLORMAP, grey, colors, 2);
    assert_decodes(&b, expected, 0);
    for (int i = 0; i < W * H * 3;
         i++) { /* 16 bits are linear light in libpng's interface: black and white only */
        deep[i] = i / 3 % 2 ? 65535 : 0;
        expected[i] = i / 3 % 2 ? 255 : 0;
    }
    encode_png(&b, PNG_FORMAT_LINEAR_RGB, deep, NULL, 0);
    assert_int_equal(b.data[24], 16); /* the header's bit depth */
    assert_decodes(&b, expected, 0);
}

static void every_jpeg_flavour_becomes_rgb(void **state)
{
    static uint8_t rgb[W * H * 3], cmyk[W * H * 4], grey[W * H], expected[W * H * 3];
    static blob b;

    (void)state;
    draw(rgb, 3);
    encode_jpeg(&b, JCS_RGB, 3, false);
    assert_decodes(&b, rgb, 6);
    draw(grey, 1);
    for (int i = 0; i < W * H * 3; i++)
        expected[i] = grey[i / 3];
    encode_jpeg(&b, JCS_GRAYSCALE, 1, false);
    assert_decodes(&b, expected, 4);
    draw(cmyk, 4);
    for (int i = 0; i < W * H * 3; i++)
        expected[i] = (uint8_t)(cmyk[i / 3 * 4 + i % 3] * cmyk[i / 3 * 4 + 3] / 255);
    encode_jpeg(&b, JCS_CMYK, 4, true);
    assert_decodes(&b, expected, 6);
    for (int i = 0; i < W * H * 3; i++)
        expected[i] = (uint8_t)((255 - cmyk[i / 3 * 4 + i % 3]) * (255 - cmyk[i / 3 * 4 + 3]) / 255);
    encode_jpeg(&b, JCS_CMYK, 4, false);
    assert_decodes(&b, expected, 6);
}

static void assert_broken(const void *data, size_t size, const char *reason)
{
    ons_image image;

    assert_int_equal(ons_image_decode(data, size, "broken", &image), ONESTEP_BAD_FILE);
    assert_null(image.rgb);
    if (!strstr(onestep_error_text(), "broken") || !strstr(onestep_error_text(), reason))
        fail_msg("\"%s\" lacks \"%s\"", onestep_error_text(), reason);
}

static void cut_and_damaged_files_are_errors(void **state)
{
    static uint8_t rgb[W * H * 3];
    static blob b;

    (void)state;
    draw(rgb, 3);
    encode_png(&b, PNG_FORMAT_RGB, rgb, NULL, 0);
    for (size_t n = 8; n + 16 < b.size; n += 7)
        assert_broken(b.data, n, "PNG");
    b.data[b.size / 2] ^= 0x55; /* in the pixels: the checksum tells */
    assert_broken(b.data, b.size, "PNG");
    encode_jpeg(&b, JCS_RGB, 3, false);
    for (size_t n = 4; n + 2 < b.size; n += 7)
        assert_broken(b.data, n, "JPEG");
    assert_broken("GIF89a", 6, "neither");
    assert_broken("", 0, "neither");
    assert_broken(NULL, 0, "neither");
}

/* A PNG header that claims 2^31-1 squared pixels, and one just over the limit. */
static void huge_claims_are_refused(void **state)
{
    static uint8_t rgb[W * H * 3];
    static blob b;
    static const unsigned char sides[][4] = {{0x7F, 0xFF, 0xFF, 0xFF}, {0, 0, 0x40, 1}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        encode_png(&b, PNG_FORMAT_RGB, rgb, NULL, 0);
        memcpy(b.data + 16, sides[i], 4);
        memcpy(b.data + 20, sides[i], 4);
        uint32_t crc = ~0u; /* of type and body, as the PNG specification computes it */
        for (int k = 12; k < 29; k++) {
            crc ^= b.data[k];
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        }
        for (int k = 0; k < 4; k++)
            b.data[29 + k] = (unsigned char)(~crc >> (24 - 8 * k));
        assert_broken(b.data, b.size, "");
    }
    assert_error_has("16384");
}

static void files_are_told_apart_by_content(void **state)
{
    static uint8_t rgb[W * H * 3];
    static blob b;
    ons_image image;

    (void)state;
    draw(rgb, 3);
    encode_png(&b, PNG_FORMAT_RGB, rgb, NULL, 0);
    assert_ok(ons_write_file(in_scratch("png.jpg"), b.data, b.size));
    assert_ok(ons_image_load(in_scratch("png.jpg"), &image));
    assert_memory_equal(image.rgb, rgb, sizeof rgb);
    ons_image_fini(&image);
    assert_int_equal(ons_image_load(in_scratch("none.png"), &image), ONESTEP_NOT_FOUND);
    assert_int_equal(ons_image_load(scratch, &image), ONESTEP_IO);
}

static void every_failing_allocation_is_survived(void **state)
{
    static blob b;
    ons_image image;

    (void)state;
    encode_jpeg(&b, JCS_CMYK, 4, true);
    for (long n = 1; n <= 2; n++) {
        ons_memory_fail_after(n);
        assert_int_equal(ons_image_decode(b.data, b.size, "x", &image), ONESTEP_NO_MEMORY);
        ons_memory_fail_after(0);
        assert_null(image.rgb);
    }
}

static void fitting_keeps_means_and_crops_the_middle(void **state)
{
    static uint8_t flat[60 * 40 * 3], bars[60 * 40 * 3], out[100 * 100 * 3];
    ons_image image = {60, 40, flat};

    (void)state;
    memset(flat, 77, sizeof flat);
    ons_image_fit(&image, 33, 100, out);
    for (int i = 0; i < 33 * 100 * 3; i++)
        assert_int_equal(out[i], 77);
    for (int i = 0; i < 60 * 40 * 3; i++) /* outer sixths black, the middle 40 columns white */
        bars[i] = i / 3 % 60 >= 10 && i / 3 % 60 < 50 ? 255 : 0;
    image.rgb = bars;
    ons_image_fit(&image, 20, 20, out);
    for (int i = 0; i < 20 * 20 * 3; i++)
        assert_int_equal(out[i], 255);
    ons_image_fit(&image, 60, 40, out); /* same size: same picture */
    assert_memory_equal(out, bars, sizeof bars);
    for (int i = 0; i < 60 * 40 * 3; i++)
        bars[i] = (i / 3 % 60 + i / 180) % 2 ? 255 : 0; /* a checkerboard turns grey, not into stripes */
    ons_image_fit(&image, 20, 20, out);
    for (int i = 0; i < 20 * 20 * 3; i++)
        assert_in_range(out[i], 126, 129);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_png_flavour_becomes_rgb),
        cmocka_unit_test(every_jpeg_flavour_becomes_rgb),
        cmocka_unit_test(cut_and_damaged_files_are_errors),
        cmocka_unit_test(huge_claims_are_refused),
        cmocka_unit_test(files_are_told_apart_by_content),
        cmocka_unit_test(every_failing_allocation_is_survived),
        cmocka_unit_test(fitting_keeps_means_and_crops_the_middle),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
