/* --help from the tables: wrapped at 80 columns, options aligned per group. */
#include "cli/options.h"

#include <string.h>

enum { WIDTH = 80, HELP_COLUMN = 26 };

/* Prints words wrapped; the cursor stands at `column`, further lines are indented by `indent`. Newlines start
 * new lines. */
static void print_wrapped(FILE *f, const char *text, int column, int indent)
{
    bool line_start = true;

    while (*text) {
        const int length = (int)strcspn(text, " \n");

        if (!line_start && column + 1 + length > WIDTH) {
            column = fprintf(f, "\n%*s", indent, "") - 1;
            line_start = true;
        }
        column += fprintf(f, "%s%.*s", line_start ? "" : " ", length, text);
        line_start = false;
        text += length;
        if (*text == '\n') {
            column = fprintf(f, "\n%*s", text[1] ? indent : 0, "") - 1;
            line_start = true;
        }
        if (*text)
            text++;
    }
    fputc('\n', f);
}

static void append_range(const ons_field *o, char *text, size_t size)
{
    const size_t used = strlen(text);

    if (o->min == 0 && o->max == 0)
        return;
    if (o->type == ONS_FIELD_INT || o->type == ONS_FIELD_REAL || o->type == ONS_FIELD_LIST)
        snprintf(text + used, size - used, "%s%.10g to %.10g", used ? "; " : "", o->min, o->max);
}

static void print_option(FILE *f, const cli_command *command, const ons_field *o)
{
    char left[128], notes[256] = "", help[1024];
    const char *word = ons_field_word(o);
    const char letter[4] = {'-', o->letter, ',', 0};
    int column;

    snprintf(left, sizeof left, "  %s --%s%s%s", o->letter ? letter : "   ", o->name, *word ? " " : "", word);
    if (o->preset)
        snprintf(notes, sizeof notes, "default %s", o->preset);
    append_range(o, notes, sizeof notes);
    if (o->synonym)
        snprintf(notes + strlen(notes), sizeof notes - strlen(notes), "%salso --%s", *notes ? "; " : "",
                 o->synonym);
    snprintf(help, sizeof help, "%s%s%s%s%s%s%s", o->help, o->names ? "; one of " : "",
             o->names ? o->names() : "", *notes ? " (" : "", notes, *notes ? ")" : "",
             cli_is_required(command, o) ? " (required)" : "");
    column = fprintf(f, "%s", left);
    if (column >= HELP_COLUMN)
        column = fprintf(f, "\n") - 1;
    fprintf(f, "%*s", HELP_COLUMN - column, "");
    print_wrapped(f, help, HELP_COLUMN, HELP_COLUMN);
}

void cli_print_help(const cli_command *c, FILE *f)
{
    fprintf(f, "Usage: onestep %s [OPTIONS]%s%s\n\n", c->name, c->operands ? " " : "",
            c->operands ? c->operands : "");
    print_wrapped(f, c->summary, 0, 0);
    if (c->details) {
        fputc('\n', f);
        print_wrapped(f, c->details, 0, 0);
    }
    for (const cli_group *g = c->groups; g->options; g++) {
        fprintf(f, "\n%s:\n", g->title ? g->title : "Options");
        for (const ons_field *o = cli_next_option(g, g->options); o; o = cli_next_option(g, o + 1))
            print_option(f, c, o);
    }
    fprintf(f, "\n  -h, --help              this text\n"
               "\nExit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted.\n");
}

void cli_print_overview(const cli_command *const *commands, FILE *f)
{
    fprintf(f, "onestep: one-step image generation: train, distill, generate, compare\n\n"
               "Usage: onestep COMMAND [OPTIONS]\n\nCommands:\n");
    for (; *commands; commands++)
        if (!(*commands)->hidden) {
            fprintf(f, "  %-10s  ", (*commands)->name);
            print_wrapped(f, (*commands)->summary, 14, 14);
        }
    fprintf(f, "\n\"onestep COMMAND --help\" shows a command's options; \"onestep --version\" the version.\n"
               "Exit codes: 0 done, 1 failure, 2 wrong usage, 130 interrupted.\n");
}
