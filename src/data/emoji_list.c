/* Unicode's emoji-test.txt: "1F469 1F3FD 200D 1F680 ; fully-qualified # <emoji> E4.0 woman astronaut: medium
 * skin tone". */
#include "data/emoji_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static onestep_status report_no_memory(void)
{
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the list of emoji");
}

static onestep_status push_emoji(ons_emoji_list *list, const ons_emoji *e)
{
    if (list->n == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 1024;
        ons_emoji *at = ons_realloc(list->at, capacity * sizeof *at);
        if (!at)
            return report_no_memory();
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->n++] = *e;
    return ONESTEP_OK;
}

/* Hexadecimal numbers up to the semicolon; false when there are none or too many. */
static bool parse_points(const char *line, ons_emoji *e)
{
    char *end;
    e->n_points = 0;
    for (;; line = end) {
        while (*line == ' ')
            line++;
        if (*line == ';')
            return e->n_points > 0;
        const unsigned long point = strtoul(line, &end, 16);
        if (end == line || point > 0x10ffff || e->n_points == ONS_EMOJI_MAX_POINTS)
            return false;
        e->points[e->n_points++] = (int32_t)point;
    }
}

/* The name stands behind "# <emoji> E<version> ". */
static const char *find_name(const char *line)
{
    const char *at = strstr(line, "# ");
    at = at ? strstr(at, " E") : NULL;
    at = at ? strchr(at + 2, ' ') : NULL;
    return at && at[1] ? at + 1 : NULL;
}

static onestep_status parse_line(ons_emoji_list *list, const char *line, const char **subgroup)
{
    static const char mark[] = "# subgroup: ";
    ons_emoji e = {.subgroup = *subgroup};
    if (strncmp(line, mark, sizeof mark - 1) == 0) {
        *subgroup = ons_arena_strdup(list->arena, line + sizeof mark - 1);
        return *subgroup ? ONESTEP_OK : report_no_memory();
    }
    const char *status = *line == '#' ? NULL : strchr(line, ';'), *name = status ? find_name(status) : NULL;
    if (!name || strncmp(status + strspn(status, "; "), "fully-qualified", 15) != 0 || !parse_points(line, &e))
        return ONESTEP_OK;
    e.name = ons_arena_strdup(list->arena, name);
    return e.name ? push_emoji(list, &e) : report_no_memory();
}

onestep_status ons_emoji_list_read(const char *path, ons_emoji_list *out)
{
    onestep_status st;
    char *text = NULL, *rest = NULL;
    const char *subgroup = "";
    size_t size;

    memset(out, 0, sizeof *out);
    if (!(out->arena = ons_arena_create()))
        return report_no_memory();
    ONS_TRY(ons_read_file(path, 64 << 20, &text, &size));
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest))
        ONS_TRY(parse_line(out, line, &subgroup));
    if (out->n == 0)
        st = ons_fail(ONESTEP_BAD_FILE,
                      "%s: no fully-qualified emoji in it; Unicode's emoji-test.txt is expected", path);
fail:
    ons_free(text);
    if (st != ONESTEP_OK)
        ons_emoji_list_fini(out);
    return st;
}

void ons_emoji_list_fini(ons_emoji_list *list)
{
    ons_free(list->at);
    ons_arena_destroy(&list->arena);
    memset(list, 0, sizeof *list);
}

bool ons_emoji_is_tone(int32_t code_point)
{
    return code_point >= 0x1f3fb && code_point <= 0x1f3ff;
}

void ons_emoji_key(const ons_emoji *e, bool with_tones, bool with_selectors,
                   char out[ONS_EMOJI_MAX_POINTS * 7 + 1])
{
    int n = 0;
    out[0] = '\0';
    for (int i = 0; i < e->n_points; i++) {
        if ((!with_tones && ons_emoji_is_tone(e->points[i])) || (!with_selectors && e->points[i] == 0xfe0f))
            continue;
        n += sprintf(out + n, "%s%x", n ? "-" : "", (unsigned)e->points[i]);
    }
}
