/* Pictures of a data set: decoded and fitted by the io layer; the emoji set's are written without a sync each.
 */
#include "data/picture.h"

#include <errno.h>
#include <png.h>
#include <string.h>

#include "base/memory.h"
#include "io/image.h"

void ons_rgba_fini(ons_rgba *p)
{
    ons_free(p->pixels);
    memset(p, 0, sizeof *p);
}

onestep_status ons_picture_fit(const void *bytes, size_t n_bytes, const char *name, int size, uint8_t **rgb)
{
    ons_image picture;
    onestep_status st = ons_image_decode(bytes, n_bytes, name, &picture);

    *rgb = NULL;
    if (st != ONESTEP_OK)
        return st;
    *rgb = ons_malloc((size_t)size * (size_t)size * 3);
    if (*rgb)
        ons_image_fit(&picture, size, size, *rgb);
    else
        st = ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a picture of %d pixels", name, size);
    ons_image_fini(&picture);
    return st;
}

onestep_status ons_picture_save(const char *path, const uint8_t *rgb, int size)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)size,
                       .height = (png_uint_32)size,
                       .format = PNG_FORMAT_RGB};
    errno = 0;
    if (png_image_write_to_file(&image, path, 0, rgb, 0, NULL))
        return ONESTEP_OK;
    return ons_fail(ONESTEP_IO, "%s: cannot be written: %s", path, errno ? strerror(errno) : image.message);
}
