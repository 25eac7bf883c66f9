/* Pictures as PNG with texts inside: in memory (for standard output and servers) or as a file, and the texts
 * read back; pixels are read by io/image.h. */
#ifndef ONS_IO_PNG_H
#define ONS_IO_PNG_H

#include "base/status.h"

typedef struct ons_picture_text {
    const char *key;   /* 1 to 79 Latin-1 characters */
    const char *value; /* UTF-8 */
} ons_picture_text;

/* rgb [height, width, 3]; *png is released with ons_free. The same input gives the same bytes. */
onestep_status ons_picture_encode(const uint8_t *rgb, int width, int height, const ons_picture_text *texts,
                                  int n_texts, uint8_t **png, size_t *size) ONESTEP_CHECK;
/* The same into a file (temporary name, sync, rename). */
onestep_status ons_picture_write(const char *path, const uint8_t *rgb, int width, int height,
                                 const ons_picture_text *texts, int n_texts) ONESTEP_CHECK;

enum { ONS_MAX_PICTURE_TEXTS = 64 };

typedef struct ons_picture_texts {
    int width, height, n;
    ons_picture_text texts[ONS_MAX_PICTURE_TEXTS]; /* owned; Latin-1 made UTF-8 */
} ons_picture_texts;

/* Reads size and texts of a PNG; its pixels are only checked. BAD_FILE when it is none or is damaged. */
onestep_status ons_picture_texts_read(const char *path, ons_picture_texts *out) ONESTEP_CHECK;
void ons_picture_texts_fini(ons_picture_texts *t); /* accepts a zeroed struct */

#endif
