/* PNG through libpng's simplified interface, which checks, expands and converts every kind of PNG to 8-bit RGBA
 * by itself. */
#include "data/picture.h"

#include <errno.h>
#include <png.h>
#include <string.h>

#include "base/memory.h"

enum { MAX_PIXELS = 1 << 28 };

static onestep_status decode_png(const void *bytes, size_t size, const char *name, ons_rgba *out)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    if (!png_image_begin_read_from_memory(&image, bytes, size))
        return ons_fail(ONESTEP_BAD_FILE, "%s: damaged PNG: %s", name, image.message);
    image.format = PNG_FORMAT_RGBA;
    if ((uint64_t)image.width * image.height > MAX_PIXELS) {
        png_image_free(&image);
        return ons_fail(ONESTEP_BAD_FILE, "%s: %ux%u pixels, more than %d", name, image.width, image.height,
                        MAX_PIXELS);
    }
    out->pixels = ons_malloc(PNG_IMAGE_SIZE(image));
    if (!out->pixels) {
        png_image_free(&image);
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for %ux%u pixels", name, image.width, image.height);
    }
    out->width = (int)image.width;
    out->height = (int)image.height;
    if (png_image_finish_read(&image, NULL, out->pixels, 0, NULL))
        return ONESTEP_OK;
    ons_rgba_fini(out);
    return ons_fail(ONESTEP_BAD_FILE, "%s: damaged PNG: %s", name, image.message);
}

onestep_status ons_rgba_decode(const void *bytes, size_t size, const char *name, ons_rgba *out)
{
    memset(out, 0, sizeof *out);
    if (size >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return decode_png(bytes, size, name, out);
    if (size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return ons_rgba_decode_jpeg(bytes, size, name, out);
    return ons_fail(ONESTEP_BAD_FILE, "%s: neither PNG nor JPEG, whatever its name says", name);
}

void ons_rgba_fini(ons_rgba *p)
{
    ons_free(p->pixels);
    memset(p, 0, sizeof *p);
}

onestep_status ons_picture_fit(const void *bytes, size_t n_bytes, const char *name, int size, uint8_t **rgb)
{
    onestep_status st;
    ons_rgba picture = {0};

    *rgb = NULL;
    ONS_TRY(ons_rgba_decode(bytes, n_bytes, name, &picture));
    *rgb = ons_malloc((size_t)size * (size_t)size * 3);
    if (*rgb)
        st = ons_rgba_fit(&picture, ONS_FIT_CROP, size, *rgb);
    else
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a picture of %d pixels", name, size);
    if (st != ONESTEP_OK) {
        ons_free(*rgb);
        *rgb = NULL;
    }
fail:
    ons_rgba_fini(&picture);
    return st;
}

onestep_status ons_picture_save(const char *path, const uint8_t *rgb, int size)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)size,
                       .height = (png_uint_32)size,
                       .format = PNG_FORMAT_RGB};
    if (png_image_write_to_file(&image, path, 0, rgb, 0, NULL))
        return ONESTEP_OK;
    return ons_fail(ONESTEP_IO, "%s: %s%s%s", path, image.message, errno ? ": " : "",
                    errno ? strerror(errno) : "");
}
