/* The emoji set's parts: Unicode's list, CLDR's keywords, the font. Only emoji*.c include this. */
#ifndef ONS_DATA_EMOJI_PARTS_H
#define ONS_DATA_EMOJI_PARTS_H

#include "base/memory.h"
#include "data/picture.h"

enum { ONS_EMOJI_MAX_POINTS = 16, ONS_EMOJI_MAX_KEYWORDS = 64 };

typedef struct ons_emoji {
    int32_t points[ONS_EMOJI_MAX_POINTS];
    int n_points;
    const char *name;     /* "woman astronaut: medium skin tone" */
    const char *subgroup; /* "person-role" */
    const char *keywords[ONS_EMOJI_MAX_KEYWORDS];
    int n_keywords;
    bool heldout;
} ons_emoji;

typedef struct ons_emoji_list {
    ons_arena *arena;
    ons_emoji *at;
    size_t n, capacity;
} ons_emoji_list;

/* The fully-qualified sequences of emoji-test.txt, in its order. */
onestep_status ons_emoji_list_read(const char *path, ons_emoji_list *out) ONESTEP_CHECK;
void ons_emoji_list_fini(ons_emoji_list *list); /* accepts a zeroed struct */
bool ons_emoji_is_tone(int32_t code_point);
/* The sequence as "1f469-1f3fd-200d-1f680", without tones and variation selectors where asked. */
void ons_emoji_key(const ons_emoji *e, bool with_tones, bool with_selectors,
                   char out[ONS_EMOJI_MAX_POINTS * 7 + 1]);
/* Sets heldout by the rule documented in emoji_split.c; returns how many. */
size_t ons_emoji_split(ons_emoji_list *list);

/* Fills keywords from CLDR's annotation files (plain, derived). Names themselves are left out. */
onestep_status ons_emoji_annotate(ons_emoji_list *list, const char *plain, const char *derived) ONESTEP_CHECK;

typedef struct ons_emoji_font ons_emoji_font;
onestep_status ons_emoji_font_open(const char *path, ons_emoji_font **out) ONESTEP_CHECK;
void ons_emoji_font_close(ons_emoji_font **f);
/* rgb [size, size, 3]; *drawn false when the font has no single glyph for the sequence. */
onestep_status ons_emoji_font_draw(ons_emoji_font *f, const ons_emoji *e, int size, uint8_t *rgb,
                                   bool *drawn) ONESTEP_CHECK;

#endif
