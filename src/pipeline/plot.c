/*
 * Line plots. Numbers on the axes come from a built-in 5 x 7 alphabet of digits, so that a plot can be read on
 * a machine without fonts; title and legend need one (see sheet.h) and are left out otherwise. A plotting
 * library would be the larger dependency.
 */
#include "pipeline/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "pipeline/plot_impl.h"
#include "pipeline/sheet.h"

enum { LEFT = 62, RIGHT = 14, TOP = 30, BOTTOM = 26, LEGEND_PIXELS = 12 };

static const uint8_t line_colours[ONS_PLOT_MAX_SERIES][3] = {
    {31, 105, 180}, {220, 90, 20}, {40, 140, 60},  {190, 40, 50},
    {120, 80, 170}, {120, 80, 60}, {200, 90, 160}, {90, 90, 90},
};
static const uint8_t grey[3] = {225, 225, 225}, dark[3] = {70, 70, 70};

typedef struct plot_area {
    ons_canvas canvas;
    int x0, y0, x1, y1; /* pixels of the frame */
    double low_x, high_x, low_y, high_y;
    bool log_y;
} plot_area;

static bool point_of(const plot_area *p, const ons_plot_series *s, size_t i, double *x, double *y)
{
    *x = s->x[i];
    *y = p->log_y ? (s->y[i] > 0 ? log10(s->y[i]) : NAN) : s->y[i];
    return isfinite(*x) && isfinite(*y);
}

static void find_ranges(plot_area *p, const ons_plot_series *series, int n)
{
    double x, y;

    p->low_x = p->low_y = HUGE_VAL;
    p->high_x = p->high_y = -HUGE_VAL;
    for (int k = 0; k < n; k++)
        for (size_t i = 0; i < series[k].n; i++)
            if (point_of(p, &series[k], i, &x, &y)) {
                p->low_x = fmin(p->low_x, x);
                p->high_x = fmax(p->high_x, x);
                p->low_y = fmin(p->low_y, y);
                p->high_y = fmax(p->high_y, y);
            }
    if (p->low_x > p->high_x)
        p->low_x = p->low_y = 0, p->high_x = p->high_y = 1;
    if (p->high_x - p->low_x <= 0)
        p->low_x -= 0.5, p->high_x += 0.5;
    if (p->high_y - p->low_y <= 1e-9 * fabs(p->high_y))
        p->low_y -= 0.5 * (fabs(p->low_y) + 0.1), p->high_y += 0.5 * (fabs(p->high_y) + 0.1);
}

static int to_px(const plot_area *p, double x)
{
    return p->x0 + (int)lround((x - p->low_x) / (p->high_x - p->low_x) * (p->x1 - p->x0));
}

static int to_py(const plot_area *p, double y)
{
    return p->y1 - (int)lround((y - p->low_y) / (p->high_y - p->low_y) * (p->y1 - p->y0));
}

/* 1, 2 or 5 times a power of ten, so that about `wanted` steps fill the range. */
static double nice_step(double range, int wanted)
{
    double raw = range / wanted, power = pow(10, floor(log10(raw))), lead = raw / power;

    return power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
}

static void draw_axis_number(plot_area *p, bool along_x, double position, double value)
{
    char text[32];
    int at = along_x ? to_px(p, position) : to_py(p, position), size;

    snprintf(text, sizeof text, "%.4g", fabs(value) < 1e-12 ? 0.0 : value);
    size = ons_canvas_number_width(text);
    if (along_x) {
        ons_canvas_line(&p->canvas, at, p->y0, at, p->y1, grey);
        ons_canvas_number(&p->canvas, at - size / 2, p->y1 + 8, text, dark);
    } else {
        ons_canvas_line(&p->canvas, p->x0, at, p->x1, at, grey);
        ons_canvas_number(&p->canvas, p->x0 - 6 - size, at - 3, text, dark);
    }
}

static void draw_linear_axis(plot_area *p, bool along_x)
{
    double low = along_x ? p->low_x : p->low_y, high = along_x ? p->high_x : p->high_y;
    double step = nice_step(high - low, along_x ? 8 : 6);

    for (double i = ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++)
        draw_axis_number(p, along_x, i * step, i * step);
}

/* Powers of ten, with 2 and 5 between them where there is room. */
static void draw_log_axis(plot_area *p)
{
    static const double leads[] = {1, 2, 5};
    int n_leads = p->high_y - p->low_y < 3 ? 3 : 1;

    if (p->high_y - p->low_y < 0.3) { /* too little for powers: plain numbers at their logarithms */
        double low = pow(10, p->low_y), high = pow(10, p->high_y), step = nice_step(high - low, 5);

        for (double i = ceil(low / step); i * step <= high; i++)
            draw_axis_number(p, false, log10(i * step), i * step);
        return;
    }
    for (double decade = floor(p->low_y); decade <= p->high_y; decade++)
        for (int i = 0; i < n_leads; i++) {
            double at = decade + log10(leads[i]);

            if (at >= p->low_y - 1e-9 && at <= p->high_y + 1e-9)
                draw_axis_number(p, false, at, pow(10, decade) * leads[i]);
        }
}

static void draw_series(plot_area *p, const ons_plot_series *s, const uint8_t colour[3])
{
    int last_x = 0, last_y = 0;
    bool connected = false;
    double x, y;

    for (size_t i = 0; i < s->n; i++) {
        if (!point_of(p, s, i, &x, &y)) {
            connected = false;
            continue;
        }
        int px = to_px(p, x), py = to_py(p, y);

        if (!connected)
            last_x = px, last_y = py;
        ons_canvas_line(&p->canvas, last_x, last_y, px, py, colour);
        ons_canvas_line(&p->canvas, last_x, last_y + 1, px, py + 1, colour);
        last_x = px;
        last_y = py;
        connected = true;
    }
}

static void draw_words(plot_area *p, const ons_plot_series *series, int n, const char *title)
{
    ons_canvas *c = &p->canvas;
    ons_font *font = ons_font_open(LEGEND_PIXELS);
    int column = (p->x1 - p->x0) / (n + 2);

    for (int k = 0; k < n; k++) {
        int x = p->x0 + (k + 2) * column;

        ons_canvas_line(c, x, 15, x + 14, 15, line_colours[k]);
        ons_canvas_line(c, x, 16, x + 14, 16, line_colours[k]);
        if (font && series[k].name)
            ons_font_draw(font, series[k].name, c->rgb, c->width, c->height, x + 18, 8, column - 22, 1);
    }
    if (font && title)
        ons_font_draw(font, title, c->rgb, c->width, c->height, p->x0, 8, 2 * column - 8, 1);
    ons_font_close(&font);
}

onestep_status ons_plot_draw(const ons_plot_series *series, int n, const ons_plot_options *o, uint8_t **rgb,
                             int *width, int *height)
{
    plot_area p = {.log_y = o->log_y};
    ons_canvas *c = &p.canvas;

    *rgb = NULL;
    c->width = *width = o->width > 0 ? o->width : 800;
    c->height = *height = o->height > 0 ? o->height : 450;
    if (n < 1 || n > ONS_PLOT_MAX_SERIES || c->width < 160 || c->height < 120)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a plot of %d lines in %dx%d: 1 to %d lines, 160x120 or larger",
                        n, c->width, c->height, ONS_PLOT_MAX_SERIES);
    c->rgb = ons_malloc((size_t)c->width * (size_t)c->height * 3);
    if (!c->rgb)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a plot of %dx%d", c->width, c->height);
    memset(c->rgb, 255, (size_t)c->width * (size_t)c->height * 3);
    p.x0 = LEFT;
    p.y0 = TOP;
    p.x1 = c->width - RIGHT;
    p.y1 = c->height - BOTTOM;
    find_ranges(&p, series, n);
    draw_linear_axis(&p, true);
    if (p.log_y)
        draw_log_axis(&p);
    else
        draw_linear_axis(&p, false);
    ons_canvas_line(c, p.x0, p.y0, p.x0, p.y1, dark);
    ons_canvas_line(c, p.x0, p.y1, p.x1, p.y1, dark);
    for (int k = 0; k < n; k++)
        draw_series(&p, &series[k], line_colours[k]);
    draw_words(&p, series, n, o->title);
    *rgb = c->rgb;
    return ONESTEP_OK;
}
