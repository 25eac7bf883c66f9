/* Pictures in and out of the data layer: glyphs with transparency, fitting to a square, writing PNG. */
#ifndef ONS_DATA_PICTURE_H
#define ONS_DATA_PICTURE_H

#include "base/status.h"

typedef struct ons_rgba {
    int width, height;
    uint8_t *pixels; /* [height, width, 4], alpha not multiplied in; owned */
} ons_rgba;

void ons_rgba_fini(ons_rgba *p); /* accepts a zeroed struct */

typedef enum ons_fit {
    ONS_FIT_CROP,  /* the largest centred square of the picture fills the result */
    ONS_FIT_INSIDE /* the whole picture, centred on white */
} ons_fit;
/*
 * Scales onto white: dst [size, size, 3]. Shrinking averages areas, enlarging interpolates linearly; colours
 * are weighted with their opacity, so that what an invisible pixel holds never shows.
 */
onestep_status ons_rgba_fit(const ons_rgba *src, ons_fit fit, int size, uint8_t *dst) ONESTEP_CHECK;

/* Decodes and fits (crop); *rgb [size, size, 3] is released with ons_free. */
onestep_status ons_picture_fit(const void *bytes, size_t n_bytes, const char *name, int size,
                               uint8_t **rgb) ONESTEP_CHECK;
/* rgb [size, size, 3] as a PNG file. Not synced: for sets of thousands, whose index is what makes them
 * complete. */
onestep_status ons_picture_save(const char *path, const uint8_t *rgb, int size) ONESTEP_CHECK;

#endif
