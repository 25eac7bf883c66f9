/*
 * Drawing: a request's settings are resolved against the model, its pictures made batch by batch. Everything
 * that a batch needs (prompts, seeds, noise, latents to begin with) is gathered here and nowhere else.
 */
#include "pipeline/draw.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/random.h"
#include "pipeline/draw_impl.h"
#include "pipeline/preview.h"

typedef struct draw_job {
    ons_model *model;
    const ons_request *q;
    ons_result *r;
    ons_drawing *drawing;
    ons_runner *runner;
    size_t picture, latent;            /* bytes of one picture, floats of one latent */
    const char **prompts, **negatives; /* [batch] */
    uint64_t *seeds;                   /* [batch] */
    float *noise, *clean, *latents;    /* [batch, latent]; clean: image to image alone */
    int at, n;                         /* the batch in work: pictures [at, at + n) */
    int evaluations, total;            /* of the network: done, in all */
} draw_job;

static void fini_job(draw_job *j)
{
    ons_free(j->prompts);
    ons_free(j->negatives);
    ons_free(j->seeds);
    ons_free(j->noise);
    ons_free(j->clean);
    ons_free(j->latents);
}

static float *make_latents(const draw_job *j, int n)
{
    uint64_t size;

    return ons_mul_u64((uint64_t)n, j->latent, &size) ? ons_calloc(size, sizeof(float)) : NULL;
}

/* What the caller did not hand in. */
static bool make_result(draw_job *j)
{
    ons_result *r = j->r;
    uint64_t bytes;

    if (j->q->latents_only && !r->latents) {
        r->latents = make_latents(j, r->n);
        r->owns_latents = r->latents != NULL;
    } else if (!j->q->latents_only && !r->rgb) {
        r->rgb = ons_mul_u64((uint64_t)r->n, j->picture, &bytes) ? ons_malloc(bytes) : NULL;
        r->owns_rgb = r->rgb != NULL;
    }
    return j->q->latents_only ? r->latents != NULL : r->rgb != NULL;
}

static onestep_status make_arrays(draw_job *j)
{
    const ons_resolved *run = &j->r->run;
    const size_t batch = (size_t)run->batch;

    j->prompts = ons_calloc(batch, sizeof *j->prompts);
    j->negatives = ons_calloc(batch, sizeof *j->negatives);
    j->seeds = ons_calloc(batch, sizeof *j->seeds);
    j->noise = make_latents(j, run->batch);
    j->latents = make_latents(j, run->batch);
    if (j->q->init)
        j->clean = make_latents(j, run->batch);
    if (!j->prompts || !j->negatives || !j->seeds || !j->noise || !j->latents || (j->q->init && !j->clean) ||
        !make_result(j))
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for %d pictures of %dx%d", j->r->n, run->width,
                        run->height);
    return ONESTEP_OK;
}

static onestep_status choose_runner(draw_job *j)
{
    const ons_request *q = j->q;
    const ons_resolved *run = &j->r->run;
    ons_runner_options o = {.batch = run->batch,
                            .width = run->width,
                            .height = run->height,
                            .observe = q->observe,
                            .observe_unet = q->observe_unet,
                            .observe_decoder = q->observe_decoder,
                            .no_decoder = q->latents_only && !q->preview,
                            .tiling = q->tiling ? ONS_TILING_ON : ONS_TILING_AUTO,
                            .one_shot = q->once && run->batch == j->r->n && !q->preview};
    onestep_status st;

    ONS_TRY(ons_compute_resolve(q->compute ? q->compute : &j->model->compute, &o.compute));
    ONS_TRY(ons_drawing_runner(j->drawing, j->model, &o, &j->runner));
    j->latent = ons_runner_latent_size(j->runner);
    j->picture = (size_t)run->width * (size_t)run->height * 3;
fail:
    return st;
}

/* Prompts, seeds and noise of the batch in work. */
static onestep_status gather(draw_job *j)
{
    const ons_noise_kind kind = (ons_noise_kind)j->q->noise;
    int64_t h, w, c;
    onestep_status st;

    ons_runner_latent_shape(j->runner, &h, &w, &c);
    for (int i = 0; i < j->n; i++) {
        float *noise = j->noise + (size_t)i * j->latent;

        j->prompts[i] = ons_request_prompt(j->q, j->at + i);
        j->negatives[i] = ons_request_negative(j->q, j->at + i);
        j->seeds[i] = ons_result_seed(j->r, j->q, j->at + i);
        if (j->q->init)
            ONS_TRY(
                ons_runner_draw_encoded(j->runner, kind, j->seeds[i], j->clean + (size_t)i * j->latent, noise));
        else
            ons_picture_noise(kind, j->seeds[i], h, w, c, noise);
    }
    return ONESTEP_OK;
fail:
    return st;
}

static onestep_status evaluated(void *user, int step, double t)
{
    draw_job *j = user;
    const ons_request *q = j->q;
    onestep_status st = ONESTEP_OK;

    j->evaluations++;
    if (q->progress && !q->progress(q->user, j->evaluations, j->total))
        return ons_fail(ONESTEP_INTERRUPTED, "stopped after evaluation %d of %d", step, j->r->run.evaluations);
    if (q->preview && q->preview_every > 0 && step % q->preview_every == 0 && step < j->r->run.evaluations)
        st = ons_preview(j->runner, j->n, t, &j->r->run, q, j->at);
    return st;
}

static void add_stats(ons_run_stats *sum, ons_run_stats s)
{
    sum->text_s += s.text_s;
    sum->unet_s += s.unet_s;
    sum->decoder_s += s.decoder_s;
    sum->total_s += s.total_s;
    sum->n_evaluations += s.n_evaluations;
    sum->flops += s.flops;
    sum->unet_flops += s.unet_flops;
    sum->decoder_flops += s.decoder_flops;
    sum->not_numbers = sum->not_numbers || s.not_numbers;
}

/* A black picture would say nothing about its cause. */
static onestep_status check_numbers(const draw_job *j)
{
    if (!j->r->stats.not_numbers)
        return ONESTEP_OK;
    return ons_fail(ONESTEP_BAD_FILE,
                    "%s: its pictures are not numbers (NaN or infinite): damaged weights%s; run it with "
                    "ONESTEP_CHECK_NAN=1 to see where it begins",
                    j->model->path ? j->model->path : "this model",
                    j->runner->options.compute.type == ONS_BF16
                        ? ", or values that bf16 cannot hold (try --type f32)"
                        : "");
}

/* A run that does not fit beside other sizes' plans is tried again alone. */
static onestep_status run(draw_job *j, const ons_batch *b)
{
    onestep_status st = ons_runner_run(j->runner, j->q, &j->r->run, b);

    if (st == ONESTEP_NO_MEMORY && ons_drawing_keep_only(j->drawing, j->runner))
        st = ons_runner_run(j->runner, j->q, &j->r->run, b);
    return st;
}

static onestep_status draw_batch(draw_job *j)
{
    uint8_t *rgb = j->q->latents_only ? NULL : j->r->rgb + (size_t)j->at * j->picture;
    const ons_batch b = {.n = j->n,
                         .prompts = j->prompts,
                         .negatives = j->negatives,
                         .seeds = j->seeds,
                         .noise = j->noise,
                         .clean = j->clean,
                         .latents = j->r->latents ? j->r->latents + (size_t)j->at * j->latent : j->latents,
                         .rgb = rgb,
                         .evaluated = evaluated,
                         .user = j};
    onestep_status st;

    ONS_TRY(gather(j));
    ONS_TRY(run(j, &b));
    add_stats(&j->r->stats, ons_runner_stats(j->runner));
    ONS_TRY(check_numbers(j));
    for (int i = 0; rgb && j->q->picture && i < j->n; i++)
        ONS_TRY(j->q->picture(j->q->user, j->at + i, rgb + (size_t)i * j->picture));
fail:
    return st;
}

static onestep_status draw_all(draw_job *j)
{
    const ons_resolved *run = &j->r->run;
    const int n = j->r->n, n_batches = (n - 1) / run->batch + 1;
    onestep_status st;

    if (j->q->note)
        ONS_TRY(ons_request_point_out(j->model, j->q, run));
    ONS_TRY(choose_runner(j));
    ONS_TRY(make_arrays(j));
    if (j->q->init)
        ONS_TRY(ons_runner_encode_picture(j->runner, j->q->init));
    j->total = n_batches * run->evaluations;
    for (j->at = 0; j->at < n; j->at += run->batch) {
        j->n = n - j->at < run->batch ? n - j->at : run->batch;
        ONS_TRY(draw_batch(j));
    }
fail:
    return st;
}

onestep_status ons_draw(ons_model *m, const ons_request *q, ons_result *r)
{
    draw_job j = {.model = m, .q = q, .r = r};
    onestep_status st;

    r->stats = (ons_run_stats){0};
    r->owns_rgb = r->owns_latents = false;
    ONS_TRY(ons_request_check(q));
    r->n = ons_request_pictures(q);
    r->seed = q->seed.random ? ons_random_seed() : q->seed.value;
    ONS_TRY(ons_request_resolve(m, q, &r->run));
    ONS_TRY(ons_drawing_enter(m, &j.drawing));
    st = draw_all(&j);
    fini_job(&j);
    ons_drawing_leave(j.drawing);
fail:
    if (st != ONESTEP_OK)
        ons_result_fini(r);
    return st;
}

uint64_t ons_result_seed(const ons_result *r, const ons_request *q, int i)
{
    return q->n && q->seeds ? q->seeds[i] : r->seed + (uint64_t)i;
}

void ons_result_fini(ons_result *r)
{
    if (r->owns_rgb)
        ons_free(r->rgb);
    if (r->owns_latents)
        ons_free(r->latents);
    *r = (ons_result){0};
}
