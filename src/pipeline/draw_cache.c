/* What a model keeps between requests: runners by least recent use, and the encodings of prompts. */
#include "base/memory.h"
#include "pipeline/draw_impl.h"

/* Guards the making of a model's first drawing; what follows has a lock of its own. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static ons_drawing *create_drawing(void)
{
    ons_drawing *d = ons_calloc(1, sizeof *d);

    if (d && pthread_mutex_init(&d->lock, NULL) != 0) {
        ons_free(d);
        return NULL;
    }
    return d;
}

onestep_status ons_drawing_enter(ons_model *m, ons_drawing **out)
{
    pthread_mutex_lock(&making);
    if (!m->drawing)
        m->drawing = create_drawing();
    *out = m->drawing;
    pthread_mutex_unlock(&making);
    if (!*out)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory to draw with it", m->path ? m->path : "the model");
    pthread_mutex_lock(&(*out)->lock);
    return ONESTEP_OK;
}

void ons_drawing_leave(ons_drawing *d)
{
    pthread_mutex_unlock(&d->lock);
}

static bool is_same_compute(const ons_compute *a, const ons_compute *b)
{
    return a->backend == b->backend && a->n_threads == b->n_threads && a->type == b->type &&
           a->memory == b->memory;
}

static bool is_same(const ons_runner_options *a, const ons_runner_options *b)
{
    return a->batch == b->batch && a->width == b->width && a->height == b->height &&
           a->no_decoder == b->no_decoder && a->tiling == b->tiling && a->one_shot == b->one_shot &&
           a->observe == b->observe && a->observe_unet == b->observe_unet &&
           a->observe_decoder == b->observe_decoder && is_same_compute(&a->compute, &b->compute);
}

static void drop(ons_drawing *d, int i)
{
    ons_runner_destroy(&d->runners[i]);
    for (d->n--; i < d->n; i++)
        d->runners[i] = d->runners[i + 1];
}

bool ons_drawing_keep_only(ons_drawing *d, const ons_runner *r)
{
    const int before = d->n;

    for (int i = d->n - 1; i >= 0; i--)
        if (d->runners[i] != r)
            drop(d, i);
    return d->n < before;
}

/* The runner, moved to the end; NULL: none has these options. */
static ons_runner *find_runner(ons_drawing *d, const ons_runner_options *o)
{
    for (int i = 0; i < d->n; i++) {
        ons_runner *r = d->runners[i];

        if (!is_same(&r->options, o))
            continue;
        for (; i + 1 < d->n; i++)
            d->runners[i] = d->runners[i + 1];
        d->runners[d->n - 1] = r;
        return r;
    }
    return NULL;
}

onestep_status ons_drawing_runner(ons_drawing *d, ons_model *m, const ons_runner_options *o, ons_runner **out)
{
    onestep_status st;

    *out = find_runner(d, o);
    if (*out)
        return ONESTEP_OK;
    if (o->compute.memory)
        (void)ons_drawing_keep_only(d, NULL);
    if (d->n == ONS_KEPT_RUNNERS)
        drop(d, 0);
    ONS_TRY(ons_runner_create(m, o, out));
    (*out)->prompts = &d->prompts;
    d->runners[d->n++] = *out;
fail:
    return st;
}

void ons_drawing_destroy(ons_drawing **out)
{
    ons_drawing *d = out ? *out : NULL;

    if (!d)
        return;
    (void)ons_drawing_keep_only(d, NULL);
    ons_prompts_forget(&d->prompts);
    pthread_mutex_destroy(&d->lock);
    ons_free(d);
    *out = NULL;
}

static const ons_runner *last_runner(const ons_model *m)
{
    return m->drawing && m->drawing->n ? m->drawing->runners[m->drawing->n - 1] : NULL;
}

ons_runner_plans ons_draw_plans(const ons_model *m)
{
    const ons_runner *r = last_runner(m);

    return r ? ons_runner_get_plans(r) : (ons_runner_plans){0};
}

size_t ons_draw_buffer_bytes(const ons_model *m)
{
    const ons_runner *r = last_runner(m);

    return r ? ons_runner_peak_bytes(r) : 0;
}

void ons_draw_forget(ons_model *m)
{
    ons_drawing_destroy(&m->drawing);
}
