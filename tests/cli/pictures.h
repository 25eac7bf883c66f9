/* A made-up data set that a small model learns in seconds: four shapes in four colours on white. Numbers 4k to
 * 4k+3 have one colour. */
#ifndef ONS_TESTS_CLI_PICTURES_H
#define ONS_TESTS_CLI_PICTURES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PICTURES_SIDE = 32,
    PICTURES_COUNT = 16,
    PICTURES_PER_COLOUR = 4,
    PICTURES_BYTES = PICTURES_SIDE * PICTURES_SIDE * 3
};

void pictures_draw(int i, uint8_t rgb[PICTURES_BYTES]);
const char *pictures_colour(int i);
/*
 * Writes all into a new folder as NN.png and NN.txt; fails the test when it cannot. The caption is "red square"
 * with the keyword "red", or the colour alone: which shape it is, is then for the noise to decide.
 */
void pictures_write(const char *folder, bool with_names);

#endif
