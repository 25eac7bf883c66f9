/*
 * JPEG through libjpeg, whose errors jump: what has to be released lives in a struct that outlives the jump. A
 * file that breaks off in its pixels decodes to grey with a warning in libjpeg; here that is an error, because
 * grey halves would be learnt.
 */
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>
#include <setjmp.h>
#include <string.h>

#include "base/memory.h"
#include "data/picture.h"

enum { MAX_PIXELS = 1 << 28 };

typedef struct decoder {
    struct jpeg_error_mgr errors; /* first: libjpeg hands this pointer back */
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
    struct jpeg_decompress_struct jpeg;
    uint8_t *row, *pixels;
    bool no_memory;
} decoder;

static void leave(j_common_ptr jpeg)
{
    decoder *d = (decoder *)(void *)jpeg->err;
    jpeg->err->format_message(jpeg, d->message);
    longjmp(d->jump, 1);
}

static void treat_message(j_common_ptr jpeg, int level)
{
    const int code = jpeg->err->msg_code;
    if (level < 0 && (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER))
        leave(jpeg);
}

/* Row of grey, RGB or (Adobe's inverted) CMYK to RGBA. */
static void expand_row(const uint8_t *src, int n_components, int width, uint8_t *dst)
{
    for (int x = 0; x < width; x++, src += n_components, dst += 4) {
        for (int c = 0; c < 3; c++)
            dst[c] = n_components == 1 ? src[0] : n_components == 3 ? src[c] : (uint8_t)(src[c] * src[3] / 255);
        dst[3] = 255;
    }
}

static void choose_output(struct jpeg_decompress_struct *jpeg)
{
    if (jpeg->jpeg_color_space == JCS_GRAYSCALE)
        jpeg->out_color_space = JCS_GRAYSCALE;
    else if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK)
        jpeg->out_color_space = JCS_CMYK;
    else
        jpeg->out_color_space = JCS_RGB;
}

/* True when all went well; every failure ends in the jump, save the lack of memory. */
static bool decode(decoder *d, const void *bytes, size_t size)
{
    if (setjmp(d->jump))
        return false;
    jpeg_create_decompress(&d->jpeg);
    jpeg_mem_src(&d->jpeg, bytes, size);
    jpeg_read_header(&d->jpeg, TRUE);
    if ((uint64_t)d->jpeg.image_width * d->jpeg.image_height > MAX_PIXELS) {
        snprintf(d->message, sizeof d->message, "%ux%u pixels are too many", d->jpeg.image_width,
                 d->jpeg.image_height);
        return false;
    }
    choose_output(&d->jpeg);
    jpeg_start_decompress(&d->jpeg);
    const size_t width = d->jpeg.output_width, height = d->jpeg.output_height;
    d->row = ons_malloc(width * (size_t)d->jpeg.output_components);
    d->pixels = ons_malloc(width * height * 4);
    d->no_memory = !d->row || !d->pixels;
    if (d->no_memory)
        return false;
    while (d->jpeg.output_scanline < height) {
        uint8_t *dst = d->pixels + (size_t)d->jpeg.output_scanline * width * 4;
        jpeg_read_scanlines(&d->jpeg, &d->row, 1);
        expand_row(d->row, d->jpeg.output_components, (int)width, dst);
    }
    jpeg_finish_decompress(&d->jpeg);
    return true;
}

onestep_status ons_rgba_decode_jpeg(const void *bytes, size_t size, const char *name, ons_rgba *out)
{
    onestep_status st = ONESTEP_OK;
    decoder *d = ons_calloc(1, sizeof *d);
    memset(out, 0, sizeof *out);
    if (!d)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory", name);
    d->jpeg.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = leave;
    d->errors.emit_message = treat_message;
    if (decode(d, bytes, size)) {
        *out = (ons_rgba){(int)d->jpeg.output_width, (int)d->jpeg.output_height, d->pixels};
        d->pixels = NULL;
    } else if (d->no_memory) {
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its pixels", name);
    } else {
        st = ons_fail(ONESTEP_BAD_FILE, "%s: damaged JPEG: %s", name, d->message);
    }
    jpeg_destroy_decompress(&d->jpeg);
    ons_free(d->row);
    ons_free(d->pixels);
    ons_free(d);
    return st;
}
