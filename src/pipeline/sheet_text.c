/*
 * Captions by FreeType, one glyph after another: names of pictures need no shaping. The font is the first found
 * of those that distributions install; rejected: fontconfig, a dependency for one file name.
 */
#include "pipeline/sheet.h"

#include <stdlib.h>
#include <string.h>

#include <ft2build.h>
#include FT_FREETYPE_H

#include "base/file.h"
#include "base/memory.h"

static const char *const font_paths[] = {
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/liberation2/LiberationSans-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
    "/usr/share/fonts/truetype/freefont/FreeSans.ttf",
    "/usr/share/fonts/opentype/urw-base35/NimbusSans-Regular.otf",
    "/usr/share/fonts/TTF/DejaVuSans.ttf",
    "/usr/share/fonts/dejavu-sans-fonts/DejaVuSans.ttf",
    "/usr/share/fonts/noto/NotoSans-Regular.ttf",
};

struct ons_font {
    FT_Library library;
    FT_Face face;
    int line_height, ascent;
};

typedef struct canvas {
    uint8_t *rgb;
    int width, height;
} canvas;

static bool open_face(ons_font *f, int pixel_size)
{
    const char *chosen = getenv("ONESTEP_FONT");

    if (chosen)
        return FT_New_Face(f->library, chosen, 0, &f->face) == 0 &&
               FT_Set_Pixel_Sizes(f->face, 0, (FT_UInt)pixel_size) == 0;
    for (size_t i = 0; i < sizeof font_paths / sizeof *font_paths; i++)
        if (ons_path_exists(font_paths[i]) && FT_New_Face(f->library, font_paths[i], 0, &f->face) == 0)
            return FT_Set_Pixel_Sizes(f->face, 0, (FT_UInt)pixel_size) == 0;
    return false;
}

ons_font *ons_font_open(int pixel_size)
{
    ons_font *f = ons_calloc(1, sizeof *f);

    if (!f)
        return NULL;
    if (FT_Init_FreeType(&f->library) || !open_face(f, pixel_size)) {
        ons_font_close(&f);
        return NULL;
    }
    f->line_height = (int)(f->face->size->metrics.height >> 6);
    f->ascent = (int)(f->face->size->metrics.ascender >> 6);
    return f;
}

void ons_font_close(ons_font **f)
{
    if (!f || !*f)
        return;
    if ((*f)->face)
        FT_Done_Face((*f)->face);
    if ((*f)->library)
        FT_Done_FreeType((*f)->library);
    ons_free(*f);
    *f = NULL;
}

int ons_font_line_height(const ons_font *f)
{
    return f->line_height;
}

/* The code point at *text, which moves on; a byte that starts none counts as itself. */
static uint32_t next_code_point(const char **text)
{
    const unsigned char *s = (const unsigned char *)*text;
    const int more = s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc0 ? 1 : 0;
    uint32_t v = more ? s[0] & (0x3fu >> more) : s[0];

    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            *text += 1;
            return s[0];
        }
        v = v << 6 | (s[i] & 0x3f);
    }
    *text += more + 1;
    return v;
}

static int advance_of(ons_font *f, uint32_t code)
{
    return FT_Load_Char(f->face, code, FT_LOAD_DEFAULT) ? 0 : (int)(f->face->glyph->advance.x >> 6);
}

static int width_of(ons_font *f, const char *text, const char *end)
{
    int width = 0;

    while (text < end)
        width += advance_of(f, next_code_point(&text));
    return width;
}

static void blend_glyph(const FT_GlyphSlot glyph, const canvas *c, int x, int y)
{
    for (int gy = 0; gy < (int)glyph->bitmap.rows; gy++)
        for (int gx = 0; gx < (int)glyph->bitmap.width; gx++) {
            const int px = x + gx, py = y + gy, ink = glyph->bitmap.buffer[gy * glyph->bitmap.pitch + gx];

            if (px < 0 || py < 0 || px >= c->width || py >= c->height)
                continue;
            for (int k = 0; k < 3; k++) {
                uint8_t *v = c->rgb + ((size_t)py * (size_t)c->width + (size_t)px) * 3 + k;

                *v = (uint8_t)(*v - (*v - 40) * ink / 255);
            }
        }
}

static void draw_span(ons_font *f, const char *text, const char *end, const canvas *c, int x, int y)
{
    while (text < end) {
        const uint32_t code = next_code_point(&text);

        if (FT_Load_Char(f->face, code, FT_LOAD_RENDER))
            continue;
        if (f->face->glyph->bitmap.pixel_mode == FT_PIXEL_MODE_GRAY)
            blend_glyph(f->face->glyph, c, x + f->face->glyph->bitmap_left,
                        y + f->ascent - f->face->glyph->bitmap_top);
        x += (int)(f->face->glyph->advance.x >> 6);
    }
}

/* End of the longest start of `text` that fits; at a space where there is one. */
static const char *line_end(ons_font *f, const char *text, int max_width)
{
    const char *p = text, *at_space = NULL;
    int width = 0;

    while (*p) {
        const char *next = p;

        width += advance_of(f, next_code_point(&next));
        if (width > max_width)
            return at_space ? at_space : p > text ? p : next;
        if (*p == ' ')
            at_space = p;
        p = next;
    }
    return p;
}

int ons_font_draw(ons_font *f, const char *text, uint8_t *rgb, int width, int height, int x, int y,
                  int max_width, int max_lines)
{
    const canvas c = {rgb, width, height};
    static const char dots[] = "...";
    int lines = 0;

    while (*text && lines < max_lines) {
        const bool last = lines == max_lines - 1;
        const char *end = line_end(f, text, max_width);

        if (last && *end) { /* cut: dots for the rest */
            end = line_end(f, text, max_width - width_of(f, dots, dots + 3));
            draw_span(f, dots, dots + 3, &c, x + width_of(f, text, end), y);
        }
        draw_span(f, text, end, &c, x, y);
        y += f->line_height;
        lines++;
        text = end + strspn(end, " ");
    }
    return lines;
}
