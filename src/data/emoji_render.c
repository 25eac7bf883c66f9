/*
 * Emoji as pictures: HarfBuzz turns the sequence into one glyph (skin tones, flags and joined people are
 * ligatures), FreeType hands out that glyph's colour bitmap, and it is scaled onto white. A sequence that gives
 * several glyphs, or none, is one that the font does not have: drawing its parts side by side would be another
 * picture than the caption says.
 */
#include "data/emoji_parts.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <hb-ft.h>
#include <hb.h>
#include <string.h>

#include "base/file.h"

struct ons_emoji_font {
    FT_Library library;
    FT_Face face;
    hb_font_t *font;
    hb_buffer_t *buffer;
};

onestep_status ons_emoji_font_open(const char *path, ons_emoji_font **out)
{
    onestep_status st = ONESTEP_OK;
    ons_emoji_font *f = ons_calloc(1, sizeof *f);

    *out = NULL;
    if (!f || FT_Init_FreeType(&f->library)) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for FreeType");
        goto fail;
    }
    if (FT_New_Face(f->library, path, 0, &f->face)) {
        st = ons_fail(ONESTEP_BAD_FILE, "%s: not a font that FreeType can read", path);
        goto fail;
    }
    if (!FT_HAS_COLOR(f->face) || f->face->num_fixed_sizes < 1 || FT_Select_Size(f->face, 0)) {
        st = ons_fail(ONESTEP_UNSUPPORTED,
                      "%s: no colour bitmaps in this font; Noto Color Emoji with bitmaps (CBDT) is needed",
                      path);
        goto fail;
    }
    f->font = hb_ft_font_create_referenced(f->face);
    f->buffer = hb_buffer_create();
    if (f->font && hb_buffer_allocation_successful(f->buffer)) {
        *out = f;
        return ONESTEP_OK;
    }
    st = ons_fail(ONESTEP_NO_MEMORY, "no memory for HarfBuzz");
fail:
    ons_emoji_font_close(&f);
    return st;
}

void ons_emoji_font_close(ons_emoji_font **font)
{
    ons_emoji_font *f = font ? *font : NULL;
    if (!f)
        return;
    hb_buffer_destroy(f->buffer);
    hb_font_destroy(f->font);
    if (f->face)
        FT_Done_Face(f->face);
    if (f->library)
        FT_Done_FreeType(f->library);
    ons_free(f);
    *font = NULL;
}

/* The sequence's one glyph; 0 (the font's "missing" glyph) when there is none or are several. */
static uint32_t shape_sequence(ons_emoji_font *f, const ons_emoji *e)
{
    unsigned n;
    hb_buffer_clear_contents(f->buffer);
    for (int i = 0; i < e->n_points; i++)
        hb_buffer_add(f->buffer, (hb_codepoint_t)e->points[i], (unsigned)i);
    hb_buffer_set_content_type(f->buffer, HB_BUFFER_CONTENT_TYPE_UNICODE);
    hb_buffer_set_flags(f->buffer, HB_BUFFER_FLAG_REMOVE_DEFAULT_IGNORABLES);
    hb_buffer_guess_segment_properties(f->buffer);
    hb_buffer_set_direction(f->buffer, HB_DIRECTION_LTR);
    hb_shape(f->font, f->buffer, NULL, 0);
    const hb_glyph_info_t *glyphs = hb_buffer_get_glyph_infos(f->buffer, &n);
    return n == 1 ? glyphs[0].codepoint : 0;
}

/* FreeType's BGRA with alpha multiplied in, as RGBA without. */
static onestep_status copy_bitmap(const FT_Bitmap *bitmap, ons_rgba *out)
{
    out->width = (int)bitmap->width;
    out->height = (int)bitmap->rows;
    out->pixels = ons_malloc(4 * (size_t)out->width * (size_t)out->height);
    if (!out->pixels)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a glyph");
    for (int y = 0; y < out->height; y++) {
        const uint8_t *src = bitmap->buffer + (ptrdiff_t)y * bitmap->pitch;
        uint8_t *dst = out->pixels + 4 * (size_t)out->width * (size_t)y;
        for (int x = 0; x < out->width; x++, src += 4, dst += 4) {
            const int alpha = src[3];
            for (int c = 0; c < 3; c++) {
                const int value = alpha ? (src[2 - c] * 255 + alpha / 2) / alpha : 0;
                dst[c] = (uint8_t)(value < 255 ? value : 255);
            }
            dst[3] = (uint8_t)alpha;
        }
    }
    return ONESTEP_OK;
}

onestep_status ons_emoji_font_draw(ons_emoji_font *f, const ons_emoji *e, int size, uint8_t *rgb, bool *drawn)
{
    onestep_status st;
    ons_rgba glyph = {0};
    const uint32_t index = shape_sequence(f, e);

    *drawn = false;
    if (index == 0 || FT_Load_Glyph(f->face, index, FT_LOAD_COLOR))
        return ONESTEP_OK;
    const FT_Bitmap *bitmap = &f->face->glyph->bitmap;
    if (f->face->glyph->format != FT_GLYPH_FORMAT_BITMAP || bitmap->pixel_mode != FT_PIXEL_MODE_BGRA ||
        !bitmap->width || !bitmap->rows || bitmap->width > 4096 || bitmap->rows > 4096)
        return ONESTEP_OK;
    ONS_TRY(copy_bitmap(bitmap, &glyph));
    ONS_TRY(ons_rgba_fit(&glyph, ONS_FIT_INSIDE, size, rgb));
    *drawn = true;
fail:
    ons_rgba_fini(&glyph);
    return st;
}
