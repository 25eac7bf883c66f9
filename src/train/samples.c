/* One third training names, one third held-out names, one third ambiguous keywords, spread evenly over each
 * list. */
#include "train/samples.h"

#include <stdio.h>

#include "base/file.h"
#include "base/memory.h"
#include "pipeline/sheet.h"

static void choose_prompts(ons_samples *s, const ons_dataset *d)
{
    size_t n_heldout, n_ambiguous, count = ons_dataset_count(d);
    const char *const *heldout = ons_dataset_heldout(d, &n_heldout);
    const char *const *ambiguous = ons_dataset_ambiguous(d, &n_ambiguous);

    for (size_t i = 0; i < ONS_N_SAMPLES; i++) {
        const ons_item *item = ons_dataset_at(d, i * count / ONS_N_SAMPLES);

        if (i % 3 == 1 && n_heldout)
            s->prompts[i] = heldout[i * n_heldout / ONS_N_SAMPLES];
        else if (i % 3 == 2 && n_ambiguous)
            s->prompts[i] = ambiguous[i * n_ambiguous / ONS_N_SAMPLES];
        else
            s->prompts[i] = item->n_captions ? item->captions[0] : "";
    }
}

/* As many at once as take about what a batch of small pictures takes. */
static int choose_batch(const ons_model *m)
{
    enum { PIXELS = ONS_N_SAMPLES * 128 * 128 };
    const int side = m->unet_config.sample_size * ons_vae_factor(&m->vae_config), n = PIXELS / (side * side);

    return n < 1 ? 1 : n > ONS_N_SAMPLES ? ONS_N_SAMPLES : n;
}

void ons_samples_init(ons_model *m, const ons_dataset *d, uint64_t seed, const ons_compute *c, ons_samples *out)
{
    *out = (ons_samples){.model = m, .compute = *c, .seed = seed};
    choose_prompts(out, d);
}

static onestep_status draw(const ons_samples *s, ons_result *r)
{
    ons_request q;

    ons_request_init(&q);
    q.n = ONS_N_SAMPLES;
    q.prompts = s->prompts;
    q.seed = (ons_seed){.value = s->seed};
    q.batch_size = choose_batch(s->model);
    q.compute = &s->compute;
    return ons_draw(s->model, &q, r);
}

onestep_status ons_samples_write(ons_samples *s, const char *folder, const char *stage, int64_t step)
{
    char *samples = ons_path_join(folder, "samples");
    ons_result r = {0};
    char *path = ons_format("%s/samples/%s-%07lld.png", folder, stage, (long long)step);
    onestep_status st;

    if (!samples || !path) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a sample sheet");
        goto fail;
    }
    ONS_TRY(ons_make_dirs(samples));
    ONS_TRY(draw(s, &r));
    st = ons_sheet_write(path, r.rgb, r.n, r.run.width, r.run.height, 8, s->prompts);
fail:
    ons_result_fini(&r);
    ons_free(samples);
    ons_free(path);
    return st;
}
