/*
 * Pictures in memory as 8-bit RGB. PNG and JPEG are told apart by content; transparency is laid on white;
 * greys, palettes, 16 bits and CMYK become RGB. Sizes are bounded before anything is allocated.
 */
#ifndef ONS_IO_IMAGE_H
#define ONS_IO_IMAGE_H

#include "base/status.h"

enum { ONS_IMAGE_MAX_SIDE = 16384 };

typedef struct ons_image {
    int width, height;
    uint8_t *rgb; /* [height, width, 3]; owned, ons_free */
} ons_image;

/* `what` names the source in messages. BAD_FILE for what is no picture or is damaged. */
onestep_status ons_image_decode(const void *data, size_t size, const char *what, ons_image *out) ONESTEP_CHECK;
onestep_status ons_image_load(const char *path, ons_image *out) ONESTEP_CHECK;
void ons_image_fini(ons_image *image); /* accepts a zeroed struct */

/*
 * Crops the middle to the shape of width x height and scales it there, each pixel the mean of the area that it
 * covers (linear between pixels when enlarging). rgb [height, width, 3] is the caller's.
 */
void ons_image_fit(const ons_image *src, int width, int height, uint8_t *rgb);

#endif
