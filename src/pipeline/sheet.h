/*
 * Contact sheets: many small pictures as one, with a caption under each. Used by generate, compare, eval and
 * the sample pictures of training.
 */
#ifndef ONS_PIPELINE_SHEET_H
#define ONS_PIPELINE_SHEET_H

#include "base/status.h"

typedef struct ons_tile {
    const uint8_t *rgb;  /* [height, width, 3]; NULL: left white */
    const char *caption; /* UTF-8; NULL or "": none */
} ons_tile;

typedef struct ons_sheet_options {
    int width, height; /* of every tile, pixels */
    int columns;       /* 0: about as many as rows */
    int scale;         /* whole enlargement; 0: so that a tile is about 128 pixels wide */
    const char *title; /* above all; may be NULL */
} ons_sheet_options;

/*
 * Draws n >= 1 tiles row by row on white. Captions are drawn with a font of the system (two lines, the rest cut
 * with dots); where none is found the pictures stand alone. *rgb [*height, *width, 3] is released with
 * ons_free.
 */
onestep_status ons_sheet_draw(const ons_tile *tiles, int n, const ons_sheet_options *o, uint8_t **rgb,
                              int *width, int *height) ONESTEP_CHECK;

/* The usual case in one call: n pictures [n, height, width, 3] with captions (NULL: none) as a PNG file.
 * columns as above. */
onestep_status ons_sheet_write(const char *path, const uint8_t *rgb, int n, int width, int height, int columns,
                               const char *const *captions) ONESTEP_CHECK;

/* A font for captions; NULL where the system has none. */
typedef struct ons_font ons_font;
ons_font *ons_font_open(int pixel_size);
void ons_font_close(ons_font **f);
int ons_font_line_height(const ons_font *f);
/*
 * Draws `text` in dark grey at (x, y) of rgb [height, width, 3], wrapped into max_width pixels, at most
 * max_lines lines. Returns the number of lines.
 */
int ons_font_draw(ons_font *f, const char *text, uint8_t *rgb, int width, int height, int x, int y,
                  int max_width, int max_lines);

#endif
