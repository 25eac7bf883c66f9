/*
 * Which combinations of person and skin tone are held out of training.
 *
 * Candidates: sequences with exactly one skin tone in the subgroups person, person-gesture, person-role,
 * person-fantasy, person-activity, person-sport and person-resting. The person is the sequence without tone and
 * variation selectors, written as "1f469-200d-1f680"; h is the 32-bit FNV-1a hash of that text. When (h >> 16)
 * mod 3 is not 0, the person's tone number h mod 5 (light first) is held out.
 *
 * So each person loses at most one of five tones, and two thirds lose one: 158 of 1,220 with Unicode 15.0. The
 * rule looks at nothing but the sequence itself, so that a newer Unicode adds combinations and never moves one.
 * Rejected: every n-th in file order.
 */
#include "data/emoji_parts.h"

#include <string.h>

static uint32_t hash_text(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

/* The one tone of the sequence, 0 (light) to 4 (dark); -1: none or several. */
static int find_tone(const ons_emoji *e)
{
    int tone = -1;
    for (int i = 0; i < e->n_points; i++) {
        if (!ons_emoji_is_tone(e->points[i]))
            continue;
        if (tone >= 0)
            return -1;
        tone = e->points[i] - 0x1f3fb;
    }
    return tone;
}

size_t ons_emoji_split(ons_emoji_list *list)
{
    char key[ONS_EMOJI_MAX_POINTS * 7 + 1];
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        ons_emoji *e = &list->at[i];
        const int tone = find_tone(e);
        e->heldout = false;
        if (tone < 0 || strncmp(e->subgroup, "person", 6) != 0)
            continue;
        ons_emoji_key(e, false, false, key);
        const uint32_t h = hash_text(key);
        e->heldout = (h >> 16) % 3 != 0 && h % 5 == (uint32_t)tone;
        n += e->heldout;
    }
    return n;
}
