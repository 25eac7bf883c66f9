/*
 * The loop around a method: step, record, check health, keep the best, checkpoint. Inputs are
 * distill_inputs.c's, the student on disk is distill_student.c's.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "distill/distill_impl.h"

static onestep_status save(ons_distill_job *j)
{
    ons_checkpoint_set sets[ONS_METHOD_MAX_SETS];
    json_t *state =
        json_pack("{s:I, s:s, s:f, s:o}", "step", (json_int_t)j->run.step, "fingerprint",
                  ons_fingerprint(&j->o->compute), "best", j->best, "method", j->method->save_state(j->state));
    int n = j->method->sets(j->state, sets);
    onestep_status st = ons_checkpoint_save(j->checkpoint, sets, n, state);

    json_decref(state);
    return st;
}

static onestep_status restore(ons_distill_job *j, int64_t *step)
{
    ons_checkpoint_set sets[ONS_METHOD_MAX_SETS];
    json_t *state = NULL;
    int n = j->method->sets(j->state, sets);
    const char *fingerprint;
    onestep_status st = ons_checkpoint_load(j->checkpoint, sets, n, &state);

    if (st != ONESTEP_OK)
        return st;
    *step = json_integer_value(json_object_get(state, "step"));
    j->best = json_number_value(json_object_get(state, "best"));
    j->method->load_state(j->state, json_object_get(state, "method"));
    fingerprint = json_string_value(json_object_get(state, "fingerprint"));
    if (fingerprint && strcmp(fingerprint, ons_fingerprint(&j->o->compute)))
        ons_warn("the checkpoint was made with %s, this is %s: the run goes on, but the bits will differ",
                 fingerprint, ons_fingerprint(&j->o->compute));
    json_decref(state);
    return ONESTEP_OK;
}

/* Records the student's health and keeps it as best/ when its distance is the lowest so far. */
static onestep_status check_health(ons_distill_job *j)
{
    ons_health_report h;
    char *best;
    onestep_status st;

    if (!j->health.student || j->run.step % j->r->every.health_every)
        return ONESTEP_OK;
    if ((st = ons_health_check(&j->health, j->r->seed + 5000, &h)) != ONESTEP_OK)
        return st;
    st = ons_run_log(&j->run, json_pack("{s:f, s:f, s:f, s:f, s:f}", "frechet", h.frechet, "sample_mean",
                                        h.mean, "sample_std", h.std, "teacher_mean", h.teacher_mean,
                                        "teacher_std", h.teacher_std));
    if (st != ONESTEP_OK)
        return st;
    ons_verbose("step %lld: Frechet distance %.4f, mean %.3f (teacher %.3f), spread %.3f (teacher %.3f)",
                (long long)j->run.step, h.frechet, h.mean, h.teacher_mean, h.std, h.teacher_std);
    if (h.std > 1.3 * h.teacher_std || h.std < 0.7 * h.teacher_std)
        ons_warn("step %lld: the student's spread is %.2f times the teacher's; over-saturated or collapsing",
                 (long long)j->run.step, h.std / h.teacher_std);
    if (j->best >= 0 && h.frechet >= j->best)
        return ONESTEP_OK;
    j->best = h.frechet;
    best = ons_path_join(j->folder, "best");
    st = best ? ons_distill_save_student(j, best) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ons_free(best);
    return st;
}

enum { MEASURED_STEPS = 3 };

/* Hours, from measured steps: at a large model's size a user wants to know before the evening. */
static void tell_duration(const ons_distill_job *j, int64_t first, int64_t step, double began)
{
    double each = (ons_now_s() - began) / (double)(step - first),
           left = each * (double)(j->r->distill.iterations - step);

    if (step - first == MEASURED_STEPS && left > 600)
        ons_info("a step takes %.2g s: about %.1f hours for the %lld that are left", each, left / 3600,
                 (long long)(j->r->distill.iterations - step));
}

/* What is looked at while it runs. An interruption cuts the pictures short, not the step before them. */
static onestep_status look(ons_distill_job *j)
{
    onestep_status st = check_health(j);

    if (st == ONESTEP_OK && ons_run_sample_due(&j->run))
        st = ons_samples_write(&j->samples, j->folder, "student", j->run.step);
    return st == ONESTEP_INTERRUPTED ? ONESTEP_OK : st;
}

static onestep_status loop(ons_distill_job *j, int64_t step)
{
    const int64_t first = step;
    const double began = ons_now_s();
    onestep_status st;

    for (; step < j->r->distill.iterations; step++) {
        double values[ONS_RUN_MAX_SERIES] = {0};
        bool skipped = false;

        ONS_TRY(j->method->step(j->state, step, values, &skipped));
        ONS_TRY(ons_run_step(&j->run, step + 1, values, skipped));
        tell_duration(j, first, step + 1, began);
        ONS_TRY(look(j));
        if (ons_run_checkpoint_due(&j->run) || ons_interrupted())
            ONS_TRY(save(j));
        if (ons_interrupted())
            return ons_fail(ONESTEP_INTERRUPTED, "stopped at step %lld of the distillation",
                            (long long)step + 1);
    }
    return ONESTEP_OK;
fail:
    return st;
}

static onestep_status prepare(ons_distill_job *j, int64_t *step)
{
    onestep_status st;
    bool adapter = j->r->distill.lora_rank > 0;
    const ons_compute looking = /* in f32, unless a second copy of a large network would be one too many */
        adapter ? j->o->compute : ons_compute_in(&j->o->compute, ONS_F32);

    ONS_TRY(ons_distill_open_inputs(j));
    j->ctx = (ons_distill){.r = j->r,
                           .teacher = j->teacher,
                           .init = j->init ? j->init->unet : j->teacher->unet,
                           .d = j->d,
                           .pairs = j->pairs.n ? &j->pairs : NULL,
                           .perceptual = j->perceptual,
                           .init_adapter = j->init_adapter,
                           .compute = j->o->compute};
    ONS_TRY(j->method->create(&j->ctx, &j->state));
    j->student = *j->teacher;
    j->student.drawing = NULL; /* plans of its own */
    if (adapter)
        j->student.adapter = ons_unet_adapter(j->method->student(j->state), 1, j->r->distill.lora_rank, false);
    else
        j->student.unet = j->method->student(j->state);
    j->student.card = ons_student_card(j->r->distill.timestep);
    if (j->o->resume && ons_path_exists(j->checkpoint))
        ONS_TRY(restore(j, step));
    if (j->r->every.sample_every)
        ons_samples_init(&j->student, j->d, j->r->seed, &looking, &j->samples);
    if (j->pairs.n && j->r->every.health_pictures)
        ons_health_init(&j->student, &j->pairs, j->d, (size_t)j->r->every.health_pictures, &looking,
                        &j->health);
fail:
    return st;
}

static onestep_status write_recipe(const ons_distill_job *j)
{
    char *path = ons_path_join(j->o->output, "recipe.json");
    onestep_status st = path ? ons_make_dirs(j->folder) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    if (st == ONESTEP_OK)
        st = ons_recipe_save(j->r, path);
    ons_free(path);
    return st;
}

static void finish(ons_distill_job *j)
{
    ons_run_end(&j->run);
    ons_draw_forget(&j->student);
    if (j->state)
        j->method->destroy(j->state);
    ons_features_close(&j->perceptual);
    ons_pairs_close(&j->pairs);
    ons_dataset_close(&j->d);
    ons_model_close(&j->init);
    ons_model_close(&j->teacher);
    ons_free(j->folder);
    ons_free(j->checkpoint);
    ons_free(j->init_adapter);
}

onestep_status ons_distill_run(const ons_recipe *r, const ons_distill_options *o)
{
    ons_distill_job j = {.r = r, .o = o, .method = ons_method_find(r->distill.method), .best = -1};
    int64_t step = 0;
    onestep_status st;

    if (!j.method)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "distillation method '%s' is unknown; known: %s",
                        r->distill.method, ons_method_names());
    j.folder = ons_path_join(o->output, "training");
    j.checkpoint = ons_format("%s/training/distill.safetensors", o->output);
    if (!j.folder || !j.checkpoint) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to start a distillation");
        goto fail;
    }
    ONS_TRY(write_recipe(&j));
    ONS_TRY(prepare(&j, &step));
    ONS_TRY(ons_run_begin(&(ons_run_options){.folder = j.folder,
                                             .stage = "distill",
                                             .unit = "step",
                                             .start = step,
                                             .total = r->distill.iterations,
                                             .checkpoint_every = r->every.checkpoint_every,
                                             .log_every = r->every.log_every,
                                             .sample_every = r->every.sample_every,
                                             .energy = o->energy,
                                             .series = j.method->series},
                          &j.run));
    ONS_TRY(loop(&j, step));
    st = ons_distill_save_student(&j, o->output);
fail:
    finish(&j);
    return st;
}
