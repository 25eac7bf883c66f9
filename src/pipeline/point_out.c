/*
 * Settings that a model cannot use are pointed out instead of being applied in silence: most bad pictures of
 * one-step models come from guidance or steps carried over from the model before.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "pipeline/draw_impl.h"

static void note(const ons_request *q, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(const ons_request *q, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    q->note(q->user, text);
}

/* A prompt that is longer than the context is drawn as far as it fits; the rest is shown. */
static onestep_status check_length(const ons_model *m, const ons_request *q, const char *what,
                                   const char *prompt)
{
    const int context = ons_tokenizer_context(m->tokenizer);
    int32_t *ids = ons_calloc((size_t)context, sizeof *ids);
    size_t rest = 0;
    onestep_status st;

    if (!ids)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d tokens", context);
    st = ons_tokenizer_encode(m->tokenizer, prompt, ids, NULL, &rest);
    if (st == ONESTEP_OK && prompt[rest])
        note(q, "%s is longer than the %d tokens that this model reads; not used: \"%s\"", what, context - 2,
             prompt + rest + strspn(prompt + rest, " "));
    ons_free(ids);
    return st;
}

/* The same text for several pictures is looked at once. */
static onestep_status check_lengths(const ons_model *m, const ons_request *q)
{
    const int n = ons_request_pictures(q);
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < n; i++) {
        const char *prompt = ons_request_prompt(q, i), *negative = ons_request_negative(q, i);

        if (i == 0 || prompt != ons_request_prompt(q, i - 1))
            ONS_TRY(check_length(m, q, "the prompt", prompt));
        if (*negative && (i == 0 || negative != ons_request_negative(q, i - 1)))
            ONS_TRY(check_length(m, q, "the negative prompt", negative));
    }
fail:
    return st;
}

static void point_out_student(const ons_model *m, const ons_request *q, const ons_resolved *run)
{
    if (q->guidance > 0 && q->guidance != 1)
        note(q, "guidance is built into this one-step model: --cfg-scale %g is ignored", q->guidance);
    if (q->negative)
        note(q, "--negative has no effect: guidance is built into this model");
    if ((q->steps || q->timesteps.n) && run->steps != 1)
        note(q, "this model was trained for one step at timestep %d; %d steps are not what it learned",
             m->card.timestep, run->steps);
    if (q->timesteps.n == 1 && q->timesteps.values[0] != m->card.timestep)
        note(q, "this model was trained at timestep %d, not %d", m->card.timestep, q->timesteps.values[0]);
}

onestep_status ons_request_point_out(const ons_model *m, const ons_request *q, const ons_resolved *run)
{
    if (m->card.timestep >= 0)
        point_out_student(m, q, run);
    else if (q->negative && run->guidance == 1)
        note(q, "--negative has no effect: guidance is off");
    if (strcmp(m->card.kind, "few-step") == 0 && q->guidance >= 0 && run->guidance != 1)
        note(q,
             "this model was distilled to run without guidance; --cfg-scale %g is known to spoil its pictures",
             q->guidance);
    if (q->init && run->steps * q->strength < 1)
        note(q, "--strength %g of %d step%s is less than one step; one is taken", q->strength, run->steps,
             run->steps == 1 ? "" : "s");
    return check_lengths(m, q);
}
