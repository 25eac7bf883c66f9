/* Pictures with texts inside, and contact sheets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/png.h"
#include "pipeline/sheet.h"
#include "program.h"

enum { W = 5, H = 3 };

static char *folder;

static int open_folder(void **state)
{
    (void)state;
    folder = make_folder();
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static void texts_come_back(void **state)
{
    static const ons_picture_text texts[] = {{"parameters", "a cat\nSteps: 1"},
                                             {"onestep", "{\"p\":\"chat noir é 猫\"}"}};
    uint8_t rgb[W * H * 3];
    ons_picture_texts back;
    const char *path = in_folder(folder, "a.png");

    (void)state;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 7);
    assert_int_equal(ons_picture_write(path, rgb, W, H, texts, 2), ONESTEP_OK);
    assert_int_equal(ons_picture_texts_read(path, &back), ONESTEP_OK);
    assert_int_equal(back.width, W);
    assert_int_equal(back.height, H);
    assert_int_equal(back.n, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(back.texts[i].key, texts[i].key);
        assert_string_equal(back.texts[i].value, texts[i].value);
    }
    ons_picture_texts_fini(&back);
}

static void damaged_pictures_are_refused(void **state)
{
    uint8_t rgb[W * H * 3] = {0}, *png;
    ons_picture_texts back;
    size_t size;
    const char *path = in_folder(folder, "cut.png");

    (void)state;
    assert_int_equal(ons_picture_encode(rgb, W, H, NULL, 0, &png, &size), ONESTEP_OK);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(ons_write_file(path, png, cut), ONESTEP_OK);
        assert_int_equal(ons_picture_texts_read(path, &back), ONESTEP_BAD_FILE);
        assert_non_null(strstr(onestep_error_text(), "cut.png"));
    }
    ons_free(png);
    assert_int_equal(ons_picture_texts_read(in_folder(folder, "none.png"), &back), ONESTEP_NOT_FOUND);
    assert_int_not_equal(ons_picture_encode(rgb, 0, H, NULL, 0, &png, &size), ONESTEP_OK);
}

static void a_sheet_shows_every_tile_enlarged(void **state)
{
    uint8_t rgb[3][4] = {{250, 0, 0}, {0, 250, 0}, {0, 0, 250}}, *sheet;
    const ons_sheet_options o = {.width = 1, .height = 1, .columns = 2, .scale = 10};
    ons_tile tiles[3];
    int width, height, n[3] = {0};

    (void)state;
    for (int i = 0; i < 3; i++)
        tiles[i] = (ons_tile){rgb[i], NULL};
    assert_int_equal(ons_sheet_draw(tiles, 3, &o, &sheet, &width, &height), ONESTEP_OK);
    for (int i = 0; i < width * height; i++)
        for (int k = 0; k < 3; k++)
            n[k] += memcmp(sheet + i * 3, rgb[k], 3) == 0;
    for (int k = 0; k < 3; k++)
        assert_int_equal(n[k], 100);
    ons_free(sheet);
}

static void captions_leave_ink_below_the_picture_only(void **state)
{
    uint8_t white[3] = {255, 255, 255}, *sheet;
    const ons_sheet_options o = {.width = 1, .height = 1, .scale = 80};
    const ons_tile tile = {white, "man in manual wheelchair: medium-dark skin tone, facing right"};
    ons_font *font = ons_font_open(11);
    int width, height, dark = 0;

    (void)state;
    if (!font)
        skip(); /* no font on this machine */
    ons_font_close(&font);
    assert_int_equal(ons_sheet_draw(&tile, 1, &o, &sheet, &width, &height), ONESTEP_OK);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            if (sheet[(y * width + x) * 3] < 128) {
                assert_true(y >= 80);
                dark++;
            }
    assert_true(dark > 50);
    ons_free(sheet);
}

static void impossible_sheets_are_refused(void **state)
{
    uint8_t rgb[3] = {0}, *sheet;
    const ons_tile tile = {rgb, NULL};
    const ons_sheet_options huge = {.width = 1, .height = 1, .scale = 100000},
                            negative = {.width = -1, .height = 1};
    int width, height;

    (void)state;
    assert_int_equal(ons_sheet_draw(&tile, 1, &huge, &sheet, &width, &height), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_sheet_draw(&tile, 1, &negative, &sheet, &width, &height), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_sheet_draw(&tile, 0, &huge, &sheet, &width, &height), ONESTEP_BAD_ARGUMENT);
    assert_null(sheet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(damaged_pictures_are_refused),
        cmocka_unit_test(a_sheet_shows_every_tile_enlarged),
        cmocka_unit_test(captions_leave_ink_below_the_picture_only),
        cmocka_unit_test(impossible_sheets_are_refused),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
