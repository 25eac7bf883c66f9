/* compare.json and the contact sheet: teacher and student of each prompt side by side. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "eval/compare.h"
#include "io/json.h"
#include "pipeline/sheet.h"

static void add_figure(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name, isfinite(value) && value != -1 ? json_real(value) : json_null());
}

static json_t *side_json(const ons_compare_side *s)
{
    json_t *o = json_object();

    if (!o)
        return NULL;
    json_object_set_new(o, "model", json_string(s->path));
    json_object_set_new(o, "kind", json_string(s->kind));
    json_object_set_new(o, "method", s->method[0] ? json_string(s->method) : json_null());
    json_object_set_new(o, "steps", json_integer(s->run.steps));
    json_object_set_new(o, "guidance", json_real(s->run.guidance));
    json_object_set_new(o, "sampler", json_string(s->run.sampler));
    json_object_set_new(o, "network_evaluations", json_integer(s->n_evaluations));
    add_figure(o, "gflop_per_image", s->gflop);
    add_figure(o, "ms_per_image", s->median_ms);
    add_figure(o, "ms_p10", s->low_ms);
    add_figure(o, "ms_p90", s->high_ms);
    add_figure(o, "joules_per_image", s->joules);
    json_object_set_new(o, "energy_source", json_string(s->energy_source));
    add_figure(o, "train_seconds", s->train_seconds > 0 ? s->train_seconds : -1);
    add_figure(o, "train_joules", s->train_joules > 0 ? s->train_joules : -1);
    if (s->has_eval) {
        json_object_set_new(o, "train", ons_eval_section_json(&s->eval.train));
        json_object_set_new(o, "heldout", ons_eval_section_json(&s->eval.heldout));
        json_object_set_new(o, "ambiguous", ons_eval_section_json(&s->eval.ambiguous));
    }
    return o;
}

/* A number, "never" or null. */
static json_t *break_even_json(double pictures)
{
    return pictures < 0      ? json_null()
           : isinf(pictures) ? json_string("never")
                             : json_integer((json_int_t)pictures);
}

struct json_t *ons_compare_json(const ons_compare *c)
{
    json_t *o = json_object(), *even = json_object(), *prompts = json_array();

    if (!o || !even || !prompts) {
        json_decref(o);
        json_decref(even);
        json_decref(prompts);
        return NULL;
    }
    json_object_set_new(o, "teacher", side_json(&c->teacher));
    json_object_set_new(o, "student", side_json(&c->student));
    json_object_set_new(o, "pictures_timed", json_integer(c->n_timed));
    json_object_set_new(o, "size", json_integer(c->side));
    json_object_set_new(o, "threads", json_integer(c->n_threads));
    json_object_set_new(o, "type", json_string(c->precision));
    json_object_set_new(o, "seed", json_integer((json_int_t)c->seed));
    add_figure(o, "speedup", c->teacher.median_ms / c->student.median_ms);
    add_figure(o, "energy_ratio",
               c->teacher.joules > 0 && c->student.joules > 0 ? c->teacher.joules / c->student.joules : -1);
    add_figure(o, "patch_frechet_to_teacher", c->patch_frechet);
    add_figure(o, "pixel_rms_to_teacher", c->pixel_distance);
    json_object_set_new(even, "pictures_by_time", break_even_json(c->break_even_time));
    json_object_set_new(even, "pictures_by_energy", break_even_json(c->break_even_energy));
    json_object_set_new(o, "break_even", even);
    for (int i = 0; i < c->n_prompts; i++)
        json_array_append_new(prompts, json_string(c->prompts[i]));
    json_object_set_new(o, "prompts", prompts);
    return o;
}

/* Pictures in pairs: teacher, student, teacher, student ... */
static onestep_status write_sheet(const ons_compare *c, const char *path)
{
    onestep_status st;
    size_t picture = (size_t)c->side * (size_t)c->side * 3;
    int n = 2 * c->n_prompts, columns = n < 8 ? n : 8;
    uint8_t *rgb = ons_malloc((size_t)n * picture);
    const char **captions = ons_calloc((size_t)n, sizeof *captions);

    if (!rgb || !captions) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a sheet of %d pictures", n);
        goto fail;
    }
    for (int i = 0; i < c->n_prompts; i++) {
        memcpy(rgb + 2 * (size_t)i * picture, c->teacher.rgb + (size_t)i * picture, picture);
        memcpy(rgb + (2 * (size_t)i + 1) * picture, c->student.rgb + (size_t)i * picture, picture);
        captions[2 * i] = c->prompts[i];
        captions[2 * i + 1] = "(student)";
    }
    ONS_TRY(ons_sheet_write(path, rgb, n, c->side, c->side, columns, captions));
fail:
    ons_free(rgb);
    ons_free(captions);
    return st;
}

onestep_status ons_compare_write(const ons_compare *c, const char *folder)
{
    onestep_status st;
    char *json_path = ons_path_join(folder, "compare.json"), *sheet_path = ons_path_join(folder, "sheet.png");
    char *page_path = ons_path_join(folder, "index.html"), *html = NULL;
    json_t *json = ons_compare_json(c);
    size_t size = 0;

    if (!json_path || !sheet_path || !page_path || !json) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the report of a comparison");
        goto fail;
    }
    ONS_TRY(ons_make_dirs(folder));
    ONS_TRY(ons_json_save(json, json_path));
    ONS_TRY(write_sheet(c, sheet_path));
    ONS_TRY(ons_compare_page(c, &html, &size));
    ONS_TRY(ons_write_file(page_path, html, size));
fail:
    json_decref(json);
    ons_free(html);
    ons_free(json_path);
    ons_free(sheet_path);
    ons_free(page_path);
    return st;
}
