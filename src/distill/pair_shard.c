/* Shards hold latents in NCHW, as the rest of the world expects them. */
#include "distill/pair_shard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "distill/pairs.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "pipeline/runner.h"

onestep_status ons_pair_shard_allocate(ons_pair_shard *s, int room)
{
    size_t latent = (size_t)(s->h * s->w * s->c);

    s->latents = ons_calloc((size_t)room * latent, sizeof *s->latents);
    s->ids = ons_calloc((size_t)room * (size_t)s->context, sizeof *s->ids);
    s->index = ons_calloc((size_t)room, sizeof *s->index);
    if (s->latents && s->ids && s->index)
        return ONESTEP_OK;
    ons_pair_shard_fini(s);
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for a shard of pairs");
}

void ons_pair_shard_fini(ons_pair_shard *s)
{
    ons_free(s->latents);
    ons_free(s->ids);
    ons_free(s->index);
    s->latents = NULL;
    s->ids = NULL;
    s->index = NULL;
}

static char *shard_path(const char *folder, int number)
{
    return ons_format("%s/pairs-%06d.safetensors", folder, number);
}

static onestep_status declare(ons_safetensors_writer *w, const ons_pair_shard *s)
{
    char seconds[32], joules[32];
    onestep_status st;

    snprintf(seconds, sizeof seconds, "%.3f", s->seconds);
    snprintf(joules, sizeof joules, "%.3f", s->joules);
    ONS_TRY(ons_safetensors_writer_metadata(w, "seconds", seconds));
    ONS_TRY(ons_safetensors_writer_metadata(w, "joules", joules));
    ONS_TRY(ons_safetensors_writer_add(w, "latents", ONS_F32, 4, (const int64_t[]){s->n, s->c, s->h, s->w}));
    ONS_TRY(ons_safetensors_writer_add(w, "ids", ONS_I32, 2, (const int64_t[]){s->n, s->context}));
    ONS_TRY(ons_safetensors_writer_add(w, "index", ONS_I64, 1, (const int64_t[]){s->n}));
fail:
    return st;
}

onestep_status ons_pair_shard_save(const ons_pair_shard *s, const char *folder, int number)
{
    size_t latents = (size_t)s->n * (size_t)(s->h * s->w * s->c) * sizeof(float);
    float *planes = ons_malloc(latents + 1);
    char *path = shard_path(folder, number);
    ons_safetensors_writer *w = NULL;
    onestep_status st;

    if (!planes || !path) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to write a shard of pairs");
        goto fail;
    }
    ons_nhwc_to_nchw(planes, s->latents, s->n, s->c, s->h, s->w);
    ONS_TRY(ons_safetensors_writer_create(&w));
    ONS_TRY(declare(w, s));
    ONS_TRY(ons_safetensors_writer_begin(w, path));
    ONS_TRY(ons_safetensors_writer_data(w, planes, latents));
    ONS_TRY(ons_safetensors_writer_data(w, s->ids, (size_t)s->n * (size_t)s->context * sizeof *s->ids));
    ONS_TRY(ons_safetensors_writer_data(w, s->index, (size_t)s->n * sizeof *s->index));
    st = ons_safetensors_writer_commit(w);
fail:
    ons_safetensors_writer_destroy(&w);
    ons_free(planes);
    ons_free(path);
    return st;
}

int ons_pair_shard_count(const char *folder, int number)
{
    char *path = shard_path(folder, number);
    ons_safetensors *f = NULL;
    const ons_file_tensor *t = NULL;
    int n = 0;

    if (path && ons_path_exists(path) && ons_safetensors_open(path, &f) == ONESTEP_OK)
        t = ons_safetensors_find(f, "index");
    if (t)
        n = (int)t->dims[0];
    ons_safetensors_close(&f);
    ons_free(path);
    return n;
}

static onestep_status check_shard(const ons_safetensors *f, const ons_pairs *p, const ons_file_tensor **t)
{
    static const char *const names[] = {"latents", "ids", "index"};
    static const ons_dtype types[] = {ONS_F32, ONS_I32, ONS_I64};
    static const int dims[] = {4, 2, 1};

    for (int i = 0; i < 3; i++) {
        t[i] = ons_safetensors_find(f, names[i]);
        if (!t[i] || t[i]->dtype != types[i] || t[i]->n_dims != dims[i] || t[i]->dims[0] != t[0]->dims[0])
            return ons_fail(ONESTEP_BAD_FILE, "%s: no valid tensor %s: not a shard of pairs",
                            ons_safetensors_path(f), names[i]);
    }
    if (t[0]->dims[1] != p->c || t[0]->dims[2] != p->h || t[0]->dims[3] != p->w || t[1]->dims[1] != p->context)
        return ons_fail(ONESTEP_BAD_FILE, "%s: its shapes are not those of index.json",
                        ons_safetensors_path(f));
    return ONESTEP_OK;
}

static onestep_status grow(ons_pairs *p, size_t extra)
{
    size_t latent = (size_t)(p->h * p->w * p->c), n = p->n + extra;
    float *latents = ons_realloc(p->latents, n * latent * sizeof *latents);
    int32_t *ids;
    uint64_t *index;

    if (latents)
        p->latents = latents;
    ids = ons_realloc(p->ids, n * (size_t)p->context * sizeof *ids);
    if (ids)
        p->ids = ids;
    index = ons_realloc(p->index, n * sizeof *index);
    if (index)
        p->index = index;
    return latents && ids && index ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for %zu pairs", n);
}

static onestep_status append_shard(ons_pairs *p, const char *path)
{
    const ons_file_tensor *t[3];
    ons_safetensors *f = NULL;
    size_t latent = (size_t)(p->h * p->w * p->c), n;
    float *planes = NULL;
    const char *seconds, *joules;
    onestep_status st;

    ONS_TRY(ons_safetensors_open(path, &f));
    ONS_TRY(check_shard(f, p, t));
    n = (size_t)t[0]->dims[0];
    ONS_TRY(grow(p, n));
    planes = ons_malloc(t[0]->size + 1); /* the mapping gives no alignment */
    if (!planes) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory to read %s", path);
        goto fail;
    }
    memcpy(planes, t[0]->data, t[0]->size);
    ons_nchw_to_nhwc(p->latents + p->n * latent, planes, (int64_t)n, p->c, p->h, p->w);
    memcpy(p->ids + p->n * (size_t)p->context, t[1]->data, t[1]->size);
    memcpy(p->index + p->n, t[2]->data, t[2]->size);
    p->n += n;
    seconds = ons_safetensors_metadata(f, "seconds");
    joules = ons_safetensors_metadata(f, "joules");
    p->seconds += seconds ? atof(seconds) : 0;
    p->joules = p->joules < 0 || !joules || atof(joules) < 0 ? -1 : p->joules + atof(joules);
fail:
    ons_free(planes);
    ons_safetensors_close(&f);
    return st;
}

static onestep_status read_index(const char *folder, ons_pairs *p)
{
    char *path = ons_path_join(folder, "index.json");
    json_t *root = NULL;
    json_int_t h, w, c, seed;
    int version;
    onestep_status st;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_json_load(path, &root));
    if (json_unpack(root, "{s:i, s:I, s:F, s:[I,I,I], s:i}", "version", &version, "seed", &seed, "p_keyword",
                    &p->p_keyword, "latent_shape", &c, &h, &w, "context", &p->context) ||
        h < 1 || w < 1 || c < 1 || h > 4096 || w > 4096 || c > 1024 || p->context < 1 || p->context > 65536) {
        st = ons_fail(ONESTEP_BAD_FILE, "%s: not the index of a set of pairs", path);
    } else if (version != ONS_PAIRS_VERSION) {
        st = ons_fail(ONESTEP_UNSUPPORTED, "%s: format %d, this program reads %d", path, version,
                      ONS_PAIRS_VERSION);
    } else {
        p->seed = (uint64_t)seed;
        p->h = h;
        p->w = w;
        p->c = c;
    }
fail:
    json_decref(root);
    ons_free(path);
    return st;
}

onestep_status ons_pairs_open(const char *folder, ons_pairs *out)
{
    char **names = NULL;
    size_t n = 0;
    onestep_status st;

    *out = (ons_pairs){0};
    ONS_TRY(read_index(folder, out));
    ONS_TRY(ons_list_dir(folder, &names, &n));
    for (size_t i = 0; i < n; i++) {
        char *path;

        if (strncmp(names[i], "pairs-", 6) || !ons_ends_with(names[i], ".safetensors"))
            continue;
        path = ons_path_join(folder, names[i]);
        st = path ? append_shard(out, path) : ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
        ons_free(path);
        if (st != ONESTEP_OK)
            goto fail;
    }
    if (!out->n)
        st = ons_fail(ONESTEP_BAD_FILE, "%s: no complete shard of pairs yet; let 'onestep pairs' finish one",
                      folder);
fail:
    ons_free_names(names, n);
    if (st != ONESTEP_OK)
        ons_pairs_close(out);
    return st;
}

void ons_pairs_close(ons_pairs *p)
{
    ons_free(p->latents);
    ons_free(p->ids);
    ons_free(p->index);
    *p = (ons_pairs){0};
}

void ons_pairs_noise(const ons_pairs *p, size_t i, float *dst)
{
    ons_picture_noise(ONS_NOISE_PHILOX, p->seed + p->index[i], p->h, p->w, p->c, dst);
}
