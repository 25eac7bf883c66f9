#include "pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "io/png.h"

static const char *const colours[] = {"red", "green", "blue", "yellow"};
static const char *const shapes[PICTURES_PER_COLOUR] = {"square", "disc", "post", "beam"};

void pictures_draw(int i, uint8_t rgb[PICTURES_BYTES])
{
    static const uint8_t values[][3] = {{220, 30, 30}, {30, 160, 40}, {40, 60, 220}, {230, 190, 20}};

    for (int y = 0; y < PICTURES_SIDE; y++)
        for (int x = 0; x < PICTURES_SIDE; x++) {
            int dx = x - PICTURES_SIDE / 2, dy = y - PICTURES_SIDE / 2;
            int inside[PICTURES_PER_COLOUR] = {abs(dx) < 10 && abs(dy) < 10, dx * dx + dy * dy < 110,
                                               abs(dx) < 4, abs(dy) < 4};

            for (int c = 0; c < 3; c++)
                *rgb++ = inside[i % PICTURES_PER_COLOUR] ? values[i / PICTURES_PER_COLOUR][c] : 255;
        }
}

const char *pictures_colour(int i)
{
    return colours[i / PICTURES_PER_COLOUR];
}

static void write_one(const char *folder, int i, bool with_name)
{
    uint8_t rgb[PICTURES_BYTES];
    char *png = ons_format("%s/%02d.png", folder, i), *txt = ons_format("%s/%02d.txt", folder, i);
    char *text = with_name ? ons_format("%s %s\n%s\n", pictures_colour(i), shapes[i % PICTURES_PER_COLOUR],
                                        pictures_colour(i))
                           : ons_format("%s\n", pictures_colour(i));

    pictures_draw(i, rgb);
    assert_int_equal(ons_picture_write(png, rgb, PICTURES_SIDE, PICTURES_SIDE, NULL, 0), ONESTEP_OK);
    assert_int_equal(ons_write_file(txt, text, strlen(text)), ONESTEP_OK);
    ons_free(png);
    ons_free(txt);
    ons_free(text);
}

void pictures_write(const char *folder, bool with_names)
{
    assert_int_equal(ons_make_dirs(folder), ONESTEP_OK);
    for (int i = 0; i < PICTURES_COUNT; i++)
        write_one(folder, i, with_names);
}
