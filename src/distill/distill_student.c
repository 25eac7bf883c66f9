/* The student on disk: the averaged generator in the teacher's folder layout. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "distill/distill_impl.h"

/* Time and energy of an earlier student count; pairs that served both are then counted twice. */
static void add_cost_of_init(const ons_distill_job *j, ons_card *c)
{
    const ons_card *start = &j->init->card;

    c->train_seconds += start->train_seconds;
    c->train_joules =
        c->train_joules < 0 || start->train_joules < 0 ? -1 : c->train_joules + start->train_joules;
}

static void describe_student(ons_distill_job *j)
{
    ons_card *c = &j->student.card;
    const ons_card *t = &j->teacher->card;
    double joules = ons_run_joules(&j->run);

    *c = ons_student_card(j->r->distill.timestep);
    snprintf(c->method, sizeof c->method, "%s", j->method->name);
    c->train_seconds = ons_run_seconds(&j->run) + j->pairs.seconds;
    c->train_joules = joules < 0 || j->pairs.joules < 0 ? -1 : joules + j->pairs.joules;
    if (j->init)
        add_cost_of_init(j, c);
    memcpy(c->energy_source, t->energy_source, sizeof c->energy_source);
    if (j->o->energy)
        snprintf(c->energy_source, sizeof c->energy_source, "%s", ons_energy_source(j->o->energy));
    c->made = json_pack("{s:s, s:s, s:s*, s:o*}", "command", "distill", "teacher", j->o->teacher, "init",
                        j->o->init, "recipe", ons_recipe_to_json(j->r));
}

/* An adapter is kept as it is, and merged into a copy of the teacher's network. */
static onestep_status save_adapted(ons_distill_job *j, const char *folder)
{
    char *path = ons_path_join(folder, ONS_DISTILL_ADAPTER);
    const char *loras[] = {path};
    ons_model *merged = NULL;
    onestep_status st = path ? ons_make_dirs(folder) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    if (st != ONESTEP_OK)
        goto fail;
    ONS_TRY(ons_params_save(j->student.adapter.params, path, ONS_F16));
    ONS_TRY(ons_model_assemble(&(ons_model_sources){.model = j->o->teacher, .loras = loras, .n_loras = 1},
                               &merged));
    json_decref(merged->card.made);
    merged->card = j->student.card;
    st = ons_model_save(merged, folder, ONS_F16);
    merged->card.made = NULL; /* the caller's */
fail:
    ons_model_close(&merged);
    ons_free(path);
    return st;
}

onestep_status ons_distill_save_student(ons_distill_job *j, const char *folder)
{
    onestep_status st;

    describe_student(j);
    st = j->student.adapter.rank ? save_adapted(j, folder) : ons_model_save(&j->student, folder, ONS_F16);
    json_decref(j->student.card.made);
    j->student.card.made = NULL;
    return st;
}
