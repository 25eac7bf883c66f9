/*
 * Making pairs: shard by shard, batch by batch. Shards are the unit of interruption; index.json records the
 * settings that all shards share and is checked before anything is added.
 */
#include "distill/pairs.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/system.h"
#include "distill/pair_shard.h"
#include "io/json.h"
#include "pipeline/draw.h"

enum { MAX_BATCH = 1024 };

typedef struct maker {
    ons_model *teacher;
    const ons_dataset *d;
    const ons_pairs_options *o;
    ons_request request;  /* what all batches have in common */
    ons_pair_shard shard; /* buffers for one shard */
    ons_progress progress;
    int made;
} maker;

static json_t *settings_json(const maker *k)
{
    const ons_pairs_options *o = k->o;

    return json_pack("{s:i, s:I, s:i, s:f, s:f, s:s, s:f, s:i, s:[I,I,I], s:i}", "version", ONS_PAIRS_VERSION,
                     "seed", (json_int_t)o->seed, "steps", o->steps, "guidance", o->guidance,
                     "guidance_keyword", o->guidance_keyword, "sampler", o->sampler, "p_keyword", o->p_keyword,
                     "per_shard", o->per_shard, "latent_shape", (json_int_t)k->shard.c, (json_int_t)k->shard.h,
                     (json_int_t)k->shard.w, "context", k->shard.context);
}

static onestep_status check_settings(const char *path, const json_t *found, const json_t *wanted)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)wanted, key, v)
    {
        json_t *there = json_object_get(found, key);
        char *a = there ? json_dumps(there, JSON_ENCODE_ANY) : NULL, *b = json_dumps(v, JSON_ENCODE_ANY);
        bool same = there && json_equal(there, v);
        onestep_status st =
            same ? ONESTEP_OK
                 : ons_fail(ONESTEP_BAD_ARGUMENT,
                            "%s: these pairs were made with %s %s, now %s is asked for; use another folder",
                            path, key, a ? a : "unset", b ? b : "?");

        free(a);
        free(b);
        if (!same)
            return st;
    }
    return ONESTEP_OK;
}

/* Writes the settings at the first call, and compares them at every later one. Spent time and energy live in
 * the shards. */
static onestep_status settle_index(const maker *k)
{
    char *path = ons_path_join(k->o->output, "index.json");
    json_t *wanted = settings_json(k), *found = NULL;
    onestep_status st;

    if (!path || !wanted) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for the pairs' index");
        goto fail;
    }
    ONS_TRY(ons_make_dirs(k->o->output));
    if (ons_path_exists(path)) {
        ONS_TRY(ons_json_load(path, &found));
        st = check_settings(path, found, wanted);
    } else {
        st = ons_json_save(wanted, path);
    }
fail:
    json_decref(found);
    json_decref(wanted);
    ons_free(path);
    return st;
}

static bool is_keyword(const maker *k, const ons_caption_draw *draw)
{
    return draw->caption != ons_dataset_at(k->d, draw->item)->captions[0];
}

/* Pairs of the shard that use one guidance scale, n <= batch; `rows` are their places in the shard. */
static onestep_status run_batch(maker *k, uint64_t base, const int *rows, int n, const char *const *prompts,
                                double guidance)
{
    ons_pair_shard *s = &k->shard;
    const size_t latent = (size_t)(s->h * s->w * s->c);
    uint64_t seeds[MAX_BATCH];
    ons_request q = k->request;
    ons_result r = {0};
    onestep_status st;

    for (int i = 0; i < n; i++)
        seeds[i] = k->o->seed + base + (uint64_t)rows[i];
    q.n = n;
    q.prompts = prompts;
    q.seeds = seeds;
    q.guidance = guidance;
    ONS_TRY(ons_draw(k->teacher, &q, &r));
    for (int i = 0; i < n; i++)
        memcpy(s->latents + (size_t)rows[i] * latent, r.latents + (size_t)i * latent,
               latent * sizeof *r.latents);
fail:
    ons_result_fini(&r);
    return st;
}

/* All rows of one kind (names, or keywords), in batches. */
static onestep_status run_kind(maker *k, uint64_t base, int n, bool keywords)
{
    int rows[MAX_BATCH], filled = 0;
    const char *prompts[MAX_BATCH];
    onestep_status st = ONESTEP_OK;

    for (int i = 0; i < n && st == ONESTEP_OK; i++) {
        ons_caption_draw draw = ons_dataset_draw(k->d, k->o->seed, base + (uint64_t)i, 0, k->o->p_keyword);

        if (is_keyword(k, &draw) == keywords) {
            rows[filled] = i;
            prompts[filled++] = draw.caption;
        }
        if (filled == k->request.batch_size || (i == n - 1 && filled)) {
            st = run_batch(k, base, rows, filled, prompts, keywords ? k->o->guidance_keyword : k->o->guidance);
            k->made += filled;
            filled = 0;
            ons_progress_update(&k->progress, k->made, "%s", "");
        }
    }
    if (st == ONESTEP_OK && filled) {
        st = run_batch(k, base, rows, filled, prompts, keywords ? k->o->guidance_keyword : k->o->guidance);
        k->made += filled;
    }
    return st;
}

static onestep_status make_shard(maker *k, int number, int n)
{
    uint64_t base = (uint64_t)number * (uint64_t)k->o->per_shard;
    double start = ons_now_s(), joules = k->o->energy ? ons_energy_joules(k->o->energy) : -1;
    onestep_status st;

    k->shard.n = n;
    for (int i = 0; i < n; i++) {
        ons_caption_draw draw = ons_dataset_draw(k->d, k->o->seed, base + (uint64_t)i, 0, k->o->p_keyword);

        k->shard.index[i] = base + (uint64_t)i;
        if ((st = ons_tokenizer_encode(k->teacher->tokenizer, draw.caption, k->shard.ids + i * k->shard.context,
                                       NULL, NULL)) != ONESTEP_OK)
            return st;
    }
    if ((st = run_kind(k, base, n, false)) != ONESTEP_OK || (st = run_kind(k, base, n, true)) != ONESTEP_OK)
        return st;
    k->shard.seconds = ons_now_s() - start;
    k->shard.joules = joules < 0 ? -1 : ons_energy_joules(k->o->energy) - joules;
    return ons_pair_shard_save(&k->shard, k->o->output, number);
}

/* How many pairs shard `number` should hold when `count` are asked for. */
static int wanted_in_shard(const ons_pairs_options *o, int number)
{
    int64_t left = o->count - (int64_t)number * o->per_shard;

    return left < o->per_shard ? (int)left : o->per_shard;
}

static onestep_status make_all(maker *k)
{
    int n_shards = (k->o->count - 1) / k->o->per_shard + 1;

    for (int i = 0; i < n_shards; i++) {
        int n = wanted_in_shard(k->o, i);
        onestep_status st;

        if (i % k->o->n_parts != k->o->part)
            continue;
        if (ons_pair_shard_count(k->o->output, i) >= n) {
            k->made += n;
            continue;
        }
        if ((st = make_shard(k, i, n)) != ONESTEP_OK)
            return st;
        if (ons_interrupted())
            return ons_fail(ONESTEP_INTERRUPTED, "stopped after shard %d", i);
    }
    return ONESTEP_OK;
}

static onestep_status check_options(const ons_pairs_options *o)
{
    if (o->count < 1 || o->batch < 0 || o->batch > MAX_BATCH || o->per_shard < 1)
        return ons_fail(
            ONESTEP_BAD_ARGUMENT,
            "%d pairs in batches of %d and files of %d: expected at least 1, batches of 0 (by size) to %d",
            o->count, o->batch, o->per_shard, MAX_BATCH);
    if (o->n_parts < 1 || o->part < 0 || o->part >= o->n_parts)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "part %d of %d: expected 0 to parts - 1", o->part, o->n_parts);
    if (!strcmp(o->sampler, "lcm") || !strcmp(o->sampler, "euler_a"))
        return ons_fail(ONESTEP_BAD_ARGUMENT,
                        "sampler %s draws fresh noise: the result would be no function of the noise; use "
                        "ddim, plms, euler, heun or dpm++2m",
                        o->sampler);
    return ONESTEP_OK;
}

/* As many as small pictures need to keep the cores busy, and no more memory for large ones. */
static int batch_for(const ons_model *m, int width, int height)
{
    enum { PLENTY = 64 * 16 * 16 }; /* latent positions */
    const int f = ons_vae_factor(&m->vae_config);
    const int64_t n = PLENTY / ((int64_t)(width / f) * (height / f));

    return n < 1 ? 1 : n > 64 ? 64 : (int)n;
}

static onestep_status make_request(maker *k)
{
    const ons_pairs_options *o = k->o;
    const int factor = ons_vae_factor(&k->teacher->vae_config);
    ons_request *q = &k->request;
    onestep_status st;

    ons_request_init(q);
    q->width = o->width;
    q->height = o->height;
    q->steps = o->steps;
    q->sampler = o->sampler;
    q->compute = &o->compute;
    q->latents_only = true;
    q->same_batch = true;
    ONS_TRY(ons_size_resolve(k->teacher, &q->width, &q->height));
    q->batch_size = o->batch ? o->batch : batch_for(k->teacher, q->width, q->height);
    k->shard.h = q->height / factor;
    k->shard.w = q->width / factor;
    k->shard.c = k->teacher->vae_config.latent_channels;
    k->shard.context = ons_tokenizer_context(k->teacher->tokenizer);
fail:
    return st;
}

onestep_status ons_pairs_make(ons_model *teacher, const ons_dataset *d, const ons_pairs_options *o)
{
    maker k = {.teacher = teacher, .d = d, .o = o};
    onestep_status st;

    ONS_TRY(check_options(o));
    ONS_TRY(make_request(&k));
    ONS_TRY(ons_pair_shard_allocate(&k.shard, o->per_shard));
    ONS_TRY(settle_index(&k));
    ons_progress_begin(&k.progress, "pairs", "pair", 0, o->count / o->n_parts);
    st = make_all(&k);
    ons_progress_end(&k.progress);
fail:
    ons_pair_shard_fini(&k.shard);
    return st;
}
