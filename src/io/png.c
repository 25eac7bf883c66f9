/*
 * PNG through libpng. Its errors jump; every function that calls it has one setjmp and keeps what must be
 * released in a struct that outlives the jump. Texts that are plain ASCII are tEXt, which every reader knows;
 * others are iTXt.
 */
#include "io/png.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/utf8.h"

enum { MAX_SIDE = 65535, MAX_TEXT_BYTES = 64 << 20 };

typedef struct buffer {
    uint8_t *data;
    size_t size, room;
    char error[256];
} buffer;

static void keep_error(png_structp png, png_const_charp message)
{
    buffer *b = png_get_error_ptr(png);

    snprintf(b->error, sizeof b->error, "%s", message);
    png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void append(png_structp png, png_bytep data, png_size_t size)
{
    buffer *b = png_get_io_ptr(png);

    if (b->size + size > b->room) {
        const size_t room = 2 * (b->size + size);
        uint8_t *larger = ons_realloc(b->data, room);

        if (!larger)
            png_error(png, "no memory");
        b->data = larger;
        b->room = room;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

static bool is_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

static void put_texts(png_structp png, png_infop info, const ons_picture_text *texts, int n)
{
    for (int i = 0; i < n; i++) {
        char empty[1] = "";
        png_text t = {.key = (png_charp)texts[i].key,
                      .text = (png_charp)texts[i].value,
                      .lang = empty,
                      .lang_key = empty};

        t.compression = is_ascii(texts[i].value) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        png_set_text(png, info, &t, 1); /* copies */
    }
}

/* False after a jump; the message is in b->error. */
static bool write_all(png_structp png, png_infop info, buffer *b, const uint8_t *rgb, int width, int height,
                      const ons_picture_text *texts, int n_texts)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, b, append, flush_nothing);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    put_texts(png, info, texts, n_texts);
    png_write_info(png, info);
    for (int y = 0; y < height; y++)
        png_write_row(png, rgb + (size_t)y * (size_t)width * 3);
    png_write_end(png, NULL);
    return true;
}

onestep_status ons_picture_encode(const uint8_t *rgb, int width, int height, const ons_picture_text *texts,
                                  int n_texts, uint8_t **out, size_t *size)
{
    buffer b = {.error = "no memory"};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &b, keep_error, ignore_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool done = false;

    *out = NULL;
    if (width >= 1 && height >= 1 && width <= MAX_SIDE && height <= MAX_SIDE)
        done = info && write_all(png, info, &b, rgb, width, height, texts, n_texts);
    else
        snprintf(b.error, sizeof b.error, "sides must lie between 1 and %d", MAX_SIDE);
    png_destroy_write_struct(&png, &info);
    if (!done) {
        ons_free(b.data);
        return ons_fail(ONESTEP_NO_MEMORY, "cannot make a PNG of %dx%d pixels: %s", width, height, b.error);
    }
    *out = b.data;
    *size = b.size;
    return ONESTEP_OK;
}

onestep_status ons_picture_write(const char *path, const uint8_t *rgb, int width, int height,
                                 const ons_picture_text *texts, int n_texts)
{
    uint8_t *png = NULL;
    size_t size = 0;
    onestep_status st;

    ONS_TRY(ons_picture_encode(rgb, width, height, texts, n_texts, &png, &size));
    ONS_TRY(ons_write_file(path, png, size));
fail:
    ons_free(png);
    return st;
}

/* Reading: libpng takes bytes from the mapped file. */
typedef struct source {
    buffer b; /* first: keep_error's */
    const ons_map *map;
    size_t at;
} source;

static void take(png_structp png, png_bytep dst, png_size_t size)
{
    source *s = png_get_io_ptr(png);

    if (size > s->map->size - s->at)
        png_error(png, "cut short");
    memcpy(dst, s->map->data + s->at, size);
    s->at += size;
}

static void keep_texts(png_structp png, png_infop info, ons_picture_texts *out)
{
    png_textp texts;
    int n = 0;

    png_get_text(png, info, &texts, &n);
    for (int i = 0; i < n && out->n < ONS_MAX_PICTURE_TEXTS; i++) {
        const bool utf8 = texts[i].compression >= PNG_ITXT_COMPRESSION_NONE;
        char *key = ons_latin1_to_utf8(texts[i].key, strlen(texts[i].key));
        char *value =
            utf8 ? ons_strdup(texts[i].text) : ons_latin1_to_utf8(texts[i].text, texts[i].text_length);

        out->texts[out->n++] = (ons_picture_text){key, value};
        if (!key || !value)
            png_error(png, "no memory");
    }
}

/* Everything but the pixels: texts may come after them. */
static bool read_all(png_structp png, png_infop info, png_infop end, source *s, ons_picture_texts *out)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_read_fn(png, s, take);
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(png, MAX_TEXT_BYTES);
    png_read_info(png, info);
    out->width = (int)png_get_image_width(png, info);
    out->height = (int)png_get_image_height(png, info);
    keep_texts(png, info, out);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    s->b.data = ons_malloc(png_get_rowbytes(png, info));
    if (!s->b.data)
        png_error(png, "no memory");
    for (int pass = 0; pass < (png_get_interlace_type(png, info) == PNG_INTERLACE_ADAM7 ? 7 : 1); pass++)
        for (int y = 0; y < out->height; y++)
            png_read_row(png, s->b.data, NULL);
    png_read_end(png, end);
    keep_texts(png, end, out);
    return true;
}

onestep_status ons_picture_texts_read(const char *path, ons_picture_texts *out)
{
    ons_map map = {0};
    source s = {.b.error = "no memory", .map = &map};
    png_structp png = NULL;
    png_infop info = NULL, end = NULL;
    bool done;
    onestep_status st;

    memset(out, 0, sizeof *out);
    ONS_TRY(ons_map_open(path, &map));
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &s.b, keep_error, ignore_warning);
    info = png ? png_create_info_struct(png) : NULL;
    end = info ? png_create_info_struct(png) : NULL;
    done = end && read_all(png, info, end, &s, out);
    if (!done)
        st = ons_fail(ONESTEP_BAD_FILE, "%s: not a PNG that can be read: %s", path, s.b.error);
fail:
    png_destroy_read_struct(&png, &info, &end);
    ons_free(s.b.data);
    ons_map_close(&map);
    if (st != ONESTEP_OK)
        ons_picture_texts_fini(out);
    return st;
}

void ons_picture_texts_fini(ons_picture_texts *t)
{
    for (int i = 0; i < t->n; i++) {
        ons_free((char *)t->texts[i].key);
        ons_free((char *)t->texts[i].value);
    }
    memset(t, 0, sizeof *t);
}
