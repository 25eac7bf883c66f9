/*
 * Which captions an evaluation draws. The choice is a fixed shuffle of the data set, so that every model and
 * every seed meets the same captions; names that several pictures bear are asked for once.
 */
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/streams.h"
#include "eval/section.h"

static void shuffle(size_t *x, size_t n, uint64_t stream)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)ons_rand_below(0, stream, i, i), t = x[i - 1];

        x[i - 1] = x[j];
        x[j] = t;
    }
}

static bool is_candidate(const ons_item *item, bool heldout)
{
    return item->rgb && item->n_captions > 0 && item->captions[0][0] && item->heldout == heldout;
}

static bool carries(const ons_item *item, const char *caption)
{
    for (int i = 0; i < item->n_captions; i++)
        if (!strcmp(item->captions[i], caption))
            return true;
    return false;
}

static bool has_caption(const ons_eval_plan *p, const char *caption)
{
    for (int i = 0; i < p->n_captions; i++)
        if (!strcmp(p->captions[i], caption))
            return true;
    return false;
}

static onestep_status allocate(ons_eval_plan *p, size_t n_captions, size_t n_reference)
{
    p->captions = ons_calloc(n_captions + 1, sizeof *p->captions);
    p->items = ons_calloc(n_captions + 1, sizeof *p->items);
    p->reference = ons_calloc(n_reference + 1, sizeof *p->reference);
    if (p->captions && p->items && p->reference)
        return ONESTEP_OK;
    ons_eval_plan_fini(p);
    return ons_fail(ONESTEP_NO_MEMORY, "no memory for the captions of an evaluation");
}

void ons_eval_plan_fini(ons_eval_plan *p)
{
    ons_free(p->captions);
    ons_free(p->items);
    ons_free(p->reference);
    memset(p, 0, sizeof *p);
}

onestep_status ons_eval_plan_names(const ons_dataset *d, bool heldout, int n, ons_eval_plan *out)
{
    onestep_status st;
    size_t count = 0, *order = ons_malloc((ons_dataset_count(d) + 1) * sizeof *order);

    memset(out, 0, sizeof *out);
    if (!order)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the captions of an evaluation");
    for (size_t i = 0; i < ons_dataset_count(d); i++)
        if (is_candidate(ons_dataset_at(d, i), heldout))
            order[count++] = i;
    shuffle(order, count, ONS_STREAM_EVAL_CHOICE);
    out->n_seeds = 1;
    ONS_TRY(allocate(out, (size_t)n, (size_t)n));
    for (size_t i = 0; i < count && out->n_captions < n; i++) {
        const char *name = ons_dataset_at(d, order[i])->captions[0];

        if (has_caption(out, name))
            continue;
        out->captions[out->n_captions] = name;
        out->items[out->n_captions++] = order[i];
        out->reference[out->n_reference++] = order[i];
    }
fail:
    ons_free(order);
    return st;
}

/* Training pictures that carry the keyword, shuffled, at most ONS_EVAL_SEEDS of them. */
static void add_reference(const ons_dataset *d, const char *keyword, size_t *work, ons_eval_plan *p)
{
    size_t count = 0;

    for (size_t i = 0; i < ons_dataset_count(d); i++)
        if (is_candidate(ons_dataset_at(d, i), false) && carries(ons_dataset_at(d, i), keyword))
            work[count++] = i;
    shuffle(work, count, ONS_STREAM_EVAL_REFERENCE);
    for (size_t i = 0; i < count && i < ONS_EVAL_SEEDS; i++)
        p->reference[p->n_reference++] = work[i];
}

onestep_status ons_eval_plan_keywords(const ons_dataset *d, int n, ons_eval_plan *out)
{
    onestep_status st = ONESTEP_OK;
    size_t count, *order, *work, most;
    const char *const *keywords = ons_dataset_ambiguous(d, &count);

    memset(out, 0, sizeof *out);
    out->n_seeds = ONS_EVAL_SEEDS;
    out->keywords = true;
    if (!keywords || !count)
        return ONESTEP_OK;
    most = count > ons_dataset_count(d) ? count : ons_dataset_count(d);
    order = ons_malloc(2 * (most + 1) * sizeof *order);
    if (!order)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for the keywords of an evaluation");
    work = order + most + 1;
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    shuffle(order, count, ONS_STREAM_EVAL_CHOICE);
    ONS_TRY(allocate(out, (size_t)n, (size_t)n * ONS_EVAL_SEEDS));
    for (size_t i = 0; i < count && out->n_captions < n; i++) {
        int64_t before = out->n_reference;

        add_reference(d, keywords[order[i]], work, out);
        if (out->n_reference > before)
            out->captions[out->n_captions++] = keywords[order[i]];
    }
fail:
    ons_free(order);
    return st;
}
