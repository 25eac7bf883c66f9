/*
 * The report as one HTML page without outside references: pictures travel inside as base64 PNG, style is a few
 * lines, there is no script. It can be mailed, archived and opened from disk.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "eval/compare.h"
#include "io/png.h"

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 "
    "1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .9rem;border-bottom:1px solid "
    "#ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}.note{color:#666;font-size:.9rem}"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:1rem}"
    "figure{margin:0;text-align:center}img{width:8rem;height:8rem;image-rendering:pixelated;border:1px solid "
    "#eee}"
    "figcaption{font-size:.85rem}h1{line-height:1.2}";

/* Text from outside: model names and prompts. */
static void put_escaped(FILE *f, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&':
            fputs("&amp;", f);
            break;
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fputc(*text, f);
        }
}

static void put_base64(FILE *f, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < size; i += 3) {
        uint32_t b = (uint32_t)data[i] << 16 | (i + 1 < size ? (uint32_t)data[i + 1] << 8 : 0) |
                     (i + 2 < size ? data[i + 2] : 0);

        fputc(digits[b >> 18], f);
        fputc(digits[b >> 12 & 63], f);
        fputc(i + 1 < size ? digits[b >> 6 & 63] : '=', f);
        fputc(i + 2 < size ? digits[b & 63] : '=', f);
    }
}

static onestep_status put_picture(FILE *f, const uint8_t *rgb, int side, const char *alt)
{
    onestep_status st;
    uint8_t *png = NULL;
    size_t size;

    ONS_TRY(ons_picture_encode(rgb, side, side, NULL, 0, &png, &size));
    fprintf(f, "<img alt=\"%s\" src=\"data:image/png;base64,", alt);
    put_base64(f, png, size);
    fputs("\">", f);
fail:
    ons_free(png);
    return st;
}

static void put_figure(FILE *f, double value, const char *unit)
{
    if (value == -1 || isnan(value))
        fputs("<td>unknown</td>", f);
    else if (isinf(value))
        fputs("<td>never</td>", f);
    else
        fprintf(f, "<td>%.4g%s</td>", value, unit);
}

static void put_row(FILE *f, const char *label, double teacher, double student, const char *unit)
{
    fputs("<tr><td>", f);
    put_escaped(f, label);
    fputs("</td>", f);
    put_figure(f, teacher, unit);
    put_figure(f, student, unit);
    if (teacher > 0 && student > 0 && isfinite(teacher / student))
        fprintf(f, "<td>%.3g</td></tr>\n", student / teacher);
    else
        fputs("<td></td></tr>\n", f);
}

static void put_cost_table(FILE *f, const ons_compare *c)
{
    const ons_compare_side *t = &c->teacher, *s = &c->student;
    char energy[sizeof t->energy_source + 16];

    snprintf(energy, sizeof energy, "energy (%s)", t->energy_source);
    fputs("<h2>What a picture costs</h2>\n<table><tr><th></th><th>teacher</th><th>student</th><th>student / "
          "teacher</th></tr>\n",
          f);
    put_row(f, "steps", t->run.steps, s->run.steps, "");
    put_row(f, "network evaluations", t->n_evaluations, s->n_evaluations, "");
    put_row(f, "work", t->gflop, s->gflop, " GFLOP");
    put_row(f, "time, median", t->median_ms, s->median_ms, " ms");
    put_row(f, "time, fastest tenth", t->low_ms, s->low_ms, " ms");
    put_row(f, "time, slowest tenth", t->high_ms, s->high_ms, " ms");
    put_row(f, energy, t->joules, s->joules, " J");
    fputs("</table>\n<p class=\"note\">Energy source: ", f);
    put_escaped(f, t->energy_source);
    if (c->advice[0]) {
        fputs(". ", f);
        put_escaped(f, c->advice);
    }
    fprintf(f, ".<br>%d pictures of %dx%d each, one at a time, taking turns, %d threads, %s.</p>\n", c->n_timed,
            c->side, c->side, c->n_threads, c->precision);
}

static void put_break_even(FILE *f, const ons_compare *c)
{
    fputs("<h2>Break-even</h2>\n<table><tr><th></th><th>spent on distilling</th><th>repaid after "
          "(pictures)</th></tr>\n<tr><td>time</td>",
          f);
    put_figure(f, c->student.train_seconds > 0 ? c->student.train_seconds : -1, " s");
    put_figure(f, c->break_even_time, "");
    fputs("</tr>\n<tr><td>energy</td>", f);
    put_figure(f, c->student.train_joules > 0 ? c->student.train_joules : -1, " J");
    put_figure(f, c->break_even_energy, "");
    fputs("</tr></table>\n<p class=\"note\">Pairs and distillation, as the student's card tells; the teacher's "
          "own training is "
          "not counted, since it is there either way.</p>\n",
          f);
}

static void put_section(FILE *f, const char *title, const ons_eval_section *t, const ons_eval_section *s)
{
    if (!t->present || !s->present)
        return;
    fprintf(f, "<tr><th>%s</th><th>teacher</th><th>student</th><th>student / teacher</th></tr>\n", title);
    put_row(f, "Fréchet distance", t->frechet, s->frechet, "");
    put_row(f, "patch Fréchet distance", t->patch_frechet, s->patch_frechet, "");
    put_row(f, "the very picture (24x24 RGB)", t->exact, s->exact, "");
    put_row(f, "retrieval, first", t->top1, s->top1, "");
    put_row(f, "retrieval, first five", t->top5, s->top5, "");
    put_row(f, "caption fit (cosine)", t->clip, s->clip, "");
    put_row(f, "precision", t->precision, s->precision, "");
    put_row(f, "recall", t->recall, s->recall, "");
    put_row(f, "diversity", t->diversity, s->diversity, "");
}

static void put_quality(FILE *f, const ons_compare *c)
{
    fputs("<h2>Quality</h2>\n", f);
    if (c->teacher.has_eval && c->student.has_eval) {
        fputs("<table>\n", f);
        put_section(f, "training names", &c->teacher.eval.train, &c->student.eval.train);
        put_section(f, "held-out names", &c->teacher.eval.heldout, &c->student.eval.heldout);
        put_section(f, "ambiguous keywords", &c->teacher.eval.ambiguous, &c->student.eval.ambiguous);
        fputs("</table>\n", f);
    }
    fprintf(f,
            "<p>Student against teacher on the prompts below: patch Fréchet distance %.4g, root mean square "
            "difference %.3g of 255.</p>\n",
            c->patch_frechet, c->pixel_distance);
}

static onestep_status put_pictures(FILE *f, const ons_compare *c)
{
    onestep_status st = ONESTEP_OK;
    size_t picture = (size_t)c->side * (size_t)c->side * 3;

    fputs("<h2>Side by side</h2>\n<p class=\"note\">Left the teacher, right the student, from the same "
          "noise.</p>\n<div class=\"grid\">\n",
          f);
    for (int i = 0; i < c->n_prompts; i++) {
        fputs("<figure>", f);
        ONS_TRY(put_picture(f, c->teacher.rgb + (size_t)i * picture, c->side, "teacher"));
        ONS_TRY(put_picture(f, c->student.rgb + (size_t)i * picture, c->side, "student"));
        fputs("<figcaption>", f);
        put_escaped(f, c->prompts[i]);
        fputs("</figcaption></figure>\n", f);
    }
    fputs("</div>\n", f);
fail:
    return st;
}

static onestep_status put_page(FILE *f, const ons_compare *c)
{
    onestep_status st;

    fprintf(f,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>onestep: teacher and "
            "student</title><style>%s</style></head><body>\n",
            style);
    fprintf(f, "<h1>%d network evaluation%s against %d: %.3g times as fast</h1>\n<p>Teacher: ",
            c->student.n_evaluations, c->student.n_evaluations == 1 ? "" : "s", c->teacher.n_evaluations,
            c->teacher.median_ms / c->student.median_ms);
    put_escaped(f, c->teacher.path);
    fputs("<br>Student: ", f);
    put_escaped(f, c->student.path);
    fputs("</p>\n", f);
    put_cost_table(f, c);
    put_break_even(f, c);
    put_quality(f, c);
    ONS_TRY(put_pictures(f, c));
    fputs("</body></html>\n", f);
fail:
    return st;
}

onestep_status ons_compare_page(const ons_compare *c, char **html, size_t *size)
{
    onestep_status st;
    char *text = NULL;
    FILE *f;

    *html = NULL;
    *size = 0;
    f = open_memstream(&text, size);
    if (!f)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a page");
    st = put_page(f, c);
    if (fclose(f) && st == ONESTEP_OK)
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a page");
    if (st == ONESTEP_OK) {
        *html = ons_malloc(*size + 1);
        if (*html)
            snprintf(*html, *size + 1, "%s", text);
        else
            st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a page");
    }
    free(text);
    return st;
}
