/* Line plots as pictures: loss curves of training runs. Axes with numbers, several series, a logarithmic scale
 * if wanted. */
#ifndef ONS_PIPELINE_PLOT_H
#define ONS_PIPELINE_PLOT_H

#include "base/status.h"

enum { ONS_PLOT_MAX_SERIES = 8 };

typedef struct ons_plot_series {
    const char *name; /* in the legend; may be NULL */
    const double *x,
        *y; /* [n]; non-finite points (and, on a logarithmic scale, those not above 0) interrupt the line */
    size_t n;
} ons_plot_series;

typedef struct ons_plot_options {
    int width, height; /* pixels; 0: 800 x 450; at least 160 x 120 */
    const char *title; /* may be NULL */
    bool log_y;
} ons_plot_options;

/* Draws 1..ONS_PLOT_MAX_SERIES lines; an empty plot has axes alone. *rgb [height, width, 3] is released with
 * ons_free. */
onestep_status ons_plot_draw(const ons_plot_series *series, int n, const ons_plot_options *o, uint8_t **rgb,
                             int *width, int *height) ONESTEP_CHECK;

#endif
