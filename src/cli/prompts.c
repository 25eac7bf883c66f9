/*
 * Prompts become UTF-8 here, once: what is not is read as Latin-1, line by line, as captions of data sets are,
 * so that tokens, PNG texts, JSON and pages below never see anything else.
 */
#include "cli/prompts.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "text/utf8.h"

enum { MAX_FILE_BYTES = 64 << 20 };

static onestep_status report_no_memory(const char *what)
{
    return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for the prompts", what);
}

/* A UTF-8 copy in the arena; NULL: no memory. */
static const char *copy_text(ons_arena *arena, const char *what, const char *text, size_t size)
{
    char *copy, *converted;

    if (ons_utf8_valid(text, size)) {
        copy = ons_arena_alloc(arena, size + 1); /* zeroed */
        return copy ? memcpy(copy, text, size) : NULL;
    }
    converted = ons_latin1_to_utf8(text, size);
    copy = converted ? ons_arena_strdup(arena, converted) : NULL;
    ons_free(converted);
    if (copy)
        ons_warn("%s: not UTF-8, read as Latin-1: \"%.60s\"", what, copy);
    return copy;
}

/* Room for `n` prompts more. */
static onestep_status reserve(cli_prompts *p, const char *what, size_t n)
{
    const char **grown = ons_realloc(p->texts, ((size_t)p->n + n) * sizeof *grown);

    if (!grown)
        return report_no_memory(what);
    p->texts = grown;
    if (!p->arena)
        p->arena = ons_arena_create();
    return p->arena ? ONESTEP_OK : report_no_memory(what);
}

static onestep_status push(cli_prompts *p, const char *what, const char *text, size_t size)
{
    p->texts[p->n] = copy_text(p->arena, what, text, size);
    return p->texts[p->n++] ? ONESTEP_OK : report_no_memory(what);
}

onestep_status cli_prompts_add(cli_prompts *p, const char *what, const char *text, size_t size)
{
    onestep_status st = reserve(p, what, 1);

    return st == ONESTEP_OK ? push(p, what, text, size) : st;
}

static onestep_status take_lines(cli_prompts *p, const char *path, const char *text)
{
    onestep_status st;
    size_t n = 1;

    for (const char *c = text; (c = strchr(c, '\n')); c++)
        n++;
    ONS_TRY(reserve(p, path, n));
    for (text += strspn(text, "\r\n"); *text; text += strspn(text, "\r\n")) {
        const size_t length = strcspn(text, "\r\n");

        ONS_TRY(push(p, path, text, length));
        text += length;
    }
fail:
    return st;
}

onestep_status cli_prompts_read(const char *path, cli_prompts *out)
{
    char *text = NULL;
    size_t size;
    onestep_status st;

    *out = (cli_prompts){0};
    ONS_TRY(ons_read_file(path, MAX_FILE_BYTES, &text, &size));
    if (memchr(text, '\0', size)) {
        st = ons_fail(ONESTEP_BAD_FILE, "%s: not a text file; one prompt a line is expected", path);
        goto fail;
    }
    ONS_TRY(take_lines(out, path, text + (strncmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0)));
    if (out->n == 0)
        st = ons_fail(ONESTEP_BAD_FILE, "%s: no prompts in it; one a line is expected", path);
fail:
    ons_free(text);
    if (st != ONESTEP_OK)
        cli_prompts_fini(out);
    return st;
}

void cli_prompts_fini(cli_prompts *p)
{
    ons_arena_destroy(&p->arena);
    ons_free(p->texts);
    *p = (cli_prompts){0};
}
