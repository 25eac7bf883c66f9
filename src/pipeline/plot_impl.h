/* Lines and numbers on a picture. */
#ifndef ONS_PIPELINE_PLOT_IMPL_H
#define ONS_PIPELINE_PLOT_IMPL_H

#include <stdint.h>

typedef struct ons_canvas {
    uint8_t *rgb; /* [height, width, 3] */
    int width, height;
} ons_canvas;

/* What lies outside the canvas is left out. */
void ons_canvas_line(ons_canvas *c, int x0, int y0, int x1, int y1, const uint8_t colour[3]);
/* Digits, sign, point and exponent, 7 pixels high, from the upper left corner (x, y). */
void ons_canvas_number(ons_canvas *c, int x, int y, const char *text, const uint8_t colour[3]);
int ons_canvas_number_width(const char *text);

#endif
