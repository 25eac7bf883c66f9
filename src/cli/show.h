/* Pictures in the terminal. */
#ifndef ONS_CLI_SHOW_H
#define ONS_CLI_SHOW_H

#include <stdint.h>
#include <stdio.h>

/* Draws rgb [height, width, 3] to `f` as well as the terminal can: Kitty, iTerm2, Sixel, or character cells. */
void cli_show(const uint8_t *rgb, int width, int height, FILE *f);

#endif
