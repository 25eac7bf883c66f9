/* Drawing and writing of the set; see shapes.h. */
#include "shapes.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/png.h"

static const char *const shapes[] = {"disc", "square", "cross", "ring"};
static const char *const colours[] = {"red", "green", "blue", "black", "orange", "purple"};
static const char *const grounds[] = {"white", "yellow", "grey", "pink"};
static const uint8_t ground_values[][3] = {{255, 255, 255}, {250, 240, 90}, {170, 170, 170}, {250, 180, 200}};
static const uint8_t values[][3] = {{220, 30, 30}, {30, 160, 40},  {40, 60, 220},
                                    {10, 10, 10},  {250, 150, 20}, {140, 40, 160}};

static bool is_inside(int shape, double y, double x)
{
    double r = hypot(x, y), side = fmax(fabs(x), fabs(y));

    switch (shape) {
    case 0:
        return r < 6;
    case 1:
        return side < 5.5;
    case 2:
        return side < 6.5 && fmin(fabs(x), fabs(y)) < 1.9;
    default:
        return r < 6.5 && r > 3.6;
    }
}

void shapes_draw(int i, uint8_t rgb[SHAPES_SIDE * SHAPES_SIDE * 3])
{
    int shape = i % 4, colour = i / 4 % 6, ground = i / 24;

    for (int y = 0; y < SHAPES_SIDE; y++)
        for (int x = 0; x < SHAPES_SIDE; x++) {
            bool in = is_inside(shape, y - 7.5, x - 7.5);

            for (int c = 0; c < 3; c++)
                *rgb++ = in ? values[colour][c] : ground_values[ground][c];
        }
}

void shapes_name(int i, char name[64])
{
    snprintf(name, 64, "%s %s on %s", colours[i / 4 % 6], shapes[i % 4], grounds[i / 24]);
}

static FILE *open_in(const char *folder, const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return fopen(path, "w");
}

static int write_pictures(const char *folder, FILE *metadata, FILE *heldout)
{
    for (int i = 0; i < SHAPES_COUNT; i++) {
        char name[64], path[128];
        uint8_t rgb[SHAPES_SIDE * SHAPES_SIDE * 3];

        shapes_name(i, name);
        shapes_draw(i, rgb);
        snprintf(path, sizeof path, "%s/%03d.png", folder, i);
        if (ons_picture_write(path, rgb, SHAPES_SIDE, SHAPES_SIDE, NULL, 0) != ONESTEP_OK)
            return -1;
        fprintf(metadata,
                "{\"file_name\": \"%03d.png\", \"text\": \"%s\", \"keywords\": [\"%s\", \"%s\"], \"split\": "
                "\"%s\"}\n",
                i, name, shapes[i % 4], colours[i / 4 % 6], i % 7 == 3 ? "heldout" : "train");
        if (i % 7 == 3)
            fprintf(heldout, "%s\n", name);
    }
    return 0;
}

int shapes_write(char path[64])
{
    FILE *metadata, *heldout, *ambiguous;
    int failed;

    strcpy(path, "/tmp/ons_shapes_XXXXXX");
    if (!mkdtemp(path))
        return -1;
    metadata = open_in(path, "metadata.jsonl");
    heldout = open_in(path, "heldout.txt");
    ambiguous = open_in(path, "ambiguous.txt");
    failed = !metadata || !heldout || !ambiguous || write_pictures(path, metadata, heldout);
    for (int i = 0; !failed && i < 4; i++)
        fprintf(ambiguous, "%s\n", shapes[i]);
    for (int i = 0; !failed && i < 6; i++)
        fprintf(ambiguous, "%s\n", colours[i]);
    if (metadata)
        fclose(metadata);
    if (heldout)
        fclose(heldout);
    if (ambiguous)
        fclose(ambiguous);
    return failed ? -1 : 0;
}

int shapes_remove(const char *path)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command);
}
