/*
 * The teacher stage: the loop around the teacher's step, its pictures and captions, checkpoints, samples and
 * records. The step itself, with loss and noising, is in teacher_step.c.
 */
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/system.h"
#include "train/checkpoint.h"
#include "train/run.h"
#include "train/samples.h"
#include "train/teacher_step.h"
#include "train/train.h"

enum { N_SETS = 4 * ONS_TEACHER_SETS };

typedef struct stage {
    const ons_recipe *r;
    const ons_train_options *o;
    const ons_dataset *d;
    ons_model *m;
    ons_latents latents;
    ons_teacher_step *step;
    ons_model averaged; /* borrows everything from m but the two EMA sets */
    ons_samples samples;
    ons_run run;
    char *folder, *checkpoint;
} stage;

static onestep_status pick(void *context, uint64_t index, int32_t *ids, const float **mean, const float **std)
{
    const stage *s = context;
    ons_caption_draw draw =
        ons_dataset_draw(s->d, s->r->seed, index, s->r->captions.p_empty, s->r->captions.p_keyword);

    *mean = s->latents.mean + draw.item * s->latents.size;
    *std = s->latents.std + draw.item * s->latents.size;
    return ons_tokenizer_encode(s->m->tokenizer, draw.caption, ids, NULL, NULL);
}

static void list_sets(stage *s, ons_checkpoint_set sets[N_SETS])
{
    ons_adamw *unet = ons_teacher_step_optimizer(s->step, ONS_TEACHER_UNET),
              *text = ons_teacher_step_optimizer(s->step, ONS_TEACHER_TEXT);

    sets[0] = (ons_checkpoint_set){"unet", s->m->unet};
    sets[1] = (ons_checkpoint_set){"text", s->m->clip};
    sets[2] = (ons_checkpoint_set){"unet.ema", ons_teacher_step_ema(s->step, ONS_TEACHER_UNET)};
    sets[3] = (ons_checkpoint_set){"text.ema", ons_teacher_step_ema(s->step, ONS_TEACHER_TEXT)};
    sets[4] = (ons_checkpoint_set){"unet.m", ons_adamw_moment(unet, 0)};
    sets[5] = (ons_checkpoint_set){"unet.v", ons_adamw_moment(unet, 1)};
    sets[6] = (ons_checkpoint_set){"text.m", ons_adamw_moment(text, 0)};
    sets[7] = (ons_checkpoint_set){"text.v", ons_adamw_moment(text, 1)};
}

static onestep_status save(stage *s)
{
    ons_checkpoint_set sets[N_SETS];
    json_t *state = json_pack("{s:I, s:I, s:s}", "step", (json_int_t)s->run.step, "optimizer_steps",
                              (json_int_t)ons_adamw_steps(ons_teacher_step_optimizer(s->step, 0)),
                              "fingerprint", ons_fingerprint(&s->o->compute));
    onestep_status st;

    list_sets(s, sets);
    st = ons_checkpoint_save(s->checkpoint, sets, N_SETS, state);
    json_decref(state);
    return st;
}

static onestep_status restore(stage *s, int64_t *step)
{
    ons_checkpoint_set sets[N_SETS];
    json_t *state = NULL;
    const char *fingerprint;
    onestep_status st;

    list_sets(s, sets);
    if ((st = ons_checkpoint_load(s->checkpoint, sets, N_SETS, &state)) != ONESTEP_OK)
        return st;
    *step = json_integer_value(json_object_get(state, "step"));
    for (int i = 0; i < ONS_TEACHER_SETS; i++)
        ons_adamw_set_steps(ons_teacher_step_optimizer(s->step, i),
                            json_integer_value(json_object_get(state, "optimizer_steps")));
    fingerprint = json_string_value(json_object_get(state, "fingerprint"));
    if (fingerprint && strcmp(fingerprint, ons_fingerprint(&s->o->compute)))
        ons_warn("the checkpoint was made with %s, this is %s: training goes on, but the bits will differ",
                 fingerprint, ons_fingerprint(&s->o->compute));
    json_decref(state);
    return ONESTEP_OK;
}

static onestep_status one_step(stage *s, int64_t step)
{
    ons_teacher_result result;
    onestep_status st = ons_teacher_step_run(s->step, step, pick, s, &result);

    if (st != ONESTEP_OK)
        return st;
    return ons_run_step(&s->run, step + 1, (const double[]){result.loss, result.grad_norm}, !result.taken);
}

/* An interruption cuts the pictures short, not the step before them. */
static onestep_status look(stage *s)
{
    const onestep_status st = ons_run_sample_due(&s->run)
                                  ? ons_samples_write(&s->samples, s->folder, "teacher", s->run.step)
                                  : ONESTEP_OK;

    return st == ONESTEP_INTERRUPTED ? ONESTEP_OK : st;
}

static onestep_status loop(stage *s, int64_t step)
{
    onestep_status st;

    for (; step < s->r->train.iterations; step++) {
        if ((st = one_step(s, step)) != ONESTEP_OK || (st = look(s)) != ONESTEP_OK)
            return st;
        if ((ons_run_checkpoint_due(&s->run) || ons_interrupted()) && (st = save(s)) != ONESTEP_OK)
            return st;
        if (ons_interrupted())
            return ons_fail(ONESTEP_INTERRUPTED, "stopped at step %lld of the teacher", (long long)step + 1);
    }
    return ONESTEP_OK;
}

static onestep_status prepare(stage *s, int64_t *step)
{
    const ons_recipe *r = s->r;
    const ons_compute f32 = ons_compute_in(&s->o->compute, ONS_F32);
    onestep_status st;

    ONS_TRY(ons_latents_encode(s->m, s->d, s->o, &s->latents));
    ONS_TRY(ons_teacher_step_create(
        r, s->m, &(ons_teacher_step_options){ons_tokenizer_context(s->m->tokenizer), s->o->compute}, &s->step));
    s->averaged = *s->m;
    s->averaged.drawing = NULL; /* plans of its own */
    s->averaged.unet = ons_teacher_step_ema(s->step, ONS_TEACHER_UNET);
    s->averaged.clip = ons_teacher_step_ema(s->step, ONS_TEACHER_TEXT);
    if (s->o->resume && ons_path_exists(s->checkpoint))
        ONS_TRY(restore(s, step));
    ONS_TRY(ons_teacher_step_plan(s->step));
    ons_samples_init(&s->averaged, s->d, r->seed, &f32, &s->samples);
fail:
    return st;
}

static void finish(stage *s)
{
    ons_run_end(&s->run);
    ons_draw_forget(&s->averaged);
    ons_teacher_step_destroy(&s->step);
    ons_latents_fini(&s->latents);
    ons_free(s->checkpoint);
    ons_free(s->folder);
}

/* On top of what a pipeline that is trained further has cost before; unknown joules stay unknown. */
static void add_cost(ons_card *card, const ons_run *run)
{
    double joules = ons_run_joules(run);

    card->train_seconds += ons_run_seconds(run);
    card->train_joules = joules < 0 || card->train_joules < 0 ? -1 : card->train_joules + joules;
}

onestep_status ons_train_teacher(const ons_recipe *r, const ons_train_options *o, const ons_dataset *d,
                                 ons_model *m)
{
    static const char *const series[] = {"loss", "grad_norm", NULL};
    stage s = {.r = r, .o = o, .d = d, .m = m};
    int64_t step = 0;
    onestep_status st;

    s.folder = ons_path_join(o->output, "training");
    s.checkpoint = ons_format("%s/training/teacher.safetensors", o->output);
    if (!s.folder || !s.checkpoint) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to start training");
        goto fail;
    }
    ONS_TRY(prepare(&s, &step));
    ONS_TRY(ons_run_begin(&(ons_run_options){.folder = s.folder,
                                             .stage = "teacher",
                                             .unit = "step",
                                             .start = step,
                                             .total = r->train.iterations,
                                             .checkpoint_every = r->every.checkpoint_every,
                                             .log_every = r->every.log_every,
                                             .sample_every = r->every.sample_every,
                                             .energy = o->energy,
                                             .series = series},
                          &s.run));
    ONS_TRY(loop(&s, step));
    ons_ema_update(m->unet, s.averaged.unet, 0,
                   ons_compute_threads(&o->compute)); /* the averages are the model */
    ons_ema_update(m->clip, s.averaged.clip, 0, ons_compute_threads(&o->compute));
    add_cost(&m->card, &s.run);
fail:
    finish(&s);
    return st;
}
