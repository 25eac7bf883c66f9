/*
 * A data set of simple pictures on disk: 4 shapes x 6 colours x 4 grounds, 16 x 16 pixels, named ("red disc top
 * left"), with keywords ("red", "disc"), every seventh held out. Small enough to learn in seconds.
 */
#ifndef ONS_TESTS_EVAL_SHAPES_H
#define ONS_TESTS_EVAL_SHAPES_H

#include <stdint.h>

enum { SHAPES_SIDE = 16, SHAPES_COUNT = 96 };

/* Writes the set into a new folder whose name goes to path[64]; 0 or -1. */
int shapes_write(char path[64]);
int shapes_remove(const char *path);
/* Picture and name number i. */
void shapes_draw(int i, uint8_t rgb[SHAPES_SIDE * SHAPES_SIDE * 3]);
void shapes_name(int i, char name[64]);

#endif
