/*
 * Where the pictures of `onestep generate` go: a file, a folder with numbered files and a sheet, or standard
 * output. Whether they can be written is found out before anything is computed.
 */
#include "cli/generate.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "cli/output.h"
#include "io/png.h"
#include "pipeline/sheet.h"

enum { MAX_SHEET_TILES = 400 };

/* -o x.png, where several pictures need a folder. */
static bool names_picture(const char *path)
{
    return ons_ends_with_any_case(path, ".png") && !ons_path_is_dir(path);
}

int generate_plan_output(generate_job *j)
{
    const char *o = j->args->output;

    if (!o && j->args->prompts)
        return cli_usage(j->call->command, "--prompts needs a folder: -o DIR");
    j->to_stdout = o && strcmp(o, "-") == 0;
    j->to_folder = o && !j->to_stdout &&
                   (j->args->prompts || j->request.n > 1 || cli_ends_in_slash(o) || ons_path_is_dir(o));
    if (j->to_folder && names_picture(o))
        return cli_usage(j->call->command, "-o %s names one picture; %s a folder", o,
                         j->args->prompts ? "--prompts fills" : "several need");
    if (j->to_stdout && j->request.n > 1)
        return cli_usage(j->call->command, "-o - takes one picture, %d were asked for", j->request.n);
    if (j->to_stdout && j->args->json)
        return cli_usage(j->call->command, "-o - and --json both want standard output");
    if (!o && j->request.n > 1 && !j->args->show)
        return cli_usage(j->call->command, "%d pictures need a folder: -o DIR", j->request.n);
    if (j->to_folder || j->to_stdout || (!o && j->args->show))
        return 0;
    j->file = o ? ons_strdup(o) : ons_format("onestep-%llu.png", (unsigned long long)j->request.seed.value);
    return j->file ? 0 : cli_finish(ons_fail(ONESTEP_NO_MEMORY, "no memory for a file name"));
}

static bool is_device(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

onestep_status generate_prepare_output(generate_job *j)
{
    const char *target = j->to_folder ? j->args->output : j->file;
    onestep_status st;

    if (!target || is_device(target))
        return ONESTEP_OK;
    if (!j->to_folder)
        return cli_check_file(target);
    ONS_TRY(cli_check_folder(target));
    ONS_TRY(ons_make_dirs(target));
fail:
    return st;
}

char *generate_file_name(const generate_job *j, int i)
{
    if (j->to_folder)
        return ons_format("%s%s%05d.png", j->args->output, cli_ends_in_slash(j->args->output) ? "" : "/", i);
    return ons_strdup(j->to_stdout ? "-" : j->file ? j->file : "");
}

/* Straight to a stream: standard output, or a device such as /dev/full, beside which no temporary file can
 * stand. */
static onestep_status write_stream(FILE *f, const char *name, const void *data, size_t size)
{
    if (fwrite(data, 1, size, f) != size || fflush(f) != 0)
        return ons_fail(ONESTEP_IO, "%s: cannot write: %s", name, strerror(errno));
    return ONESTEP_OK;
}

static onestep_status write_device(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    onestep_status st;

    if (!f)
        return ons_fail(ONESTEP_IO, "%s: cannot write: %s", path, strerror(errno));
    st = write_stream(f, path, data, size);
    if (fclose(f) != 0 && st == ONESTEP_OK)
        st = ons_fail(ONESTEP_IO, "%s: cannot write: %s", path, strerror(errno));
    return st;
}

static onestep_status write_bytes(const generate_job *j, int i, const void *data, size_t size)
{
    char *name = generate_file_name(j, i);
    onestep_status st;

    if (!name)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a file name");
    if (j->to_stdout)
        st = write_stream(stdout, "standard output", data, size);
    else if (is_device(name))
        st = write_device(name, data, size);
    else
        st = ons_write_file(name, data, size);
    ons_free(name);
    return st;
}

onestep_status generate_write_picture(generate_job *j, int i, const uint8_t *rgb)
{
    const ons_resolved *run = &j->result.run;
    ons_parameters p;
    ons_picture_text texts[2] = {{"parameters", NULL}, {"onestep", NULL}};
    char *text = NULL, *json = NULL;
    uint8_t *png = NULL;
    size_t size = 0;
    onestep_status st;

    if (!j->to_folder && !j->to_stdout && !j->file)
        return ONESTEP_OK; /* --show alone */
    ONS_TRY(ons_parameters_of(j->model, &j->request, &j->result, i, &p));
    text = ons_parameters_text(&p);
    json = ons_parameters_json(&p);
    texts[0].value = text;
    texts[1].value = json;
    if (!text || !json) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the texts of a picture");
        goto fail;
    }
    ONS_TRY(ons_picture_encode(rgb, run->width, run->height, texts, 2, &png, &size));
    ONS_TRY(write_bytes(j, i, png, size));
fail:
    ons_free(png);
    ons_free(text);
    ons_free(json);
    return st;
}

onestep_status generate_write_sheet(const generate_job *j)
{
    const ons_result *r = &j->result;
    const int n = r->n < MAX_SHEET_TILES ? r->n : MAX_SHEET_TILES;
    const size_t picture = (size_t)r->run.width * (size_t)r->run.height * 3;
    ons_sheet_options o = {.width = r->run.width, .height = r->run.height, .title = j->args->title};
    ons_tile *tiles = ons_calloc((size_t)n, sizeof *tiles);
    char *path = ons_path_join(j->args->output, "sheet.png");
    uint8_t *rgb = NULL;
    int width, height;
    onestep_status st;

    if (!tiles || !path) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a contact sheet");
        goto fail;
    }
    for (int i = 0; i < n; i++)
        tiles[i] = (ons_tile){r->rgb + (size_t)i * picture, j->prompts[i]};
    ONS_TRY(ons_sheet_draw(tiles, n, &o, &rgb, &width, &height));
    ONS_TRY(ons_picture_write(path, rgb, width, height, NULL, 0));
fail:
    ons_free(rgb);
    ons_free(path);
    ons_free(tiles);
    return st;
}

static onestep_status add_picture(const generate_job *j, int i, json_t *pictures)
{
    ons_parameters p;
    json_t *o;
    char *name;
    onestep_status st;

    ONS_TRY(ons_parameters_of(j->model, &j->request, &j->result, i, &p));
    o = ons_parameters_object(&p);
    name = generate_file_name(j, i);
    json_object_set_new(o, "file", name && *name ? json_string(name) : json_null());
    json_array_append_new(pictures, o);
    ons_free(name);
fail:
    return st;
}

onestep_status generate_print_json(const generate_job *j)
{
    const ons_run_stats *t = &j->result.stats;
    json_t *o = json_object(), *pictures = json_array();
    char *text = NULL;
    onestep_status st = ONESTEP_OK;

    json_object_set_new(o, "pictures", pictures);
    for (int i = 0; i < j->result.n; i++)
        ONS_TRY(add_picture(j, i, pictures));
    json_object_set_new(o, "timings_ms",
                        json_pack("{s:f, s:f, s:f, s:f}", "text", t->text_s * 1e3, "unet", t->unet_s * 1e3,
                                  "decoder", t->decoder_s * 1e3, "total", t->total_s * 1e3));
    json_object_set_new(o, "evaluations", json_integer(t->n_evaluations));
    json_object_set_new(o, "flops", json_real(t->flops));
    text = json_dumps(o, JSON_INDENT(2));
    if (text)
        puts(text);
    else
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the JSON report");
fail:
    free(text);
    json_decref(o);
    return st;
}
