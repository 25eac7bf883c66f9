/* Pictures in the terminal through chafa, which knows what the terminal named by the environment can do. */
#include "cli/show.h"

#include <chafa.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CELLS_WIDE = 40, CELLS_HIGH = 20 };

/* Cells of the terminal; where it does not say, a size that fits every one. */
static void terminal_size(FILE *f, struct winsize *size)
{
    if (ioctl(fileno(f), TIOCGWINSZ, size) != 0 || size->ws_col == 0 || size->ws_row == 0)
        *size = (struct winsize){.ws_col = 80, .ws_row = 24};
}

static ChafaPixelMode best_pixels(const ChafaTermInfo *info)
{
    if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_KITTY_IMMEDIATE_IMAGE_V1))
        return CHAFA_PIXEL_MODE_KITTY;
    if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_ITERM2_IMAGE))
        return CHAFA_PIXEL_MODE_ITERM2;
    if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_BEGIN_SIXELS))
        return CHAFA_PIXEL_MODE_SIXELS;
    return CHAFA_PIXEL_MODE_SYMBOLS;
}

static ChafaCanvasMode best_colors(const ChafaTermInfo *info)
{
    if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_SET_COLOR_FGBG_DIRECT))
        return CHAFA_CANVAS_MODE_TRUECOLOR;
    if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_SET_COLOR_FGBG_256))
        return CHAFA_CANVAS_MODE_INDEXED_240;
    if (chafa_term_info_have_seq(info, CHAFA_TERM_SEQ_SET_COLOR_FGBG_16))
        return CHAFA_CANVAS_MODE_INDEXED_16;
    return CHAFA_CANVAS_MODE_FGBG;
}

static ChafaCanvasConfig *make_config(ChafaTermInfo *info, FILE *f, int width, int height)
{
    ChafaCanvasConfig *config = chafa_canvas_config_new();
    ChafaSymbolMap *symbols = chafa_symbol_map_new();
    struct winsize size;
    gint w, h;

    terminal_size(f, &size);
    w = size.ws_col < CELLS_WIDE ? size.ws_col : CELLS_WIDE;
    h = size.ws_row < CELLS_HIGH ? size.ws_row : CELLS_HIGH;
    chafa_calc_canvas_geometry(width, height, &w, &h, 0.5f, TRUE, FALSE);
    chafa_symbol_map_add_by_tags(symbols, CHAFA_SYMBOL_TAG_HALF | CHAFA_SYMBOL_TAG_SPACE);
    chafa_canvas_config_set_symbol_map(config, symbols);
    chafa_symbol_map_unref(symbols);
    chafa_canvas_config_set_geometry(config, w, h);
    chafa_canvas_config_set_canvas_mode(config, best_colors(info));
    chafa_canvas_config_set_pixel_mode(config, best_pixels(info));
    if (size.ws_xpixel && size.ws_ypixel)
        chafa_canvas_config_set_cell_geometry(config, size.ws_xpixel / size.ws_col,
                                              size.ws_ypixel / size.ws_row);
    return config;
}

void cli_show(const uint8_t *rgb, int width, int height, FILE *f)
{
    gchar **environment = g_get_environ();
    ChafaTermInfo *info = chafa_term_db_detect(chafa_term_db_get_default(), environment);
    ChafaCanvasConfig *config = make_config(info, f, width, height);
    ChafaCanvas *canvas = chafa_canvas_new(config);
    GString *text;

    chafa_canvas_draw_all_pixels(canvas, CHAFA_PIXEL_RGB8, rgb, width, height, width * 3);
    text = chafa_canvas_print(canvas, info);
    fwrite(text->str, 1, text->len, f);
    fputc('\n', f);
    fflush(f);
    g_string_free(text, TRUE);
    chafa_canvas_unref(canvas);
    chafa_canvas_config_unref(config);
    chafa_term_info_unref(info);
    g_strfreev(environment);
}
