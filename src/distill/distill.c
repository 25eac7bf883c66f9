/*
 * The loop around a method: what it needs is opened or made (perceptual network), then step, record, check
 * health, keep the best, checkpoint. The student on disk is the averaged generator in the teacher's folder
 * layout.
 */
#include "distill/distill.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "distill/health.h"
#include "train/contrastive.h"
#include "train/run.h"
#include "train/samples.h"

typedef struct job {
    const ons_recipe *r;
    const ons_distill_options *o;
    const ons_method *method;
    ons_model *teacher, *init; /* init: an earlier student; NULL: none */
    ons_dataset *d;
    ons_pairs pairs;
    ons_features *perceptual;
    ons_distill ctx;
    void *state;
    ons_model student; /* borrows the teacher's parts, the method's averaged weights */
    ons_samples samples;
    ons_health health;
    double best; /* lowest Fréchet distance so far; < 0: none */
    ons_run run;
    char *folder, *checkpoint, *init_adapter;
} job;

static const char adapter_name[] = "pytorch_lora_weights.safetensors"; /* where diffusers looks for one */

static bool report_perceptual(void *user, int64_t step, int64_t total, double loss)
{
    (void)total;
    if (step % 10 == 0)
        ons_progress_update(user, (long)step, "loss %.3f", loss);
    return !ons_interrupted();
}

/* "16,32,64" -> widths per level. */
static onestep_status read_channels(const char *text, ons_contrastive_options *o)
{
    for (const char *at = text; *at;) {
        char *end;
        long v = strtol(at, &end, 10);

        if (end == at || v < 1 || v > 4096 || o->n_levels == ONS_MAX_LEVELS || (*end && *end != ','))
            return ons_fail(ONESTEP_BAD_ARGUMENT, "perceptual.channels '%s': expected widths such as 16,32,64",
                            text);
        o->channels[o->n_levels++] = (int)v;
        at = *end ? end + 1 : end;
    }
    return ONESTEP_OK;
}

static onestep_status train_perceptual(job *j, const char *folder)
{
    const ons_recipe *r = j->r;
    ons_progress progress;
    ons_contrastive_options o = {.data = j->d,
                                 .image_size = r->resolution,
                                 .embed_dim = r->perceptual.embed_dim,
                                 .vocab_size = r->tokenizer.vocab_size,
                                 .iterations = r->perceptual.iterations,
                                 .batch_size = r->perceptual.batch_size,
                                 .lr = r->perceptual.lr,
                                 .p_keyword = -1,
                                 .seed = r->seed + 1000,
                                 .n_threads = j->o->n_threads,
                                 .precision = j->o->precision,
                                 .progress = report_perceptual,
                                 .user = &progress};
    onestep_status st;

    ONS_TRY(read_channels(r->perceptual.channels, &o));
    ons_info("training the perceptual network (%d steps), kept in %s", o.iterations, folder);
    ons_progress_begin(&progress, "perceptual", "step", 0, o.iterations);
    st = ons_contrastive_train(&o, &j->perceptual);
    ons_progress_end(&progress);
    if (st == ONESTEP_OK)
        st = ons_features_save(j->perceptual, folder, ONS_F32);
fail:
    return st;
}

/* The perceptual network: found, or trained now on the same pictures, from a seed of its own. */
static onestep_status obtain_perceptual(job *j)
{
    char *folder = j->o->perceptual ? ons_strdup(j->o->perceptual) : ons_path_join(j->folder, "perceptual");
    onestep_status st;

    if (!folder)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    st = ons_features_present(folder) ? ons_features_open(folder, &j->perceptual) : train_perceptual(j, folder);
    ons_free(folder);
    return st;
}

static onestep_status open_inputs(job *j)
{
    const ons_recipe *r = j->r;
    bool pictures = r->perceptual.iterations > 0 && r->distill.weight_reg > 0;
    onestep_status st;

    ONS_TRY(ons_model_open(j->o->teacher, &j->teacher));
    if (j->o->init)
        ONS_TRY(ons_model_open(j->o->init, &j->init));
    ONS_TRY(ons_dataset_open(j->o->data, &(ons_dataset_options){.size = pictures ? r->resolution : 0}, &j->d));
    if (r->distill.weight_reg > 0) {
        if (!j->o->pairs) {
            st = ons_fail(
                ONESTEP_BAD_ARGUMENT,
                "the regression term needs pairs: make them with 'onestep pairs' and give --pairs DIR, "
                "or set distill.weight_reg to 0");
            goto fail;
        }
        ONS_TRY(ons_pairs_open(j->o->pairs, &j->pairs));
    }
    if (pictures && ons_dataset_has_pictures(j->d))
        ONS_TRY(obtain_perceptual(j));
    else if (r->distill.weight_reg > 0)
        ons_info("no pictures: the regression uses the distance in latent space");
fail:
    return st;
}

static onestep_status check_teacher(const job *j)
{
    const ons_unet_config *c = &j->teacher->unet_config;

    if (j->r->distill.timestep >= j->teacher->schedule.n)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "distill.timestep %d: the teacher has timesteps 0 to %d",
                        j->r->distill.timestep, j->teacher->schedule.n - 1);
    if (j->pairs.n &&
        (j->pairs.c != c->in_channels || j->pairs.context != ons_tokenizer_context(j->teacher->tokenizer)))
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "%s: pairs with %lld channels and %d tokens, the teacher has %d and %d: they are "
                        "another model's",
                        j->o->pairs, (long long)j->pairs.c, j->pairs.context, c->in_channels,
                        ons_tokenizer_context(j->teacher->tokenizer));
    return ONESTEP_OK;
}

static onestep_status find_init_adapter(job *j)
{
    j->init_adapter = ons_path_join(j->o->init, adapter_name);
    if (!j->init_adapter)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    if (!ons_path_exists(j->init_adapter))
        return ons_fail(ONESTEP_NOT_FOUND,
                        "%s is missing: with distill.lora_rank, --init wants a student that was made with it",
                        j->init_adapter);
    return ONESTEP_OK;
}

/* An earlier student must be a generator of this recipe's timestep and of the teacher's architecture. */
static onestep_status check_init(job *j)
{
    const ons_params *start, *teacher = j->teacher->unet;
    int timestep = j->r->distill.timestep;

    if (!j->init)
        return ONESTEP_OK;
    if (j->init->card.timestep < 0)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "%s is no one-step student: --init goes on from one; without it, "
                        "distilling begins with the teacher's weights",
                        j->o->init);
    if (j->init->card.timestep != timestep)
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "%s is conditioned on timestep %d, the recipe says %d: give --timestep %d", j->o->init,
                        j->init->card.timestep, timestep, j->init->card.timestep);
    if (j->r->distill.lora_rank)
        return find_init_adapter(j);
    start = j->init->unet;
    for (int i = 0; i < ons_params_count(teacher); i++) {
        const ons_param *p = ons_params_at(teacher, i);
        int at = ons_params_find(start, p->name);

        if (at != i || !ons_shape_equal(&ons_params_at(start, at)->shape, &p->shape))
            return ons_fail(ONESTEP_BAD_ARGUMENT,
                            "%s: %s is not as in the teacher %s: it is the student of another architecture",
                            j->o->init, p->name, j->o->teacher);
    }
    return ONESTEP_OK;
}

/* Time and energy of an earlier student count; pairs that served both are then counted twice. */
static void add_cost_of_init(const job *j, ons_card *c)
{
    const ons_card *start = &j->init->card;

    c->train_seconds += start->train_seconds;
    c->train_joules =
        c->train_joules < 0 || start->train_joules < 0 ? -1 : c->train_joules + start->train_joules;
}

static void describe_student(job *j)
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
static onestep_status save_adapted(job *j, const char *folder)
{
    char *path = ons_path_join(folder, adapter_name);
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

static onestep_status save_student(job *j, const char *folder)
{
    onestep_status st;

    describe_student(j);
    st = j->student.adapter.rank ? save_adapted(j, folder) : ons_model_save(&j->student, folder, ONS_F16);
    json_decref(j->student.card.made);
    j->student.card.made = NULL;
    return st;
}

static onestep_status save(job *j)
{
    ons_checkpoint_set sets[ONS_METHOD_MAX_SETS];
    json_t *state =
        json_pack("{s:I, s:s, s:f, s:o}", "step", (json_int_t)j->run.step, "fingerprint",
                  ons_fingerprint(j->o->n_threads), "best", j->best, "method", j->method->save_state(j->state));
    int n = j->method->sets(j->state, sets);
    onestep_status st = ons_checkpoint_save(j->checkpoint, sets, n, state);

    json_decref(state);
    return st;
}

static onestep_status restore(job *j, int64_t *step)
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
    if (fingerprint && strcmp(fingerprint, ons_fingerprint(j->o->n_threads)))
        ons_warn("the checkpoint was made with %s, this is %s: the run goes on, but the bits will differ",
                 fingerprint, ons_fingerprint(j->o->n_threads));
    json_decref(state);
    return ONESTEP_OK;
}

/* Records the student's health and keeps it as best/ when its distance is the lowest so far. */
static onestep_status check_health(job *j)
{
    ons_health_report h;
    char *best;
    onestep_status st;

    if (!j->health.runner || j->run.step % j->r->every.health_every)
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
    st = best ? save_student(j, best) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ons_free(best);
    return st;
}

enum { MEASURED_STEPS = 3 };

/* Hours, from measured steps: at a large model's size a user wants to know before the evening. */
static void tell_duration(const job *j, int64_t first, int64_t step, double began)
{
    double each = (ons_now_s() - began) / (double)(step - first),
           left = each * (double)(j->r->distill.iterations - step);

    if (step - first == MEASURED_STEPS && left > 600)
        ons_info("a step takes %.2g s: about %.1f hours for the %lld that are left", each, left / 3600,
                 (long long)(j->r->distill.iterations - step));
}

/* What is looked at while it runs. An interruption cuts the pictures short, not the step before them. */
static onestep_status look(job *j)
{
    onestep_status st = check_health(j);

    if (st == ONESTEP_OK && ons_run_sample_due(&j->run))
        st = ons_samples_write(&j->samples, j->folder, "student", j->run.step);
    return st == ONESTEP_INTERRUPTED ? ONESTEP_OK : st;
}

static onestep_status loop(job *j, int64_t step)
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

static onestep_status prepare(job *j, int64_t *step)
{
    onestep_status st;
    bool adapter = j->r->distill.lora_rank > 0;
    ons_dtype precision =
        adapter ? j->o->precision : ONS_F32; /* a second copy of a large network would be one too many */

    ONS_TRY(open_inputs(j));
    ONS_TRY(check_teacher(j));
    ONS_TRY(check_init(j));
    j->ctx = (ons_distill){.r = j->r,
                           .teacher = j->teacher,
                           .init = j->init ? j->init->unet : j->teacher->unet,
                           .d = j->d,
                           .pairs = j->pairs.n ? &j->pairs : NULL,
                           .perceptual = j->perceptual,
                           .init_adapter = j->init_adapter,
                           .max_memory = j->o->max_memory,
                           .n_threads = j->o->n_threads,
                           .precision = j->o->precision};
    ONS_TRY(j->method->create(&j->ctx, &j->state));
    j->student = *j->teacher;
    if (adapter)
        j->student.adapter = ons_unet_adapter(j->method->student(j->state), 1, j->r->distill.lora_rank, false);
    else
        j->student.unet = j->method->student(j->state);
    j->student.card = ons_student_card(j->r->distill.timestep);
    if (j->o->resume && ons_path_exists(j->checkpoint))
        ONS_TRY(restore(j, step));
    if (j->r->every.sample_every)
        ONS_TRY(ons_samples_create(&j->student, j->d, j->r->seed, j->o->n_threads, precision, &j->samples));
    if (j->pairs.n && j->r->every.health_pictures)
        ONS_TRY(ons_health_create(&j->student, &j->pairs, j->d, (size_t)j->r->every.health_pictures,
                                  j->o->n_threads, precision, &j->health));
fail:
    return st;
}

static onestep_status write_recipe(const job *j)
{
    char *path = ons_path_join(j->o->output, "recipe.json");
    onestep_status st = path ? ons_make_dirs(j->folder) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");

    if (st == ONESTEP_OK)
        st = ons_recipe_save(j->r, path);
    ons_free(path);
    return st;
}

static void finish(job *j)
{
    ons_run_end(&j->run);
    ons_health_fini(&j->health);
    ons_samples_fini(&j->samples);
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
    job j = {.r = r, .o = o, .method = ons_method_find(r->distill.method), .best = -1};
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
    st = save_student(&j, o->output);
fail:
    finish(&j);
    return st;
}
