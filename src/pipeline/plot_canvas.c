/* Lines by Bresenham's algorithm, and the characters a number is written with as bitmaps of 5 x 7. */
#include "pipeline/plot_impl.h"

#include <stdlib.h>
#include <string.h>

enum { GLYPH_WIDTH = 5, GLYPH_HEIGHT = 7, ADVANCE = 6 };

static const char alphabet[] = "0123456789.-+e";
static const uint8_t glyphs[sizeof alphabet - 1][GLYPH_HEIGHT] = {
    /* bit 4: leftmost pixel */
    {0x0E, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0E}, {0x04, 0x0C, 0x04, 0x04, 0x04, 0x04, 0x0E},
    {0x0E, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1F}, {0x0E, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0E},
    {0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02}, {0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E},
    {0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E}, {0x1F, 0x01, 0x02, 0x04, 0x04, 0x08, 0x08},
    {0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E}, {0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x0C, 0x0C}, {0x00, 0x00, 0x00, 0x1F, 0x00, 0x00, 0x00},
    {0x00, 0x04, 0x04, 0x1F, 0x04, 0x04, 0x00}, {0x00, 0x00, 0x0E, 0x11, 0x1F, 0x10, 0x0E},
};

static void put_pixel(ons_canvas *c, int x, int y, const uint8_t colour[3])
{
    if (x >= 0 && y >= 0 && x < c->width && y < c->height)
        memcpy(c->rgb + ((size_t)y * (size_t)c->width + (size_t)x) * 3, colour, 3);
}

void ons_canvas_line(ons_canvas *c, int x0, int y0, int x1, int y1, const uint8_t colour[3])
{
    int dx = abs(x1 - x0), dy = -abs(y1 - y0), step_x = x0 < x1 ? 1 : -1, step_y = y0 < y1 ? 1 : -1;
    int error = dx + dy;

    for (;;) {
        int twice = 2 * error;

        put_pixel(c, x0, y0, colour);
        if (x0 == x1 && y0 == y1)
            return;
        if (twice >= dy) {
            error += dy;
            x0 += step_x;
        }
        if (twice <= dx) {
            error += dx;
            y0 += step_y;
        }
    }
}

void ons_canvas_number(ons_canvas *c, int x, int y, const char *text, const uint8_t colour[3])
{
    for (; *text; text++, x += ADVANCE) {
        const char *at = strchr(alphabet, *text);

        if (!at)
            continue;
        for (int row = 0; row < GLYPH_HEIGHT; row++)
            for (int col = 0; col < GLYPH_WIDTH; col++)
                if (glyphs[at - alphabet][row] >> (GLYPH_WIDTH - 1 - col) & 1)
                    put_pixel(c, x + col, y + row, colour);
    }
}

int ons_canvas_number_width(const char *text)
{
    return (int)strlen(text) * ADVANCE - 1;
}
