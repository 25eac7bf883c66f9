/* Layout of contact sheets: a grid of equal cells, picture above caption. Enlargement repeats pixels: a sheet
 * shows what was made. */
#include "pipeline/sheet.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "io/png.h"

enum { GAP = 8, FONT_SIZE = 11, CAPTION_LINES = 2, WANTED_WIDTH = 128, MAX_SIDE = 65500 };

typedef struct layout {
    int columns, rows, scale;
    int cell_w, cell_h; /* without gap */
    int top;            /* below the title */
    int width, height;
} layout;

static bool has_captions(const ons_tile *tiles, int n)
{
    for (int i = 0; i < n; i++)
        if (tiles[i].caption && *tiles[i].caption)
            return true;
    return false;
}

static onestep_status lay_out(const ons_sheet_options *o, int n, bool captions, const ons_font *font, layout *l)
{
    const int64_t line = font ? ons_font_line_height(font) : 0;
    int64_t scale = o->scale, columns = o->columns, rows, cell_w, cell_h, width, height, top;

    if (n < 1 || o->width < 1 || o->height < 1 || scale < 0 || columns < 0)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "a sheet of %d tiles of %dx%d pixels cannot be drawn", n,
                        o->width, o->height);
    if (scale == 0)
        scale = o->width >= WANTED_WIDTH ? 1 : WANTED_WIDTH / o->width;
    if (columns == 0)
        columns = (int64_t)ceil(sqrt((double)n));
    if (columns > n)
        columns = n;
    rows = (n + columns - 1) / columns;
    cell_w = o->width * scale;
    cell_h = o->height * scale + (captions ? line * CAPTION_LINES : 0);
    top = GAP + (o->title && font ? line + GAP : 0);
    width = GAP + columns * (cell_w + GAP);
    height = top + rows * (cell_h + GAP);
    if (width > MAX_SIDE || height > MAX_SIDE)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "a sheet of %d tiles would be %lldx%lld pixels; %d is the limit: take fewer", n,
                        (long long)width, (long long)height, MAX_SIDE);
    *l = (layout){(int)columns, (int)rows, (int)scale, (int)cell_w,
                  (int)cell_h,  (int)top,  (int)width, (int)height};
    return ONESTEP_OK;
}

static void draw_picture(const layout *l, const ons_sheet_options *o, const uint8_t *src, uint8_t *rgb, int x,
                         int y)
{
    for (int py = 0; py < o->height * l->scale; py++) {
        const uint8_t *row = src + (size_t)(py / l->scale) * (size_t)o->width * 3;
        uint8_t *dst = rgb + ((size_t)(y + py) * (size_t)l->width + (size_t)x) * 3;

        for (int px = 0; px < l->cell_w; px++)
            memcpy(dst + px * 3, row + px / l->scale * 3, 3);
    }
}

onestep_status ons_sheet_draw(const ons_tile *tiles, int n, const ons_sheet_options *o, uint8_t **rgb,
                              int *width, int *height)
{
    const bool captions = n > 0 && has_captions(tiles, n);
    ons_font *font = captions || o->title ? ons_font_open(FONT_SIZE) : NULL;
    layout l = {0};
    uint64_t bytes;
    onestep_status st;

    *rgb = NULL;
    ONS_TRY(lay_out(o, n, captions, font, &l));
    bytes = (uint64_t)l.width * (uint64_t)l.height * 3;
    *rgb = ons_malloc(bytes);
    if (!*rgb) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a sheet of %dx%d pixels", l.width, l.height);
        goto fail;
    }
    memset(*rgb, 255, bytes);
    if (font && o->title)
        ons_font_draw(font, o->title, *rgb, l.width, l.height, GAP, GAP, l.width - 2 * GAP, 1);
    for (int i = 0; i < n; i++) {
        const int x = GAP + i % l.columns * (l.cell_w + GAP), y = l.top + i / l.columns * (l.cell_h + GAP);

        if (tiles[i].rgb)
            draw_picture(&l, o, tiles[i].rgb, *rgb, x, y);
        if (font && tiles[i].caption)
            ons_font_draw(font, tiles[i].caption, *rgb, l.width, l.height, x, y + o->height * l.scale, l.cell_w,
                          CAPTION_LINES);
    }
    *width = l.width;
    *height = l.height;
    st = ONESTEP_OK;
fail:
    ons_font_close(&font);
    return st;
}

onestep_status ons_sheet_write(const char *path, const uint8_t *rgb, int n, int width, int height, int columns,
                               const char *const *captions)
{
    const ons_sheet_options o = {.width = width, .height = height, .columns = columns};
    ons_tile *tiles = ons_calloc((size_t)(n > 0 ? n : 1), sizeof *tiles);
    uint8_t *sheet = NULL;
    int sheet_width, sheet_height;
    onestep_status st;

    if (!tiles)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a sheet of %d pictures", path, n);
    for (int i = 0; i < n; i++)
        tiles[i] =
            (ons_tile){rgb + (size_t)i * (size_t)width * (size_t)height * 3, captions ? captions[i] : NULL};
    ONS_TRY(ons_sheet_draw(tiles, n, &o, &sheet, &sheet_width, &sheet_height));
    ONS_TRY(ons_picture_write(path, sheet, sheet_width, sheet_height, NULL, 0));
fail:
    ons_free(sheet);
    ons_free(tiles);
    return st;
}
