/* The man page and the bash completion from the tables, written at build time by the program itself: they
 * cannot go stale. */
#include "cli/options.h"

#include <string.h>

#include "onestep.h"

/* troff: a backslash is \e, a dash \-, and a line must not begin with . or '. */
static void print_troff(FILE *f, const char *text)
{
    bool line_start = true;

    for (; *text; text++) {
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", f);
        if (*text == '\\')
            fputs("\\e", f);
        else if (*text == '-')
            fputs("\\-", f);
        else
            fputc(*text, f);
        line_start = *text == '\n';
    }
}

static void print_man_option(FILE *f, const ons_field *o)
{
    const char *word = ons_field_word(o);

    fputs(".TP\n", f);
    if (o->letter)
        fprintf(f, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB", f);
    print_troff(f, "--");
    print_troff(f, o->name);
    fprintf(f, "\\fR%s\\fI", *word ? " " : "");
    print_troff(f, word);
    fputs("\\fR\n", f);
    print_troff(f, o->help);
    if (o->names) {
        fputs("; one of ", f);
        print_troff(f, o->names());
    }
    if (o->preset || o->min != 0 || o->max != 0)
        fputc('.', f);
    if (o->preset) {
        fputs(" Default: ", f);
        print_troff(f, o->preset);
        fputc('.', f);
    }
    if (o->min != 0 || o->max != 0)
        fprintf(f, " Range: %.10g to %.10g.", o->min, o->max);
    if (o->synonym) {
        fputs(o->preset || o->min != 0 || o->max != 0 ? " Also " : ". Also ", f);
        print_troff(f, "--");
        print_troff(f, o->synonym);
        fputc('.', f);
    }
    fputc('\n', f);
}

static void print_man_command(FILE *f, const cli_command *c)
{
    fprintf(f, ".SS onestep %s [\\fIOPTIONS\\fR]%s%s\n", c->name, c->operands ? " " : "",
            c->operands ? c->operands : "");
    print_troff(f, c->summary);
    if (c->details) {
        fputs("\n.PP\n", f);
        print_troff(f, c->details);
    }
    fputc('\n', f);
    for (const cli_group *g = c->groups; g->options; g++) {
        fputs(".PP\n", f);
        print_troff(f, g->title ? g->title : "Options");
        fputs(":\n", f);
        for (const ons_field *o = cli_next_option(g, g->options); o; o = cli_next_option(g, o + 1))
            print_man_option(f, o);
    }
}

void cli_print_man(const cli_command *const *commands, FILE *f)
{
    fprintf(
        f,
        ".TH ONESTEP 1 \"\" \"onestep %s\" \"User Commands\"\n.SH NAME\nonestep \\- one\\-step image "
        "generation: "
        "train, distill, generate, compare\n.SH SYNOPSIS\n\\fBonestep\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR]\n"
        ".SH COMMANDS\n",
        onestep_version());
    for (; *commands; commands++)
        if (!(*commands)->hidden)
            print_man_command(f, *commands);
    fputs(".SH EXIT STATUS\n0 done, 1 failure, 2 wrong usage, 130 interrupted.\n.SH ENVIRONMENT\n"
          "ONESTEP_PASSES_OFF, ONESTEP_CHECK_NAN, ONESTEP_COMPARE, ONESTEP_TRACE and ONESTEP_PLAN switch on "
          "the debugging\n"
          "aids that docs/development.md describes.\n",
          f);
}

static void print_completion_words(FILE *f, const cli_command *c)
{
    for (const cli_group *g = c->groups; g->options; g++)
        for (const ons_field *o = cli_next_option(g, g->options); o; o = cli_next_option(g, o + 1))
            fprintf(f, "--%s ", o->name);
    fputs("--help", f);
}

/* Values of choice options complete too; the rest completes as files. */
static void print_completion_choices(FILE *f, const cli_command *c)
{
    for (const cli_group *g = c->groups; g->options; g++)
        for (const ons_field *o = cli_next_option(g, g->options); o; o = cli_next_option(g, o + 1)) {
            if (o->type != ONS_FIELD_CHOICE)
                continue;
            fprintf(f, "    %s:--%s", c->name, o->name);
            if (o->letter)
                fprintf(f, "|%s:-%c", c->name, o->letter);
            fputs(") COMPREPLY=($(compgen -W \"", f);
            for (const char *p = o->choices; *p; p++)
                fputc(*p == '|' ? ' ' : *p, f);
            fputs("\" -- \"$cur\")); return ;;\n", f);
        }
}

void cli_print_completion(const cli_command *const *commands, FILE *f)
{
    fputs("# bash completion for onestep, written by onestep itself\n_onestep()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"",
          f);
    for (int i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            fprintf(f, "%s ", commands[i]->name);
    fputs("help --help --version\" -- \"$cur\"))\n        return\n    fi\n"
          "    case \"$command:${COMP_WORDS[COMP_CWORD-1]}\" in\n",
          f);
    for (int i = 0; commands[i]; i++)
        if (!commands[i]->hidden)
            print_completion_choices(f, commands[i]);
    fputs("    esac\n    case \"$command\" in\n", f);
    for (int i = 0; commands[i]; i++)
        if (!commands[i]->hidden) {
            fprintf(f, "    %s) words=\"", commands[i]->name);
            print_completion_words(f, commands[i]);
            fputs("\" ;;\n", f);
        }
    fputs("    *) return ;;\n    esac\n"
          "    case \"$cur\" in\n    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
          "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n    esac\n}\n"
          "complete -o filenames -F _onestep onestep\n",
          f);
}
