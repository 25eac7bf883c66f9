/* Decoding by libpng and libjpeg-turbo; their errors come back by longjmp into the two functions that call
 * them. */
#include "io/image.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

#include "base/file.h"
#include "base/memory.h"

static onestep_status check_size(const char *what, uint64_t width, uint64_t height)
{
    if (width >= 1 && height >= 1 && width <= ONS_IMAGE_MAX_SIDE && height <= ONS_IMAGE_MAX_SIDE)
        return ONESTEP_OK;
    return ons_fail(ONESTEP_BAD_FILE, "%s: %llux%llu pixels; 1 to %d a side can be read", what,
                    (unsigned long long)width, (unsigned long long)height, ONS_IMAGE_MAX_SIDE);
}

static onestep_status allocate(ons_image *image, const char *what, int width, int height)
{
    image->width = width;
    image->height = height;
    image->rgb = ons_malloc((size_t)width * (size_t)height * 3);
    return image->rgb ? ONESTEP_OK
                      : ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for %dx%d pixels", what, width, height);
}

/* libpng's simplified interface does every conversion; white is the background of transparent pixels. */
static onestep_status decode_png(const void *data, size_t size, const char *what, ons_image *out)
{
    png_image png = {.version = PNG_IMAGE_VERSION};
    png_color white = {255, 255, 255};
    onestep_status st;

    if (!png_image_begin_read_from_memory(&png, data, size))
        return ons_fail(ONESTEP_BAD_FILE, "%s: not a readable PNG (%s)", what, png.message);
    png.format = PNG_FORMAT_RGB;
    if ((st = check_size(what, png.width, png.height)) == ONESTEP_OK)
        st = allocate(out, what, (int)png.width, (int)png.height);
    if (st == ONESTEP_OK && !png_image_finish_read(&png, &white, out->rgb, 0, NULL))
        st = ons_fail(ONESTEP_BAD_FILE, "%s: damaged PNG (%s)", what, png.message);
    png_image_free(&png);
    return st;
}

/* What survives the longjmp out of libjpeg: reached by address only, so setjmp leaves it alone. */
typedef struct jpeg_state {
    struct jpeg_error_mgr errors; /* first: libjpeg hands its address back */
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
    uint8_t *row; /* [width, 4] */
} jpeg_state;

static void leave_jpeg(j_common_ptr c)
{
    jpeg_state *s = (jpeg_state *)c->err;

    s->errors.format_message(c, s->text);
    longjmp(s->back, 1);
}

/* libjpeg fills what a cut file lacks with grey and calls it a warning; here it is an error. Other warnings
 * pass. */
static void judge_message(j_common_ptr c, int level)
{
    if (level < 0 && c->err->msg_code == JWRN_JPEG_EOF)
        leave_jpeg(c);
}

/* RGB = (255 - CMY) * (255 - K) / 255; Adobe's programs store all four inverted. */
static void cmyk_row(const uint8_t *src, uint8_t *dst, int width, bool inverted)
{
    int flip = inverted ? 0 : 255;

    for (int x = 0; x < width; x++)
        for (int c = 0; c < 3; c++)
            dst[3 * x + c] = (uint8_t)((src[4 * x + c] ^ flip) * (src[4 * x + 3] ^ flip) / 255);
}

static onestep_status read_jpeg(struct jpeg_decompress_struct *c, jpeg_state *s, const void *data, size_t size,
                                const char *what, ons_image *out)
{
    bool cmyk;
    onestep_status st;

    jpeg_mem_src(c, data, size);
    jpeg_read_header(c, TRUE);
    if ((st = check_size(what, c->image_width, c->image_height)) != ONESTEP_OK ||
        (st = allocate(out, what, (int)c->image_width, (int)c->image_height)) != ONESTEP_OK)
        return st;
    cmyk = c->num_components == 4;
    c->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    s->row = ons_malloc((size_t)c->image_width * 4);
    if (!s->row)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a row", what);
    jpeg_start_decompress(c);
    while (c->output_scanline < c->output_height) {
        uint8_t *dst = out->rgb + (size_t)c->output_scanline * (size_t)out->width * 3;

        jpeg_read_scanlines(c, &s->row, 1);
        if (cmyk)
            cmyk_row(s->row, dst, out->width, c->saw_Adobe_marker);
        else
            memcpy(dst, s->row, (size_t)out->width * 3);
    }
    jpeg_finish_decompress(c);
    return ONESTEP_OK;
}

static onestep_status decode_jpeg(const void *data, size_t size, const char *what, ons_image *out)
{
    struct jpeg_decompress_struct c = {0};
    jpeg_state state = {0};
    onestep_status st;

    c.err = jpeg_std_error(&state.errors);
    state.errors.error_exit = leave_jpeg;
    state.errors.emit_message = judge_message;
    if (setjmp(state.back)) {
        st = ons_fail(ONESTEP_BAD_FILE, "%s: damaged JPEG (%s)", what, state.text);
    } else {
        jpeg_create_decompress(&c);
        st = read_jpeg(&c, &state, data, size, what, out);
    }
    jpeg_destroy_decompress(&c);
    ons_free(state.row);
    return st;
}

onestep_status ons_image_decode(const void *data, size_t size, const char *what, ons_image *out)
{
    static const unsigned char png[] = {0x89, 'P', 'N', 'G'}, jpeg[] = {0xFF, 0xD8, 0xFF};
    onestep_status st;

    *out = (ons_image){0};
    if (size >= sizeof png && !memcmp(data, png, sizeof png))
        st = decode_png(data, size, what, out);
    else if (size >= sizeof jpeg && !memcmp(data, jpeg, sizeof jpeg))
        st = decode_jpeg(data, size, what, out);
    else
        return ons_fail(ONESTEP_BAD_FILE, "%s: neither a PNG nor a JPEG", what);
    if (st != ONESTEP_OK)
        ons_image_fini(out);
    return st;
}

onestep_status ons_image_load(const char *path, ons_image *out)
{
    ons_map map = {0};
    onestep_status st = ons_map_open(path, &map);

    *out = (ons_image){0};
    if (st == ONESTEP_OK)
        st = ons_image_decode(map.data, map.size, path, out);
    ons_map_close(&map);
    return st;
}

void ons_image_fini(ons_image *image)
{
    ons_free(image->rgb);
    *image = (ons_image){0};
}
