/*
 * Text encodings by prompt. A prompt is encoded once per model: contact sheets, seeds of one caption and the
 * empty negative prompt repeat. Unknown prompts of one run go through the encoder together.
 */
#include "pipeline/runner_impl.h"

#include <string.h>

#include "base/memory.h"
#include "base/text.h"

static size_t context_floats(const ons_runner *r)
{
    return (size_t)(r->n_tokens * r->n_hidden);
}

static size_t bucket_of(const char *text)
{
    return ons_hash_text(text) % PROMPT_BUCKETS;
}

static ons_prompt *find_prompt(const ons_runner *r, const char *text)
{
    for (ons_prompt *p = r->prompts->buckets[bucket_of(text)]; p; p = p->next)
        if (strcmp(p->text, text) == 0)
            return p;
    return NULL;
}

static onestep_status add_prompt(ons_runner *r, const char *text, const float *context)
{
    const size_t bytes = context_floats(r) * sizeof *context, bucket = bucket_of(text);
    ons_prompt *p = ons_calloc(1, sizeof *p);

    if (p) {
        p->text = ons_strdup(text);
        p->context = ons_malloc(bytes);
    }
    if (!p || !p->text || !p->context) {
        if (p) {
            ons_free(p->text);
            ons_free(p->context);
        }
        ons_free(p);
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the encoding of a prompt");
    }
    memcpy(p->context, context, bytes);
    p->next = r->prompts->buckets[bucket];
    r->prompts->buckets[bucket] = p;
    r->prompts->bytes += bytes;
    return ONESTEP_OK;
}

void ons_prompts_forget(ons_prompt_cache *c)
{
    for (int i = 0; i < PROMPT_BUCKETS; i++)
        while (c->buckets[i]) {
            ons_prompt *p = c->buckets[i];

            c->buckets[i] = p->next;
            ons_free(p->text);
            ons_free(p->context);
            ons_free(p);
        }
    c->bytes = 0;
}

const float *ons_runner_context(const ons_runner *r, const char *prompt)
{
    const ons_prompt *p = find_prompt(r, prompt);

    return p ? p->context : NULL;
}

/* Runs the encoder over n <= batch prompts; rows beyond n keep what they had. */
static onestep_status encode_chunk(ons_runner *r, int n, const char *const *prompts, float *hidden)
{
    const size_t n_ids = (size_t)n * (size_t)r->n_tokens;
    int32_t *ids = ons_calloc(n_ids, sizeof *ids);
    onestep_status st;

    if (!ids)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the tokens of %d prompts", n);
    ONS_TRY(ons_runner_text_plan(r));
    for (int i = 0; i < n; i++)
        ONS_TRY(ons_tokenizer_encode(r->model->tokenizer, prompts[i], ids + i * r->n_tokens, NULL, NULL));
    ONS_TRY(ons_plan_write(r->text, "ids", 0, ids, n_ids));
    ONS_TRY(ons_runner_run_plan(r, r->text));
    r->stats.flops += ons_plan_flops(r->text);
    ONS_TRY(ons_plan_read(r->text, "hidden", 0, hidden, (size_t)n * context_floats(r)));
    for (int i = 0; i < n; i++)
        if (!find_prompt(r, prompts[i]))
            ONS_TRY(add_prompt(r, prompts[i], hidden + (size_t)i * context_floats(r)));
fail:
    ons_free(ids);
    return st;
}

/* A text encoder in training makes every stored encoding stale, and another arithmetic gives others. */
void ons_runner_begin_prompts(ons_runner *r)
{
    ons_prompt_cache *c = r->prompts;
    const uint64_t version = ons_params_version(r->model->clip);

    if (c->bytes > MAX_CACHE_BYTES || c->clip_version != version || c->type != r->options.compute.type)
        ons_prompts_forget(c);
    c->clip_version = version;
    c->type = r->options.compute.type;
}

onestep_status ons_runner_encode(ons_runner *r, int n, const char *const *prompts)
{
    const int batch = r->options.batch;
    const char **chunk = ons_calloc((size_t)batch, sizeof *chunk);
    float *hidden = ons_malloc((size_t)batch * context_floats(r) * sizeof *hidden);
    int waiting = 0;
    onestep_status st = ONESTEP_OK;

    if (!chunk || !hidden) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to encode %d prompts", n);
        goto fail;
    }
    for (int i = 0; i < n; i++) {
        if (!find_prompt(r, prompts[i]))
            chunk[waiting++] = prompts[i];
        if (waiting == batch || (waiting > 0 && i == n - 1)) {
            ONS_TRY(encode_chunk(r, waiting, chunk, hidden));
            waiting = 0;
        }
    }
fail:
    ons_free(chunk);
    ons_free(hidden);
    return st;
}
